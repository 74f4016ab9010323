"""The engine that hnvlab starts itself, here played by a shell script named dockerd."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.engine.events import Event, Note
from lab.engine.local_engine import LocalEngine, is_debian_like
from lab.engine.owner import start_time
from lab.errors import UnfitEnvironmentError

without_systemd = pytest.mark.skipif(
    Path("/run/systemd/system").is_dir(), reason="systemd starts the engine on this machine"
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LocalEngine]:
    local = LocalEngine(tmp_path / "engine")
    yield local
    record = local.ours()
    if record is not None:
        os.kill(int(str(record["pid"])), signal.SIGKILL)


@pytest.fixture
def dockerd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The script; what a test writes into it is what the engine does."""
    script = tmp_path / "bin" / "dockerd"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return script


@without_systemd
def test_an_engine_is_started_announced_and_ended(engine: LocalEngine, dockerd: Path, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    dockerd.write_text(f"#!/bin/sh\necho hello from the engine\ntouch {ready}\nexec sleep 300\n")
    events: list[Event] = []
    engine.start(events.append, ready.exists)
    record = engine.ours()
    assert record is not None
    assert any(isinstance(e, Note) and f"process {record['pid']}" in e.text for e in events)
    assert "hello from the engine" in engine.last_words()
    assert engine.stop()
    assert start_time(int(str(record["pid"]))) is None
    assert not engine.stop()


@without_systemd
def test_an_engine_that_ends_at_once_is_reported_with_its_last_words(
    engine: LocalEngine, dockerd: Path
) -> None:
    dockerd.write_text("#!/bin/sh\necho no cgroups here >&2\nexit 3\n")
    with pytest.raises(UnfitEnvironmentError) as caught:
        engine.start(lambda _event: None, lambda: False)
    assert "exit 3" in str(caught.value)
    assert "no cgroups here" in str(caught.value)


@without_systemd
def test_an_engine_that_runs_meanwhile_is_not_started_again(engine: LocalEngine, dockerd: Path) -> None:
    """The package may have started it; then it is not ours to end."""
    engine.start(lambda _event: None, lambda: True)
    assert not engine.record_path.exists()
    assert not engine.stop()


def test_a_later_process_with_the_same_id_is_left_alone(engine: LocalEngine) -> None:
    with subprocess.Popen(["sleep", "300"]) as other:
        started = start_time(other.pid)
        assert started is not None
        engine.directory.mkdir()
        engine.record_path.write_text(json.dumps({"pid": other.pid, "start_time": started - 1}))
        assert engine.ours() is None
        assert not engine.stop()
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("ID=debian\n", True),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True),
        ("ID=ubuntu\nID_LIKE=debian\n", True),
        ('ID="fedora"\n', False),
        ("", False),
    ],
)
def test_debian_and_its_children_are_told_from_others(tmp_path: Path, content: str, expected: bool) -> None:
    (tmp_path / "os-release").write_text(content)
    assert is_debian_like(tmp_path / "os-release") is expected


def test_a_system_that_does_not_say_what_it_is_is_not_debian(tmp_path: Path) -> None:
    assert not is_debian_like(tmp_path / "missing")


def test_only_the_run_of_the_unit_that_we_started_is_ours_to_end(dockerd: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    systemctl = dockerd.with_name("systemctl")
    systemctl.write_text(f'#!/bin/sh\n[ "$1" = show ] && echo our-run || echo "$@" >>{told}\n')
    systemctl.chmod(0o755)
    engine = LocalEngine(tmp_path)
    engine.record_path.write_text(
        json.dumps({"unit": "docker.service", "invocation": "a-run-before-the-reboot"})
    )
    assert not engine.stop()
    assert not told.exists()
    engine.record_path.write_text(json.dumps({"unit": "docker.service", "invocation": "our-run"}))
    assert engine.stop()
    assert told.read_text() == "stop docker.socket docker.service\n"
    assert not engine.record_path.exists()
