"""The gateway's daemons are supervised by a real s6."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gwnode.services import Service, Supervisor
from lab.testing.eventually import eventually

START_S = 10


@pytest.fixture
def scan(tmp_path: Path) -> Iterator[Path]:
    """A directory that s6-svscan supervises."""
    path = tmp_path / "scan"
    path.mkdir()
    with subprocess.Popen(["s6-svscan", str(path)]) as process:
        try:
            eventually(lambda: is_supervised(path), START_S)
            yield path
        finally:
            process.terminate()
            process.wait(START_S)


def is_supervised(scan: Path) -> None:
    assert (scan / ".s6-svscan" / "control").exists()


def test_a_daemon_that_does_not_end_when_told_is_killed_and_removed(scan: Path, tmp_path: Path) -> None:
    supervisor = Supervisor(scan, tmp_path / "services")
    begun = tmp_path / "begun"
    script = f'trap "" TERM; echo $$ > {begun}; while :; do read line < {tmp_path}/nobody-writes; done'
    subprocess.run(["mkfifo", str(tmp_path / "nobody-writes")], check=True)
    supervisor.ensure(Service("stubborn", ("sh", "-c", script)))

    def pid() -> Path:
        assert begun.exists()
        assert begun.read_text().strip()
        return Path("/proc") / begun.read_text().strip()

    process = eventually(pid, START_S)
    try:
        assert process.exists()
        supervisor.remove("stubborn")
        assert not process.exists()
        assert supervisor.names(["stubborn"]) == set()
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(process.name), signal.SIGKILL)
