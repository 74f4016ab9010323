"""Connections out of a valid topology."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, ip_network

from lab.model.certificates import Identities
from lab.model.connections import (
    EVERYWHERE,
    Connection,
    DialIn,
    Forwarding,
    Gre,
    Ipsec,
    Link,
    MainMode,
    Nat,
    NatMapping,
    QuickMode,
    SiteEnd,
    StaticRoute,
)
from lab.model.networks import router_of
from lab.model.topology import SiteSpec, Topology
from lab.model.topology_connections import (
    CERTIFICATE,
    DEFAULT_METRIC,
    ConnectionSpec,
    ForwardingConnectionSpec,
    GreConnectionSpec,
    IpsecConnectionSpec,
    LinkConnectionSpec,
    NatConnectionSpec,
    SiteConnection,
)
from lab.model.topology_dial_in import DialInSpec
from lab.model.topology_tenants import TenantSpec


def resolve_connection(topology: Topology, tenant: str, name: str, spec: ConnectionSpec) -> Connection:
    """Decide everything that a valid topology leaves open of one connection. Pure."""
    if isinstance(spec, NatConnectionSpec):
        routes = (StaticRoute(EVERYWHERE, DEFAULT_METRIC),)
        return Connection(name, _nat(spec), None, routes, spec.outbound_kbps, spec.inbound_kbps)
    if isinstance(spec, LinkConnectionSpec):
        return _link(topology, topology.tenants[tenant], name, spec)
    site = topology.sites[spec.site]
    return Connection(
        name=name,
        kind=_kind(tenant, spec),
        site=_site_end(spec.site, site),
        routes=_routes(spec, site),
        outbound_kbps=spec.outbound_kbps,
        inbound_kbps=spec.inbound_kbps,
    )


def _site_end(name: str, site: SiteSpec) -> SiteEnd:
    return SiteEnd(
        name=name,
        peer=site.wan.ip,
        lan_prefix=site.lan.prefix,
        bgp_peer=router_of(site.lan.prefix),
        bgp_peer_asn=site.asn,
        ipv6_lan=site.lan.ipv6_prefix,
        ipv6_peer=site.ipv6_wan.ip if site.ipv6_wan else None,
    )


def _link(topology: Topology, tenant: TenantSpec, name: str, spec: LinkConnectionSpec) -> Connection:
    """Subnets become prefixes: a link knows addresses only."""
    routes = tuple(
        StaticRoute(prefix, DEFAULT_METRIC) for prefix in _prefixes(topology.tenants[spec.tenant], spec.uses)
    )
    kind = Link(spec.tenant, _prefixes(tenant, spec.offers))
    return Connection(name, kind, None, routes, spec.outbound_kbps, spec.inbound_kbps)


def _prefixes(tenant: TenantSpec, subnets: Iterable[str]) -> tuple[IPv4Network, ...]:
    found = (tenant.subnets[name].prefix for name in subnets)
    return tuple(prefix for prefix in found if isinstance(prefix, IPv4Network))


def resolve_dial_in(tenant: str, spec: DialInSpec) -> DialIn:
    """A tenant's remote access. No node's name has a dot: the gateway's cannot be taken for one."""
    return DialIn(
        identity=f"{tenant}.vpn",
        public_address=spec.public_address,
        pool=spec.pool,
        dns=spec.dns,
        maximum=spec.maximum,
        interim_accounting_s=spec.interim_accounting_s,
        users=dict(spec.users),
        certificates=spec.certificates,
        outbound_kbps=spec.outbound_kbps,
        inbound_kbps=spec.inbound_kbps,
    )


def _routes(spec: SiteConnection, site: SiteSpec) -> tuple[StaticRoute, ...]:
    """Nobody can announce the way to the announcer, nor to its IPv6 next hop: those are the first routes."""
    if site.asn is None:
        return tuple(StaticRoute(prefix, metric) for prefix, metric in spec.routes.items())
    own = [ip_network(router_of(prefix)) for prefix in site.lan.prefixes.values()]
    given = (StaticRoute(prefix, metric) for prefix, metric in spec.routes.items() if prefix not in own)
    return (*(StaticRoute(router, spec.metric) for router in own), *given)


def _kind(tenant: str, spec: SiteConnection) -> Ipsec | Gre | Forwarding:
    match spec:
        case GreConnectionSpec():
            return Gre(spec.key)
        case ForwardingConnectionSpec():
            return Forwarding(spec.vlan, spec.address, spec.ipv6_address)
    return _ipsec(tenant, spec)


def _ipsec(tenant: str, spec: IpsecConnectionSpec) -> Ipsec:
    """No node's name has a dot: what is issued to a road warrior is no gateway's and no site's."""
    main, quick = spec.main_mode, spec.quick_mode
    return Ipsec(
        shared_secret=spec.shared_secret or "",
        identities=Identities(f"{tenant}.gateway", f"{spec.site}.site")
        if spec.authentication == CERTIFICATE
        else None,
        main_mode=MainMode(main.dh_group, main.encryption, main.integrity, main.lifetime_s),
        quick_mode=QuickMode(
            quick.cipher, quick.authentication, quick.pfs, quick.lifetime_s, quick.lifetime_kb
        ),
        persistent=spec.persistent,
        idle_disconnect_s=spec.idle_disconnect_s,
        network_outage_s=spec.network_outage_s,
        retries=spec.retries,
        retry_interval_s=spec.retry_interval_s,
    )


def _nat(spec: NatConnectionSpec) -> Nat:
    return Nat(
        public_address=spec.public_address,
        ports=spec.ports,
        mappings=tuple(
            # Without another port, the VM listens where the outside knocks (Add-NetNatStaticMapping).
            NatMapping(name, item.protocol, item.port, item.to.address, item.to.port or item.port, item.from_)
            for name, item in spec.mappings.items()
        ),
    )
