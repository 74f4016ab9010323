"""The directory of wheels: filled once, whoever asks, and whole or not at all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.engine import wheelhouse
from lab.engine.process import CommandFailedError
from lab.engine.wheelhouse import Wheelhouse
from lab.errors import UnfitEnvironmentError

HOUSE = Wheelhouse(("vici>=5.9",), "vici==6.0.3\n", "amd64")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "hnvlab" / "wheels"


def nothing(_event: object) -> None:
    """Tell nobody."""


def test_the_tested_versions_are_downloaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    both_ask = threading.Barrier(2)

    def pip(command: list[str], _events: object) -> None:
        commands.append(command)
        assert Path(command[command.index("--constraint") + 1]).read_text() == "vici==6.0.3\n"
        wheels = Path(command[command.index("--dest") + 1])
        wheels.mkdir()
        (wheels / "vici.whl").touch()

    def ask() -> Path:
        both_ask.wait()
        return HOUSE.ensure(nothing)

    monkeypatch.setattr(wheelhouse, "follow", pip)
    with ThreadPoolExecutor(2) as pool:
        first, second = (future.result() for future in [pool.submit(ask), pool.submit(ask)])
    assert first == second
    assert [path.name for path in first.iterdir()] == ["vici.whl"]
    assert len(commands) == 1


def test_what_a_killed_download_left_is_no_wheelhouse(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def dies(command: list[str], _events: object) -> None:
        wheels = Path(command[command.index("--dest") + 1])
        wheels.mkdir()
        (wheels / "half.whl").touch()
        raise CommandFailedError(command, 1, "no space left")

    def works(command: list[str], _events: object) -> None:
        Path(command[command.index("--dest") + 1]).mkdir()

    monkeypatch.setattr(wheelhouse, "follow", dies)
    with pytest.raises(UnfitEnvironmentError, match="no space left"):
        HOUSE.ensure(nothing)
    assert not (cache / HOUSE.key).exists()
    monkeypatch.setattr(wheelhouse, "follow", works)
    assert list(HOUSE.ensure(nothing).iterdir()) == []
