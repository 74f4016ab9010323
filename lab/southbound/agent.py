"""The agent's side of the goal-state protocol: one stream to the Network Controller, kept up for ever.

Hosts and gateways share it. The runner owns the stream, the versions and the answers; what a goal state means
is the agent's own business (`Agent`). Losing the controller is no event for forwarding: the agent keeps the
policy that it has, and the first message of the next stream is a snapshot of what holds by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Protocol

import grpc
import grpc.aio

from lab.errors import LabError
from lab.southbound import southbound_pb2 as pb
from lab.southbound.collector import collect_seldom
from lab.southbound.identity import SOUTHBOUND_PORT, TLS_DIRECTORY, NodeIdentity
from lab.southbound.keys import GoalState, patch
from lab.southbound.southbound_pb2_grpc import SouthboundStub

log = logging.getLogger(__name__)

SERVER_NAME = "controller"
"""The name in the controller's certificate; nodes know the controller by address only."""
REPORT_INTERVAL_S = 5.0
FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 0.3
REFUSED = "PolicyConfigurationFailure"
"""Microsoft's configuration state code of a policy that a node could not apply."""

_CHANNEL_OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.ssl_target_name_override", SERVER_NAME),
    # A controller that vanished without a word is noticed within 15 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 256 * 1024 * 1024),
)


class Agent(Protocol):
    """What a node's agent does with its goal state.

    Attributes:
        changed: set by the agent when `report` would say something new; cleared by the runner.
    """

    changed: asyncio.Event

    async def apply(self, goal: GoalState, touched: Collection[str] | None, /) -> None:
        """Make the node be as the goal state says, or leave it as it was.

        Args:
            goal: the complete policy; the runner's, which changes it before the next call.
            touched: keys of all records that may differ from those of the call before, whether that one was
                refused or not; None: any may.

        Raises:
            LabError: the policy is refused; a problem whose place is a record's key is that record's fault.
        """

    def report(self) -> pb.Report:
        """All that the node observes now; must not block."""


async def run_agent(
    identity: NodeIdentity,
    kind: str,
    agent: Agent,
    *,
    tls: Path = TLS_DIRECTORY,
    port: int = SOUTHBOUND_PORT,
) -> None:
    """Keep a node's stream to the Network Controller until the task is cancelled.

    Args:
        identity: the node, and where its controller is.
        kind: "host" or "gateway".
        agent: applies goal states and observes the node.
        tls: directory of ca.pem, cert.pem and key.pem.
        port: TCP port of the controller's southbound server.

    Raises:
        FileNotFoundError: a TLS file is missing.
    """
    collect_seldom()
    hello = pb.Hello(node=identity.node, kind=kind, instance=uuid.uuid4().hex)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(tls / "ca.pem").read_bytes(),
        private_key=(tls / "key.pem").read_bytes(),
        certificate_chain=(tls / "cert.pem").read_bytes(),
    )
    backoff_s = FIRST_BACKOFF_S
    while True:
        # A new channel each time: an old one would add a backoff of its own to ours.
        channel = grpc.aio.secure_channel(
            f"{identity.controller}:{port}", credentials, options=_CHANNEL_OPTIONS
        )
        session = _Session(hello, agent)
        try:
            await session.run(SouthboundStub(channel))
        except grpc.aio.AioRpcError as error:
            log.info("no stream to the controller: %s", error.details())
        finally:
            await channel.close(grace=None)
        if session.established:
            log.warning("the controller's stream ended; the node keeps its policy")
            backoff_s = FIRST_BACKOFF_S
        await asyncio.sleep(backoff_s)
        backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)


class _Session:
    """One stream, from Hello to its end.

    Attributes:
        established: the controller has sent something.
    """

    def __init__(self, hello: pb.Hello, agent: Agent) -> None:
        self.established = False
        self._agent = agent
        self._outgoing: asyncio.Queue[pb.AgentMessage] = asyncio.Queue()
        self._outgoing.put_nowait(pb.AgentMessage(hello=hello))
        self._goal: GoalState | None = None

    async def run(self, stub: SouthboundStub) -> None:
        """Talk until the controller ends the stream.

        Raises:
            grpc.aio.AioRpcError: the stream broke.
        """
        stream = stub.Connect(self._messages())
        reporting = asyncio.create_task(self._keep_reporting())
        # A report that fails must end the stream, or the controller would believe an old one for ever.
        reporting.add_done_callback(lambda _: stream.cancel())
        try:
            async for message in stream:
                self.established = True
                if message.WhichOneof("body") == "delta":
                    await self._take(message.delta)
        finally:
            reporting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reporting
            stream.cancel()

    async def _messages(self) -> AsyncIterator[pb.AgentMessage]:
        while True:
            yield await self._outgoing.get()

    async def _take(self, delta: pb.GoalStateDelta) -> None:
        """Apply one version and answer it.

        A delta builds on the version sent before it, acknowledged or not: the controller may send the next
        version before it has heard of this one, so a refused version still counts as the base of the next.
        """
        if self._goal is None and not delta.snapshot:
            fault = pb.Fault(code=REFUSED, message="a stream begins with a snapshot")
            self._answer_nack(delta.version, [fault])
            return
        if self._goal is None:
            self._goal = {}
        touched = patch(self._goal, delta)
        try:
            await self._agent.apply(self._goal, touched)
        except LabError as error:
            log.warning("version %d refused: %s", delta.version, error)
            self._answer_nack(delta.version, faults_of(error))
        except Exception as error:
            # The controller must hear of every version; silence would look like a slow node.
            log.exception("version %d could not be applied", delta.version)
            self._answer_nack(delta.version, [pb.Fault(code=REFUSED, message=repr(error))])
        else:
            log.info("version %d applied, %d records", delta.version, len(self._goal))
            self._outgoing.put_nowait(pb.AgentMessage(ack=pb.Ack(version=delta.version)))
        self._agent.changed.set()

    def _answer_nack(self, version: int, faults: list[pb.Fault]) -> None:
        self._outgoing.put_nowait(pb.AgentMessage(nack=pb.Nack(version=version, faults=faults)))

    async def _keep_reporting(self) -> None:
        while True:
            self._agent.changed.clear()
            self._outgoing.put_nowait(pb.AgentMessage(report=self._agent.report()))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._agent.changed.wait(), REPORT_INTERVAL_S)


def faults_of(error: LabError) -> list[pb.Fault]:
    """A refusal as faults: the place of each problem is the key of the record at fault, or empty."""
    return [
        pb.Fault(record_key=problem.place, code=REFUSED, message=str(problem)) for problem in error.problems
    ]
