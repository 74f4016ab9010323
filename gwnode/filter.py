"""What may pass through a tenant's compartment. Pure."""

from __future__ import annotations

from gwnode.desired import Tenant
from gwnode.nft import Json, chain, field, match, meta, named_set, prefix_set, rule

FILTER, MANGLE = 0, -150
BGP_PORT = 179
TCP_HEADERS = 40
"""IPv4 and TCP without options, in bytes."""


def compartment_ruleset(tenant: Tenant, tunnel_mtu: int) -> list[Json]:
    """The compartment's whole table.

    - input: BGP from the far ends of connections, ping from both sides; a VM can not talk to BIRD.
    - forward: between VM network and connections; between two connections where BGP does so too (transit
      routing). No site can send from an address of the VM network.
    - The MSS of TCP is cut both ways to what fits the tunnel: path MTU discovery would do, but costs each
      connection a lost packet, and some hosts filter its messages.
    """
    vm_side = match(meta("iifname"), "hnv0")
    outside = match(meta("iifname"), "@connections")
    to_outside = match(meta("oifname"), "@connections")
    established = match({"ct": {"key": "state"}}, ["established", "related"], "in")
    accept: Json = {"accept": None}
    inside = sorted({*tenant.vm_prefixes, tenant.address.network})
    return [
        prefix_set("inside", [(str(prefix.network_address), prefix.prefixlen) for prefix in inside]),
        named_set("connections", ["ifname"], sorted((item.device,) for item in tenant.connections.values())),
        chain("input", "filter", "input", FILTER, "drop"),
        rule("input", match(meta("iifname"), "lo"), accept),
        rule("input", established, accept),
        rule("input", outside, match(field("ip", "saddr"), "@inside"), {"drop": None}),
        *(rule("input", side, match(meta("l4proto"), "icmp"), accept) for side in (vm_side, outside)),
        rule("input", outside, match(field("tcp", "dport"), BGP_PORT), accept),
        # Traceroute ends here with "port unreachable", as at any router.
        *(
            rule("input", side, match(meta("l4proto"), "udp"), {"reject": None})
            for side in (vm_side, outside)
        ),
        chain("forward", "filter", "forward", FILTER, "drop"),
        rule("forward", outside, match(field("ip", "saddr"), "@inside"), {"drop": None}),
        rule("forward", vm_side, to_outside, accept),
        rule("forward", outside, match(meta("oifname"), "hnv0"), accept),
        *(
            [rule("forward", outside, to_outside, accept)]
            if tenant.bgp and tenant.bgp.transit_routing
            else []
        ),
        chain("clamp", "filter", "forward", MANGLE),
        *(rule("clamp", side, *_clamp(tunnel_mtu - TCP_HEADERS)) for side in (to_outside, outside)),
    ]


def _clamp(largest: int) -> list[Json]:
    """Lower the MSS that a SYN offers, if it is larger (bytes)."""
    size: Json = {"tcp option": {"name": "maxseg", "field": "size"}}
    return [
        match({"&": [field("tcp", "flags"), ["syn", "rst"]]}, "syn"),
        match(size, largest, ">"),
        {"mangle": {"key": size, "value": largest}},
    ]
