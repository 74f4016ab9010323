"""Shows an `up` or a `down` as it goes: a live table on a terminal, plain lines with the time elsewhere."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from lab.cli import output
from lab.engine.events import Event, LogLine, NodeChanged, Note, PhaseFinished, PhaseStarted, Waiting

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


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
    """One line for each event, with the time since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, event: Event) -> None:
        line = describe(event)
        if line:
            output.note(f"{time.monotonic() - self._began:7.2f}s  {line}")


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
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            phases = Text("  ").join(
                Text(f"{name} {elapsed:.1f}s", style="green")
                if elapsed is not None
                else Text(f"{name} …", style="bold")
                for name, elapsed in self._phases.items()
            )
            nodes = Table.grid(padding=(0, 3))
            for node, state in sorted(self._nodes.items()):
                nodes.add_row(node, Text(state, style="green" if state == "wired" else ""))
            waiting = [Text(f"waiting: {line}", style="yellow") for line in self._missing]
            log = (
                [Text(self._last_log, style="dim", no_wrap=True, overflow="ellipsis")]
                if self._last_log
                else []
            )
            return Group(phases, nodes, *waiting, *log)


def describe(event: Event) -> str:
    """An event as a line; empty: not worth one."""
    match event:
        case PhaseStarted(phase):
            return f"{phase} …"
        case PhaseFinished(phase, elapsed_s, changes):
            return f"{phase} done in {elapsed_s:.2f} s, {changes or 'no'} change{'' if changes == 1 else 's'}"
        case NodeChanged(node, state):
            return f"{node}: {state}"
        case Waiting(missing):
            return "waiting for: " + "; ".join(missing)
        case Note(text):
            return text
        case LogLine(source, line) if line.startswith("Step "):
            return f"{source}: {line}"
        case LogLine():
            return ""
