"""What every interface has sent and received, added up over the nodes that it has been on.

A node reports what its vport has counted since it came there (southbound.proto, Meter). What was counted on
other nodes, or before a node's counters began anew, is kept here and added. It is kept in memory only: after
the controller's own restart an interface counts from what its node still knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lab.southbound import southbound_pb2 as pb

Kind = tuple[str, str]
"""("internal" or "gateway", "outbound" or "inbound")."""


@dataclass(frozen=True, slots=True)
class Count:
    """Traffic of one kind."""

    packets: int = 0
    bytes: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.packets + other.packets, self.bytes + other.bytes)


@dataclass(slots=True)
class _Interface:
    """What is over, and what the nodes last said."""

    past: dict[Kind, Count] = field(default_factory=dict)
    last: dict[tuple[str, Kind], Count] = field(default_factory=dict)


class Meters:
    """The interfaces' traffic."""

    def __init__(self) -> None:
        self._interfaces: dict[str, _Interface] = {}

    def take(self, node: str, meters: Iterable[pb.Meter]) -> None:
        """Take over what a node reports.

        Args:
            node: its name.
            meters: all that it has.
        """
        told = set()
        for meter in meters:
            told.add((meter.interface_id, (meter.kind, meter.direction)))
            interface = self._interfaces.setdefault(meter.interface_id, _Interface())
            kind, count = (meter.kind, meter.direction), Count(meter.packets, meter.bytes)
            before = interface.last.get((node, kind))
            if before is not None and before.packets > count.packets:
                # The vport is a new one, or the node's counters are: what they had counted is over.
                interface.past[kind] = interface.past.get(kind, Count()) + before
            interface.last[node, kind] = count
        for interface_id, interface in self._interfaces.items():
            for where, kind in list(interface.last):
                if where == node and (interface_id, kind) not in told:
                    # The vport has left the node; one that comes back counts from nothing.
                    gone = interface.last.pop((where, kind))
                    interface.past[kind] = interface.past.get(kind, Count()) + gone

    def forget(self, interface_id: str) -> None:
        """An interface is no more: one of the same name is another one."""
        self._interfaces.pop(interface_id, None)

    def of(self, interface_id: str) -> Mapping[Kind, Count]:
        """An interface's traffic by kind; empty: no node has reported any."""
        interface = self._interfaces.get(interface_id)
        total: dict[Kind, Count] = {}
        for kind, count in _counts(interface) if interface else ():
            total[kind] = total.get(kind, Count()) + count
        return total


def _counts(interface: _Interface) -> Iterator[tuple[Kind, Count]]:
    yield from interface.past.items()
    for (_, kind), count in interface.last.items():
        yield kind, count
