"""Access ports of a bridge that knows no VLANs: a station's own, of one VLAN or of none (IEEE 802.1Q).

The bridge carries the tag beside the frame and looks at MAC addresses only; whatever is not of the port's
VLAN ends at the port. Ports without a program are trunks, and carry every tag.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from lab.datapath import front_end_abi as fe
from lab.datapath.attach import Attachments, Side, detect_hook
from lab.datapath.build import FRONT_END_OBJECT
from lab.datapath.devices import find_devices
from lab.datapath.errors import DatapathError, InvalidPolicyError
from lab.datapath.front_end import FrontEndCounters, forget_counters, read_counters
from lab.datapath.legs import absent, faults_of_vlan
from lab.datapath.libbpf import ensure_bpffs
from lab.datapath.maps import Map
from lab.datapath.pins import ACCESS_PINS, BPFFS, link_pins, map_pins
from lab.datapath.programs import Object, Program
from lab.errors import Problem

NO_VLAN = 0


class AccessPorts:
    """The access ports of the network namespace of the thread that opens them.

    Everything is pinned: ports stay as they are when the process that opened them ends.

    Args:
        pins: directory on bpffs of the maps and links; one for each node.
        object_file: what `lab.datapath.build` wrote.

    Attributes:
        access_in: program of what comes in at a port.
        access_out: program of what goes out there.

    Raises:
        NoDatapathError: the kernel cannot run it.
    """

    def __init__(self, pins: Path = ACCESS_PINS, object_file: Path = FRONT_END_OBJECT) -> None:
        ensure_bpffs(BPFFS)
        maps, links = map_pins(pins), link_pins(pins)
        maps.mkdir(parents=True, exist_ok=True)
        self._names: dict[int, str] = {}
        self._object = Object(object_file, maps)
        self._ports = Map.pinned(maps / fe.ACCESS)
        self._counters = Map.pinned(maps / fe.COUNTERS)
        self.access_in: Program = self._object.program("access_in")
        self.access_out: Program = self._object.program("access_out")
        self._sides: list[tuple[Attachments, Program]] = []
        for side, program in ((Side.INGRESS, self.access_in), (Side.EGRESS, self.access_out)):
            pinned = links / side.name.lower()
            pinned.mkdir(parents=True, exist_ok=True)
            # Any program that lets pass what is not its own: these two do not.
            hook = detect_hook(self._object.program("front_end"), side)
            self._sides.append((Attachments(pinned, hook, side), program))

    def __enter__(self) -> AccessPorts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the kernel's objects; the ports stay as they are."""
        for attachments, _ in self._sides:
            attachments.close()
        for item in (self._ports, self._counters):
            item.close()
        self._object.close()

    def apply(self, ports: Mapping[str, int]) -> None:
        """Let exactly these interfaces be access ports; several may be of one VLAN.

        Args:
            ports: VLAN id by interface; NO_VLAN: of the untagged network, and kept off every VLAN.

        Raises:
            InvalidPolicyError: no VLAN id, or no such interface; nothing has been changed.
            DatapathError: the kernel refused.
        """
        devices = find_devices(ports)
        problems = [*absent(ports, devices)]
        for interface, vlan in ports.items():
            problems += faults_of_vlan(interface, vlan) if vlan != NO_VLAN else ()
        if problems:
            raise InvalidPolicyError(problems)
        wanted = {
            devices[name].ifindex.to_bytes(4, sys.byteorder): (vlan or fe.UNTAGGED).to_bytes(4, sys.byteorder)
            for name, vlan in ports.items()
        }
        before = self._ports.items()
        gone = before.keys() - wanted.keys()
        try:
            self._ports.update({key: vlan for key, vlan in wanted.items() if before.get(key) != vlan})
            for attachments, program in self._sides:
                attachments.replace({device.ifindex: program for device in devices.values()})
            self._ports.delete(gone)
        except OSError as error:
            raise DatapathError(
                Problem("HNV-DATAPATH-010", f"the kernel refused the access ports: {error}")
            ) from error
        forget_counters(self._counters, {int.from_bytes(key, sys.byteorder) for key in gone})
        self._names = {device.ifindex: name for name, device in devices.items()}

    def counters(self) -> FrontEndCounters:
        """What has come from the stations (in) and gone to them (out), and what has ended at the ports."""
        return read_counters(self._counters, self._names)
