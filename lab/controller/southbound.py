"""The southbound server: gRPC with mutual TLS, one stream for each agent (see southbound.proto)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import grpc
import grpc.aio

from lab.controller.controller import Controller
from lab.controller.fleet import Node
from lab.southbound import southbound_pb2 as pb
from lab.southbound.collector import collect_seldom
from lab.southbound.southbound_pb2_grpc import SouthboundServicer, add_SouthboundServicer_to_server

_log = logging.getLogger(__name__)
_OPTIONS = (
    # An agent that has vanished without a word is noticed within 15 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # Two controllers must not share a port.
    ("grpc.so_reuseport", 0),
)

Stream = grpc.aio.ServicerContext[pb.AgentMessage, pb.ControllerMessage]


class Southbound(SouthboundServicer):
    """Answers agents for a controller."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    async def Connect(
        self, messages: AsyncIterator[pb.AgentMessage], context: Stream
    ) -> AsyncIterator[pb.ControllerMessage]:
        """One agent's stream, from its Hello to its end.

        Aborts with UNAUTHENTICATED when the agent is not who its certificate says, FAILED_PRECONDITION when
        its kind is not that of its resource, ABORTED when another stream of the same node takes its place.
        """
        node, hello = await self._welcome(messages, context)
        # One run of an agent can open a second stream before its first is known to be dead.
        stream = uuid4().hex
        wake = asyncio.Event()
        node.connect(stream, wake.set)
        _log.info("%s is connected, instance %s", node.name, hello.instance)
        listener = asyncio.create_task(self._listen(node, stream, messages))
        # When the agent closes its side there is nothing left to wait for.
        listener.add_done_callback(lambda _: wake.set())
        try:
            while node.stream == stream and not listener.done():
                wake.clear()
                delta = node.next_delta(lambda: self._controller.policy.goal_state(node.name))
                if delta is None:
                    await wake.wait()
                else:
                    yield pb.ControllerMessage(delta=delta)
            if node.stream != stream:
                await context.abort(
                    grpc.StatusCode.ABORTED, "another stream of this node has taken its place"
                )
            listener.result()
        finally:
            listener.cancel()
            node.disconnect(stream)
            _log.info("%s is disconnected", node.name)

    async def _welcome(
        self, messages: AsyncIterator[pb.AgentMessage], context: Stream
    ) -> tuple[Node, pb.Hello]:
        first = await anext(messages, None)
        if first is None or first.WhichOneof("body") != "hello" or not first.hello.instance:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a stream begins with a Hello")
            raise AssertionError("abort raises")
        names = context.auth_context().get("x509_common_name", [])
        if [name.decode() for name in names] != [first.hello.node]:
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED, f"the certificate is not one of node '{first.hello.node}'"
            )
        node = self._controller.fleet.admit(first.hello.node, first.hello.kind)
        if node.declared and node.kind != first.hello.kind:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, f"the controller knows '{node.name}' as a {node.kind}"
            )
        return node, first.hello

    async def _listen(self, node: Node, stream: str, messages: AsyncIterator[pb.AgentMessage]) -> None:
        async for message in messages:
            if node.stream != stream:
                return
            match message.WhichOneof("body"):
                case "ack":
                    node.ack(message.ack.version)
                case "nack":
                    for fault in message.nack.faults:
                        _log.warning(
                            "%s refuses version %d: %s", node.name, message.nack.version, fault.message
                        )
                    node.nack(message.nack.version, message.nack.faults)
                case "report":
                    node.reported = tuple(message.report.faults)
                    node.counters = tuple(message.report.counters)
                    self._controller.observe(node.name, message.report)


def create_server(controller: Controller, address: str, port: int, tls: Path) -> grpc.aio.Server:
    """A gRPC server, bound but not started.

    Args:
        controller: what it serves.
        address: to listen on.
        port: TCP port.
        tls: directory of ca.pem, cert.pem and key.pem.

    Raises:
        FileNotFoundError: a certificate is missing.
        RuntimeError: the port is taken.
    """
    collect_seldom()
    server = grpc.aio.server(options=_OPTIONS)
    add_SouthboundServicer_to_server(Southbound(controller), server)
    credentials = grpc.ssl_server_credentials(
        [((tls / "key.pem").read_bytes(), (tls / "cert.pem").read_bytes())],
        root_certificates=(tls / "ca.pem").read_bytes(),
        require_client_auth=True,
    )
    server.add_secure_port(f"{address}:{port}", credentials)
    return server
