"""A first-in-first-out queue that counts octets (bfifo), which pyroute2 has no words for."""

from __future__ import annotations

import os
import socket
import struct

_RTM_NEWQDISC = 36
_NLMSG_ERROR = 2
_FLAGS = 0x1 | 0x4 | 0x100 | 0x400
"""REQUEST, ACK, REPLACE, CREATE."""
_TCA_KIND, _TCA_OPTIONS = 1, 2
_HEADER = struct.Struct("=IHHII")
_TCMSG = struct.Struct("=BxxxiIII")
_ERROR = struct.Struct("=i")


def set_queue(ifindex: int, parent: int, handle: int, limit: int) -> None:
    """Give a class a queue, or change the limit of the one that it has; what waits in it stays.

    Args:
        ifindex: of the device, in the network namespace of this thread.
        parent: handle of the class.
        handle: of the queue.
        limit: octets that may wait.

    Raises:
        OSError: the kernel refused.
    """
    body = _TCMSG.pack(socket.AF_UNSPEC, ifindex, handle, parent, 0)
    body += _attribute(_TCA_KIND, b"bfifo\0") + _attribute(_TCA_OPTIONS, struct.pack("=I", limit))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0))
        netlink.send(_HEADER.pack(_HEADER.size + len(body), _RTM_NEWQDISC, _FLAGS, 1, 0) + body)
        answer = netlink.recv(65536)
    _, kind, _, _, _ = _HEADER.unpack_from(answer)
    (error,) = _ERROR.unpack_from(answer, _HEADER.size)
    if kind == _NLMSG_ERROR and error:
        raise OSError(-error, f"queue of class {parent:x}: {os.strerror(-error)}")


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
