"""Where the command's words go: data to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from lab.errors import LabError


def data(value: Any) -> None:
    """A result as JSON on stdout."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
    sys.stdout.flush()


def text(line: str) -> None:
    """A line of the result on stdout."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """A line on stderr: progress, hints, errors."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def error(failure: LabError, *, as_json: bool) -> None:
    """A failure: for people on stderr, for programs as JSON on stdout."""
    if as_json:
        data({"errors": [problem.to_json() for problem in failure.problems]})
        return
    for problem in failure.problems:
        note(f"error: {problem}")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout, columns padded; without frame, so that it can be cut and searched."""
    lines = [tuple(headings), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        text("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def is_terminal() -> bool:
    """Whether stderr is a terminal on which lines can be redrawn."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and "CI" not in os.environ
