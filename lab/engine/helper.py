"""A program of ours beside the kernel that is talked to while it works, by lines of JSON.

As root beside the engine it is a child process, else it runs in the throw-away container that also wires
(`lab.engine.runner`). The program says `{"error": "…"}` where it fails.
"""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import docker
from docker.errors import APIError
from docker.utils.socket import STDERR, frames_iter

from lab.engine import containers, runner
from lab.errors import LabError, Problem

Message = dict[str, Any]
START_S = 60.0
"""For the first answer: on a busy machine a container and Python take seconds."""


class HelperError(LabError):
    """The program failed, or its container could not be started."""


class Helper:
    """A conversation with a program."""

    def __init__(self, write: Callable[[bytes], Any]) -> None:
        """Parameters:
        write: hands bytes to the program's stdin.
        """
        self._write = write
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._complaint: list[bytes] = []

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a message.

        Raises:
            HelperError: the program has ended.
        """
        try:
            self._write(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise self._ended() from error

    def hear(self, timeout_s: float) -> Message:
        """The program's next message.

        Raises:
            HelperError: the program failed, has ended, or says nothing in time.
        """
        message = self.overhear(timeout_s)
        if message is None:
            raise _failed(f"no answer within {timeout_s} s")
        return message

    def overhear(self, timeout_s: float) -> Message | None:
        """The program's next message, if there is one in time.

        Raises:
            HelperError: the program failed or has ended.
        """
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if line is None:
            raise self._ended()
        message: Message = json.loads(line)
        if "error" in message:
            raise _failed(str(message["error"]))
        return message

    def pump(self, out: Iterable[bytes]) -> None:
        """Take what the program writes to stdout, piece by piece, until it ends."""
        rest = b""
        for piece in out:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)

    def complain(self, err: Iterable[bytes]) -> None:
        """Take what the program writes to stderr."""
        self._complaint.extend(err)

    def _ended(self) -> HelperError:
        words = b"".join(self._complaint).decode(errors="replace").strip()
        return _failed(f"it ended: {words}" if words else "it ended")


@contextmanager
def started(
    client: docker.DockerClient, lab: str, image: str, module: str, processes: Mapping[str, int]
) -> Iterator[Helper]:
    """Run a module of ours beside the kernel; it is ended with the context.

    Parameters:
        lab: name of the lab; marks the throw-away container.
        image: the fabric image.
        module: what runs, `python -m MODULE`.
        processes: node -> process in its namespace, of all nodes whose namespaces it will enter.

    Raises:
        HelperError: it cannot be started.
    """
    if runner.can_wire_directly(processes):
        with _child(module) as helper:
            yield helper
        return
    try:
        with _container(client, lab, image, module) as helper:
            yield helper
    except APIError as error:
        raise _failed(str(error.explanation or error)) from error


@contextmanager
def _child(module: str) -> Iterator[Helper]:
    with subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        stdin, stdout, stderr = _pipes(process)
        helper = Helper(stdin.write)
        readers = [
            threading.Thread(target=take, args=(pipe,), daemon=True)
            for take, pipe in ((helper.pump, stdout), (helper.complain, stderr))
        ]
        for reader in readers:
            reader.start()
        try:
            yield helper
        finally:
            process.kill()
            for reader in readers:
                reader.join()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise TypeError("the process was started without pipes")
    return process.stdin, process.stdout, process.stderr


@contextmanager
def _container(client: docker.DockerClient, lab: str, image: str, module: str) -> Iterator[Helper]:
    api = client.api
    made = runner.create(client, lab, image, ("python3", "-m", module), stdin=True)
    try:
        connection = api.attach_socket(made, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        raw: socket.socket = getattr(connection, "_sock", connection)
        api.start(made)
        helper = Helper(raw.sendall)

        def pieces() -> Iterator[bytes]:
            for kind, piece in frames_iter(connection, tty=False):
                if kind == STDERR:
                    helper.complain([piece])
                else:
                    yield piece

        threading.Thread(target=lambda: helper.pump(pieces()), daemon=True).start()
        yield helper
    finally:
        containers.remove(client, made)


def _failed(message: str) -> HelperError:
    return HelperError(
        Problem(
            code="HNV-ENG-041",
            message=f"the program beside the kernel failed: {message}",
            hint="hnvlab doctor says whether this machine can run a lab",
        )
    )
