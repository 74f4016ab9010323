"""The hoster's own networks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from lab.model.codes import Code, Finding, Path
from lab.model.networks import host_count, router_of, unusable
from lab.model.topology import Topology


def fabric_networks_apart(topology: Topology) -> Iterator[Finding]:
    """Management, provider, front-end and transit meet in one router: they must differ."""
    fabric = topology.fabric
    networks = {
        "management": fabric.management.prefix,
        "provider": fabric.provider.prefix,
        "front-end": fabric.front_end.prefix,
        "transit": fabric.transit.prefix,
    }
    for (first, one), (second, other) in combinations(networks.items(), 2):
        if one.overlaps(other):
            yield Finding(
                Code.FABRIC_OVERLAP,
                ("fabric", second, "prefix"),
                f"{second} network {other} overlaps {first} network {one}",
                "networks of the fabric do not overlap",
            )


def provider_pool(topology: Topology) -> Iterator[Finding]:
    """The Network Controller gives out provider addresses: they must exist, be free, and suffice."""
    provider = topology.fabric.provider
    first, last, path = provider.pool.first, provider.pool.last, ("fabric", "provider", "pool")
    for name, address in (("first", first), ("last", last)):
        if why := unusable(address, provider.prefix):
            yield Finding(
                Code.POOL,
                (*path, name),
                f"{address} {why}",
                f"a host address of {provider.prefix}, not its first",
            )
    if last < first:
        yield Finding(Code.POOL, (*path, "last"), f"the pool ends at {last}, before it begins at {first}")
        return
    if first < router_of(provider.prefix) < last:
        yield Finding(Code.POOL, path, f"the pool holds the router's address {router_of(provider.prefix)}")
    hosts, gateways = len(topology.hosts), len(topology.gateways)
    have, need = int(last) - int(first) + 1, hosts + gateways
    if have < need:
        yield Finding(
            Code.POOL_SMALL,
            path,
            f"the pool has {have} addresses for {hosts} hosts and {gateways} gateways",
            f"at least {need} addresses: one for each host and gateway",
            f"let it end at {first + need - 1}",
        )


def vip(topology: Topology) -> Iterator[Finding]:
    """The VIP is a free address of the front-end network."""
    front_end = topology.fabric.front_end
    if why := unusable(front_end.vip, front_end.prefix):
        yield Finding(
            Code.VIP,
            ("fabric", "front-end", "vip"),
            f"the VIP {front_end.vip} {why}",
            f"a host address of {front_end.prefix}, not its first",
        )


def room_for_nodes(topology: Topology) -> Iterator[Finding]:
    """Every node on a network gets an address of it."""
    fabric, gateways = topology.fabric, len(topology.gateways)
    needs = (
        (
            "management",
            fabric.management.prefix,
            2 + len(topology.hosts) + gateways,
            "router, controller, hosts, gateways",
        ),
        ("front-end", fabric.front_end.prefix, 2 + gateways, "router, VIP, gateways"),
    )
    for name, prefix, need, who in needs:
        if host_count(prefix) < need:
            path: Path = ("fabric", name, "prefix")
            yield Finding(
                Code.PREFIX_SMALL,
                path,
                f"{prefix} has {host_count(prefix)} addresses",
                f"{need} of them: {who}",
            )


def gateway_count(topology: Topology) -> Iterator[Finding]:
    """One gateway carries the VIP; tenants with a gateway need it."""
    if len(topology.gateways) > 1:
        yield Finding(
            Code.GATEWAY_COUNT,
            ("gateways", list(topology.gateways)[1]),
            f"{len(topology.gateways)} gateways would share the one VIP",
            "one gateway, which carries the VIP itself",
        )
    for name, tenant in topology.tenants.items():
        if tenant.gateway is not None and not topology.gateways:
            yield Finding(
                Code.GATEWAY_COUNT,
                ("tenants", name, "gateway"),
                f"tenant `{name}` wants a gateway, and the lab has none",
                "one under `gateways:`",
                "add `gateways: {gw01: {}}`",
            )


RULES = (fabric_networks_apart, provider_pool, vip, room_for_nodes, gateway_count)
