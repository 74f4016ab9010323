"""In which order, and how much at a time, the steps of a plan are carried out."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import cast

import docker
import pytest

from lab.engine import containers
from lab.engine.containers import ContainerError, Credentials
from lab.engine.execute import Executor, in_parallel
from lab.errors import Problem
from lab.model.lab import Lab
from lab.model.loader import load
from lab.model.resolve import resolve
from lab.plan.container import Materials, container_spec, files_of
from lab.plan.observed import Observed
from lab.plan.planner import plan
from lab.plan.steps import CreateContainer, RemoveContainer, RemoveNetwork, StartContainer, Wire

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "hybrid-cloud.yml"


@pytest.fixture(scope="module")
def model() -> Lab:
    return resolve(load(TOPOLOGY))


@pytest.fixture(scope="module")
def materials(model: Lab) -> Materials:
    return Materials(digests=dict.fromkeys(files_of(model), "0"))


@pytest.fixture
def executor(model: Lab) -> Executor:
    return Executor(
        cast(docker.DockerClient, None), model, Credentials({}, ""), "fabric", lambda _event: None
    )


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was asked of Docker, in order, as (verb, name)."""
    calls: list[tuple[str, str]] = []
    lock = threading.Lock()

    def note(verb: str, name: str) -> None:
        with lock:
            calls.append((verb, name))

    monkeypatch.setattr(containers, "create", lambda _c, spec, _x: note("create", spec.name))
    monkeypatch.setattr(containers, "start", lambda _c, name, _node: note("start", name))
    monkeypatch.setattr(containers, "remove", lambda _c, name: note("remove", name))
    monkeypatch.setattr(containers, "create_network", lambda _c, name, _lab: note("create network", name))
    monkeypatch.setattr(containers, "remove_network", lambda _c, name: note("remove network", name))
    return calls


def test_a_first_up_makes_the_network_then_each_container_then_starts_it(
    executor: Executor, model: Lab, materials: Materials, done: list[tuple[str, str]]
) -> None:
    steps = plan(model, Observed(), materials)
    assert executor.stand_up(steps) == 1 + 2 * len(model.nodes)
    assert done[0] == ("create network", "hnvlab-hybrid-cloud")
    for node in model.nodes:
        name = f"hybrid-cloud-{node}"
        assert done.index(("create", name)) < done.index(("start", name))


def test_a_name_is_free_before_it_is_taken_again(
    executor: Executor, model: Lab, materials: Materials, done: list[tuple[str, str]]
) -> None:
    spec = container_spec(model, model.nodes["hv01"], materials)
    executor.stand_up(
        [
            CreateContainer(spec),
            StartContainer(spec.name, spec.node),
            RemoveNetwork("hnvlab-old"),
            RemoveContainer(spec.name, spec.node),
            Wire(frozenset({"hv01"})),
        ]
    )
    assert done == [
        ("remove", spec.name),
        ("remove network", "hnvlab-old"),
        ("create", spec.name),
        ("start", spec.name),
    ]


def test_a_container_that_cannot_be_made_is_not_started(
    executor: Executor,
    model: Lab,
    materials: Materials,
    done: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_client: object, _spec: object, _credentials: object) -> None:
        raise ContainerError(Problem("HNV-ENG-030", "no"))

    monkeypatch.setattr(containers, "create", refuse)
    spec = container_spec(model, model.nodes["hv01"], materials)
    with pytest.raises(ContainerError):
        executor.stand_up([CreateContainer(spec), StartContainer(spec.name, spec.node)])
    assert done == []


def test_as_many_jobs_run_at_a_time_as_is_asked_for_and_no_more() -> None:
    together = threading.Barrier(3)
    in_parallel(3, [lambda: _wait(together, 20)] * 9)
    too_many = threading.Barrier(4)
    with pytest.raises(threading.BrokenBarrierError):
        in_parallel(3, [lambda: _wait(too_many, 0.3)] * 4)


def test_a_failure_keeps_waiting_jobs_from_being_begun() -> None:
    begun: list[int] = []

    def fail() -> None:
        raise ContainerError(Problem("HNV-ENG-030", "no"))

    with pytest.raises(ContainerError):
        in_parallel(1, [fail, *(lambda: begun.append(1) for _ in range(50))])
    assert len(begun) < 50


def _wait(barrier: threading.Barrier, timeout_s: float) -> None:
    barrier.wait(timeout_s)
