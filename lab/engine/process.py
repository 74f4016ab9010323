"""Programs of the machine that take long and say what they do: apt-get, pip, mmdebstrap."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from lab.engine.events import Events, LogLine

LAST_LINES = 10


class CommandFailedError(Exception):
    """A program ended with an error.

    Attributes:
        exit_code: what it ended with.
        last_words: the end of what it wrote, lines joined.
    """

    def __init__(self, command: Sequence[str], exit_code: int, last_words: str) -> None:
        super().__init__(f"{' '.join(command)} failed (exit {exit_code})")
        self.exit_code = exit_code
        self.last_words = last_words


def follow(command: Sequence[str], events: Events, environment: Mapping[str, str] | None = None) -> None:
    """Run a program to its end; each line that it writes is an event.

    Parameters:
        command: the program and its arguments.
        events: is told the lines, under the program's name.
        environment: its variables; None: ours.

    Raises:
        CommandFailedError: it ended with an error.
    """
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            events(LogLine(command[0].rpartition("/")[2], lines[-1]))
    if process.returncode != 0:
        raise CommandFailedError(command, process.returncode, "\n".join(lines[-LAST_LINES:]))
