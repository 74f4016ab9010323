"""Withdrawals by BGP peers, out of what BIRD writes down of their routes.

BIRD's log of a session's `states, routes, filters` has every change in the order in which it came, with its
time: nothing that happens between two looks is missed, and an agent that starts anew reads what was before.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path

from gwnode.bgp.config import old_flaps

READ_SIZE = 1 << 16
LINE = re.compile(
    r"^(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) <TRACE> (?P<protocol>\w+)"
    r"(?:: State changed to (?P<state>\w+)"
    r"|\.\w+ > (?P<what>removed|filtered out)(?: \[\w+\])? (?P<prefix>[\d.:a-f]+/\d+).*)$"
)


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A peer has taken back a prefix.

    Attributes:
        protocol: BIRD's name for the session.
        prefix: as BIRD writes it.
        at_s: Unix time.
    """

    protocol: str
    prefix: str
    at_s: float


class Withdrawals:
    """Finds them among BIRD's lines.

    A route goes, too, when its session ends (the peer has said nothing about its prefixes) and when a filter
    does not let it in any more (the peer still offers it): neither is held against the prefix.
    """

    def __init__(self) -> None:
        self._ended: set[str] = set()
        self._filtered: tuple[str, str] | None = None

    def feed(self, lines: Iterable[str]) -> Iterator[Withdrawal]:
        """The withdrawals that the next lines tell of."""
        for line in lines:
            found = LINE.match(line)
            if found is None:
                continue
            protocol, prefix = found["protocol"], found["prefix"]
            if found["state"]:
                (self._ended.discard if found["state"] == "up" else self._ended.add)(protocol)
            elif found["what"] == "filtered out":
                self._filtered = (protocol, prefix)
                continue
            elif protocol not in self._ended and self._filtered != (protocol, prefix):
                yield Withdrawal(protocol, prefix, datetime.fromisoformat(found["at"]).timestamp())
            # The filter's word stands in the line before the removal that it causes.
            self._filtered = None


class FlapLog:
    """Reads the file to which BIRD appends, over its turns: BIRD renames a full file and begins another.

    Parameters:
        path: the current file; may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._file: FileIO | None = None

    def lines(self) -> Iterator[str]:
        """The whole lines that have come since the last call; at the first, all that there are."""
        if self._file is None:
            old = old_flaps(self._path)
            if old.exists():
                with FileIO(old) as file:
                    yield from self._drain(file)
        else:
            yield from self._drain(self._file)
            if self._is_current(self._file):
                return
            # Written between our last read and the turn.
            yield from self._drain(self._file)
            self.close()
        try:
            self._file = FileIO(self._path)
        except FileNotFoundError:
            return
        yield from self._drain(self._file)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _is_current(self, file: FileIO) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def _drain(self, file: FileIO) -> Iterator[str]:
        while data := file.read(READ_SIZE):
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace")
