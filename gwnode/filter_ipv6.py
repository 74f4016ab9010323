"""What of IPv6 may pass through a tenant's compartment: the same as of IPv4 (`gwnode.filter`). Pure."""

from __future__ import annotations

from gwnode.desired import Tenant
from gwnode.filter import FILTER, MANGLE, clamp, mtu_of, rates_of
from gwnode.kernel import MTU
from gwnode.nft import Json, chain, field, match, meta, named_set, prefix_set, rule
from gwnode.shaping import VM_SIDE_IPV6, priority_items

TCP_HEADERS = 60
"""IPv6 and TCP without options, in bytes."""
ON_LINK = 255
"""Hop limit of what no router has forwarded (RFC 4861 §7.1)."""
SOLICITATION, ADVERTISEMENT = "nd-neighbor-solicit", "nd-neighbor-advert"


def ipv6_ruleset(tenant: Tenant, tunnel_mtu: int) -> list[Json]:
    """The compartment's whole table for IPv6; empty: the tenant has none.

    - input: neighbour discovery between neighbours and no word of a router's, ping, and traceroute's end. BGP
      is spoken over IPv4.
    - forward, clamp and rates: as for IPv4. NAT, links and callers are IPv4 alone.

    Parameters:
        tenant: whose it is.
        tunnel_mtu: of an IPsec connection's device, in bytes.
    """
    if tenant.ipv6 is None:
        return []
    carrying = [item for item in tenant.connections.values() if item.carries_ipv6]
    vm_side = match(meta("iifname"), VM_SIDE_IPV6)
    outside, to_outside = match(meta("iifname"), "@connections"), match(meta("oifname"), "@connections")
    spoofed = [outside, match(field("ip6", "saddr"), "@inside"), {"drop": None}]
    accept: Json = {"accept": None}
    inside = [(str(prefix.network_address), prefix.prefixlen) for prefix in tenant.ipv6.inside]
    return [
        prefix_set("inside", inside, "ipv6_addr"),
        named_set("connections", ["ifname"], sorted((item.device,) for item in carrying)),
        chain("input", "filter", "input", FILTER, "drop"),
        rule("input", match(meta("iifname"), "lo"), accept),
        rule("input", match({"ct": {"key": "state"}}, ["established", "related"], "in"), accept),
        rule("input", *spoofed),
        *(item for side in (vm_side, outside) for item in _spoken_to(side)),
        chain("forward", "filter", "forward", FILTER, "drop"),
        rule("forward", *spoofed),
        rule("forward", vm_side, to_outside, accept),
        rule("forward", outside, match(meta("oifname"), VM_SIDE_IPV6), accept),
        *(
            [rule("forward", outside, to_outside, accept)]
            if tenant.bgp and tenant.bgp.transit_routing
            else []
        ),
        chain("clamp", "filter", "forward", MANGLE),
        *(
            rule("clamp", match(meta(side), item.device), *clamp(mtu - TCP_HEADERS))
            for item in carrying
            if (mtu := mtu_of(item, tunnel_mtu)) < MTU
            for side in ("oifname", "iifname")
        ),
        *priority_items(rates_of(tenant), VM_SIDE_IPV6),
    ]


def _spoken_to(side: Json) -> list[Json]:
    """What the compartment itself hears from a side."""
    kind, accept = field("icmpv6", "type"), {"accept": None}
    neighbours = {"set": [SOLICITATION, ADVERTISEMENT]}
    return [
        rule("input", side, match(kind, neighbours), match(field("ip6", "hoplimit"), ON_LINK), accept),
        rule("input", side, match(kind, "echo-request"), accept),
        rule("input", side, match(meta("l4proto"), "udp"), {"reject": None}),
    ]
