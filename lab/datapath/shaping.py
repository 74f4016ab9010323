"""Bandwidth of ports, carried out by the kernel's queueing disciplines.

Outbound: the switch sends a shaped port's frames into `qos0`, a cable to `qos1` on which the switch takes
them again. On qos0 stands HTB with a class for each port: its reservation is the class's rate, its maximum
the ceiling, and what nobody has reserved is shared. Inbound: a token bucket on the port itself. Classes are
changed in place.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lab.datapath.errors import DatapathError, InvalidPolicyError
from lab.datapath.fifo import set_queue
from lab.datapath.policy import PortQos
from lab.datapath.records import PortRecord
from lab.errors import Problem

log = logging.getLogger(__name__)

QOS_IN, QOS_OUT = "qos0", "qos1"
_MAJOR = 0x10000
_ROOT = _MAJOR | 1
_FIRST_MINOR, _LAST_MINOR = 2, 0xFFFF
_LARGEST_MTU = 65535
UNLIMITED_KBPS = 32_000_000
"""What a class may send that has no maximum on a node without a speed: what 32 bits of octets hold."""
_SMALLEST_SHARE_KBPS = 64
_SHARE = 100
"""A port without reservation is sure of this part of its ceiling."""
_SUPER_PACKET = 65536 + 18
"""Octets of the largest frame: a bucket that holds less would never let it pass."""
_BURST_S = 0.005
_QUEUE_S = 0.05
"""A queue holds what leaves in this time; more would only be delay."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Rates of one HTB class."""

    rate_kbps: int
    ceil_kbps: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What the node's shaping shall be.

    Attributes:
        minors: minor number of each shaped port's class, by interface id.
        shapes: of each class, by minor number.
        root_kbps: of all classes together.
        inbound_kbps: maximum of each port that has one, by interface id.
    """

    minors: Mapping[str, int]
    shapes: Mapping[int, Shape]
    root_kbps: int
    inbound_kbps: Mapping[str, int]

    @property
    def classes(self) -> dict[str, int]:
        """Handle of each shaped port's class, by interface id."""
        return {interface_id: _MAJOR | minor for interface_id, minor in self.minors.items()}


def plan(ports: Mapping[str, PortRecord], uplink_kbps: int, given: Mapping[str, int]) -> Plan:
    """What the ports' records ask for. Pure.

    Every port has a class as soon as one has a reservation, or the others would take what is reserved.

    Args:
        ports: those whose interface is there, by interface id.
        uplink_kbps: speed of the node's uplinks together; 0: not limited.
        given: class numbers given already (handles), by interface id; they are kept.

    Raises:
        InvalidPolicyError: more is reserved than there is.
    """
    qos = {interface_id: record.port.qos for interface_id, record in ports.items()}
    root = min(uplink_kbps or UNLIMITED_KBPS, UNLIMITED_KBPS)
    _refuse_overbooking(ports, root)
    reserving = any(item.outbound_reserved_kbps for item in qos.values())
    shaped = sorted(name for name, item in qos.items() if reserving or item.outbound_maximum_kbps)
    minors = {name: given[name] & 0xFFFF for name in shaped if given.get(name)}
    taken = set(minors.values())
    free = iter(minor for minor in range(_FIRST_MINOR, _LAST_MINOR) if minor not in taken)
    for name in shaped:
        if name not in minors:
            minors[name] = next(free)
    return Plan(
        minors,
        {minor: _shape(qos[name], root) for name, minor in minors.items()},
        root,
        {name: item.inbound_maximum_kbps for name, item in qos.items() if item.inbound_maximum_kbps},
    )


def _shape(qos: PortQos, root: int) -> Shape:
    ceil = min(qos.outbound_maximum_kbps or root, root)
    share = max(ceil // _SHARE, min(_SMALLEST_SHARE_KBPS, ceil))
    return Shape(qos.outbound_reserved_kbps or share, ceil)


def _refuse_overbooking(ports: Mapping[str, PortRecord], root: int) -> None:
    problems = []
    total = 0
    for record in ports.values():
        qos = record.port.qos
        total += qos.outbound_reserved_kbps
        ceil = qos.outbound_maximum_kbps or root
        if qos.outbound_reserved_kbps > ceil or total > root:
            problems.append(
                Problem(
                    "HNV-POLICY-016",
                    f"{qos.outbound_reserved_kbps} kbit/s cannot be reserved, {total} with the ports before",
                    place=record.port.key,
                    expected=f"at most {ceil} for this port and {root} for the node",
                )
            )
    if problems:
        raise InvalidPolicyError(problems)


class Shaper:
    """The queueing disciplines of the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._netlink = IPRoute()
        self._shapes: dict[int, Shape] = {}
        self._root_kbps = 0
        self._inbound: dict[int, int] | None = None

    def close(self) -> None:
        """Close the netlink socket; shaping goes on."""
        self._netlink.close()

    def devices(self) -> tuple[int, int]:
        """Ifindexes of both ends of the shaping cable; 0, 0: there is none."""
        return _index(QOS_IN), _index(QOS_OUT)

    def prepare(self, wanted: Plan) -> int:
        """Make what ports are about to be sent to.

        Returns:
            Ifindex of the shaping device; 0: none is needed.

        Raises:
            DatapathError: the kernel refused.
        """
        if not wanted.shapes:
            return 0
        try:
            entry, _ = self.devices()
            if entry and not self._shapes and not self._is_whole(entry):
                self._netlink.link("del", index=entry)
                entry = 0
            if not entry:
                entry = self._make_cable()
            self._set_class(entry, 1, Shape(wanted.root_kbps, wanted.root_kbps), _MAJOR)
            for minor, shape in wanted.shapes.items():
                self._set_class(entry, minor, shape, _ROOT)
        except (NetlinkError, OSError) as error:
            raise _refused(error) from error
        return entry

    def finish(self, wanted: Plan, present: Mapping[str, int]) -> None:
        """Set the ports' inbound maxima, and remove what no port is sent to any more.

        Args:
            wanted: the plan that `prepare` was given.
            present: ifindex of each vport, by interface id.

        Raises:
            DatapathError: the kernel refused.
        """
        try:
            self._limit_inbound({present[name]: rate for name, rate in wanted.inbound_kbps.items()}, present)
            entry, _ = self.devices()
            if not entry:
                return
            if not wanted.shapes:
                self._netlink.link("del", index=entry)
                self._shapes.clear()
                return
            for minor in self._standing_classes(entry) - wanted.shapes.keys() - {1}:
                # Without a kind: pyroute2 wants rates of whatever is called an HTB class.
                self._netlink.tc("del-class", index=entry, handle=_MAJOR | minor, parent=_ROOT)
                self._shapes.pop(minor, None)
        except (NetlinkError, OSError) as error:
            raise _refused(error) from error

    def _make_cable(self) -> int:
        self._netlink.link("add", ifname=QOS_IN, kind="veth", peer={"ifname": QOS_OUT, "mtu": _LARGEST_MTU})
        self._shapes.clear()
        entry, out = self.devices()
        self._netlink.link("set", index=entry, mtu=_LARGEST_MTU)
        for index in (entry, out):
            self._netlink.link("set", index=index, state="up")
        # The last step, by which a cable is known to be whole. What has no class is not shaped.
        self._netlink.tc("add", "htb", entry, handle=_MAJOR, default=0)
        return entry

    def _is_whole(self, entry: int) -> bool:
        """Whether whoever made the cable, an agent before this one perhaps, came to the end."""
        return any(
            item.get("kind") == "htb" and int(item["index"]) == entry for item in self._netlink.get_qdiscs()
        )

    def _set_class(self, entry: int, minor: int, shape: Shape, parent: int) -> None:
        if self._shapes.get(minor) == shape:
            return
        rates: dict[str, Any] = {
            "rate": shape.rate_kbps * 125,
            "ceil": shape.ceil_kbps * 125,
            "burst": _bucket(shape.rate_kbps),
            "cburst": _bucket(shape.ceil_kbps),
            "quantum": _SUPER_PACKET,
        }
        handle = _MAJOR | minor
        self._netlink.tc("replace-class", "htb", entry, handle=handle, parent=parent, **rates)
        if minor != 1:
            # The class's own queue counts packets, of which one may hold 64 KiB; this one counts octets.
            limit = max(4 * _SUPER_PACKET, int(shape.ceil_kbps * 125 * _QUEUE_S))
            set_queue(entry, handle, minor << 16, limit)
        self._shapes[minor] = shape

    def _standing_classes(self, entry: int) -> set[int]:
        return {
            int(item["handle"]) & 0xFFFF
            for item in self._netlink.get_classes(index=entry)
            if int(item["handle"]) >> 16 == _MAJOR >> 16
        }

    def _limit_inbound(self, wanted: Mapping[int, int], present: Mapping[str, int]) -> None:
        standing = self._inbound
        if standing is None:
            # An agent before this one may have left some; their rates do not matter, they are set again.
            standing = dict.fromkeys(self._limited(set(present.values())), 0)
        for index in standing.keys() - wanted.keys():
            try:
                self._netlink.tc("del", index=index, parent=0xFFFFFFFF)
            except NetlinkError as error:
                if error.code not in (errno.ENODEV, errno.ENOENT, errno.EINVAL):
                    raise
        for index, rate in wanted.items():
            if standing.get(index) != rate:
                self._netlink.tc(
                    "replace",
                    "tbf",
                    index,
                    handle=_MAJOR,
                    rate=rate * 125,
                    burst=_bucket(rate),
                    limit=max(4 * _SUPER_PACKET, int(rate * 125 * _QUEUE_S)),
                )
        self._inbound = dict(wanted)

    def _limited(self, ports: set[int]) -> set[int]:
        return {
            int(item["index"])
            for item in self._netlink.get_qdiscs()
            if item.get("kind") == "tbf" and int(item["index"]) in ports
        }


def _index(name: str) -> int:
    """Ifindex of an interface of the thread's network namespace; 0: there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _bucket(rate_kbps: int) -> int:
    """Octets that may leave at once."""
    return max(2 * _SUPER_PACKET, int(rate_kbps * 125 * _BURST_S))


def _refused(error: Exception) -> DatapathError:
    return DatapathError(
        Problem(
            "HNV-DATAPATH-015",
            f"the kernel refused to shape a port: {error}",
            hint="HTB and TBF are needed (CONFIG_NET_SCH_HTB, CONFIG_NET_SCH_TBF)",
        )
    )
