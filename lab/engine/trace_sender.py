"""The program that sends a trace's packet and watches for it outside of the switches.

Talked to through `lab.engine.helper`. First line of stdin: `{"pids": {NODE: PID}, "source": NODE, "places":
[{"node": NODE, "compartment": NAME or ""}…], "probe": {"source", "destination", "protocol", "port",
"mark"}}`. It answers `{"ready": true}` as soon as every place is watched. `{"send": true}` is answered by
`{"sent_ns": T}`, and from then on each time the packet, or its answer, passes an interface of a place by
`{"seen": {"time_ns": T, "node": NODE, "compartment": NAME, "interface": NAME, "outgoing": BOOL, "answer":
BOOL}}`; or, where the sender's kernel does not take the packet, by `{"refused": REASON}`. It ends with its
stdin. Times are of CLOCK_MONOTONIC, as in the switches' own events.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from lab.engine.namespaces import CLONE_NEWNET
from lab.engine.trace_packet import Probe, Protocol

ETH_P_ALL = 3
SO_TIMESTAMPNS = 35
SO_ATTACH_FILTER = 26
TIMESPEC = struct.Struct("@qq")
CAPTURED = 256
LONGEST = 1 << 16


def main() -> int:
    """Serve one trace from stdin to stdout."""
    request = json.loads(sys.stdin.buffer.readline())
    try:
        with ExitStack() as stack:
            _serve(request, stack)
    except OSError as error:
        _answer({"error": str(error)})
        return 1
    return 0


def _serve(request: Mapping[str, Any], stack: ExitStack) -> None:
    probe = probe_of(request["probe"])
    selector = stack.enter_context(selectors.DefaultSelector())
    for place in request["places"]:
        path = namespace_path(request["pids"][place["node"]], place["compartment"])
        if place["compartment"] and not Path(path).exists():
            continue  # another gateway of the pool carries the tenant
        with _entered(path):
            watcher = stack.enter_context(_watcher(probe, everything=place["node"] == request["source"]))
        selector.register(watcher, selectors.EVENT_READ, place)
    with _entered(namespace_path(request["pids"][request["source"]], "")):
        family = socket.AF_INET if probe.source.version == 4 else socket.AF_INET6
        sender = stack.enter_context(socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW))
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    offset_ns = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.monotonic_ns()
    selector.register(sys.stdin.buffer, selectors.EVENT_READ, None)
    _answer({"ready": True})
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                seen = _look(key.fileobj, probe, key.data, offset_ns)
                if seen:
                    _answer({"seen": seen})
            elif sys.stdin.buffer.readline():
                _answer(_send(sender, probe))
            else:
                return


def _send(sender: socket.socket, probe: Probe) -> dict[str, Any]:
    """When it was sent, or why the kernel did not take it."""
    sent_ns = time.monotonic_ns()
    try:
        sender.sendto(probe.packet(), (str(probe.destination), 0))
    except OSError as error:
        return {"refused": error.strerror or str(error)}
    return {"sent_ns": sent_ns}


def probe_of(data: Mapping[str, Any]) -> Probe:
    """The probe of a request."""
    return Probe(
        ip_address(data["source"]),
        ip_address(data["destination"]),
        Protocol(data["protocol"]),
        int(data["port"]),
        int(data["mark"]),
    )


def namespace_path(pid: int, compartment: str) -> str:
    """A node's own network namespace, or one of its compartments (as `ip netns` keeps them there)."""
    return f"/proc/{pid}/root/run/netns/{compartment}" if compartment else f"/proc/{pid}/ns/net"


@contextmanager
def _entered(path: str) -> Iterator[None]:
    """Be in a network namespace; what is opened there stays there."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(libc, descriptor)
        yield
    finally:
        _setns(libc, home)
        os.close(descriptor)
        os.close(home)


def _setns(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter a network namespace")


def _watcher(probe: Probe, *, everything: bool) -> socket.socket:
    """Sees the packet on all interfaces of the namespace that the thread is in, whatever their link layer.

    Parameters:
        everything: let the kernel hand over all packets, not only those with the mark: an answer has another.
    """
    watcher = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    watcher.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if not everything:
        program = _marked(probe)
        buffer = ctypes.create_string_buffer(program)
        header = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
        watcher.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, header)
    watcher.setblocking(False)
    return watcher


def _marked(probe: Probe) -> bytes:
    """A classic BPF program that lets only the mark through: load it from the IP header, and compare."""
    load, four, equal, give = 0x28, probe.source.version == 4, 0x15, 0x06
    rows = [(load, 0, 0, 4)] if four else [(0x20, 0, 0, 0), (0x54, 0, 0, 0xFFFFF)]
    rows += [(equal, 0, 1, probe.mark), (give, 0, 0, LONGEST), (give, 0, 0, 0)]
    return b"".join(struct.pack("@HBBI", *row) for row in rows)


def _look(watcher: Any, probe: Probe, place: Mapping[str, Any], offset_ns: int) -> dict[str, Any] | None:
    """What a watcher has received, if it is ours."""
    try:
        packet, ancillary, _, address = watcher.recvmsg(CAPTURED, socket.CMSG_SPACE(TIMESPEC.size))
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        return None  # an interface of the place went away or down: the others are watched on
    answer = probe.is_answer(packet)
    if not answer and not probe.is_this(packet):
        return None
    moment = time.monotonic_ns()
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS) and len(data) >= TIMESPEC.size:
            seconds, nanoseconds = TIMESPEC.unpack_from(data)
            moment = seconds * 1_000_000_000 + nanoseconds - offset_ns
    return {
        "time_ns": moment,
        "node": place["node"],
        "compartment": place["compartment"],
        "interface": address[0],
        "outgoing": address[2] == socket.PACKET_OUTGOING,
        "answer": answer,
    }


def _answer(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
