"""Interfaces by name, of the network namespace of the thread that asks; two system calls each."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterable

from lab.datapath.legs import Device

_SIOCGIFHWADDR = 0x8927
_NAME_MAX = 15
_IFREQ = struct.Struct("16sH6s16x")


def find_devices(names: Iterable[str]) -> dict[str, Device]:
    """Those of the interfaces that are there."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for name in names:
            if len(name.encode()) > _NAME_MAX:
                continue
            try:
                ifindex = socket.if_nametoindex(name)
                request = _IFREQ.pack(name.encode(), 0, b"")
                _, _, mac = _IFREQ.unpack(fcntl.ioctl(handle, _SIOCGIFHWADDR, request))
            except OSError:
                continue
            found[name] = Device(ifindex, mac.hex(":"))
    return found
