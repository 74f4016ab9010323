"""The client when nobody, or only half of somebody, answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.controller.client import ControllerClient, ControllerUnreachableError

CUT_SHORT = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"value": ['
WHOLE = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"value": []}'


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """A server that gives one answer to each connection, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def serve() -> None:
            for answer in answers:
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    return  # nobody asks again: the client's own complaint says more
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.join(10)


def test_an_answer_that_is_cut_short_is_no_answer(tmp_path: Path) -> None:
    with (
        answering(CUT_SHORT) as url,
        ControllerClient(url, tmp_path, "token", retry_for_s=0) as client,
        pytest.raises(ControllerUnreachableError, match="does not answer"),
    ):
        client.list("servers")


def test_an_answer_that_is_cut_short_is_asked_for_again(tmp_path: Path) -> None:
    with (
        answering(CUT_SHORT, WHOLE) as url,
        ControllerClient(url, tmp_path, "token", retry_for_s=5) as client,
    ):
        assert client.list("servers") == []
