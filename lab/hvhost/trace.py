"""One packet followed through this node's switch: name it, tell every stage that it passes, forget it."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import secrets
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any
from uuid import UUID

from lab.datapath import abi
from lab.datapath.events import TRACE_EVENTS, EventReader, SwitchEvent
from lab.datapath.image import DOMAINS, SETTINGS
from lab.datapath.maps import Map, opened
from lab.datapath.pins import PINS, map_pins, settings_locked
from lab.datapath.show import interface_name

TRACES = "hnv_traces_v1"
LOCK = Path("/run/hnvlab-trace.lock")
ONLY = b"\0\0\0\0"
"""The key of the one entry of the settings."""
INTERFACES = frozenset({abi.Stage.VPORT_IN, abi.Stage.VPORT_OUT, abi.Stage.WIRE_IN, abi.Stage.WIRE_OUT})
"""Stages whose detail is an interface."""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Followed:
    """The packet: its routing domain, mark (IPv4 identification or IPv6 flow label) and ends."""

    rdid: UUID
    mark: int
    source: Address
    destination: Address


def follow(
    packet: Followed,
    tell: Callable[[dict[str, Any]], None],
    stdin: int,
    timeout_s: float,
    *,
    maps: Path | None = None,
    lock: Path = LOCK,
) -> None:
    """Tell `{"ready": true}`, then each stage that the packet passes, until stdin ends or the time is over.

    One at a time on a node, because the kernel hands out each event once: a second one waits for the first.

    Args:
        tell: takes each message; events as `message_of` gives them.
        stdin: file descriptor whose end is the signal to stop.
        timeout_s: after which it stops in any case.
        maps: directory of the switch's maps; by default this node's.
        lock: file by which the other ones on this node are waited for.

    Raises:
        DatapathError: there is no switch on this node.
    """
    where = maps or map_pins(PINS)
    with ExitStack() as stack:
        stack.enter_context(_alone(lock))
        reader = stack.enter_context(EventReader(where, (TRACE_EVENTS,)))
        reader.read()  # what an earlier one has left
        number = stack.enter_context(_named(where, packet))
        tell({"ready": True})
        for event in _until_told(reader, stdin, time.monotonic() + timeout_s):
            if event.trace == number:
                tell(message_of(event))


def message_of(event: SwitchEvent) -> dict[str, Any]:
    """An event as JSON data; the stage in the words of the documentation, e.g. "vport-in"."""
    return {
        "time_ns": event.time_ns,
        "stage": event.stage.name.lower().replace("_", "-"),
        "reason": event.reason_name if event.stage is abi.Stage.DROP else "",
        "vsid": event.vsid,
        "detail": event.detail,
        "interface": interface_name(event.detail) if event.stage in INTERFACES else None,
        "pa": str(event.provider_address) if event.provider_address else None,
        "length": event.length,
    }


def _until_told(reader: EventReader, stdin: int, end: float) -> Iterator[SwitchEvent]:
    with selectors.DefaultSelector() as selector:
        selector.register(stdin, selectors.EVENT_READ)
        selector.register(reader.fileno(), selectors.EVENT_READ)
        while (left := end - time.monotonic()) > 0:
            told = [key.fd for key, _ in selector.select(left)]
            yield from reader.read()
            if stdin in told and not os.read(stdin, 4096):
                return


@contextmanager
def _named(maps: Path, packet: Followed) -> Iterator[int]:
    """Have the switch follow the packet; the number that its events bear.

    A node that does not know the routing domain has nothing to follow in it.
    """
    number = 1 + secrets.randbelow(0xFFFFFFFF)
    with ExitStack() as stack:
        traces, settings, domains = (
            stack.enter_context(opened(maps / n)) for n in (TRACES, SETTINGS, DOMAINS)
        )
        rd = domains.get(packet.rdid.bytes)
        if rd is None:
            yield number
            return
        key = bytes(
            abi.TraceKey(
                int.from_bytes(rd, "little"),
                packet.mark,
                abi.addr(packet.source),
                abi.addr(packet.destination),
            )
        )
        with settings_locked(maps):
            traces.update({key: number.to_bytes(4, "little")})
            _switch_tracing(settings, on=True)
        try:
            yield number
        finally:
            with settings_locked(maps):
                traces.delete([key])
                if not traces.items():
                    _switch_tracing(settings, on=False)


def _switch_tracing(settings: Map, *, on: bool) -> None:
    """The bit that spares the switch a look when nobody follows anything; the agent leaves it alone."""
    current = settings.get(ONLY)
    if current is None:
        return  # no policy yet: nothing is forwarded
    entry = abi.Settings.from_buffer_copy(current)
    flags = entry.flags | abi.SettingsFlag.TRACE if on else entry.flags & ~abi.SettingsFlag.TRACE
    if flags != entry.flags:
        entry.flags = int(flags)
        settings.update({ONLY: ctypes.string_at(ctypes.addressof(entry), ctypes.sizeof(entry))})


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def print_line(message: dict[str, Any]) -> None:
    """A message as a line on stdout, at once."""
    os.write(1, json.dumps(message).encode() + b"\n")
