"""Shows an `up` or a `down` as it goes: a live table on a terminal, plain lines with the time elsewhere."""

from __future__ import annotations

import textwrap
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from lab.cli import output
from lab.engine.events import Event, LogLine, NodeChanged, Note, PhaseFinished, PhaseStarted, Waiting

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


SHOWN = 3
"""Of what is missing, in one line."""
SHOWN_IN_TABLE = 6
LINE_WIDTH = 100
TELL_AGAIN_AFTER_S = 2.0
"""Between two lines about what is missing: it changes ten times a second, and most of it comes by itself."""


class Progress(Protocol):
    """Takes events as they come, from any thread; used as a context."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __call__(self, event: Event) -> None: ...


def progress(*, quiet: bool = False) -> Progress:
    """What fits the place: nothing, a live table, or lines. `quiet` is for who reads only JSON."""
    if quiet:
        return Silence()
    return LiveTable() if output.is_terminal() else Lines()


class Silence:
    """Shows nothing but notes: that an engine was installed must not be kept from anyone."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note):
            output.note(event.text)


class Lines(Silence):
    """One line for each event that is worth one, with the time since the start."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to count the time.

        Parameters:
            clock: gives the time in seconds.
        """
        self._clock = clock
        self._began = clock()
        self._told_at: float | None = None

    def __call__(self, event: Event) -> None:
        now = self._clock()
        if isinstance(event, Waiting):
            if self._told_at is not None and now - self._told_at < TELL_AGAIN_AFTER_S:
                return
            self._told_at = now
        line = describe(event)
        if line:
            output.note(f"{now - self._began:7.2f}s  {line}")


class LiveTable(Silence):
    """Nodes and phases in one table that is redrawn in place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[str, str] = {}
        self._phases: dict[str, float | None] = {}
        self._missing: tuple[str, ...] = ()
        self._last_log = ""
        self._live: Live | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(stderr=True), get_renderable=self._render, refresh_per_second=8, transient=False
        )
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._last_log = ""
        if self._live is not None:
            self._live.__exit__(kind, value, trace)

    def __call__(self, event: Event) -> None:
        with self._lock:
            match event:
                case PhaseStarted(phase):
                    self._phases[phase] = None
                case PhaseFinished(phase, elapsed_s):
                    self._phases[phase] = elapsed_s
                    self._last_log, self._missing = "", ()
                case NodeChanged(node, state):
                    self._nodes[node] = state
                case Waiting(missing):
                    self._missing = missing
                case LogLine(source, line):
                    self._last_log = f"{source}: {line}"
                case Note(text):
                    if self._live is not None:
                        self._live.console.print(text)

    def _render(self) -> RenderableType:
        from rich.columns import Columns
        from rich.console import Group
        from rich.text import Text

        with self._lock:
            phases = Text("  ").join(
                Text(f"{name} {elapsed:.1f}s", style="green")
                if elapsed is not None
                else Text(f"{name} …", style="bold")
                for name, elapsed in self._phases.items()
            )
            nodes = Columns(
                [
                    Text.assemble(f"{node} ", (state, "green" if state == "wired" else "dim"))
                    for node, state in sorted(self._nodes.items())
                ],
                padding=(0, 3),
                equal=True,
                column_first=True,
            )
            waiting = [
                Text(f"waiting: {line}", style="yellow", no_wrap=True, overflow="ellipsis")
                for line in self._missing[:SHOWN_IN_TABLE]
            ]
            more = len(self._missing) - SHOWN_IN_TABLE
            if more > 0:
                waiting.append(Text(f"… and {more} more", style="yellow"))
            log = (
                [Text(self._last_log, style="dim", no_wrap=True, overflow="ellipsis")]
                if self._last_log
                else []
            )
            return Group(phases, nodes, *waiting, *log)


def describe(event: Event) -> str:
    """An event as one short line; empty: not worth one."""
    match event:
        case PhaseStarted(phase):
            return f"{phase} …"
        case PhaseFinished(phase, elapsed_s, changes):
            return f"{phase} done in {elapsed_s:.2f} s, {changes or 'no'} change{'' if changes == 1 else 's'}"
        case NodeChanged(_, "creating" | "wired"):
            return ""  # the phase counts them
        case NodeChanged(node, state):
            return f"{node}: {state}"
        case Waiting(missing):
            return f"waiting for {in_short(missing)}"
        case Note(text):
            return text
        case LogLine(source, line) if line.startswith("Step "):
            return f"{source}: {textwrap.shorten(line, LINE_WIDTH, placeholder=' …')}"
        case LogLine():
            return ""


def in_short(missing: tuple[str, ...]) -> str:
    """How many things are missing, and the first of them by name; why they are stands in the error, if it
    comes to one.
    """
    names = [line.partition(":")[0] for line in missing[:SHOWN]]
    more = [f"{len(missing) - SHOWN} more"] if len(missing) > SHOWN else []
    return ", ".join([*names, *more])
