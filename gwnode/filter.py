"""What may pass through a tenant's compartment. Pure."""

from __future__ import annotations

from gwnode.desired import Tenant
from gwnode.nft import Json, chain, field, match, meta, named_set, prefix_set, rule

FILTER, MANGLE = 0, -150
BGP_PORT = 179
TCP_HEADERS = 40
"""IPv4 and TCP without options, in bytes."""
IKE_PORTS = (500, 4500)


def compartment_ruleset(tenant: Tenant, tunnel_mtu: int) -> list[Json]:
    """The compartment's whole table.

    - input: IKE from the tenant's own sites, BGP from the far ends of tunnels, ping from both sides; a VM can
      talk neither to charon nor to BIRD.
    - forward: between VM network and tunnels only. A site cannot send from an address of the VM network.
    - The MSS of TCP is cut both ways to what fits the tunnel: path MTU discovery would do, but costs each
      connection a lost packet, and some hosts filter its messages.
    """
    to_tunnel = match(meta("oifname"), "ipsec*")
    vm_side = match(meta("iifname"), "hnv0")
    tunnel_side = match(meta("iifname"), "ipsec*")
    established = match({"ct": {"key": "state"}}, ["established", "related"], "in")
    accept: Json = {"accept": None}
    inside = sorted({*tenant.vm_prefixes, tenant.address.network})
    return [
        prefix_set("inside", [(str(prefix.network_address), prefix.prefixlen) for prefix in inside]),
        named_set("peers", ["ipv4_addr"], sorted({(str(peer),) for peer in tenant.peers})),
        chain("input", "filter", "input", FILTER, "drop"),
        rule("input", match(meta("iifname"), "lo"), accept),
        rule("input", established, accept),
        rule("input", tunnel_side, match(field("ip", "saddr"), "@inside"), {"drop": None}),
        rule("input", vm_side, match(meta("l4proto"), "icmp"), accept),
        rule("input", tunnel_side, match(meta("l4proto"), "icmp"), accept),
        rule("input", tunnel_side, match(field("tcp", "dport"), BGP_PORT), accept),
        # Traceroute ends here with "port unreachable", as at any router.
        *(
            rule("input", side, match(meta("l4proto"), "udp"), {"reject": None})
            for side in (vm_side, tunnel_side)
        ),
        rule(
            "input",
            match(meta("iifname"), "fe0"),
            match(field("ip", "saddr"), "@peers"),
            match(field("udp", "dport"), {"set": list(IKE_PORTS)}),
            accept,
        ),
        rule(
            "input",
            match(meta("iifname"), "fe0"),
            match(field("ip", "saddr"), "@peers"),
            match(meta("l4proto"), "esp"),
            accept,
        ),
        chain("forward", "filter", "forward", FILTER, "drop"),
        rule("forward", tunnel_side, match(field("ip", "saddr"), "@inside"), {"drop": None}),
        rule("forward", vm_side, to_tunnel, accept),
        rule("forward", tunnel_side, match(meta("oifname"), "hnv0"), accept),
        chain("clamp", "filter", "forward", MANGLE),
        *(rule("clamp", side, *_clamp(tunnel_mtu - TCP_HEADERS)) for side in (to_tunnel, tunnel_side)),
    ]


def _clamp(largest: int) -> list[Json]:
    """Lower the MSS that a SYN offers, if it is larger (bytes)."""
    size: Json = {"tcp option": {"name": "maxseg", "field": "size"}}
    return [
        match({"&": [field("tcp", "flags"), ["syn", "rst"]]}, "syn"),
        match(size, largest, ">"),
        {"mangle": {"key": size, "value": largest}},
    ]
