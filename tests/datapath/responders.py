"""Servers in many namespaces, by one thread, that say who they are and whom they see."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from gwnode.netns import Namespace

SIZE = 65536


class Answer(NamedTuple):
    """What a server says.

    Attributes:
        name: its own.
        octets: that it has got.
        seen: the address that it has got them from.
    """

    name: str
    octets: int
    seen: str


class Responders:
    """TCP and UDP servers: whoever sends something, and then ends his half of it, is answered."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._sockets: dict[str, list[socket.socket]] = {}
        self._ended = threading.Event()
        self._wake, waker = socket.socketpair()
        self._selector.register(waker, selectors.EVENT_READ, lambda: waker.recv(SIZE))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Responders:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._wake.send(b"x")
        self._thread.join(5)
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    def add(self, name: str, namespace: Path, address: str, port: int) -> None:
        """A server in a namespace, called `name`."""

        def make() -> tuple[socket.socket, socket.socket]:
            tcp, udp = (
                socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
            )
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for made in (tcp, udp):
                made.bind((address, port))
                made.setblocking(False)
            tcp.listen()
            return tcp, udp

        tcp, udp = Namespace(namespace).run(make)
        self._register(tcp, lambda: self._accept(name, tcp))
        self._register(udp, lambda: self._reply(name, udp))
        self._sockets[name] = [tcp, udp]

    def remove(self, name: str) -> None:
        """End a server, and let go of its namespace."""
        for item in self._sockets.pop(name):
            self._selector.unregister(item)
            item.close()

    def _register(self, item: socket.socket, call: Callable[[], object]) -> None:
        self._selector.register(item, selectors.EVENT_READ, call)
        self._wake.send(b"x")

    def _run(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select(1):
                try:
                    key.data()
                except OSError:
                    # Whoever asked notices that no answer comes.
                    continue

    def _accept(self, name: str, listener: socket.socket) -> None:
        caller, (seen, _) = listener.accept()
        caller.setblocking(False)
        got = bytearray()

        def read() -> None:
            try:
                data = caller.recv(SIZE)
            except OSError:
                data = b""
                got.clear()
            if data:
                got.extend(data)
                return
            self._selector.unregister(caller)
            with caller:
                caller.send(f"{name} {len(got)} {seen}".encode())

        self._register(caller, read)

    def _reply(self, name: str, udp: socket.socket) -> None:
        data, sender = udp.recvfrom(SIZE)
        udp.sendto(f"{name} {len(data)} {sender[0]}".encode(), sender)


def ask(
    namespace: Path,
    target: tuple[str, int],
    kind: socket.SocketKind,
    size: int = 1000,
    within_s: float = 5.0,
    source: str = "",
) -> Answer:
    """Send octets out of a namespace to a server; what it says.

    Raises:
        OSError: nothing came back.
    """
    with Namespace(namespace).run(lambda: socket.socket(socket.AF_INET, kind)) as caller:
        caller.settimeout(within_s)
        if source:
            caller.bind((source, 0))
        caller.connect(target)
        caller.sendall(bytes(size))
        if kind is socket.SOCK_STREAM:
            caller.shutdown(socket.SHUT_WR)
        said = caller.recv(SIZE)
    if not said:
        raise ConnectionError(f"{target}: closed without an answer")
    name, octets, seen = said.decode().split()
    return Answer(name, int(octets), seen)
