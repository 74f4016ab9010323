"""What may pass through a tenant's compartment. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import IPv4Network

from gwnode.connections.wanted import GRE_MTU, Connection, DialInEnd, GreEnd, NatEnd
from gwnode.desired import Tenant
from gwnode.dial_in import source_rules
from gwnode.kernel import MTU
from gwnode.link import LinkEnd, link_rules
from gwnode.nat import disjoint, forward_rules, nat_items
from gwnode.nft import Json, chain, field, match, meta, named_set, prefix_set, rule
from gwnode.shaping import Rate, priority_items
from lab.model.internet import NEVER_OUTSIDE

FILTER, MANGLE = 0, -150
BGP_PORT = 179
TCP_HEADERS = 40
"""IPv4 and TCP without options, in bytes."""


def compartment_ruleset(
    tenant: Tenant, tunnel_mtu: int, protected: Collection[IPv4Network] = ()
) -> list[Json]:
    """The compartment's whole table.

    - input: BGP from the far ends of connections, ping from both sides; a VM can not talk to BIRD.
    - forward: between VM network and connections; between two connections where BGP does so too (transit
      routing). No site can send from an address of the VM network, and no caller from another's.
    - Links to other VM networks carry what both sides allow: see `gwnode.link`.
    - NAT has rules of its own: see `gwnode.nat`.
    - The MSS of TCP is cut both ways to what fits a tunnel: path MTU discovery would do, but costs each
      connection a lost packet, and some hosts filter its messages.
    - What is forwarded gets the class of its connection's rate: see `gwnode.shaping`.

    Parameters:
        tenant: whose it is.
        tunnel_mtu: of an IPsec connection's device, in bytes.
        protected: the hoster's networks, which no VM may reach by NAT.
    """
    vm_side = match(meta("iifname"), "hnv0")
    outside = match(meta("iifname"), "@connections")
    to_outside = match(meta("oifname"), "@connections")
    established = match({"ct": {"key": "state"}}, ["established", "related"], "in")
    accept: Json = {"accept": None}
    inside = sorted({*tenant.vm_prefixes, tenant.address.network})
    nats = [item.end.nat for item in tenant.connections.values() if isinstance(item.end, NatEnd)]
    private = [item for item in tenant.connections.values() if not isinstance(item.end, NatEnd)]
    return [
        prefix_set("inside", disjoint(inside)),
        named_set("connections", ["ifname"], sorted((item.device,) for item in private)),
        *(item for nat in nats for item in nat_items(nat, [*NEVER_OUTSIDE, *protected])),
        chain("input", "filter", "input", FILTER, "drop"),
        rule("input", match(meta("iifname"), "lo"), accept),
        rule("input", established, accept),
        rule("input", outside, match(field("ip", "saddr"), "@inside"), {"drop": None}),
        *_of_links(private, "input"),
        *_of_callers(private, "input"),
        *(rule("input", side, match(meta("l4proto"), "icmp"), accept) for side in (vm_side, outside)),
        rule("input", outside, match(field("tcp", "dport"), BGP_PORT), accept),
        # Traceroute ends here with "port unreachable", as at any router.
        *(
            rule("input", side, match(meta("l4proto"), "udp"), {"reject": None})
            for side in (vm_side, outside)
        ),
        chain("forward", "filter", "forward", FILTER, "drop"),
        rule("forward", outside, match(field("ip", "saddr"), "@inside"), {"drop": None}),
        *_of_links(private, "forward"),
        *_of_callers(private, "forward"),
        rule("forward", vm_side, to_outside, accept),
        rule("forward", outside, match(meta("oifname"), "hnv0"), accept),
        *(
            [rule("forward", outside, to_outside, accept)]
            if tenant.bgp and tenant.bgp.transit_routing
            else []
        ),
        *(item for nat in nats for item in forward_rules(nat)),
        chain("clamp", "filter", "forward", MANGLE),
        *(
            rule("clamp", match(meta(side), item.device), *clamp(mtu - TCP_HEADERS))
            for item in private
            if (mtu := mtu_of(item, tunnel_mtu)) < MTU
            for side in ("oifname", "iifname")
        ),
        *priority_items(rates_of(tenant)),
    ]


def _of_callers(connections: Iterable[Connection], hook: str) -> list[Json]:
    """A road warrior sends from the pool."""
    return [
        item
        for connection in connections
        if isinstance(connection.end, DialInEnd)
        for item in source_rules(hook, connection.device, connection.end.server.pool)
    ]


def _of_links(connections: Iterable[Connection], hook: str) -> list[Json]:
    """Another VM network is behind a link, whole; what of it may come through is said here."""
    return [
        item
        for connection in connections
        if isinstance(connection.end, LinkEnd)
        for item in link_rules(hook, connection.device, connection.end)
    ]


def mtu_of(connection: Connection, tunnel_mtu: int) -> int:
    """The MTU of a connection's device, in bytes."""
    if connection.has_charon:
        return tunnel_mtu
    return GRE_MTU if isinstance(connection.end, GreEnd) else MTU


def rates_of(tenant: Tenant) -> list[Rate]:
    """The rates of a tenant's connections."""
    return [
        Rate(item.name, item.device, item.outbound_kbps, item.inbound_kbps)
        for item in tenant.connections.values()
    ]


def clamp(largest: int) -> list[Json]:
    """Lower the MSS that a SYN offers, if it is larger (bytes)."""
    size: Json = {"tcp option": {"name": "maxseg", "field": "size"}}
    return [
        match({"&": [field("tcp", "flags"), ["syn", "rst"]]}, "syn"),
        match(size, largest, ">"),
        {"mangle": {"key": size, "value": largest}},
    ]
