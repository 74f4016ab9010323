"""How long a check tries, and when it believes what it sees. Time is simulated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pytest

from lab.checks.probes import ExecResult
from lab.checks.runner import Pace, run_check, run_checks
from lab.errors import LabError, Problem
from lab.model.check import PingCheck

ANSWERS = ExecResult(0, "64 bytes from 10.0.1.4", "")
SILENT = ExecResult(1, "", "")


@dataclass
class World:
    """A node whose ping answers by the clock, and the clock. Each command takes a while."""

    answer: Callable[[float], ExecResult]
    takes_s: float = 0.1
    clock_s: float = 0.0
    runs: list[float] = field(default_factory=list)

    def run(self, node: str, argv: Sequence[str], timeout_s: float) -> ExecResult:
        began = self.clock_s
        self.runs.append(began)
        self.clock_s += self.takes_s
        return self.answer(began)

    def pace(self) -> Pace:
        def sleep(seconds: float) -> None:
            self.clock_s += seconds

        return Pace(within_s=10, hold_s=3, interval_s=0.5, now=lambda: self.clock_s, sleep=sleep)


def ping(reachable: bool) -> PingCheck:
    return PingCheck("it pings", "blue-web", IPv4Address("10.0.1.4"), reachable)


def test_presence_is_believed_at_once() -> None:
    world = World(lambda _: ANSWERS)
    result = run_check(ping(True), world, world.pace())
    assert result.passed
    assert len(world.runs) == 1
    assert result.to_json()["seen"] == "an answer"


def test_presence_may_take_its_time() -> None:
    world = World(lambda at: ANSWERS if at > 5 else SILENT)
    assert run_check(ping(True), world, world.pace()).passed


def test_what_never_comes_fails_with_what_was_seen() -> None:
    world = World(lambda _: SILENT)
    result = run_check(ping(True), world, world.pace())
    assert not result.passed
    assert (result.expected, result.seen) == ("10.0.1.4 answers", "no answer")
    assert 10 <= result.elapsed_s < 12


def test_absence_must_hold_for_the_window() -> None:
    world = World(lambda _: SILENT)
    result = run_check(ping(False), world, world.pace())
    assert result.passed
    assert world.runs[-1] - world.runs[0] >= 3


def test_one_slow_try_is_no_window() -> None:
    world = World(lambda _: SILENT, takes_s=4)
    assert run_check(ping(False), world, world.pace()).passed
    assert len(world.runs) == 2


def test_one_answer_breaks_the_window() -> None:
    world = World(lambda at: ANSWERS if 2 < at < 2.7 else SILENT)
    result = run_check(ping(False), world, world.pace())
    assert result.passed
    assert world.runs[-1] >= 2.7 + 3 - 0.6


def test_what_keeps_coming_back_is_not_absent() -> None:
    world = World(lambda at: ANSWERS if int(at) % 3 == 0 else SILENT)
    result = run_check(ping(False), world, world.pace())
    assert not result.passed
    assert result.seen == "an answer"


def broken(_: float) -> ExecResult:
    raise LabError(Problem("HNV-ENG-000", "blue-web does not run"))


def hanging(_: float) -> ExecResult:
    raise TimeoutError


@pytest.mark.parametrize("reachable", [True, False])
@pytest.mark.parametrize(("failure", "seen"), [(broken, "does not run"), (hanging, "did not end")])
def test_a_node_that_cannot_be_asked_proves_nothing(
    failure: Callable[[float], ExecResult], seen: str, reachable: bool
) -> None:
    world = World(failure)
    result = run_check(ping(reachable), world, world.pace())
    assert not result.passed
    assert seen in result.seen


def test_results_come_in_the_order_of_the_file_and_checks_run_side_by_side() -> None:
    together = threading.Barrier(3, timeout=10)

    class Nodes:
        def run(self, node: str, argv: Sequence[str], timeout_s: float) -> ExecResult:
            together.wait()
            return ANSWERS

    checks = [PingCheck(str(number), "n", IPv4Address("10.0.1.4"), True) for number in range(3)]
    results = list(run_checks(checks, Nodes(), parallel=3))
    assert [result.name for result in results] == ["0", "1", "2"]
    assert all(result.passed for result in results)
