"""Carries out the steps of a plan: an executor for each, independent ones side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import docker

from lab.engine import containers, runner, wiring
from lab.engine.containers import Credentials
from lab.engine.events import Events, NodeChanged
from lab.model.lab import Lab
from lab.plan import marks
from lab.plan.steps import (
    CreateContainer,
    CreateNetwork,
    RemoveContainer,
    RemoveNetwork,
    StartContainer,
    Step,
    Wire,
)

AT_ONCE = 8
"""Containers under way at a time: beyond it the engine only queues for the kernel's network lock."""


@dataclass(frozen=True, slots=True)
class Executor:
    """Carries out steps for one lab.

    Attributes:
        client: of the engine.
        lab: the lab as it shall be.
        credentials: that go into containers.
        fabric_image: for the runner, where one is needed.
        events: is told how far each node is.
    """

    client: docker.DockerClient
    lab: Lab
    credentials: Credentials
    fabric_image: str
    events: Events

    def stand_up(self, steps: Iterable[Step]) -> int:
        """Everything before the wiring: removals, networks, containers; how many steps that were.

        Raises:
            ContainerError: the engine refuses; what was begun is ended, the rest not begun.
        """
        stages: tuple[list[Step], ...] = ([], [], [])
        for step in steps:
            if not isinstance(step, Wire):
                stages[_stage(step)].append(step)
        for stage in stages:
            self._side_by_side(stage)
        return sum(len(stage) for stage in stages)

    def wire(self, steps: Iterable[Step]) -> Sequence[str]:
        """Wire what the steps name; a line for each thing that differed.

        Raises:
            ContainerError: a container ended as soon as it was started.
            WiringFailedError: the kernel or the engine refused.
        """
        nodes = frozenset(node for step in steps if isinstance(step, Wire) for node in step.nodes)
        names = {node: marks.container_name(self.lab.name, node) for node in nodes}
        processes = runner.pids(self.client, names)
        for node in sorted(nodes - processes.keys()):
            raise containers.ended(self.client, names[node], node)
        part = wiring.of(self.lab).among(nodes)
        outcome = runner.apply(self.client, self.lab.name, self.fabric_image, part, processes)
        for node in sorted({line.partition(":")[0] for line in outcome.changes}):
            self.events(NodeChanged(node, "wired"))
        return outcome.changes

    def _side_by_side(self, steps: Sequence[Step]) -> None:
        """Steps of one stage; those of the same container one after the other, the rest at once."""
        chains: dict[str, list[Step]] = {}
        for step in steps:
            chains.setdefault(_subject(step), []).append(step)

        def run(chain: Sequence[Step]) -> None:
            for step in chain:
                self._execute(step)

        in_parallel(AT_ONCE, [partial(run, chain) for chain in chains.values()])

    def _execute(self, step: Step) -> None:
        match step:
            case RemoveContainer():
                containers.remove(self.client, step.name)
                self.events(NodeChanged(step.node, "removed"))
            case RemoveNetwork():
                containers.remove_network(self.client, step.name)
            case CreateNetwork():
                containers.create_network(self.client, step.name, step.lab)
            case CreateContainer():
                self.events(NodeChanged(step.spec.node, "creating"))
                containers.create(self.client, step.spec, self.credentials)
            case StartContainer():
                containers.start(self.client, step.name, step.node)
                self.events(NodeChanged(step.node, "running"))
            case Wire():
                raise TypeError("wiring belongs to no single container")


def in_parallel(at_once: int, jobs: Sequence[Callable[[], None]]) -> None:
    """Run jobs side by side. The first that fails, or Ctrl-C, keeps the waiting ones from being begun.

    Parameters:
        at_once: how many run at a time.
        jobs: what to run.
    """
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="engine")
    try:
        futures: list[Future[None]] = [pool.submit(job) for job in jobs]
        for future in futures:
            future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _stage(step: Step) -> int:
    """Removals first, so that their names are free; then networks; then containers."""
    match step:
        case RemoveContainer():
            return 0
        case RemoveNetwork() | CreateNetwork():
            return 1
        case _:
            return 2


def _subject(step: Step) -> str:
    match step:
        case CreateContainer():
            return step.spec.name
        case Wire():
            raise TypeError("wiring belongs to no single container")
        case _:
            return step.name
