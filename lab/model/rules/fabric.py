"""The hoster's own networks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from lab.model.attachment import taken_front_end
from lab.model.codes import Code, Finding, Path
from lab.model.networks import host_count, router_of, unusable
from lab.model.topology import Topology
from lab.model.topology_tenants import VmSpec
from lab.model.types import NVGRE_BYTES, VM_MTU, VXLAN_BYTES


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
    uplinks, gateways = sum(host.uplinks for host in topology.hosts.values()), len(topology.gateways)
    have, need = int(last) - int(first) + 1, uplinks + gateways
    if have < need:
        yield Finding(
            Code.POOL_SMALL,
            path,
            f"the pool has {have} addresses for {uplinks} uplinks of hosts and {gateways} gateways",
            f"at least {need} addresses: one for each uplink of a host, one for each gateway",
            f"let it end at {first + need - 1}",
        )


def redundant_gateways(topology: Topology) -> Iterator[Finding]:
    """Somebody must do the work that the others stand by for."""
    count = topology.fabric.redundant_gateways
    if count and count >= len(topology.gateways):
        message = f"{count} of {len(topology.gateways)} gateways stand by"
        path = ("fabric", "redundant-gateways")
        yield Finding(Code.VALUE, path, message, "at least one gateway more than stand by")


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
        ("front-end", fabric.front_end.prefix, *_on_front_end(topology)),
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


def _on_front_end(topology: Topology) -> tuple[int, str]:
    """How many addresses of the front-end network are needed, and by whom."""
    front_end, gateways = topology.fabric.front_end, len(topology.gateways)
    taken, who = taken_front_end(topology), "router, VIP, gateways"
    given = sum(address in front_end.prefix for address in taken)
    # A VIP out of its network is another problem.
    need = max(given, 2) + gateways
    if len(taken) > 2:
        who += ", edges, public addresses of tenants"
    vips = front_end.gre_vips
    if vips is not None and vips.subnet_of(front_end.prefix):
        need += vips.num_addresses - sum(address in vips for address in taken)
        who += ", GRE VIPs"
    return need, who


def gateway_count(topology: Topology) -> Iterator[Finding]:
    """One gateway at a time carries the VIP, the others stand by; tenants with a gateway need it."""
    if len(topology.gateways) - topology.fabric.redundant_gateways > 1:
        yield Finding(
            Code.GATEWAY_COUNT,
            ("gateways", list(topology.gateways)[1]),
            f"{len(topology.gateways) - topology.fabric.redundant_gateways} gateways would share the one VIP",
            "one gateway that carries the VIP; others stand by (`redundant-gateways`)",
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


def room_for_bandwidth(topology: Topology) -> Iterator[Finding]:
    """A tenant's connections are placed on one gateway, inbound and outbound together (best fit)."""
    free = max((spec.capacity_kbps for spec in topology.gateways.values()), default=None)
    for name, tenant in topology.tenants.items():
        connections = tenant.gateway.connections if tenant.gateway else {}
        wanted = sum(spec.outbound_kbps + spec.inbound_kbps for spec in connections.values())
        if free is None or not wanted:
            continue
        if wanted > free:
            yield Finding(
                Code.CAPACITY,
                ("tenants", name, "gateway", "connections"),
                f"the connections of `{name}` want {wanted} kbit/s, both directions together; "
                f"the gateway has {free} left",
                "what all tenants' connections want, in a gateway's `capacity-kbps`",
            )
        free -= wanted


def room_for_encapsulation(topology: Topology) -> Iterator[Finding]:
    """VMs keep 1500 octets: an encapsulated packet is never fragmented (RFC 7348 section 4.3)."""
    provider = topology.fabric.provider
    need = VM_MTU + (VXLAN_BYTES if provider.encapsulation == "vxlan" else NVGRE_BYTES)
    if provider.mtu < need:
        yield Finding(
            Code.MTU,
            ("fabric", "provider", "mtu"),
            f"{provider.mtu} octets have no room for a VM's {VM_MTU} in {provider.encapsulation}",
            f"at least {need}",
            f"write `mtu: {need}`, or more",
        )


def external_router(topology: Topology) -> Iterator[Finding]:
    """Hosts in external router mode send to the gateway what crosses subnets; there must be one."""
    if topology.fabric.provider.router == "external" and not topology.gateways:
        yield Finding(
            Code.EXTERNAL_ROUTER,
            ("fabric", "provider", "router"),
            "nobody would route between subnets",
            "a gateway under `gateways:`",
        )


def teams(topology: Topology) -> Iterator[Finding]:
    """A team has two members."""
    for name, host in topology.hosts.items():
        if host.team is not None and host.uplinks == 1:
            yield Finding(
                Code.TEAM,
                ("hosts", name, "team"),
                f"`{name}` has one uplink, and a team mode",
                "`team` together with `uplinks: 2`",
            )


def reservations(topology: Topology) -> Iterator[Finding]:
    """What the VMs of a host have reserved, its uplinks can carry."""
    for host, spec in topology.hosts.items():
        reserved = 0
        for path, vm in _vms_on(topology, host):
            qos = vm.qos
            if qos is None or qos.outbound_reserved_mbps is None:
                continue
            own, most, place = qos.outbound_reserved_mbps, qos.outbound_maximum_mbps, (*path, "qos")
            reserved += own
            if most is not None and own > most:
                message = f"{own} Mbit/s are reserved and {most} allowed"
                yield Finding(Code.RESERVATION, place, message, "no more reserved than allowed")
            if spec.uplink_mbps is None:
                message = f"`{host}` does not say what its uplinks carry"
                yield Finding(Code.RESERVATION, place, message, f"`uplink-mbps` of `{host}`")
            elif reserved > spec.uplink_mbps:
                message = f"with this, {reserved} of {spec.uplink_mbps} Mbit/s of `{host}` are reserved"
                yield Finding(Code.RESERVATION, place, message, f"together at most {spec.uplink_mbps}")


def _vms_on(topology: Topology, host: str) -> Iterator[tuple[Path, VmSpec]]:
    for tenant, spec in topology.tenants.items():
        for name, vm in spec.vms.items():
            if vm.host == host:
                yield ("tenants", tenant, "vms", name), vm


RULES = (
    fabric_networks_apart,
    provider_pool,
    vip,
    redundant_gateways,
    room_for_nodes,
    gateway_count,
    room_for_bandwidth,
    room_for_encapsulation,
    external_router,
    teams,
    reservations,
)
