"""BIRD's control socket: its text protocol."""

from __future__ import annotations

import logging
import re
import socket
from contextlib import suppress
from pathlib import Path

from gwnode.bgp.routes import COMMAND, Route, routes
from gwnode.bgp.sessions import Session, sessions

log = logging.getLogger(__name__)

READ_SIZE = 65536
TIMEOUT_S = 5.0
CODED = re.compile(r"^(\d{4})([ -])(.*)$")
ERROR_CODES = "89"
"""First digits of codes that say that a command failed (BIRD's doc/reply_codes)."""


class BirdError(Exception):
    """BIRD refused a command."""


class Bird:
    """A connection to one BIRD.

    Parameters:
        path: its control socket.

    Raises:
        OSError: it does not answer.
    """

    def __init__(self, path: Path) -> None:
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(TIMEOUT_S)
            self._socket.connect(str(path))
            self._answer()
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Bird:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def command(self, text: str) -> list[str]:
        """Send a command; the lines of the answer, without their codes.

        Raises:
            BirdError: it was refused.
            OSError: BIRD is gone.
        """
        self._socket.sendall(text.encode() + b"\n")
        return self._answer()

    def _answer(self) -> list[str]:
        """Lines "1234-text" go on, " text" continues with the same code, "1234 text" is the last."""
        lines: list[str] = []
        while True:
            line = self._line()
            coded = CODED.match(line)
            if not coded:
                lines.append(line[1:])
                continue
            code, separator, text = coded.groups()
            lines.append(text)
            if separator == " ":
                if code[0] in ERROR_CODES:
                    raise BirdError(text)
                return lines

    def _line(self) -> str:
        while b"\n" not in self._buffer:
            data = self._socket.recv(READ_SIZE)
            if not data:
                raise ConnectionError("BIRD closed its control socket")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode(errors="replace")


def observe(path: Path) -> tuple[list[Session], list[Route]]:
    """All sessions and BGP routes of one BIRD.

    Raises:
        OSError: it does not answer.
        BirdError: it does not understand.
    """
    with Bird(path) as bird:
        return sessions(bird.command("show protocols all")), routes(bird.command(COMMAND))


def hear_again(path: Path, session: Session) -> None:
    """Restart the session of a peer that had offered too much, once there is room again.

    BIRD 2 forgets what it blocked, and goes on blocking; only a new session makes the peer say it all again.

    Raises:
        BirdError: it does not understand.
        OSError: it does not answer.
    """
    with Bird(path) as bird:
        said = [
            line
            for channel in session.blocked
            for line in bird.command(f"show route import table {session.protocol}.{channel} count")
        ]
        counts = [int(line.split()[0]) for line in said if line[:1].isdigit()]
        # The session is one for all channels: it would be blocked again by the other one.
        if counts and max(counts) < session.limit:
            log.info("%s keeps within its limit again: a new session", session.protocol)
            bird.command(f"restart {session.protocol}")


def configure(path: Path) -> None:
    """Make BIRD read its file anew; sessions that the file leaves as they were go on.

    Raises:
        BirdError: the file is wrong; BIRD keeps what it had.
    """
    # A BIRD that is not there reads the file when it starts.
    with suppress(FileNotFoundError, ConnectionRefusedError), Bird(path) as bird:
        bird.command("configure")
