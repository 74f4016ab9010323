"""A gateway's front end: its connections' GRE tunnels and VLANs, demultiplexed in eBPF (docs/front-end.md).

A connection is a veth pair. Its inner end is in the tenant's compartment, its outer end, the connection's
leg, in the gateway's default namespace: there these programs are all that ever sees a frame of it.

The inner end of a GRE connection has no neighbours: give it `INNER_FLAGS` (NOARP), so that the compartment's
routes through it need no next hop. Its MTU is the front end's less `GRE_OVERHEAD`; the compartment then tells
senders of larger packets itself (RFC 1191). The inner end of a VLAN connection is an ordinary interface.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from lab.datapath import abi
from lab.datapath import front_end_abi as fe
from lab.datapath.attach import Attachments, detect_hook
from lab.datapath.build import FRONT_END_OBJECT
from lab.datapath.devices import find_devices
from lab.datapath.errors import DatapathError
from lab.datapath.front_end_abi import FrontEndDirection, FrontEndDrop
from lab.datapath.image import Image, Step, steps_between
from lab.datapath.legs import MAKE_ORDER, ConnectionLeg, GreLeg, VlanLeg, image_of, validate_legs
from lab.datapath.libbpf import ensure_bpffs
from lab.datapath.maps import Map
from lab.datapath.pins import BPFFS, FRONT_END_PINS, link_pins, map_pins
from lab.datapath.programs import Object, Program
from lab.errors import Problem

__all__ = [
    "GRE_OVERHEAD",
    "INNER_FLAGS",
    "ConnectionLeg",
    "FrontEnd",
    "FrontEndCounters",
    "GreLeg",
    "LegCount",
    "VlanLeg",
    "read_counters",
]

log = logging.getLogger(__name__)

GRE_OVERHEAD = 28
"""Octets of outer IPv4 header and GRE header with key (RFC 2890)."""
INNER_FLAGS = 0x80
"""IFF_NOARP, which a GRE connection's inner end is given (`flags` and `change` of a netlink message)."""


@dataclass(frozen=True, slots=True)
class LegCount:
    """What has crossed a leg; in is from the front end. Octets of frames without tag and outer header."""

    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0


@dataclass(frozen=True, slots=True)
class FrontEndCounters:
    """What has gone on and what has ended since the legs came.

    Attributes:
        legs: by interface; of access ports `in` is from the station.
        drops: packets by interface (the front end's for what no leg could be named for) and reason.
    """

    legs: Mapping[str, LegCount]
    drops: Mapping[tuple[str, FrontEndDrop], int]


class FrontEnd:
    """The front end of the gateway whose network namespace the thread that opens it is in.

    The kernel is the truth. Everything is pinned, so that an agent that dies disturbs nothing; opening the
    front end again takes over what stands, and `apply` writes only what differs.

    Args:
        interface: the front-end interface, e.g. "fe0".
        pins: directory on bpffs of this front end's maps and links; one for each node.
        object_file: what `lab.datapath.build` wrote.

    Attributes:
        front_end: program of the front-end interface.
        leg: program of every leg.

    Raises:
        NoDatapathError: the kernel cannot run it.
    """

    def __init__(
        self, interface: str, pins: Path = FRONT_END_PINS, object_file: Path = FRONT_END_OBJECT
    ) -> None:
        ensure_bpffs(BPFFS)
        maps, links = map_pins(pins), link_pins(pins)
        maps.mkdir(parents=True, exist_ok=True)
        links.mkdir(parents=True, exist_ok=True)
        self._interface = interface
        self._names: dict[int, str] = {}
        self._object = Object(object_file, maps)
        self._maps = {name: Map.pinned(maps / name) for name in MAKE_ORDER}
        self._counters = Map.pinned(maps / fe.COUNTERS)
        self.front_end: Program = self._object.program("front_end")
        self.leg: Program = self._object.program("leg")
        self._attachments = Attachments(links, detect_hook(self.front_end))

    def __enter__(self) -> FrontEnd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the kernel's objects; forwarding goes on."""
        self._attachments.close()
        for item in (self._counters, *self._maps.values()):
            item.close()
        self._object.close()

    def apply(self, legs: Iterable[ConnectionLeg]) -> list[Step]:
        """Serve exactly these connections; what is unchanged is not touched.

        Without its program an outer end is an interface of the gateway's like any other: set it up after
        `apply` has named it, and delete the pair before `apply` leaves it out.

        Args:
            legs: in any order.

        Returns:
            What was written to the maps; empty when nothing differed.

        Raises:
            InvalidPolicyError: a leg is refused or its interface is not there; nothing has been changed.
            DatapathError: the kernel refused; the next `apply` begins with what it holds.
        """
        wanted = list(legs)
        devices = find_devices({self._interface, *(leg.interface for leg in wanted)})
        validate_legs(wanted, self._interface, devices)
        front_end = devices[self._interface]
        image = image_of(wanted, front_end, devices)
        before = {name: item.items() for name, item in self._maps.items()}
        steps = steps_between(before, image, MAKE_ORDER)
        makes = [step for step in steps if step.upserts]
        breaks = [step for step in steps if step.removes]
        outer = {devices[leg.interface].ifindex for leg in wanted}
        self._write(makes)
        self._attachments.replace({front_end.ifindex: self.front_end} | dict.fromkeys(outer, self.leg))
        self._write(breaks)
        self._forget(before, image)
        self._names = {device.ifindex: name for name, device in devices.items()}
        for step in steps:
            log.info("%s: %d set, %d removed", step.map_name, len(step.upserts), len(step.removes))
        return steps

    def counters(self) -> FrontEndCounters:
        """What has gone on and what has ended, by the names of the last `apply`."""
        return read_counters(self._counters, self._names)

    def _write(self, steps: Iterable[Step]) -> None:
        try:
            for step in steps:
                self._maps[step.map_name].update(step.upserts)
                self._maps[step.map_name].delete(step.removes)
        except OSError as error:
            raise DatapathError(
                Problem("HNV-DATAPATH-010", f"the kernel refused the front end's connections: {error}")
            ) from error

    def _forget(self, before: Image, after: Image) -> None:
        """The counters of legs that are gone: their ifindexes may come again."""
        gone = {int.from_bytes(key, sys.byteorder) for key in before[fe.LEGS].keys() - after[fe.LEGS].keys()}
        forget_counters(self._counters, gone)


def forget_counters(counters: Map, gone: set[int]) -> None:
    """Remove what has been counted for some interfaces, by ifindex."""
    if gone:
        keys = counters.items()
        counters.delete(key for key in keys if fe.CounterKey.from_buffer_copy(key).ifindex in gone)


def read_counters(counters: Map, names: Mapping[int, str]) -> FrontEndCounters:
    """All counters, summed over the CPUs.

    Args:
        counters: `front_end_abi.COUNTERS`.
        names: of interfaces by ifindex; others are passed over.
    """
    size = ctypes.sizeof(abi.Metric)
    crossed: dict[str, dict[FrontEndDirection, tuple[int, int]]] = {}
    drops: dict[tuple[str, FrontEndDrop], int] = {}
    for key_bytes, values in counters.items().items():
        key = fe.CounterKey.from_buffer_copy(key_bytes)
        name = names.get(key.ifindex)
        if name is None:
            continue
        cpus = [abi.Metric.from_buffer_copy(values, at) for at in range(0, len(values), size)]
        packets, octets = sum(cpu.packets for cpu in cpus), sum(cpu.bytes for cpu in cpus)
        try:
            reason = FrontEndDrop(key.reason)
        except ValueError:
            # Counted by a version to come, before this one took over again.
            continue
        if reason is FrontEndDrop.FORWARDED:
            crossed.setdefault(name, {})[FrontEndDirection(key.direction)] = (packets, octets)
        else:
            drops[name, reason] = drops.get((name, reason), 0) + packets
    nothing = (0, 0)
    return FrontEndCounters(
        {
            name: LegCount(*of.get(FrontEndDirection.IN, nothing), *of.get(FrontEndDirection.OUT, nothing))
            for name, of in crossed.items()
        },
        drops,
    )
