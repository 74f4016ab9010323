"""Which packets of the provider network a tenant, a VM or a virtual subnet owns, in tcpdump's words. Pure.

The outer header is the data plane's own: IPv4 without options, then GRE with a key and nothing else (RFC
7637 section 3.2: the VSID is the key's upper 24 bits), or UDP to 4789 and a VXLAN header (RFC 7348 section
5). So all that is behind it stands at fixed places. libpcap's own words for VXLAN would shift the meaning of
whatever follows them in an expression; offsets do not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from lab.model.lab import Lab
from lab.model.tenants import Tenant, Vm

Address = IPv4Address | IPv6Address
OPTIONS_WITH_VALUE = frozenset("BcCEFGijmMQrsTVwWyzZ")
"""tcpdump's options that take the next word, as in tcpdump(1)."""


@dataclass(frozen=True, slots=True)
class _Encapsulation:
    """Where things stand behind an outer IPv4 header, counted from it, in octets."""

    match: str
    vsid: int
    inner: int
    """The inner Ethernet header."""


NVGRE = _Encapsulation("ip proto 47 and ip[20:4] = 0x20006558", 24, 28)
VXLAN = _Encapsulation("udp dst port 4789", 32, 36)
ENCAPSULATIONS = (NVGRE, VXLAN)


def of_vsids(vsids: Iterable[int]) -> str:
    """Packets of these virtual subnets."""
    wanted = sorted(vsids)
    return _either(f"{item.match} and {_vsid_is(item, wanted)}" for item in ENCAPSULATIONS)


def of_tenant(tenant: Tenant) -> str:
    """Packets of all virtual subnets of a tenant."""
    return of_vsids(subnet.vsid for subnet in tenant.subnets)


def of_vm(tenant: Tenant, vm: Vm) -> str:
    """Packets to and from a VM: its address occurs in other tenants' networks too, so the VSID counts."""
    vsids = sorted(subnet.vsid for subnet in tenant.subnets)
    return _either(
        f"{item.match} and {_vsid_is(item, vsids)} and {_has_address(item, vm.address)}"
        for item in ENCAPSULATIONS
    )


def provider_interfaces(lab: Lab, node: str) -> tuple[str, ...]:
    """The interfaces of a node on which encapsulated packets are seen; `any` sees them as well.

    Parameters:
        node: name of a node of the lab.
    """
    bridge = lab.fabric.provider.bridge
    ends = [
        end
        for link in lab.links
        if any(item.bridge == bridge for item in link.ends)
        for end in link.ends
        if end.node == node
    ]
    own = [item.name for item in lab.nodes[node].bridges if item.name == bridge]
    return (*own, *(end.interface for end in ends))


def combined(selections: Sequence[str], words: Sequence[str]) -> list[str]:
    """Arguments for tcpdump: the user's own options and filter, and selections that all must hold.

    Parameters:
        selections: filter expressions.
        words: what the user wrote: options of tcpdump, then a filter.
    """
    if not selections:
        return list(words)
    options, expression = _split(words)
    every = [f"({item})" for item in selections]
    if expression:
        every.append(f"({' '.join(expression)})")
    return [*options, " and ".join(every)]


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """tcpdump's options and its filter, which stands behind them."""
    at = 0
    while at < len(words) and words[at].startswith("-") and len(words[at]) > 1:
        word = words[at]
        at += 1
        if not word.startswith("--") and word[-1] in OPTIONS_WITH_VALUE and at < len(words):
            at += 1
    return list(words[:at]), list(words[at:])


def _either(expressions: Iterable[str]) -> str:
    return " or ".join(f"({item})" for item in expressions)


def _vsid_is(at: _Encapsulation, vsids: Sequence[int]) -> str:
    return f"({' or '.join(f'ip[{at.vsid}:4] >> 8 = {vsid}' for vsid in vsids)})"


def _has_address(at: _Encapsulation, address: Address) -> str:
    """The inner source or destination, behind the inner Ethernet header's type."""
    header = at.inner + 14
    words = struct.unpack(f"!{len(address.packed) // 4}I", address.packed)
    kind, source = (0x0800, header + 12) if address.version == 4 else (0x86DD, header + 8)
    sides = (source, source + len(address.packed))
    matches = (
        " and ".join(f"ip[{side + 4 * n}:4] = {word:#x}" for n, word in enumerate(words)) for side in sides
    )
    return f"ip[{at.inner + 12}:2] = {kind:#06x} and ({_either(matches)})"
