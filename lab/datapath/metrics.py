"""Reading the counters of the data plane."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from lab.datapath import abi
from lab.datapath.maps import Map


@dataclass(frozen=True, slots=True)
class MetricCount:
    """Packets that ended for one reason (FORWARDED: went on) in one direction in one virtual subnet.

    Attributes:
        reason: number of `abi.Drop`; one that this version does not know stays a number.
        vsid: 0: not known when the packet ended.
    """

    reason: int
    direction: abi.Direction
    vsid: int
    packets: int
    bytes: int


def read_metrics(metrics: Map) -> list[MetricCount]:
    """All counters, summed over the CPUs, ordered by direction, reason and VSID."""
    size = ctypes.sizeof(abi.Metric)
    counts = []
    for key_bytes, values in metrics.items().items():
        key = abi.MetricKey.from_buffer_copy(key_bytes)
        cpus = [abi.Metric.from_buffer_copy(values, at) for at in range(0, len(values), size)]
        counts.append(
            MetricCount(
                key.reason,
                abi.Direction(key.direction),
                key.vsid,
                sum(cpu.packets for cpu in cpus),
                sum(cpu.bytes for cpu in cpus),
            )
        )
    return sorted(counts, key=lambda c: (c.direction, c.reason, c.vsid))


def reason_name(reason: int) -> str:
    """The word for a reason, as listings show it, e.g. "ca-spoof"."""
    try:
        return abi.Drop(reason).name.lower().replace("_", "-")
    except ValueError:
        return str(reason)
