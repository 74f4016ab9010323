"""The agent's runner against a real gRPC server with mutual TLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.errors import LabError, Problem
from lab.southbound import southbound_pb2 as pb
from lab.southbound.agent import REFUSED, run_agent
from lab.southbound.identity import NodeIdentity
from lab.southbound.keys import GoalState, record
from lab.southbound.southbound_pb2_grpc import SouthboundServicer, add_SouthboundServicer_to_server

WITHIN_S = 10.0
RECORD = record(pb.ProviderAddress(address="192.168.6.10", prefix_length=24))
OTHER = record(pb.ProviderAddress(address="192.168.6.11", prefix_length=24))


def _issue(
    directory: Path, name: str, ca: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Name, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signer = ca or (subject, key)
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    directory.mkdir(exist_ok=True)
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return subject, key


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories `ca`, `controller` and `hv01`, each with its files."""
    root = tmp_path_factory.mktemp("tls")
    ca = _issue(root / "ca", "test ca", None)
    for name in ("controller", "hv01"):
        _issue(root / name, name, ca)
        (root / name / "ca.pem").write_bytes((root / "ca" / "cert.pem").read_bytes())
    return root


Context = grpc.aio.ServicerContext[pb.AgentMessage, pb.ControllerMessage]


@dataclass
class Controller(SouthboundServicer):
    """Records what agents say and sends what the test gives it."""

    streams: int = 0
    peers: list[str] = field(default_factory=list)
    heard: list[pb.AgentMessage] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    to_send: asyncio.Queue[pb.GoalStateDelta | None] = field(default_factory=asyncio.Queue)

    async def Connect(
        self, request_iterator: AsyncIterator[pb.AgentMessage], context: Context
    ) -> AsyncIterator[pb.ControllerMessage]:
        self.streams += 1
        (peer,) = context.auth_context()["x509_common_name"]
        self.peers.append(peer.decode())
        reading = asyncio.create_task(self._read(request_iterator))
        try:
            while (delta := await self.to_send.get()) is not None:
                yield pb.ControllerMessage(delta=delta)
        finally:
            reading.cancel()

    async def _read(self, messages: AsyncIterator[pb.AgentMessage]) -> None:
        async for message in messages:
            async with self.arrived:
                self.heard.append(message)
                self.arrived.notify_all()

    async def hears(self, wanted: Callable[[pb.AgentMessage], bool]) -> pb.AgentMessage:
        async with asyncio.timeout(WITHIN_S), self.arrived:
            while True:
                for message in self.heard:
                    if wanted(message):
                        return message
                await self.arrived.wait()


class RecordingAgent:
    """Keeps every goal state; refuses those that hold OTHER."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.goals: list[GoalState] = []
        self.touched: list[Collection[str] | None] = []
        self.packets = 0

    async def apply(self, goal: GoalState, touched: Collection[str] | None) -> None:
        self.goals.append(dict(goal))
        self.touched.append(touched)
        if OTHER.key in goal:
            raise LabError(Problem("HNV-TEST-001", "not this one", place=OTHER.key))

    def report(self) -> pb.Report:
        return pb.Report(counters=[pb.Counter(packets=self.packets)])


async def _serve(controller: Controller, tls: Path, port: int = 0) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server()
    add_SouthboundServicer_to_server(controller, server)
    files = tls / "controller"
    credentials = grpc.ssl_server_credentials(
        [((files / "key.pem").read_bytes(), (files / "cert.pem").read_bytes())],
        root_certificates=(files / "ca.pem").read_bytes(),
        require_client_auth=True,
    )
    bound = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    return server, bound


@contextlib.asynccontextmanager
async def _running(agent: RecordingAgent, tls: Path, port: int) -> AsyncIterator[None]:
    identity = NodeIdentity(lab="t", node="hv01", kind="host", controller="127.0.0.1")
    task = asyncio.create_task(run_agent(identity, "host", agent, tls=tls / "hv01", port=port))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _acks(version: int) -> Callable[[pb.AgentMessage], bool]:
    return lambda m: m.WhichOneof("body") == "ack" and m.ack.version == version


def _nacks(version: int) -> Callable[[pb.AgentMessage], bool]:
    return lambda m: m.WhichOneof("body") == "nack" and m.nack.version == version


def test_versions_are_applied_in_order_and_answered(tls: Path) -> None:
    async def scenario() -> None:
        controller, agent = Controller(), RecordingAgent()
        server, port = await _serve(controller, tls)
        async with _running(agent, tls, port):
            controller.to_send.put_nowait(pb.GoalStateDelta(version=1, snapshot=True, upserts=[RECORD]))
            controller.to_send.put_nowait(pb.GoalStateDelta(version=2, upserts=[OTHER]))
            controller.to_send.put_nowait(pb.GoalStateDelta(version=3, removes=[OTHER.key]))
            await controller.hears(_acks(1))
            refusal = await controller.hears(_nacks(2))
            await controller.hears(_acks(3))
        await server.stop(None)
        assert controller.heard[0].hello == pb.Hello(
            node="hv01", kind="host", instance=controller.heard[0].hello.instance
        )
        assert controller.peers == ["hv01"]
        assert [sorted(goal) for goal in agent.goals] == [
            [RECORD.key],
            sorted([RECORD.key, OTHER.key]),
            [RECORD.key],
        ]
        (fault,) = refusal.nack.faults
        assert (fault.record_key, fault.code) == (OTHER.key, REFUSED)
        assert "HNV-TEST-001" in fault.message

    asyncio.run(scenario())


def test_a_stream_that_does_not_begin_with_a_snapshot_is_refused(tls: Path) -> None:
    async def scenario() -> None:
        controller, agent = Controller(), RecordingAgent()
        server, port = await _serve(controller, tls)
        async with _running(agent, tls, port):
            controller.to_send.put_nowait(pb.GoalStateDelta(version=7, upserts=[RECORD]))
            await controller.hears(_nacks(7))
        await server.stop(None)
        assert agent.goals == []

    asyncio.run(scenario())


def test_a_change_is_reported_at_once(tls: Path) -> None:
    async def scenario() -> None:
        controller, agent = Controller(), RecordingAgent()
        server, port = await _serve(controller, tls)
        async with _running(agent, tls, port):
            await controller.hears(lambda m: m.WhichOneof("body") == "report")
            agent.packets = 5
            agent.changed.set()
            await controller.hears(
                lambda m: m.WhichOneof("body") == "report" and m.report.counters[0].packets == 5
            )
        await server.stop(None)

    asyncio.run(scenario())


def test_the_agent_comes_back_after_the_controller_died(tls: Path) -> None:
    async def scenario() -> None:
        first, agent = Controller(), RecordingAgent()
        server, port = await _serve(first, tls)
        async with _running(agent, tls, port):
            first.to_send.put_nowait(pb.GoalStateDelta(version=1, snapshot=True, upserts=[RECORD]))
            await first.hears(_acks(1))
            await server.stop(None)
            second = Controller()
            server, _ = await _serve(second, tls, port)
            second.to_send.put_nowait(pb.GoalStateDelta(version=9, snapshot=True))
            await second.hears(_acks(9))
        await server.stop(None)
        assert agent.goals[-1] == {}
        hellos = [c.heard[0].hello.instance for c in (first, second)]
        assert hellos[0] == hellos[1], "the same run of the agent says so"

    asyncio.run(scenario())


def test_a_report_that_fails_ends_the_agent(tls: Path) -> None:
    class Broken(RecordingAgent):
        def report(self) -> pb.Report:
            raise RuntimeError("cannot observe")

    async def scenario() -> None:
        controller = Controller()
        server, port = await _serve(controller, tls)
        identity = NodeIdentity(lab="t", node="hv01", kind="host", controller="127.0.0.1")
        running = asyncio.create_task(run_agent(identity, "host", Broken(), tls=tls / "hv01", port=port))
        ended, _ = await asyncio.wait({running}, timeout=WITHIN_S)
        assert ended, "it must not wait for the stream's end"
        with pytest.raises(RuntimeError, match="cannot observe"):
            await running
        await server.stop(None)

    asyncio.run(scenario())
