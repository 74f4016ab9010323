"""What each vport has sent and received (hnv_meters_v1), by whether it stayed in its VM network."""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from dataclasses import dataclass

from lab.datapath import abi
from lab.datapath.maps import Map

METERS = "hnv_meters_v1"


@dataclass(frozen=True, slots=True)
class MeterCount:
    """Traffic of one vport in one direction.

    Attributes:
        ifindex: the vport.
        direction: OUTBOUND: from the VM.
        kind: INTERNAL: the other end is a CA of the routing domain; GATEWAY: it is not.
        packets: as on a wire: a super-packet counts as what it stands for.
        bytes: from the Ethernet header on, super-packets as they are.
    """

    ifindex: int
    direction: abi.AclDirection
    kind: abi.MeterKind
    packets: int
    bytes: int


def read_meters(meters: Map) -> list[MeterCount]:
    """All meters, summed over the CPUs, ordered by port, direction and kind."""
    size = ctypes.sizeof(abi.Metric)
    counts = []
    for key_bytes, values in meters.items().items():
        key = abi.MeterKey.from_buffer_copy(key_bytes)
        cpus = [abi.Metric.from_buffer_copy(values, at) for at in range(0, len(values), size)]
        counts.append(
            MeterCount(
                key.ifindex,
                abi.AclDirection(key.direction),
                abi.MeterKind(key.kind),
                sum(cpu.packets for cpu in cpus),
                sum(cpu.bytes for cpu in cpus),
            )
        )
    return sorted(counts, key=lambda c: (c.ifindex, c.direction, c.kind))


def forget_meters(meters: Map, gone: Collection[int]) -> None:
    """Remove the meters of ports that are gone: an index may come back as another port's.

    Args:
        gone: their ifindexes.
    """
    meters.delete(key for key in meters.items() if abi.MeterKey.from_buffer_copy(key).ifindex in gone)
