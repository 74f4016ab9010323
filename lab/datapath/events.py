"""What the data plane tells about single frames: drops, logged decisions of access control lists, traces.

The kernel hands out each event once, to whoever reads first: one reader for each ring buffer.
"""

from __future__ import annotations

import ctypes
import logging
import selectors
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from lab.datapath import abi
from lab.datapath.errors import DatapathError
from lab.datapath.libbpf import check, library
from lab.datapath.maps import Map
from lab.datapath.metrics import reason_name
from lab.errors import Problem

log = logging.getLogger(__name__)

EVENTS = "hnv_events_v1"
TRACE_EVENTS = "hnv_trace_events_v1"

_SAMPLE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


@dataclass(frozen=True, slots=True)
class SwitchEvent:
    """One thing that happened to one frame.

    Attributes:
        kind: DROP, ACL_LOG or TRACE.
        stage: where in the switch.
        direction: of the pass: where the frame came in.
        reason: number of `abi.Drop`; one that this version does not know stays a number.
        time_ns: of CLOCK_MONOTONIC, which all nodes of one machine share.
        trace: id of the trace that the frame belongs to; 0: none.
        vsid: of the ingress; 0: not known.
        ifindex: device that the pass began on; of ACL_LOG the port whose list it is.
        detail: depends on the stage (enum hnv_stage); of ACL_LOG the rule's position in its list.
        provider_address: the other node, where the stage knows one.
        length: of the VM's frame in octets.
        frame: its head, from the Ethernet header on.
    """

    kind: abi.EventKind
    stage: abi.Stage
    direction: abi.Direction
    reason: int
    time_ns: int
    trace: int
    vsid: int
    ifindex: int
    detail: int
    provider_address: IPv4Address | None
    length: int
    frame: bytes

    @property
    def reason_name(self) -> str:
        """The word for the reason, e.g. "ca-spoof"; "forwarded": none."""
        return reason_name(self.reason)


def event_of(data: bytes) -> SwitchEvent:
    """An event as the ring buffer holds it (struct hnv_event).

    Raises:
        ValueError: it is of another version, or says something that this version does not know.
    """
    if len(data) < ctypes.sizeof(abi.Event) or data[0] != abi.EVENT_VERSION:
        raise ValueError(f"an event of {len(data)} octets, version {data[0] if data else None}")
    event = abi.Event.from_buffer_copy(data)
    address = abi.address_of(event.pa)
    return SwitchEvent(
        abi.EventKind(event.kind),
        abi.Stage(event.stage),
        abi.Direction(event.direction),
        event.reason,
        event.time_ns,
        event.trace,
        event.vsid,
        event.ifindex,
        event.detail,
        address if isinstance(address, IPv4Address) else None,
        event.length,
        bytes(event.frame[: event.captured]),
    )


class EventReader:
    """Reads ring buffers of the switch. What came while nobody read is still there, until the buffer is full.

    Args:
        maps: directory on bpffs that holds the switch's maps (`pins.map_pins`).
        names: `EVENTS`, `TRACE_EVENTS`, or both.

    Attributes:
        unknown: events of another version that were passed over.

    Raises:
        DatapathError: a buffer is not there, or cannot be read.
    """

    def __init__(self, maps: Path, names: Iterable[str] = (EVENTS,)) -> None:
        self.unknown = 0
        self._read: list[SwitchEvent] = []
        # libbpf calls it as long as the ring lives: it must not be collected before.
        self._callback = _SAMPLE(self._take)
        self._ring: int | None = None
        self._maps: list[Map] = []
        try:
            for name in names:
                self._maps.append(Map.pinned(maps / name))
                self._add(self._maps[-1])
        except OSError as error:
            self.close()
            raise DatapathError(
                Problem(
                    "HNV-DATAPATH-020",
                    f"the switch's events cannot be read: {error}",
                    place=str(maps),
                    hint="is the node's agent started, and of this version?",
                )
            ) from error

    def _add(self, ring_map: Map) -> None:
        call = library().call
        if self._ring is None:
            ctypes.set_errno(0)
            self._ring = call.ring_buffer__new(ring_map.fd, self._callback, None, None)
            if not self._ring:
                raise OSError(ctypes.get_errno(), f"{ring_map.name} is no ring buffer")
        else:
            check(call.ring_buffer__add(self._ring, ring_map.fd, self._callback, None), ring_map.name)

    def __enter__(self) -> EventReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go; the next reader goes on where this one stopped."""
        if self._ring:
            library().call.ring_buffer__free(self._ring)
            self._ring = None
        for item in self._maps:
            item.close()
        self._maps = []

    def fileno(self) -> int:
        """A descriptor that becomes readable when there are events; for selectors and event loops."""
        return int(library().call.ring_buffer__epoll_fd(self._ring))

    def read(self, timeout_s: float = 0) -> list[SwitchEvent]:
        """All events there are, oldest first in each buffer.

        Args:
            timeout_s: how long to wait for the first one when there is none.

        Raises:
            OSError: the kernel refused.
        """
        events = self._consume()
        if events or not timeout_s:
            return events
        with selectors.DefaultSelector() as selector:
            selector.register(self.fileno(), selectors.EVENT_READ)
            selector.select(timeout_s)
        return self._consume()

    def _consume(self) -> list[SwitchEvent]:
        check(library().call.ring_buffer__consume(self._ring), "read of the switch's events")
        events, self._read = self._read, []
        return events

    def _take(self, _: int, data: int, size: int) -> int:
        try:
            self._read.append(event_of(ctypes.string_at(data, size)))
        except ValueError as error:
            self.unknown += 1
            log.warning("passed over: %s", error)
        return 0
