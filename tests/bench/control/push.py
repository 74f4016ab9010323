"""Sixty thousand records to one host: from the controller's decision to the acknowledgement of its agent."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.controller.fleet import Fleet
from lab.controller.southbound import create_server
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState, difference
from tests.bench.datapath.policy import goal_state
from tests.bench.datapath.variants import FEW, MANY, cabled
from tests.datapath.netns import pin_directory
from tests.datapath.switch_object import compiled
from tests.unit.controller_support import Authority, free_port

from .node import Settings, agent

NODE = "hv01"
WITHIN_S = 60.0
_STEP_S = 0.002


@dataclass
class _Policy:
    goal: GoalState

    def goal_state(self, _node: str) -> GoalState:
        return self.goal


@dataclass
class _Decided:
    """What the southbound server needs of a controller: everything behind the compiler.

    Compiling is not measured here; `change` measures it with what it costs.
    """

    policy: _Policy
    fleet: Fleet = field(default_factory=Fleet)

    def observe(self, _node: str, _report: pb.Report) -> None:
        """Nobody looks at it."""


def push_s(rounds: int) -> tuple[int, list[float]]:
    """How many records are pushed, and the seconds of each round; between rounds they are taken away again.

    Raises:
        AssertionError: the agent does not acknowledge.
    """
    few, many = (goal_state(0, "nvgre", **size) for size in (FEW, MANY))
    controller = _Decided(_Policy(few))
    controller.fleet.resize({NODE: "host"})
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hnvt-bench-")))
        authority = Authority(directory / "tls")
        _, place = stack.enter_context(cabled(prefix_length=24))
        pins = stack.enter_context(pin_directory())
        settings = Settings(
            name=NODE,
            namespace=place.hosts[0].name,
            pins=str(pins / NODE),
            object_file=str(compiled()),
            tls=str(authority.issue(NODE)),
            port=free_port(),
        )
        tls = authority.issue("controller")
        stack.enter_context(agent(settings))
        times = asyncio.run(_rounds(controller, settings.port, tls, few, many, rounds))
    return len(many) - len(few), times


async def _rounds(
    controller: Any, port: int, tls: Path, few: GoalState, many: GoalState, rounds: int
) -> list[float]:
    server = create_server(controller, "127.0.0.1", port, tls)
    await server.start()
    node = controller.fleet.node(NODE)
    results = []

    def acknowledged() -> bool:
        return bool(node.connected and node.acknowledged == node.version)

    try:
        await _until(acknowledged)
        for _ in range(rounds):
            for before, after in ((few, many), (many, few)):
                upserts, removes = difference(before, after)
                began = time.monotonic()
                node.publish({item.key: item for item in upserts} | dict.fromkeys(removes), "")
                await _until(acknowledged)
                if after is many:
                    results.append(time.monotonic() - began)
    finally:
        await server.stop(grace=None)
    return results


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "the agent does not acknowledge"
        await asyncio.sleep(_STEP_S)
