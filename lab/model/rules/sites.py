"""Sites and the connections that lead to them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from lab.model.attachment import gateway_vms, internet_wans, recovered_prefixes, site_connections
from lab.model.codes import Code, Finding, Path
from lab.model.networks import unusable
from lab.model.topology import SiteSpec, Topology
from lab.model.topology_connections import (
    ForwardingConnectionSpec,
    IpsecConnectionSpec,
    LinkConnectionSpec,
    NatConnectionSpec,
    SiteConnection,
)
from lab.model.topology_tenants import TenantSpec
from lab.model.types import IpAddress, IpNetwork


def one_connection_a_site(topology: Topology) -> Iterator[Finding]:
    """Tenants share one VIP and are told apart by the peer's address: a site belongs to one connection."""
    users: dict[str, str] = {}
    for name, connection, spec in site_connections(topology):
        if spec.site in users:
            yield Finding(
                Code.SITE_TWICE,
                ("tenants", name, "gateway", "connections", connection, "site"),
                f"`{spec.site}` is already the site of {users[spec.site]}",
                "one connection for each site: the gateway tells tenants apart by the site's address",
            )
        users.setdefault(spec.site, f"{name}/{connection}")
    for tenant, name, _, vm in gateway_vms(topology):
        if vm.site in users:
            yield Finding(
                Code.SITE_TWICE,
                ("tenants", tenant, "vms", name, "gateway", "site"),
                f"`{vm.site}` is already the site of {users[vm.site]}",
                "one connection for each site",
            )
        users.setdefault(vm.site, name)
    if users.keys() - topology.sites.keys():
        return  # A mistyped site is reported as such; which one is left over would be a guess.
    for site in topology.sites:
        if site not in users:
            yield Finding(
                Code.SITE_UNUSED,
                ("sites", site),
                f"no tenant has a connection to `{site}`",
                "a connection with its shared secret",
                f"add `{site}: {{type: ipsec, site: {site}, shared-secret: …}}` to a tenant's gateway",
            )


def wan_addresses(topology: Topology) -> Iterator[Finding]:
    """Each site on the internet has a public network of its own with it, and so has each road warrior."""
    for place, wan in internet_wans(topology).items():
        network = wan.network
        reserved = {network.network_address, network.broadcast_address} if network.prefixlen < 31 else set()
        if wan.ip in reserved or network.prefixlen == 32:
            yield Finding(
                Code.WAN,
                (*place, "wan"),
                f"{wan} leaves no address for the internet"
                if network.prefixlen == 32
                else f"{wan.ip} is not a host address of {network}",
                "a host address of a network with room for two, such as 198.51.100.2/30",
            )


def public_networks_apart(topology: Topology) -> Iterator[Finding]:
    """The internet tells public networks apart."""
    fabric = topology.fabric
    public = {
        ("fabric", "front-end", "prefix"): fabric.front_end.prefix,
        ("fabric", "transit", "prefix"): fabric.transit.prefix,
    } | {(*place, "wan"): wan.network for place, wan in internet_wans(topology).items()}
    for (first, one), (second, other) in combinations(public.items(), 2):
        if second[0] != "fabric" and one.overlaps(other):
            yield Finding(
                Code.WAN_OVERLAP,
                second,
                f"{other} overlaps {one} of {' / '.join(first[:2])}",
                "every site and road warrior has a public network of its own",
            )


def server_addresses(topology: Topology) -> Iterator[Finding]:
    """A server's address: in the site's network, not reserved, its own."""
    for site, spec in topology.sites.items():
        seen: dict[str, str] = {}
        for server, machine in spec.servers.items():
            for key, address, prefix in (
                ("address", machine.address, spec.lan.prefix),
                ("ipv6-address", machine.ipv6_address, spec.lan.ipv6_prefix),
            ):
                if address is None:
                    continue
                path = ("sites", site, "servers", server, key)
                if prefix is None:
                    yield _no_ipv6_lan(site, path, address)
                elif why := unusable(address, prefix):
                    code = Code.RESERVED if address in prefix else Code.OUTSIDE
                    yield Finding(
                        code, path, f"{address} {why}", f"a host address of {prefix}, not its first"
                    )
                if str(address) in seen:
                    message = f"`{seen[str(address)]}` has {address} already"
                    yield Finding(Code.DUPLICATE_ADDRESS, path, message, f"each address once in `{site}`")
                seen.setdefault(str(address), server)


def _no_ipv6_lan(site: str, path: Path, address: IpAddress) -> Finding:
    return Finding(
        Code.IPV6,
        path,
        f"{address} is in no network of `{site}`, which has none of IPv6",
        "an IPv6 network of the site",
        "add `ipv6-prefix: PREFIX` to its `lan`",
    )


def lans_apart(topology: Topology) -> Iterator[Finding]:
    """A site's network must differ from what its router and its tenant also route to."""
    front_end = topology.fabric.front_end.prefix
    for site, spec in topology.sites.items():
        for what, other in (
            ("the network of its own `wan`", spec.wan.network),
            ("the front-end network", front_end),
        ):
            if spec.lan.prefix.overlaps(other):
                message = f"{spec.lan.prefix} overlaps {what} {other}"
                yield Finding(Code.LAN_OVERLAP, ("sites", site, "lan", "prefix"), message)
    for name, tenant in topology.tenants.items():
        yield from _lans_of(topology, name, tenant)


def _lans_of(topology: Topology, name: str, tenant: TenantSpec) -> Iterator[Finding]:
    """A tenant's subnets, its VLANs and the networks of its sites; the same site twice is for failover."""
    inside: list[tuple[str, IpNetwork]] = [
        (f"subnet `{subnet}`", spec.prefix) for subnet, spec in tenant.subnets.items()
    ]
    recovered = {item: set(recovered_prefixes(tenant, spec)) for item, spec in topology.sites.items()}
    lans: list[tuple[SiteSpec, SiteConnection]] = []
    for connection, link in (tenant.gateway.connections if tenant.gateway else {}).items():
        if isinstance(link, ForwardingConnectionSpec):
            vlan = f"the VLAN of connection `{connection}`"
            inside.append((vlan, link.address.network))
            inside += [(vlan, link.ipv6_address.network)] if link.ipv6_address else []
    for connection, link in (tenant.gateway.connections if tenant.gateway else {}).items():
        if isinstance(link, NatConnectionSpec | LinkConnectionSpec) or link.site not in topology.sites:
            continue
        site = topology.sites[link.site]
        # Only the routers of IPsec sites tell their LAN, and answer it, that a part is in the cloud.
        lifted = recovered[link.site] if isinstance(link, IpsecConnectionSpec) else set()
        for key, prefix in site.lan.prefixes.items():
            for what, taken in inside:
                if taken in lifted or not prefix.overlaps(taken):
                    continue
                if not _twins(prefix, site, link, lans):
                    yield Finding(
                        Code.LAN_OVERLAP,
                        ("sites", link.site, "lan", key),
                        f"{prefix} of `{link.site}` overlaps {taken} of {what} of tenant `{name}`",
                        "a tenant's subnets and its sites' networks do not overlap, but for two sites with "
                        "one network and AS number, whose connections differ in `metric`",
                    )
        lans.append((site, link))
        inside += [(f"site `{link.site}` ({connection})", prefix) for prefix in site.lan.prefixes.values()]


def _twins(
    prefix: IpNetwork, site: SiteSpec, link: SiteConnection, lans: list[tuple[SiteSpec, SiteConnection]]
) -> bool:
    """Whether a site is another way to one network: the route's metric says which of them is taken."""
    same = [(other, way) for other, way in lans if prefix in other.lan.prefixes.values()]
    return bool(same) and all(other.asn == site.asn and way.metric != link.metric for other, way in same)


def different_asns(topology: Topology) -> Iterator[Finding]:
    """Compartment and site speak external BGP, and so do gateways and the top-of-rack router."""
    for name, connection, link in site_connections(topology):
        gateway, site = topology.tenants[name].gateway, topology.sites.get(link.site)
        if gateway and site and site.asn == gateway.asn:
            yield Finding(
                Code.SAME_ASN,
                ("sites", link.site, "asn"),
                f"`{link.site}` and tenant `{name}` are both AS {site.asn} (connection `{connection}`)",
                "two AS numbers: they speak external BGP",
            )
    front_end = topology.fabric.front_end
    if front_end.asn == front_end.gateway_asn:
        yield Finding(
            Code.SAME_ASN,
            ("fabric", "front-end"),
            f"gateways and the top-of-rack router are both AS {front_end.asn}",
            "two AS numbers: they speak external BGP",
            "give `asn` or `gateway-asn` another value",
        )


RULES = (
    one_connection_a_site,
    wan_addresses,
    public_networks_apart,
    server_addresses,
    lans_apart,
    different_asns,
)
