"""What is shown of an `up`, where."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from lab.cli import output
from lab.cli.progress import Lines, LiveTable, Silence, describe, progress
from lab.engine.events import (
    Event,
    LogLine,
    NodeChanged,
    Note,
    Phase,
    PhaseFinished,
    PhaseStarted,
    Waiting,
    phase,
)

STORY: tuple[Event, ...] = (
    PhaseStarted("images"),
    LogLine("fabric", "Step 3/9 : RUN apt-get update"),
    LogLine("fabric", "Get:1 bookworm InRelease"),
    PhaseFinished("images", 12.5, 1),
    PhaseStarted("containers"),
    NodeChanged("hv01", "running"),
    Note("started a Docker engine, process 7"),
    PhaseStarted("convergence"),
    Waiting(("connection blue-hq of blue: Connecting",)),
)


def test_each_event_worth_a_line_has_one() -> None:
    assert [describe(event) for event in STORY] == [
        "images …",
        "fabric: Step 3/9 : RUN apt-get update",
        "",
        "images done in 12.50 s, 1 change",
        "containers …",
        "hv01: running",
        "started a Docker engine, process 7",
        "convergence …",
        "waiting for: connection blue-hq of blue: Connecting",
    ]
    assert describe(PhaseFinished("wiring", 0.2, 0)) == "wiring done in 0.20 s, no changes"
    assert describe(PhaseFinished("wiring", 0.2, 3)) == "wiring done in 0.20 s, 3 changes"


def test_lines_go_to_stderr_with_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines() as events:
        events(NodeChanged("hv01", "running"))
        events(LogLine("pip", "Collecting vici"))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("s  hv01: running\n")
    assert err.count("\n") == 1


def test_json_is_not_disturbed_but_notes_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=True) as events:
        for event in STORY:
            events(event)
    assert isinstance(events, Silence)
    assert capsys.readouterr() == ("", "started a Docker engine, process 7\n")


def test_a_terminal_gets_the_table_and_a_pipe_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    assert isinstance(progress(), LiveTable)
    monkeypatch.setattr(output, "is_terminal", lambda: False)
    assert isinstance(progress(), Lines)


def test_the_table_shows_phases_nodes_and_what_is_missing() -> None:
    table = LiveTable()
    for event in STORY:
        table(event)
    console = Console(file=io.StringIO(), width=100)
    console.print(table._render())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "images 12.5s" in text
    assert "convergence …" in text
    assert "hv01" in text
    assert "waiting: connection blue-hq of blue: Connecting" in text
    assert "apt-get" not in text, "the log of a phase that is over"


def test_a_phase_tells_how_much_it_changed_and_a_failed_one_is_not_done() -> None:
    told: list[Event] = []
    with phase(told.append, "wiring") as current:
        assert isinstance(current, Phase)
        current.changes = 4
    finished = told[-1]
    assert isinstance(finished, PhaseFinished)
    assert (finished.phase, finished.changes) == ("wiring", 4)
    with pytest.raises(ValueError, match="no"), phase(told.append, "intent"):
        raise ValueError("no")
    assert told[-1] == PhaseStarted("intent")
