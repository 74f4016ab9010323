"""A Docker engine of our own: installed from Debian or Ubuntu, started, and ended only if we started it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from lab.engine.events import Events, Note
from lab.engine.owner import start_time
from lab.engine.process import CommandFailedError, follow
from lab.engine.state import private_directory, write_private
from lab.errors import Problem, UnfitEnvironmentError

ANSWER_TIMEOUT_S = 60
"""dockerd answers after 1 s; with a large image store, or on a slow disk, after many."""
END_TIMEOUT_S = 60
"""dockerd ends its containers first, and gives each 10 s."""
PAUSE_S = 0.1
UNIT = "docker.service"


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """The engine that hnvlab itself starts; what is needed to end it stands in `directory`."""

    directory: Path

    @property
    def record_path(self) -> Path:
        """Who the engine's process is; there only while it is ours to end."""
        return self.directory / "started.json"

    @property
    def log_path(self) -> Path:
        """What the engine's process writes."""
        return self.directory / "dockerd.log"

    def can_start(self) -> bool:
        """Whether we may start an engine here: root, on a system whose packages we know."""
        return os.geteuid() == 0 and is_debian_like() and shutil.which("apt-get") is not None

    def start(self, events: Events, answers: Callable[[], bool]) -> None:
        """Install Docker's engine where it is missing, start it, and wait until it answers.

        Parameters:
            events: is told each of these steps.
            answers: whether the engine answers.

        Raises:
            UnfitEnvironmentError: it cannot be installed, or ends, or does not answer; with its last words.
        """
        private_directory(self.directory)
        if shutil.which("dockerd") is None:
            events(Note("no Docker engine on this machine: installing docker.io"))
            install_packages(["docker.io"], events)
        process: subprocess.Popen[bytes] | None = None
        if Path("/run/systemd/system").is_dir():
            events(Note("starting the Docker engine (systemctl start docker)"))
            before = _invocation()
            _run(["systemctl", "start", UNIT], events)
            if (run := _invocation()) != before:  # else it ran already, and is not ours to end
                self._remember({"unit": UNIT, "invocation": run})
        elif not answers():  # the package may have started it through an init script
            with self.log_path.open("ab") as log:
                # A session of its own, so that neither Ctrl-C nor the end of `up` ends it.
                process = subprocess.Popen(
                    ["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            self._remember({"pid": process.pid, "start_time": start_time(process.pid)})
            events(Note(f"started a Docker engine, process {process.pid}; `make engine-stop` ends it again"))
        ended = self._await(answers, process)
        if ended:
            raise UnfitEnvironmentError(
                Problem(
                    code="HNV-ENG-003",
                    message=f"the Docker engine that was started {ended}",
                    place=str(self.log_path),
                    hint="its last words:\n" + self.last_words(),
                )
            )

    def _remember(self, content: Mapping[str, object]) -> None:
        write_private(self.record_path, json.dumps(content).encode())

    def _await(self, answers: Callable[[], bool], process: subprocess.Popen[bytes] | None) -> str:
        """Empty when it answers; else what happened instead."""

        def look() -> str | None:
            if answers():
                return ""
            if process is not None and process.poll() is not None:
                return f"ended at once (exit {process.returncode})"
            return None

        try:
            return str(
                Retrying(
                    retry=retry_if_result(lambda seen: seen is None),
                    stop=stop_after_delay(ANSWER_TIMEOUT_S),
                    wait=wait_fixed(PAUSE_S),
                )(look)
            )
        except RetryError:
            return f"does not answer within {ANSWER_TIMEOUT_S} s"

    def last_words(self, lines: int = 10) -> str:
        """The end of the engine's log."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def ours(self) -> Mapping[str, object] | None:
        """The record of the engine that we started and that still runs; None: there is none."""
        try:
            record: dict[str, object] = json.loads(self.record_path.read_bytes())
        except FileNotFoundError:
            return None
        if "unit" in record:
            # Each start of a unit has an id of its own: one after a reboot, or a user's, is not ours.
            return record if record.get("invocation") == _invocation() != "" else None
        # The start time tells our process from a later one with the same id.
        started = record["start_time"]
        return record if started is not None and start_time(int(str(record["pid"]))) == started else None

    def stop(self) -> bool:
        """End the engine if we started it; False: there is none of ours.

        Raises:
            UnfitEnvironmentError: it does not end, or systemd refuses.
        """
        record = self.ours()
        if record is None:
            self.record_path.unlink(missing_ok=True)
            return False
        if "unit" in record:
            _run(["systemctl", "stop", "docker.socket", UNIT], lambda _event: None)
        else:
            pid = int(str(record["pid"]))
            os.kill(pid, signal.SIGTERM)
            _await_end(pid, record["start_time"])
        self.record_path.unlink()
        return True


def is_debian_like(os_release: Path = Path("/etc/os-release")) -> bool:
    """Whether this is Debian, Ubuntu, or made from one of them (os-release(5): ID, ID_LIKE)."""
    if not os_release.exists():
        return False
    values = dict(line.split("=", 1) for line in os_release.read_text().splitlines() if "=" in line)
    words = f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".replace('"', "").split()
    return bool({"debian", "ubuntu"} & set(words))


def install_packages(packages: list[str], events: Events) -> None:
    """Install packages with apt-get; nothing that they bring is started.

    Raises:
        UnfitEnvironmentError: apt-get failed; with its last words.
    """
    # invoke-rc.d starts no service in runlevel 1, which it takes from the environment where no init runs.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    _run(["apt-get", "update", "-q"], events, environment)
    _run(["apt-get", "install", "-q", "--yes", "--no-install-recommends", *packages], events, environment)


def _invocation() -> str:
    """Id of the engine's run under systemd (systemd.exec(5), INVOCATION_ID); empty: it does not run."""
    command = ["systemctl", "show", "--property=InvocationID", "--value", UNIT]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _await_end(pid: int, started: object) -> None:
    try:
        Retrying(
            retry=retry_if_result(lambda now: now == started),
            stop=stop_after_delay(END_TIMEOUT_S),
            wait=wait_fixed(PAUSE_S),
        )(start_time, pid)
    except RetryError:
        raise UnfitEnvironmentError(
            Problem(
                code="HNV-ENG-004",
                message=f"the Docker engine, process {pid}, does not end",
                hint=f"look at its log, then kill -9 {pid}",
            )
        ) from None


def _run(command: list[str], events: Events, environment: Mapping[str, str] | None = None) -> None:
    try:
        follow(command, events, environment)
    except CommandFailedError as error:
        raise UnfitEnvironmentError(
            Problem(code="HNV-ENG-005", message=str(error), hint="its last words:\n" + error.last_words)
        ) from error
