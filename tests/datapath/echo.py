"""Traffic between two namespaces that must come back whole."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

from gwnode.netns import Namespace


def echo(namespace: Path, address: str, kind: socket.SocketKind) -> tuple[socket.socket, threading.Thread]:
    """A socket that sends back what it gets, once, made in a namespace."""

    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        made.bind((address, 0))
        made.settimeout(10)
        if kind is socket.SOCK_STREAM:
            made.listen()
        return made

    def serve() -> None:
        if kind is socket.SOCK_DGRAM:
            data, sender = listening.recvfrom(65536)
            listening.sendto(data, sender)
            return
        connection, _ = listening.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    listening = Namespace(namespace).run(make)
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listening, thread


def carries(client: Path, server: Path, address: str, kind: socket.SocketKind, size: int) -> int:
    """Bytes that come back whole from an echo in another namespace."""
    listening, thread = echo(server, address, kind)
    sent = os.urandom(size)
    with listening, Namespace(client).run(lambda: socket.socket(socket.AF_INET, kind)) as caller:
        caller.settimeout(10)
        caller.connect(listening.getsockname())
        if kind is socket.SOCK_DGRAM:
            caller.send(sent)
            received = caller.recv(65536)
        else:

            def send() -> None:
                caller.sendall(sent)
                caller.shutdown(socket.SHUT_WR)

            writer = threading.Thread(target=send, daemon=True)
            writer.start()
            received = b"".join(iter(lambda: caller.recv(65536), b""))
            writer.join(10)
        thread.join(10)
    assert received == sent
    return len(received)
