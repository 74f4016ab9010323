"""Connections through ports that have an access control list (hnv_flows_v1).

They can be listed, and a port's are taken along when its VM moves to another node.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from lab.datapath import abi
from lab.datapath.errors import InvalidPolicyError
from lab.datapath.maps import Map
from lab.errors import Problem

FLOWS = "hnv_flows_v1"
JUDGE_ANEW = 0
"""No list has this number: the next packet of the flow is judged by its port's list."""

FlowRecord = dict[str, str | int]
"""A flow as JSON data, without what means something on one node only."""

_NS_PER_MS = 1_000_000
_S = 1_000_000_000
_TCP, _UDP = 6, 17
_TCP_IDLE_S = {abi.FlowState.NEW: 60, abi.FlowState.ESTABLISHED: 900, abi.FlowState.CLOSING: 10}


@dataclass(frozen=True, slots=True)
class FlowEntry:
    """One connection through one port.

    Attributes:
        ifindex: the port.
        local: the VM's side.
        local_port: 0 where the protocol has none; of an ICMP echo the identifier, on both sides.
        opener: direction of the first packet.
        acl: number of the list that allowed it, on this node.
        idle_ns: since its last packet.
        bytes: of whole frames, as the switch was given them.
    """

    ifindex: int
    local: IPv4Address | IPv6Address
    remote: IPv4Address | IPv6Address
    local_port: int
    remote_port: int
    protocol: int
    opener: abi.AclDirection
    state: abi.FlowState
    acl: int
    packets: int
    bytes: int
    idle_ns: int

    @property
    def idle_limit_s(self) -> int:
        """After this time without a packet the data plane takes it for none (docs/datapath.md)."""
        if self.protocol == _TCP:
            return _TCP_IDLE_S[self.state]
        return 120 if self.protocol == _UDP else 60

    def record(self) -> FlowRecord:
        """As JSON data, for another node."""
        return {
            "local": str(self.local),
            "remote": str(self.remote),
            "local_port": self.local_port,
            "remote_port": self.remote_port,
            "protocol": self.protocol,
            "opener": self.opener.name.lower(),
            "state": self.state.name.lower(),
            "packets": self.packets,
            "bytes": self.bytes,
            "idle_ms": self.idle_ns // _NS_PER_MS,
        }


def read_flows(
    flows: Map, ports: Collection[int] | None = None, *, now_ns: int | None = None
) -> list[FlowEntry]:
    """The connections that are known; those that were idle for too long are left out.

    Args:
        ports: ifindexes; None: of all ports.
        now_ns: of CLOCK_MONOTONIC; None: now.
    """
    content = flows.items()
    now = time.monotonic_ns() if now_ns is None else now_ns
    entries = [_entry(key, value, now) for key, value in content.items()]
    return sorted(
        (
            entry
            for entry in entries
            if (ports is None or entry.ifindex in ports) and entry.idle_ns <= entry.idle_limit_s * _S
        ),
        key=lambda e: (e.ifindex, e.protocol, str(e.local), e.local_port, str(e.remote), e.remote_port),
    )


def export_flows(flows: Map, ifindex: int) -> list[FlowRecord]:
    """The connections of one port, to be imported where its VM goes."""
    return [entry.record() for entry in read_flows(flows, {ifindex})]


def import_flows(flows: Map, ifindex: int, records: Iterable[FlowRecord]) -> int:
    """Make connections of another node known here, before the VM's first packet.

    Each is judged anew by the list that the port has here, in the direction that opened it: each node numbers
    its lists for itself, and the list may have changed on the way.

    Args:
        ifindex: the VM's port on this node.
        records: of `export_flows`.

    Returns:
        How many.

    Raises:
        InvalidPolicyError: a record is none; nothing has been written.
        OSError: the kernel refused.
    """
    now = time.monotonic_ns()
    entries: dict[bytes, bytes] = {}
    problems = []
    for number, record in enumerate(records):
        try:
            key, value = _raw(ifindex, record, now)
            entries[key] = value
        except (KeyError, TypeError, ValueError) as error:
            problems.append(Problem("HNV-DATAPATH-021", f"no flow: {error}", place=f"flow {number}"))
    if problems:
        raise InvalidPolicyError(problems)
    flows.update(entries)
    return len(entries)


def forget_flows(flows: Map, gone: Collection[int]) -> None:
    """Remove the connections of ports that are gone: an index may come back as another port's.

    Args:
        gone: their ifindexes.
    """
    flows.delete(key for key in flows.items() if abi.FlowKey.from_buffer_copy(key).ifindex in gone)


def _entry(key_bytes: bytes, value: bytes, now_ns: int) -> FlowEntry:
    key, flow = abi.FlowKey.from_buffer_copy(key_bytes), abi.Flow.from_buffer_copy(value)
    local, remote = abi.address_of(key.local), abi.address_of(key.remote)
    return FlowEntry(
        key.ifindex,
        local or IPv6Address(0),
        remote or IPv6Address(0),
        int.from_bytes(key.local_port.to_bytes(2, "little"), "big"),
        int.from_bytes(key.remote_port.to_bytes(2, "little"), "big"),
        key.protocol,
        abi.AclDirection(flow.opener),
        abi.FlowState(flow.state),
        flow.acl,
        flow.packets,
        flow.bytes,
        max(0, now_ns - ctypes.c_int64(flow.last_ns).value),
    )


def _raw(ifindex: int, record: FlowRecord, now_ns: int) -> tuple[bytes, bytes]:
    local, remote = ip_address(record["local"]), ip_address(record["remote"])
    if local.version != remote.version:
        raise ValueError(f"{local} and {remote} are of two families")
    key = abi.FlowKey(
        ifindex,
        abi.addr(local),
        abi.addr(remote),
        int.from_bytes(_number(record, "local_port", 16).to_bytes(2, "big"), "little"),
        int.from_bytes(_number(record, "remote_port", 16).to_bytes(2, "big"), "little"),
        _number(record, "protocol", 8),
    )
    flow = abi.Flow(
        # May lie before the boot of this machine: the data plane compares as signed.
        (now_ns - _number(record, "idle_ms", 40) * _NS_PER_MS) % (1 << 64),
        _number(record, "packets", 64),
        _number(record, "bytes", 64),
        JUDGE_ANEW,
        abi.AclDirection[str(record["opener"]).upper()],
        abi.FlowState[str(record["state"]).upper()],
    )
    return bytes(key), bytes(flow)


def _number(record: FlowRecord, name: str, bits: int) -> int:
    value = record[name]
    if not isinstance(value, int) or not 0 <= value < 1 << bits:
        raise ValueError(f"{name} is {value!r}")
    return value
