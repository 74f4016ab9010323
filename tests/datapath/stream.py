"""A TCP connection between two namespaces that carries as much as it may."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from types import TracebackType

from gwnode.netns import Namespace

CHUNK = 65536
HEADERS = 20 + 20 + 12
"""Octets: IPv4's and TCP's, and the option that bears timestamps."""


class Stream:
    """Sends from one namespace to another until it is closed.

    Parameters:
        sender, receiver: namespaces.
        target: where the sender connects to.
        bound: where the receiver listens.
    """

    def __init__(
        self, sender: Path, receiver: Path, target: tuple[str, int], bound: tuple[str, int] | None = None
    ) -> None:
        self.error: OSError | None = None
        self._received: list[tuple[float, int]] = []
        self._ended = threading.Event()
        with Namespace(receiver).run(lambda: socket.create_server(bound or target)) as listener:
            listener.settimeout(10)
            self._sending = Namespace(sender).run(lambda: socket.socket(socket.AF_INET))
            self._sending.settimeout(10)
            self._sending.connect(target)
            self._receiving, _ = listener.accept()
        self._receiving.settimeout(10)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for item in (self._sending, self._receiving):
            item.close()
        for thread in self._threads:
            thread.join(15)

    @property
    def octets(self) -> int:
        """Payload that has arrived."""
        return self._received[-1][1] if self._received else 0

    @property
    def packed(self) -> float:
        """Octets of IP packets for each octet of payload, where no super-packet saves headers."""
        segment = self._sending.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        return (segment + HEADERS) / segment

    def kbps(self, since: float, seconds: float) -> float:
        """Payload that arrived in a time, in kbit/s.

        Parameters:
            since: its beginning, by time.monotonic().
            seconds: how long it is.

        Raises:
            AssertionError: it has not passed yet, or the connection has ended.
        """
        assert self.error is None, self.error
        # Taken once: the other thread goes on appending.
        told = self._received[:]
        assert told
        assert told[-1][0] >= since + seconds, f"{since + seconds - told[-1][0]:.1f} s to go"
        inside = [item for item in told if since <= item[0] <= since + seconds]
        (began, first), (ended, last) = inside[0], inside[-1]
        return (last - first) / 125 / (ended - began)

    def _send(self) -> None:
        try:
            while not self._ended.is_set():
                self._sending.sendall(bytes(CHUNK))
        except OSError as error:
            self._note(error)

    def _receive(self) -> None:
        total = 0
        try:
            while data := self._receiving.recv(CHUNK):
                total += len(data)
                self._received.append((time.monotonic(), total))
        except OSError as error:
            self._note(error)

    def _note(self, error: OSError) -> None:
        if not self._ended.is_set():
            self.error = error
