"""The Hyper-V host's agent: its node's WNV filter follows the goal state."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection

from lab.datapath.endpoint import Endpoint
from lab.southbound import southbound_pb2 as pb
from lab.southbound.agent import run_agent
from lab.southbound.identity import NodeIdentity
from lab.southbound.keys import GoalState

KIND = "host"


class HostAgent:
    """See `lab.southbound.agent.Agent`.

    Args:
        endpoint: open; stays the caller's.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.changed = asyncio.Event()
        self._endpoint = endpoint

    async def apply(self, goal: GoalState, touched: Collection[str] | None) -> None:
        """Follow a goal state.

        Raises:
            LabError: it is refused.
        """
        await asyncio.to_thread(self._endpoint.apply, goal, touched)

    def report(self) -> pb.Report:
        """What the switch has counted, and ports without policy."""
        return self._endpoint.report()


async def serve(identity: NodeIdentity) -> None:
    """Be a host until cancelled. However this ends, the node goes on forwarding.

    Args:
        identity: of the node that this process runs on.

    Raises:
        NoDatapathError: the kernel cannot run the data plane.
        FileNotFoundError: a TLS file is missing.
    """
    with contextlib.closing(Endpoint(identity)) as endpoint:
        agent = HostAgent(endpoint)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(endpoint.watch(agent.changed))
            tasks.create_task(endpoint.log_events())
            tasks.create_task(run_agent(identity, KIND, agent))
