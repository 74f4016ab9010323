"""BIRD's control socket: its text protocol, and what its answers mean."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

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


class Connectivity(StrEnum):
    """ConnectivityStatus of Get-BgpPeer."""

    CONNECTED = "Connected"
    CONNECTING = "Connecting"
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True)
class Session:
    """A BGP session.

    Attributes:
        protocol: BIRD's name for it.
        status: as the product calls it.
        since_unix_s: when it took that state.
        last_error: BIRD's words; empty while it is established.
    """

    protocol: str
    status: Connectivity
    since_unix_s: int
    last_error: str


@dataclass(frozen=True, slots=True)
class Learned:
    """A prefix that a peer offers and that can be reached.

    Attributes:
        protocol: the session that it came by.
        metric: its MED; 0: none.
    """

    prefix: str
    protocol: str
    metric: int


SESSION = re.compile(
    r"^(?P<name>\S+)\s+BGP\s+\S+\s+(?P<state>\S+)"
    r"\s+(?P<since>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\S*\s*(?P<info>.*)$"
)
ERROR_LINE = re.compile(r"^\s+(?:Last error|Error):\s+(?P<error>.*)$")
ROUTE = re.compile(r"^(?P<prefix>\S*)\s+unicast \[(?P<protocol>\S+) [^\]]*\]\s*(?P<best>\*?)")
MED = re.compile(r"^\s+BGP\.med:\s+(?P<med>\d+)$")


def sessions(lines: Iterable[str]) -> list[Session]:
    """The BGP sessions in the answer to `show protocols all`."""
    found: list[Session] = []
    for line in lines:
        if match := SESSION.match(line):
            found.append(
                Session(
                    match["name"],
                    _status(match["state"], match["info"]),
                    int(datetime.fromisoformat(match["since"]).timestamp()),
                    "",
                )
            )
            current = match["name"]
        elif (match := ERROR_LINE.match(line)) and found and found[-1].protocol == current:
            last = found[-1]
            if last.status is not Connectivity.CONNECTED:
                found[-1] = Session(last.protocol, last.status, last.since_unix_s, match["error"])
        elif line and not line[0].isspace():
            current = ""
    return found


def _status(state: str, info: str) -> Connectivity:
    if state == "up" and info.startswith("Established"):
        return Connectivity.CONNECTED
    return Connectivity.STOPPED if state == "down" else Connectivity.CONNECTING


def learned(lines: Sequence[str]) -> list[Learned]:
    """The best reachable routes in the answer to `show route all where source = RTS_BGP`."""
    found: list[Learned] = []
    prefix, wanted = "", False
    for line in lines:
        match = ROUTE.match(line)
        if match:
            # A second route of the same prefix comes without it.
            prefix = match["prefix"] or prefix
            wanted = bool(match["best"])
            if wanted:
                found.append(Learned(prefix, match["protocol"], 0))
        elif line and not line[0].isspace():
            prefix, wanted = line.split()[0], False
        elif wanted and (med := MED.match(line)):
            last = found[-1]
            found[-1] = Learned(last.prefix, last.protocol, int(med["med"]))
    return found


def observe(path: Path) -> tuple[list[Session], list[Learned]]:
    """All sessions and routes of one BIRD.

    Raises:
        OSError: it does not answer.
        BirdError: it does not understand.
    """
    with Bird(path) as bird:
        return (
            sessions(bird.command("show protocols all")),
            learned(bird.command("show route all where source = RTS_BGP")),
        )


def configure(path: Path) -> None:
    """Make BIRD read its file anew; sessions that the file leaves as they were go on.

    Raises:
        BirdError: the file is wrong; BIRD keeps what it had.
    """
    # A BIRD that is not there reads the file when it starts.
    with suppress(FileNotFoundError, ConnectionRefusedError), Bird(path) as bird:
        bird.command("configure")
