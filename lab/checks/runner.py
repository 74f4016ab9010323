"""Runs the assertions of a topology in a running lab."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from lab.checks.probes import COMMAND_S, ExecResult, Observation, Probe, probe
from lab.errors import LabError
from lab.model.check import Check


class Exec(Protocol):
    """The one thing that checks need of a lab. Called from several threads at once."""

    def run(self, node: str, argv: Sequence[str], timeout_s: float) -> ExecResult:
        """Run a command in a node and wait for its end.

        Raises:
            TimeoutError: it did not end within timeout_s.
            LabError: the node does not run.
        """


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a check may take.

    Attributes:
        within_s: by when the assertion must hold.
        hold_s: how long a thing that must be absent has to stay absent.
        interval_s: from one try to the next.
        now: a monotonic clock.
        sleep: waits between two tries.
    """

    within_s: float = 30
    hold_s: float = 3
    interval_s: float = 0.3
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of a check.

    Attributes:
        name: the check's, from the topology file.
        expected, seen: in words; `seen` is what the last try showed.
        elapsed_s: until it was decided.
    """

    name: str
    passed: bool
    expected: str
    seen: str
    elapsed_s: float

    def to_json(self) -> dict[str, Any]:
        """The result as JSON data."""
        return asdict(self)


def run_checks(
    checks: Sequence[Check], nodes: Exec, pace: Pace | None = None, parallel: int = 4
) -> Iterator[CheckResult]:
    """Try checks until each holds or its time is over; results come in the order of the checks.

    Parameters:
        parallel: how many are tried at the same time.
    """
    with ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="check") as pool:
        yield from pool.map(lambda check: run_check(check, nodes, pace or Pace()), checks)


def run_check(check: Check, nodes: Exec, pace: Pace) -> CheckResult:
    """Try one check until it holds, or until `pace.within_s` is over.

    A lab converges: that something is not there yet is no failure. What must be absent has to be so in
    every try of a window, for a packet that is late by chance proves nothing.
    """
    wanted = probe(check)
    began = pace.now()
    since: float | None = None
    while True:
        tried = pace.now()
        observation = _try(wanted, nodes)
        if observation.holds is not wanted.wanted:
            since = None
        elif since is None:
            since = tried
        now = pace.now()
        settled = since is not None and (wanted.wanted or tried - since >= pace.hold_s)
        # A window that is open when the time ends may close; a new one may not begin.
        if settled or (since is None and now - began >= pace.within_s):
            return CheckResult(check.name, settled, wanted.expected, observation.seen, round(now - began, 3))
        pace.sleep(pace.interval_s)


def _try(wanted: Probe, nodes: Exec) -> Observation:
    try:
        return wanted.read(nodes.run(wanted.node, wanted.argv, COMMAND_S))
    except TimeoutError:
        return Observation(None, f"`{wanted.argv[0]}` did not end within {COMMAND_S} s")
    except LabError as error:
        return Observation(None, error.problems[0].message)
