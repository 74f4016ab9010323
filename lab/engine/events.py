"""What the engine says while it works. It prints nothing: whoever calls it decides what is shown, and how."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """A phase of the work has begun."""

    phase: str


@dataclass(frozen=True, slots=True)
class PhaseFinished:
    """A phase has ended.

    Attributes:
        elapsed_s: how long it took.
        changes: how many things were not yet as wanted; 0: nothing was touched.
    """

    phase: str
    elapsed_s: float
    changes: int


@dataclass(frozen=True, slots=True)
class NodeChanged:
    """A node has reached a state: "creating", "running", "wired", "kept", "removed"."""

    node: str
    state: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the lab still waits for, each in one line; sent when the list changes."""

    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the user should know, e.g. that a Docker engine was installed."""

    text: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a build or an installation wrote."""

    source: str
    line: str


Event = PhaseStarted | PhaseFinished | NodeChanged | Waiting | Note | LogLine
Events = Callable[[Event], None]
"""Takes each event as it happens; may be called from several threads."""


@dataclass(slots=True)
class Phase:
    """A phase under way; whoever works in it counts what it changed."""

    changes: int = field(default=0)


@contextmanager
def phase(events: Events, name: str) -> Iterator[Phase]:
    """Announce a phase, and at its end how long it took. A phase that fails is not announced as finished."""
    events(PhaseStarted(name))
    began = time.monotonic()
    current = Phase()
    yield current
    events(PhaseFinished(name, time.monotonic() - began, current.changes))
