"""The sessions of a NAT connection (Get-NetNatSession), as the compartment's connection tracking has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from socket import AF_INET, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import (
    IPS_DST_NAT,
    IPS_SRC_NAT,
    TCP_CONNTRACK_TO_NAME,
    NFCTAttrTuple,
    NFCTSocket,
)

from gwnode.nat import Nat

_PROTOCOLS = {IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp", IPPROTO_ICMP: "icmp"}


class Direction(StrEnum):
    """Who began a session."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"
    HAIRPIN = "hairpin"
    """One VM called another through the public address."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a session.

    Attributes:
        address: IPv4.
        port: of TCP and UDP; ICMP's identifier.
    """

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Tracked:
    """A translated flow: the ends of its first packet, and of the answer to it."""

    protocol: str
    source: End
    destination: End
    answer_source: End
    answer_destination: End


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a session has carried in one direction."""

    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class NatSession:
    """A session that NAT translates.

    Attributes:
        protocol: "tcp", "udp" or "icmp".
        direction: who began it.
        inside: the VM's end. Of a hairpin session, the VM that was called.
        outside: what the internet sees of it: the public address. Of a hairpin session, what was called.
        remote: the other end. Of a hairpin session, the VM that calls.
        state: of TCP, as "ESTABLISHED"; empty for the others, which have none.
        timeout_s: so long it is kept without another packet.
        sent, received: out of and into the VM network, or by the caller of a hairpin session and back; None:
            accounting was off when it began.
    """

    protocol: str
    direction: Direction
    inside: End
    outside: End
    remote: End
    state: str = ""
    timeout_s: int = 0
    sent: Traffic | None = None
    received: Traffic | None = None

    def to_json(self) -> dict[str, Any]:
        """The session as JSON data."""
        return asdict(self)


def sessions(item: Nat) -> list[NatSession]:
    """All sessions of a NAT connection, in the calling thread's network namespace: the compartment.

    Raises:
        OSError, NetlinkError: the kernel does not tell.
    """
    with NFCTSocket() as conntrack:
        found = (_session(item, entry, flow) for entry, _, flow in _translated(conntrack))
        return sorted((session for session in found if session), key=repr)


def end_stale_sessions(item: Nat | None) -> int:
    """End every session that the connection, as it is now, would not let begin; all others go on.

    To be called after the rules of the connection have been replaced, in the compartment's network namespace.
    NAT is the only translation in a compartment: None, no NAT connection any more, ends them all.

    Returns: how many.

    Raises:
        OSError, NetlinkError: the kernel does not tell.
    """
    with NFCTSocket() as conntrack:
        wrong = [
            first for _, first, flow in _translated(conntrack) if item is None or not follows(item, flow)
        ]
        for first in wrong:
            with suppress(NetlinkError):  # it may have ended by itself
                conntrack.entry("del", tuple_orig=first)
    return len(wrong)


def direction(public: IPv4Address, flow: Tracked) -> Direction | None:
    """Who began a flow; None: it has nothing to do with this public address. Pure."""
    called, answered = flow.destination.address == str(public), flow.answer_destination.address == str(public)
    if called:
        return Direction.HAIRPIN if answered else Direction.INBOUND
    return Direction.OUTBOUND if answered else None


def follows(item: Nat, flow: Tracked) -> bool:
    """Whether a flow is translated as it would be if it began now. Pure."""
    way = direction(item.public, flow)
    if way is None:
        return False
    if way is not Direction.INBOUND and not _may_leave(item, flow):
        return False
    return way is Direction.OUTBOUND or _is_mapped(item, flow, way)


def _may_leave(item: Nat, flow: Tracked) -> bool:
    """From the VM network, and in the range of ports."""
    source = IPv4Address(flow.source.address)
    return item.first_port <= flow.answer_destination.port <= item.last_port and any(
        source in prefix for prefix in item.inside
    )


def _is_mapped(item: Nat, flow: Tracked, way: Direction) -> bool:
    mapping = item.mappings.get((flow.protocol, flow.destination.port))
    if mapping is None or flow.answer_source != End(str(mapping.address), mapping.port):
        return False
    caller = item.public if way is Direction.HAIRPIN else IPv4Address(flow.source.address)
    return mapping.remote is None or caller in mapping.remote


def _translated(conntrack: Any) -> Iterator[tuple[Any, Any, Tracked]]:
    """Translated flows: kernel's entry, its key, and what it says."""
    for entry in conntrack.dump():
        if not (entry.get_attr("CTA_STATUS") or 0) & (IPS_SRC_NAT | IPS_DST_NAT):
            continue
        first = NFCTAttrTuple.from_netlink(AF_INET, entry.get_attr("CTA_TUPLE_ORIG"))
        answer = NFCTAttrTuple.from_netlink(AF_INET, entry.get_attr("CTA_TUPLE_REPLY"))
        if first.proto in _PROTOCOLS:
            yield entry, first, Tracked(_PROTOCOLS[first.proto], *_ends(first), *_ends(answer))


def _ends(item: Any) -> tuple[End, End]:
    if item.proto == IPPROTO_ICMP:
        return End(item.saddr, item.icmp_id), End(item.daddr, item.icmp_id)
    return End(item.saddr, item.sport), End(item.daddr, item.dport)


def _session(item: Nat, entry: Any, flow: Tracked) -> NatSession | None:
    way = direction(item.public, flow)
    if way is None:
        return None
    begun, answered = _traffic(entry, "CTA_COUNTERS_ORIG"), _traffic(entry, "CTA_COUNTERS_REPLY")
    timeout_s, state = int(entry.get_attr("CTA_TIMEOUT") or 0), _state(entry)
    if way is Direction.OUTBOUND:
        ends = (flow.source, flow.answer_destination, flow.destination)
        return NatSession(flow.protocol, way, *ends, state, timeout_s, begun, answered)
    ends = (flow.answer_source, flow.destination, flow.source)
    if way is Direction.INBOUND:
        begun, answered = answered, begun
    return NatSession(flow.protocol, way, *ends, state, timeout_s, begun, answered)


def _traffic(entry: Any, name: str) -> Traffic | None:
    counters = entry.get_attr(name)
    if counters is None:
        return None
    return Traffic(
        int(counters.get_attr("CTA_COUNTERS_PACKETS")), int(counters.get_attr("CTA_COUNTERS_BYTES"))
    )


def _state(entry: Any) -> str:
    info = entry.get_attr("CTA_PROTOINFO")
    tcp = info.get_attr("CTA_PROTOINFO_TCP") if info is not None else None
    if tcp is None:
        return ""
    return str(TCP_CONNTRACK_TO_NAME.get(tcp.get_attr("CTA_PROTOINFO_TCP_STATE"), ""))
