"""A running lab, as an end-to-end test sees it: nodes to run commands in, and wires to listen on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from lab.controller.client import ControllerClient

COMMAND = (sys.executable, "-m", "lab.cli.main")
"""`hnvlab`, of the same environment that the test runs in."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command in a node did."""

    exit_code: int
    stdout: str
    stderr: str

    def check(self) -> str:
        """Give back stdout.

        Raises:
            AssertionError: the command failed.
        """
        assert self.exit_code == 0, f"exit {self.exit_code}\n{self.stdout}{self.stderr}"
        return self.stdout


def hnvlab(*arguments: str, timeout_s: float = 300, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the hnvlab command.

    Raises:
        AssertionError: it failed, and check is set.
        subprocess.TimeoutExpired: it did not end within timeout_s seconds.
    """
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert not check or done.returncode == 0, (
        f"hnvlab {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done


@dataclass(frozen=True)
class RunningLab:
    """A lab that is up.

    Attributes:
        name: of the lab.
        topology: the file it was made from.
        summary: what `hnvlab up --json` printed.
    """

    name: str
    topology: Path
    summary: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def bring_up(cls, topology: Path, timeout_s: float = 600) -> RunningLab:
        """Bring a lab up, or converge one that is.

        Raises:
            AssertionError: `hnvlab up` failed; its words are in the message.
        """
        done = hnvlab("up", str(topology), "--json", timeout_s=timeout_s)
        summary = json.loads(done.stdout)
        return cls(summary["lab"], topology, summary)

    def take_down(self) -> None:
        """Remove everything of the lab."""
        hnvlab("down", self.name)

    @cached_property
    def _docker(self) -> docker.DockerClient:
        return docker.from_env()

    def controller(self, retry_for_s: float = 0) -> ControllerClient:
        """A client of the lab's Network Controller.

        Args:
            retry_for_s: how long a call goes on trying while nobody answers, in seconds.
        """
        token = Path(self.summary["token"]).read_text().strip()
        return ControllerClient(self.summary["api"], self.summary["ca"], token, retry_for_s)

    def container(self, node: str) -> Container:
        """The container of a node."""
        return self._docker.containers.get(f"{self.name}-{node}")

    def containers(self) -> list[Container]:
        """Every container of the lab, running or not."""
        return list(self._docker.containers.list(all=True, filters={"label": f"hnvlab.lab={self.name}"}))

    def run(self, node: str, *argv: str) -> Result:
        """Run a command in a node and wait for its end."""
        exit_code, (stdout, stderr) = self.container(node).exec_run(list(argv), demux=True)
        return Result(exit_code, (stdout or b"").decode(), (stderr or b"").decode())

    def policy(self, node: str) -> dict[str, Any]:
        """What the data plane of a host or a gateway holds, read from the kernel's maps."""
        out = self.run(node, "python3", "-m", "lab.hvhost", "show", "policy", "--json").check()
        result: dict[str, Any] = json.loads(out)
        return result

    @contextmanager
    def capture(self, *places: str, directory: Path) -> Iterator[dict[str, Path]]:
        """Capture at several places (NODE:INTERFACE) for as long as the context lasts.

        The context begins when every capture listens; after it, each file is whole.
        """
        files = {place: directory / f"{place.replace(':', '-')}.pcap" for place in places}
        running = [
            subprocess.Popen(
                [*COMMAND, "capture", place, "-w", str(file), "--lab", self.name],
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
            for place, file in files.items()
        ]
        try:
            for place, process in zip(places, running, strict=True):
                _await_listening(place, process)
            yield files
        finally:
            for process in running:
                process.send_signal(signal.SIGINT)
            for process in running:
                process.communicate(timeout=30)


def _await_listening(place: str, process: subprocess.Popen[str]) -> None:
    """Read a capture's stderr up to tcpdump's word that it listens."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if "listening on" in line:
            return
    raise AssertionError(f"the capture at {place} ended: {''.join(seen)}")


def dissect(file: Path, fields: Sequence[str], display_filter: str = "") -> list[list[str]]:
    """Read fields of a capture with tshark: one row a packet, repeated fields joined by commas.

    Raises:
        AssertionError: tshark refused the capture.
    """
    # Without sequence analysis: a retransmission is TCP at work, no defect of what carries it.
    command = ["tshark", "-r", str(file), "-T", "fields", "-o", "ip.check_checksum:TRUE"]
    command += ["-o", "tcp.analyze_sequence_numbers:FALSE"]
    if display_filter:
        command += ["-Y", display_filter]
    for name in fields:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]
