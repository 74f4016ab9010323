"""Tenants' own public addresses in the default compartment: who answers for them, and where they lead.

NAT and dial-in have an address for each tenant, GRE one for the gateway. None of them is an interface's here:
the front end answers for each, for stations of its own network (a proxy neighbour, RFC 1027), and a route
says which leg it leads to. Routers learn them by BGP besides.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network
from socket import AF_INET

from pyroute2 import IPRoute

from gwnode import nat_front
from gwnode.connections.wanted import DialInEnd, GreEnd, NatEnd
from gwnode.desired import Tenant
from gwnode.kernel import MAIN_TABLE, WantedRoute, ensure_routes
from gwnode.netns import run_tool, set_sysctl

_NOWHERE = "lo"
"""Where a GRE address leads that no tunnel has taken a packet from: nothing is forwarded there."""


def nat_legs(tenants: Iterable[Tenant]) -> list[nat_front.Leg]:
    """The NAT connections, as the default compartment sees them. Pure."""
    return [
        nat_front.Leg(tenant.name, item.leg, item.end.public, item.end.transit)
        for tenant in tenants
        for item in tenant.connections.values()
        if isinstance(item.end, NatEnd)
    ]


def public_addresses(tenants: Iterable[Tenant]) -> dict[IPv4Address, WantedRoute]:
    """Every public address with the route to it. Pure."""
    found: dict[IPv4Address, WantedRoute] = {}
    for tenant in tenants:
        for item in tenant.connections.values():
            match item.end:
                case NatEnd() | DialInEnd() as end:
                    found[end.public] = WantedRoute(IPv4Network(end.public), item.leg, end.transit.inner)
                case GreEnd() as end:
                    found[end.local] = WantedRoute(IPv4Network(end.local), _NOWHERE)
    return found


def ensure(tenants: Collection[Tenant], front_end: str, shared: Collection[IPv4Address] = ()) -> None:
    """Have routes and proxies of exactly these tenants' public addresses.

    Parameters:
        tenants: all of this gateway; their legs stand.
        front_end: interface towards the internet.
        shared: VIPs that this gateway serves. Peers are translated before they are routed; what nobody is
            expected from ends here, and not at the next router again.

    Raises:
        OSError, NetlinkError: the kernel refuses.
    """
    wanted = public_addresses(tenants)
    wanted |= {vip: WantedRoute(IPv4Network(vip), _NOWHERE) for vip in shared}
    legs = nat_legs(tenants)
    with IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname=front_end)
        ensure_routes(kernel, list(wanted.values()), {_NOWHERE, *(route.device for route in wanted.values())})
        ways = [
            WantedRoute(route.prefix, route.device, route.via)
            for router in _routers(kernel, index)
            for route in nat_front.leg_routes(legs, front_end, router)
            if route.table != MAIN_TABLE
        ]
        ensure_routes(kernel, ways, {front_end}, nat_front.TABLE)
        _ensure_rule(kernel, needed=bool(legs))
    _ensure_proxies(front_end, wanted.keys())
    if wanted:
        for name, value in nat_front.SYSCTLS.items():
            set_sysctl(name.format(front_end=front_end), value)


def _routers(kernel: IPRoute, index: int) -> list[IPv4Address]:
    """The next hop of the default route, if there is one."""
    hops = [
        route.get("gateway")
        for route in kernel.get_routes(family=AF_INET, table=MAIN_TABLE)
        if not route["dst_len"] and route.get("oif") == index
    ]
    return [IPv4Address(hop) for hop in hops if hop][:1]


def _ensure_rule(kernel: IPRoute, *, needed: bool) -> None:
    there = any(item.get("priority") == nat_front.RULE_PRIORITY for item in kernel.get_rules(family=AF_INET))
    if needed and not there:
        mark, table = nat_front.MARK, nat_front.TABLE
        kernel.rule("add", priority=nat_front.RULE_PRIORITY, fwmark=mark, table=table)
    elif there and not needed:
        kernel.rule("del", priority=nat_front.RULE_PRIORITY)


def _ensure_proxies(front_end: str, wanted: Collection[IPv4Address]) -> None:
    # pyroute2 cannot ask for them: its dump says nothing of the flag by which the kernel tells them apart.
    shown = json.loads(run_tool(["ip", "-json", "neighbour", "show", "proxy", "dev", front_end]) or "[]")
    there = {IPv4Address(item["dst"]) for item in shown if "." in item["dst"]}
    changes = [("del", address) for address in there - set(wanted)]
    changes += [("add", address) for address in set(wanted) - there]
    if changes:
        lines = [f"neighbour {what} proxy {address} dev {front_end}" for what, address in changes]
        run_tool(["ip", "-batch", "-"], "\n".join(lines))
