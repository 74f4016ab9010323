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
        "waiting for connection blue-hq of blue",
    ]
    assert describe(NodeChanged("hv01", "wired")) == ""
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


def test_what_is_missing_is_told_in_short_and_not_at_every_change(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 0.0
    missing = tuple(f"host hv{n:02}: InProgress version 7 is on its way; 5 is applied" for n in range(5))
    with Lines(clock=lambda: now) as events:
        for now in (0.1, 0.2, 0.3, 2.2):  # noqa: B007 - the clock reads it
            events(Waiting(missing))
            events(NodeChanged("hv01", "running"))
    lines = [line.split("s  ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    told = "waiting for host hv00, host hv01, host hv02, 2 more"
    assert [line for line in lines if "waiting" in line] == [told, told]
    assert lines.count("hv01: running") == 4, "nothing else is held back"


def test_the_step_of_a_build_fits_a_line() -> None:
    line = describe(LogLine("fabric", "Step 3/9 : RUN apt-get install --yes   " + "package " * 40))
    assert len(line) < 120
    assert line.endswith("…")
    assert "  " not in line


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
    file = io.StringIO()
    console = Console(file=file, width=100)
    console.print(table._render())
    text = file.getvalue()
    assert "images 12.5s" in text
    assert "convergence …" in text
    assert "hv01" in text
    assert "waiting: connection blue-hq of blue: Connecting" in text
    assert "apt-get" not in text, "the log of a phase that is over"


def test_the_live_table_fits_a_small_terminal() -> None:
    table = LiveTable()
    for number in range(30):
        table(NodeChanged(f"node-{number:02}", "wired"))
    table(Waiting(tuple(f"connection number {n} of a tenant: " + "long words " * 20 for n in range(20))))
    file = io.StringIO()
    console = Console(file=file, width=80, height=24)
    console.print(table._render())
    lines = file.getvalue().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "… and 14 more" in lines[-1]


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
