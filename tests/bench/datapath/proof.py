"""A variant is what its name says: proved by what its wire carries and its switches refuse."""

from __future__ import annotations

import contextlib
import select
import socket
import time

from lab.datapath.abi import Drop
from lab.testing import eventually
from tests.datapath.probe import ping

from .measure import MeasureError
from .policy import DENIED_PORT
from .variants import Place

_ETH_P_ALL = 3
_IPV4 = b"\x08\x00"
_ON_THE_WIRE = {"NVGRE": ("gre",), "VXLAN": ("udp", 4789), "kernel VXLAN": ("udp", 4789)}
_GRE, _UDP = 47, 17


def prove(variant: str, place: Place) -> None:
    """Send a packet through a place, look at its wire, and try what the pipeline must refuse.

    Args:
        variant: its name; what stands before a comma says what is on the wire.

    Raises:
        MeasureError: it is not what its name says.
    """
    expected = _ON_THE_WIRE.get(variant.split(",")[0])
    if expected is None:
        if not _reached(place):
            raise MeasureError(f"{variant}: nothing arrives")
        return
    seen = _wire(place)
    if seen != expected:
        raise MeasureError(f"{variant}: the wire carries {seen}, not {expected}")
    if place.endpoints:
        _prove_acl(variant, place)


def _reached(place: Place) -> bool:
    def answered() -> None:
        assert place.client.call(lambda: ping(place.address, within_s=0.5)) is not None

    try:
        eventually(answered, within_s=10)
    except AssertionError:
        return False
    return True


def _wire(place: Place) -> tuple[str, ...] | tuple[str, int] | None:
    """What the first outer packet between the hosts is while the first VM pings the second."""
    with contextlib.closing(place.hosts[1].call(_tap)) as tap:
        if not _reached(place):
            return None
        deadline = time.monotonic() + 2
        while select.select([tap], [], [], max(0.0, deadline - time.monotonic()))[0]:
            frame = tap.recv(2048)
            if frame[12:14] == _IPV4 and frame[23] == _GRE:
                return ("gre",)
            if frame[12:14] == _IPV4 and frame[23] == _UDP:
                return ("udp", int.from_bytes(frame[36:38], "big"))
    return None


def _tap() -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    tap.bind(("pa0", 0))
    return tap


def _prove_acl(variant: str, place: Place) -> None:
    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as denied:
            denied.sendto(b"denied", (place.address, DENIED_PORT))

    place.client.call(send)
    counted = {counter.reason: counter.packets for counter in place.endpoints[0].report().counters}
    if not counted.get(Drop.ACL):
        raise MeasureError(f"{variant}: the access control list lets pass what it denies")
