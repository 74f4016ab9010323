"""A tenant's compartment: a namespace with one interface to the VM network, and one for each connection.

Everything here is "ensure": it looks first and changes only what differs, so that an agent that starts again
disturbs no packet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import quote, unquote

from pyroute2 import IPRoute

from gwnode import ipv6, nat, nat_sessions, shaping
from gwnode.connections.wanted import Connection, GreEnd, NatEnd, Way
from gwnode.desired import Tenant, ipv6_vport_name, vport_name
from gwnode.filter import compartment_ruleset, rates_of
from gwnode.filter_ipv6 import ipv6_ruleset
from gwnode.kernel import WantedRoute, ensure_addresses, ensure_link, ensure_pair, ensure_routes, remove_links
from gwnode.netns import Namespace, set_sysctl
from gwnode.nft import replace_table
from gwnode.settings import Settings
from gwnode.shaping import VM_SIDE, VM_SIDE_IPV6
from lab.southbound.identity import compartment_port, port_alias

SYSCTLS: Mapping[str, str] = {
    "net/ipv4/ip_forward": "1",
    # Tenants' networks are asymmetric by nature (a route may arrive before its twin).
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    # The way back into the VM network is by design the interface that a packet came from.
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
}


def namespace(settings: Settings, tenant: str) -> Namespace:
    """A tenant's compartment."""
    return Namespace(settings.namespaces / quote(tenant))


def standing(settings: Settings) -> set[str]:
    """Tenants whose compartment is there.

    Namespaces of connections have a sign in their names that a quoted tenant's has not.
    """
    if not settings.namespaces.is_dir():
        return set()
    return {unquote(path.name) for path in settings.namespaces.iterdir() if "+" not in path.name}


def ensure(settings: Settings, tenant: Tenant, protected: Collection[IPv4Network] = ()) -> None:
    """Make a tenant's compartment be as desired, connections excepted.

    Parameters:
        protected: the hoster's own networks.

    Raises:
        OSError, NetlinkError, CalledProcessError: the kernel refuses.
    """
    space = namespace(settings, tenant.name)
    is_new = space.ensure()
    alias = port_alias(settings.lab, compartment_port(tenant.rdid))
    with IPRoute() as kernel, space.path.open() as handle:
        ensure_pair(kernel, handle.fileno(), tenant.vport, alias, VM_SIDE)
        if tenant.ipv6:
            ipv6_alias = port_alias(settings.lab, compartment_port(tenant.rdid, ipv6=True))
            ensure_pair(kernel, handle.fileno(), tenant.ipv6_vport, ipv6_alias, VM_SIDE_IPV6)
            ipv6.switch(tenant.ipv6_vport, on=False)
        else:
            remove_links(kernel, [tenant.ipv6_vport])
    space.run(lambda: _ensure_inside(settings, tenant, protected))
    if not is_new:
        space.run(lambda: nat_sessions.end_stale_sessions(_nat_of(tenant)))


def _nat_of(tenant: Tenant) -> nat.Nat | None:
    ends = [item.end for item in tenant.connections.values()]
    return next((end.nat for end in ends if isinstance(end, NatEnd)), None)


def _ensure_inside(settings: Settings, tenant: Tenant, protected: Collection[IPv4Network]) -> None:
    for name, value in {**SYSCTLS, **(nat.SYSCTLS if _nat_of(tenant) else {})}.items():
        set_sysctl(name, value)
    ipv6.prepare()
    with IPRoute() as kernel:
        ensure_link(kernel, "lo")
        ensure_link(kernel, VM_SIDE, address=tenant.mac)
        ensure_addresses(kernel, VM_SIDE, [tenant.address])
        for key in ("rp_filter", "send_redirects"):
            set_sysctl(f"net/ipv4/conf/{VM_SIDE}/{key}", "0")
        ipv6.switch(VM_SIDE, on=False)
        devices = {VM_SIDE}
        if tenant.ipv6:
            ensure_link(kernel, VM_SIDE_IPV6, address=tenant.ipv6.mac)
            ipv6.switch(VM_SIDE_IPV6, on=True)
            ensure_addresses(kernel, VM_SIDE_IPV6, [tenant.ipv6.address])
            devices.add(VM_SIDE_IPV6)
        else:
            # Before its filter goes: connections' devices would forward to each other what nobody looks at.
            ipv6.switch_all_off(kernel)
        ensure_routes(kernel, fixed_routes(tenant), devices)
    replace_table(
        compartment_ruleset(tenant, settings.tunnel_mtu, protected), ipv6_ruleset(tenant, settings.tunnel_mtu)
    )


def fixed_routes(tenant: Tenant) -> list[WantedRoute]:
    """To the VM subnets, through the distributed router. All else comes with connections."""
    own = tenant.address.network
    routes = [
        WantedRoute(prefix, VM_SIDE, tenant.router, tenant.address.ip)
        for prefix in tenant.vm_prefixes
        if prefix != own
    ]
    if side := tenant.ipv6:
        routes += [
            WantedRoute(prefix, VM_SIDE_IPV6, side.router, side.address.ip) for prefix in side.vm_prefixes
        ]
    return routes


def ensure_connection_routes(settings: Settings, tenant: Tenant, connected: Mapping[str, bool]) -> bool:
    """Have the static routes of the connections that are connected, and of no other.

    They are the "post connection routes" of the real product: a route stands while its connection does.

    Parameters:
        connected: by name of the connection; those that are not among them are left alone.

    Returns: whether all their devices are there; otherwise call again.

    Raises:
        OSError, NetlinkError: the kernel refuses.
    """
    return namespace(settings, tenant.name).run(lambda: _ensure_routes_inside(tenant, connected))


def _ensure_routes_inside(tenant: Tenant, connected: Mapping[str, bool]) -> bool:
    with IPRoute() as kernel:
        # A tunnel's device is there while its charon is.
        there = [
            item
            for item in tenant.connections.values()
            if item.name in connected and kernel.link_lookup(ifname=item.device)
        ]
        ensure_routes(
            kernel,
            chosen(route for item in there if connected[item.name] for route in routes_of(tenant, item)),
            {item.device for item in there},
        )
    return len(there) == sum(item.name in connected for item in tenant.connections.values())


def chosen(routes: Iterable[WantedRoute]) -> list[WantedRoute]:
    """Of those that have prefix and metric in common, always the same: the kernel has room for one. Pure."""
    found: dict[tuple[IPv4Network | IPv6Network, int], WantedRoute] = {}
    for route in sorted(routes, key=lambda route: route.device):
        found.setdefault((route.prefix, route.metric), route)
    return list(found.values())


def routes_of(tenant: Tenant, connection: Connection) -> list[WantedRoute]:
    """The static routes of a connection. The compartment goes by its address in the VM network."""
    sources: dict[int, IPv4Address | IPv6Address] = {4: tenant.address.ip}
    if tenant.ipv6:
        sources[6] = tenant.ipv6.address.ip
    return [
        WantedRoute(
            way.prefix, connection.device, _next_hop(connection, way), sources[way.prefix.version], way.metric
        )
        for way in connection.ways
    ]


def _next_hop(connection: Connection, way: Way) -> IPv4Address | IPv6Address | None:
    """A host behind a GRE tunnel is on-link by its own address: so are the routes by which BIRD leads to it.

    Without that, BIRD does not know its own routes again when it looks at the kernel, every minute, for the
    tunnel's device has no network that the next hop is of. It sets them anew, and the kernel refuses.
    """
    if isinstance(connection.end, GreEnd) and way.prefix.num_addresses == 1:
        return way.prefix.network_address
    return way.next_hop


def ensure_rates(settings: Settings, tenant: Tenant) -> None:
    """Have the rates of a tenant's connections, of those whose device is there.

    Raises:
        OSError, NetlinkError: the kernel refuses.
    """

    def inside() -> None:
        with IPRoute() as kernel:
            shaping.ensure(kernel, rates_of(tenant))

    namespace(settings, tenant.name).run(inside)


def remove(settings: Settings, tenants: Iterable[str]) -> None:
    """Take away compartments; what is gone already is no error."""
    with IPRoute() as kernel:
        for tenant in tenants:
            remove_links(kernel, [vport_name(tenant), ipv6_vport_name(tenant)])
            namespace(settings, tenant).remove()
