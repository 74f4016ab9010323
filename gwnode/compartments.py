"""A tenant's compartment: a network namespace between the gateway subnet and the front end.

Everything here is "ensure": it looks first and changes only what differs, so that an agent that starts again
disturbs no packet.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from pyroute2 import IPRoute

from gwnode.desired import Tenant, Transit
from gwnode.filter import compartment_ruleset
from gwnode.netns import Namespace, set_sysctl
from gwnode.nft import replace_table
from gwnode.settings import Settings
from lab.ipsec.device import ensure_device
from lab.southbound.identity import port_alias

VM_SIDE = "hnv0"
FRONT_SIDE = "fe0"
TUNNEL = "ipsec0"
MTU = 1500
ROUTE_PROTOCOL = 201
"""rtm_protocol of the routes that are ours; BIRD's are 12."""
IFF_UP = 1
MAIN_TABLE = 254
SYSCTLS: Mapping[str, str] = {
    "net/ipv4/ip_forward": "1",
    # Tenants' networks are asymmetric by nature (a route may arrive before its twin).
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    # The way back into the VM network is by design the interface that a packet came from.
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """A tenant whose kernel objects stand, as its front-end pair's mark and address tell."""

    name: str
    rdid: str
    transit: Transit


@dataclass(frozen=True, slots=True)
class WantedRoute:
    """A route of a compartment.

    Attributes:
        prefix: destination.
        device: interface.
        via: next hop; None: the device itself.
        source: preferred source address; None: the kernel's choice.
    """

    prefix: IPv4Network
    device: str
    via: IPv4Address | None = None
    source: IPv4Address | None = None


def _mark_prefix(settings: Settings) -> str:
    """Not a port's alias: the WNV filter takes every interface that has one for a vport, and closes it."""
    return f"hnvlab-front-end:{settings.lab}:"


def mark(settings: Settings, tenant: Tenant) -> str:
    """Alias of the front-end pair's outer end: whose it is, readable after any restart."""
    return f"{_mark_prefix(settings)}{tenant.rdid}/{tenant.name}"


def standing(settings: Settings) -> dict[str, Standing]:
    """The tenants that have kernel objects on this node, by name."""
    prefix = _mark_prefix(settings)
    found: dict[str, Standing] = {}
    with IPRoute() as kernel:
        for link in kernel.get_links():
            alias = link.get("ifalias") or ""
            if not alias.startswith(prefix):
                continue
            rdid, name = alias.removeprefix(prefix).split("/", 1)
            for address in kernel.get_addr(index=link["index"], family=2):
                network = IPv4Interface(f"{address.get('address')}/{address['prefixlen']}").network
                if network.subnet_of(settings.transit):
                    found[name] = Standing(name, rdid, Transit(network))
    return found


def namespace(settings: Settings, tenant: str) -> Namespace:
    """A tenant's compartment."""
    return Namespace(settings.namespaces / tenant)


def ensure(settings: Settings, tenant: Tenant) -> None:
    """Make a tenant's compartment be as desired, tunnels and their routes excepted.

    Raises:
        OSError, NetlinkError, CalledProcessError: the kernel refuses.
    """
    space = namespace(settings, tenant.name)
    space.ensure()
    with space.path.open() as handle:
        _ensure_pair(
            handle.fileno(), tenant.vport, port_alias(settings.lab, f"compartment/{tenant.rdid}"), VM_SIDE
        )
        _ensure_pair(handle.fileno(), tenant.connector, mark(settings, tenant), FRONT_SIDE)
    with IPRoute() as kernel:
        _ensure_address(kernel, tenant.connector, IPv4Interface(f"{tenant.transit.outer}/31"))
    space.run(lambda: _ensure_inside(settings, tenant))


def ensure_tunnel_routes(settings: Settings, tenant: Tenant, connected: Collection[str]) -> None:
    """Have the static routes of the connections that are connected, and of no other.

    They are the "post connection routes" of the real product: a route stands while its connection does. The
    tunnel's device belongs to charon (or to us, with the kernel's ESP) and may be new.
    """
    namespace(settings, tenant.name).run(lambda: _ensure_tunnel_inside(settings, tenant, connected))


def remove(settings: Settings, tenant: str, connector: str, vport: str) -> None:
    """Take away a compartment's kernel objects; what is gone already is no error."""
    with IPRoute() as kernel:
        for name in (connector, vport):
            for index in kernel.link_lookup(ifname=name):
                kernel.link("del", index=index)
    namespace(settings, tenant).remove()


def _ensure_pair(namespace_fd: int, outer: str, alias: str, inner: str) -> None:
    """A veth pair made in place, one end in the compartment: nothing half-made can be left behind."""
    with IPRoute() as kernel:
        if not kernel.link_lookup(ifname=outer):
            kernel.link(
                "add",
                ifname=outer,
                kind="veth",
                mtu=MTU,
                ifalias=alias,
                peer={"ifname": inner, "net_ns_fd": namespace_fd, "mtu": MTU},
            )
        _ensure_link(kernel, outer, ifalias=alias)


def _ensure_link(kernel: IPRoute, name: str, **wanted: Any) -> int:
    """Attributes and state up, where they differ; the interface's index."""
    link = next(iter(kernel.get_links(ifname=name)))
    changes = {key: value for key, value in wanted.items() if link.get(key) != value}
    if not link["flags"] & IFF_UP:
        changes["state"] = "up"
    if changes:
        kernel.link("set", index=link["index"], **changes)
    return int(link["index"])


def _ensure_address(kernel: IPRoute, name: str, address: IPv4Interface) -> None:
    """Exactly this address on an interface."""
    (index,) = kernel.link_lookup(ifname=name)
    there = {
        IPv4Interface(f"{item.get('address')}/{item['prefixlen']}")
        for item in kernel.get_addr(index=index, family=2)
    }
    for wrong in there - {address}:
        kernel.addr("del", index=index, address=str(wrong.ip), prefixlen=wrong.network.prefixlen)
    if address not in there:
        kernel.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)


def _ensure_inside(settings: Settings, tenant: Tenant) -> None:
    for name, value in SYSCTLS.items():
        set_sysctl(name, value)
    with IPRoute() as kernel:
        _ensure_link(kernel, "lo")
        _ensure_link(kernel, VM_SIDE, address=tenant.mac)
        _ensure_link(kernel, FRONT_SIDE)
        _ensure_address(kernel, VM_SIDE, tenant.address)
        _ensure_address(kernel, FRONT_SIDE, IPv4Interface(f"{tenant.transit.inner}/31"))
        for name in (VM_SIDE, FRONT_SIDE):
            set_sysctl(f"net/ipv4/conf/{name}/rp_filter", "0")
            set_sysctl(f"net/ipv4/conf/{name}/send_redirects", "0")
        _ensure_routes(kernel, fixed_routes(tenant), {VM_SIDE, FRONT_SIDE})
    replace_table(compartment_ruleset(tenant, settings.tunnel_mtu))


def fixed_routes(tenant: Tenant) -> list[WantedRoute]:
    """To the VM subnets through the distributed router, to each site's public address through the front end.

    There is no default route: a compartment knows its VM network and its sites.
    """
    own = tenant.address.network
    return [
        *(
            WantedRoute(prefix, VM_SIDE, tenant.router, tenant.address.ip)
            for prefix in tenant.vm_prefixes
            if prefix != own
        ),
        *(WantedRoute(IPv4Network(peer), FRONT_SIDE, tenant.transit.outer) for peer in tenant.peers),
    ]


def _ensure_tunnel_inside(settings: Settings, tenant: Tenant, connected: Collection[str]) -> None:
    with IPRoute() as kernel:
        devices = {}
        for number, name in enumerate(tenant.tunnels):
            device = tunnel_device(number)
            if_id = tenant.tunnels[name].if_id
            if ensure_device(kernel, device, mtu=settings.tunnel_mtu, if_id=if_id, lower=FRONT_SIDE):
                devices[name] = device
        _ensure_routes(
            kernel,
            [
                WantedRoute(prefix, devices[name], source=tenant.address.ip)
                for name in devices
                if name in connected
                for prefix in tenant.tunnel_routes[name]
            ],
            set(devices.values()),
        )


def tunnel_device(number: int) -> str:
    """Device of a tenant's connection: ipsec0 for the first."""
    return f"{TUNNEL.rstrip('0')}{number}"


def _ensure_routes(kernel: IPRoute, wanted: Collection[WantedRoute], devices: Collection[str]) -> None:
    """Exactly these of our own routes through some devices; everybody else's routes are left alone."""
    indexes = {kernel.link_lookup(ifname=device)[0]: device for device in devices}
    names = {device: index for index, device in indexes.items()}
    there: set[WantedRoute] = set()
    for route in kernel.get_routes(family=2, table=MAIN_TABLE, proto=ROUTE_PROTOCOL):
        if route.get("oif") in indexes:
            via, source = route.get("gateway"), route.get("prefsrc")
            there.add(
                WantedRoute(
                    IPv4Network(f"{route.get('dst') or '0.0.0.0'}/{route['dst_len']}"),
                    indexes[route.get("oif")],
                    IPv4Address(via) if via else None,
                    IPv4Address(source) if source else None,
                )
            )
    for item in there - set(wanted):
        kernel.route("del", **_route(item, names))
    for item in set(wanted) - there:
        kernel.route("replace", **_route(item, names))


def _route(item: WantedRoute, indexes: Mapping[str, int]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "dst": str(item.prefix),
        "oif": indexes[item.device],
        "proto": ROUTE_PROTOCOL,
        "table": MAIN_TABLE,
    }
    if item.via:
        values["gateway"] = str(item.via)
    else:
        values["scope"] = 253
    if item.source:
        values["prefsrc"] = str(item.source)
    return values
