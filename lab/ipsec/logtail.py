"""Reads what charon writes to its log file of causes.

VICI has an event for log lines, but a client that dies while it listens makes charon 5.9.8 log about that,
hear itself, and log again: thousands of lines.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

MAX_BYTES = 256 * 1024
LINE = re.compile(r"^\S*\[\w+\] (?:<(?:(?P<name>[^|>]+)\|)?(?P<number>\d+)> )?(?P<text>.*)$")


class LogLine(NamedTuple):
    """A line of charon's log.

    Attributes:
        connection: whose it is; empty before charon knows.
        text: without prefix.
        number: of the IKE_SA; empty: it is about none.
    """

    connection: str
    text: str
    number: str = ""


def parse(line: str) -> LogLine:
    """Take a line apart: `13[IKE] <blue-hq|2> giving up after 3 retransmits`."""
    match = LINE.match(line)
    return LogLine(match["name"] or "", match["text"], match["number"] or "") if match else LogLine("", line)


class LogTail:
    """New lines of a file that another process appends to (O_APPEND); the file is emptied when it has grown.

    Parameters:
        path: of the file; need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[LogLine]:
        """The whole lines since the last call; at first, all."""
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(self._offset if size >= self._offset else 0)
                data = file.read()
                start = file.tell() - len(data)
        except FileNotFoundError:
            return []
        whole, _, _ = data.rpartition(b"\n")
        self._offset = start + len(whole) + (1 if whole else 0)
        if self._offset > MAX_BYTES:
            os.truncate(self._path, 0)
            self._offset = 0
        return [parse(line.decode(errors="replace")) for line in whole.splitlines()]
