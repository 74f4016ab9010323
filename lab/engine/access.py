"""Commands in nodes, and what nodes wrote."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError
from docker.utils.socket import STDERR, frames_iter

from lab.errors import LabError, Problem

NOT_RUNNING = 409


class ExecError(LabError):
    """A command could not be run in a node."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command in a node did."""

    exit_code: int
    stdout: str
    stderr: str


def run(
    client: docker.DockerClient, container: str, command: Sequence[str], timeout_s: float | None = None
) -> CommandResult:
    """Run a command in a container to its end.

    Parameters:
        timeout_s: how long to wait for its end, in seconds; None: for ever.

    Raises:
        ExecError: the container does not run.
        TimeoutError: the command did not end in time; it may still run.
    """
    out: list[bytes] = []
    err: list[bytes] = []
    exit_code = stream(client, container, command, out.append, err.append, timeout_s)
    return CommandResult(
        exit_code, b"".join(out).decode(errors="replace"), b"".join(err).decode(errors="replace")
    )


def stream(
    client: docker.DockerClient,
    container: str,
    command: Sequence[str],
    out: Callable[[bytes], Any],
    err: Callable[[bytes], Any],
    timeout_s: float | None = None,
) -> int:
    """Run a command in a container, handing on what it writes as it comes; what it ended with.

    Parameters:
        out, err: take each piece of its stdout and stderr.
        timeout_s: how long to wait for its end, in seconds; None: for ever.

    Raises:
        ExecError: the container does not run.
        TimeoutError: the command did not end in time; it may still run.
    """
    api = client.api
    try:
        made = api.exec_create(container, list(command), stdout=True, stderr=True)["Id"]
        connection = api.exec_start(made, socket=True)
    except APIError as error:
        raise _refused(container, error) from error
    # The socket waits for ever; ending it from a timer is what ends the wait.
    expired = threading.Event()
    timer = threading.Timer(timeout_s or 0, _hang_up, (connection, expired))
    timer.daemon = True
    if timeout_s is not None:
        timer.start()
    try:
        for kind, piece in frames_iter(connection, tty=False):
            (err if kind == STDERR else out)(piece)
    finally:
        timer.cancel()
        connection.close()
    if expired.is_set():
        raise TimeoutError(f"{command[0]} in {container} did not end within {timeout_s} s")
    return int(api.exec_inspect(made)["ExitCode"])


def logs(client: docker.DockerClient, container: str, *, follow: bool, tail: int | None) -> Iterable[bytes]:
    """What a container's processes wrote, piece by piece.

    Parameters:
        follow: go on with what is still to come, until the container ends.
        tail: only so many last lines; None: all.
    """
    pieces: Iterable[bytes] = client.api.logs(
        container, stdout=True, stderr=True, stream=True, follow=follow, tail="all" if tail is None else tail
    )
    return pieces


def _hang_up(connection: Any, expired: threading.Event) -> None:
    expired.set()
    raw: socket.socket = getattr(connection, "_sock", connection)
    raw.shutdown(socket.SHUT_RDWR)


def _refused(container: str, error: APIError) -> ExecError:
    stopped = error.status_code == NOT_RUNNING
    return ExecError(
        Problem(
            code="HNV-ENG-060",
            message=f"{container} does not run" if stopped else str(error.explanation),
            place=container,
            hint="hnvlab up starts it again" if stopped else "",
        )
    )
