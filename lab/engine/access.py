"""Commands in nodes, and what nodes wrote."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError
from docker.utils.socket import STDERR, frames_iter
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from lab.errors import LabError, Problem

NOT_RUNNING = 409
PIECE_BYTES = 65_536
PID_WAIT_S = 5.0
NOT_STARTED = b"OCI runtime exec failed"
"""How the engine's own complaint begins where the command should have spoken, on the command's stdout."""


class ExecError(LabError):
    """A command could not be run in a node."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command in a node did."""

    exit_code: int
    stdout: str
    stderr: str


def run(
    client: docker.DockerClient,
    container: str,
    command: Sequence[str],
    timeout_s: float | None = None,
    stdin: int | None = None,
) -> CommandResult:
    """Run a command in a container to its end.

    Parameters:
        timeout_s: how long to wait for its end, in seconds; None: for ever.
        stdin: file descriptor that it reads from; None: from nothing.

    Raises:
        ExecError: the container does not run.
        TimeoutError: the command did not end in time; it was killed.
    """
    out: list[bytes] = []
    err: list[bytes] = []
    exit_code = stream(client, container, command, out.append, err.append, timeout_s, stdin)
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
    stdin: int | None = None,
) -> int:
    """Run a command in a container, handing on what it writes as it comes; what it ended with.

    Where waiting for it ends early, by Ctrl-C or by the time, the command is ended too.

    Parameters:
        out, err: take each piece of its stdout and stderr.
        timeout_s: how long to wait for its end, in seconds; None: for ever.
        stdin: file descriptor that it reads from; None: from nothing.

    Raises:
        ExecError: the container does not run.
        TimeoutError: the command did not end in time; it was killed.
    """
    api = client.api
    try:
        made = api.exec_create(container, list(command), stdin=stdin is not None)["Id"]
        connection = api.exec_start(made, socket=True)
    except APIError as error:
        raise _refused(container, error) from error
    # The socket waits for ever; ending it from a timer is what ends the wait.
    expired = threading.Event()
    timer = threading.Timer(timeout_s or 0, _hang_up, (connection, expired))
    timer.daemon = True
    if timeout_s is not None:
        timer.start()
    if stdin is not None:
        threading.Thread(target=_feed, args=(stdin, connection), daemon=True).start()
    try:
        for kind, piece in frames_iter(connection, tty=False):
            (err if kind == STDERR or piece.startswith(NOT_STARTED) else out)(piece)
    except KeyboardInterrupt:
        _signal(client, container, made, "INT")
        raise
    finally:
        timer.cancel()
        connection.close()
    if expired.is_set():
        _signal(client, container, made, "KILL")
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
    _socket(connection).shutdown(socket.SHUT_RDWR)


def _feed(source: int, connection: Any) -> None:
    """Hand on everything that can be read, then the end of it."""
    raw = _socket(connection)
    with contextlib.suppress(OSError):  # the command has ended: nobody reads the rest
        while piece := os.read(source, PIECE_BYTES):
            raw.sendall(piece)
        raw.shutdown(socket.SHUT_WR)


def _socket(connection: Any) -> socket.socket:
    raw: socket.socket = getattr(connection, "_sock", connection)
    return raw


def _signal(client: docker.DockerClient, container: str, made: str, name: str) -> None:
    """Send a signal to a command and its children, of which the engine only says the process id outside.

    Where that cannot be translated, as with an engine on another machine, the command runs on.
    """
    pid = _id_inside(_id_outside(client, made))
    if pid is None:
        return
    with contextlib.suppress(APIError):  # it has ended by itself meanwhile
        # The engine makes each command the leader of a session, and so of a process group.
        killer = client.api.exec_create(container, ["sh", "-c", f"kill -s {name} -- -{pid}"])["Id"]
        client.api.exec_start(killer)


def _id_outside(client: docker.DockerClient, made: str) -> int:
    """A command's process id, which the engine may know only after it has handed on the first output."""
    inspected = Retrying(
        retry=retry_if_result(lambda state: state["Running"] and not state["Pid"]),
        wait=wait_fixed(0.02),
        stop=stop_after_delay(PID_WAIT_S),
        retry_error_callback=lambda attempt: attempt.outcome.result() if attempt.outcome else {"Pid": 0},
    )(client.api.exec_inspect, made)
    return int(inspected["Pid"])


def _id_inside(pid: int) -> int | None:
    """A process's id in its innermost PID namespace (proc_pid_status(5), NSpid)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    ids = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
    return int(ids[-1]) if len(ids) > 1 else None


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
