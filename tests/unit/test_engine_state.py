"""What is kept of a lab on the machine, and that only one process works on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.engine.state import BusyLabError, LabRecord, LabState, cache_root, state_root

HOLD = """
import sys
from pathlib import Path
from lab.engine.state import LabState
with LabState("trial", Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> LabState:
    return LabState("trial", tmp_path)


def test_a_lab_is_remembered_until_it_is_forgotten(state: LabState) -> None:
    assert state.load() is None
    record = LabRecord(Path("/labs/trial.yml"), ("/servers/hv01", "/virtualNetworks/blue"))
    state.save(record)
    assert state.load() == record
    assert state.remove()
    assert not state.remove()
    assert state.load() is None


def test_a_busy_lab_names_the_process_that_works_on_it(state: LabState) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(BusyLabError, match=f"process {holder.pid} is working on the lab trial"),
            state.locked(),
        ):
            pytest.fail("two processes work on one lab")
        with LabState("other", state.root).locked():
            pass
        holder.kill()
    # The lock ends with its process, however that ends.
    with state.locked():
        pass


def test_the_lock_outlives_the_removal_of_the_lab(state: LabState) -> None:
    state.save(LabRecord(Path("/labs/trial.yml")))
    with state.locked():
        state.remove()
        with pytest.raises(BusyLabError), LabState("trial", state.root).locked():
            pytest.fail("two processes work on one lab")


def test_places_follow_the_xdg_base_directories() -> None:
    environment = {"XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/c"}
    assert state_root(environment) == Path("/s/hnvlab")
    assert cache_root(environment) == Path("/c/hnvlab")
    assert state_root({}) == Path.home() / ".local/state/hnvlab"
    assert cache_root({"XDG_CACHE_HOME": ""}) == Path.home() / ".cache/hnvlab"
