"""A real Network Controller process on loopback, its certificates, and an agent that speaks to it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from lab.controller.catalog import parse_path
from lab.controller.client import ControllerClient, ControllerUnreachableError
from lab.controller.controller import Controller, Written
from lab.controller.refusals import Refused, malformed
from lab.controller.store import SqliteStore
from lab.controller.views import render
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState, patched
from lab.southbound.southbound_pb2_grpc import SouthboundStub

ROOT = Path(__file__).parents[2]
INTENT_PATH = ROOT / "tests/golden/controller_intent.json"
TOKEN = "opens-the-controller"
WITHIN_S = 20.0
EOF = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it


def hybrid_cloud() -> list[tuple[str, dict[str, Any]]]:
    """What the lab PUTs for topologies/hybrid-cloud.yml, in order."""
    return [(item["path"], item["body"]) for item in json.loads(INTENT_PATH.read_text())]


NETWORK = {
    "properties": {
        "addressSpace": {"addressPrefixes": ["10.7.0.0/16"]},
        "subnets": [{"resourceId": "web", "properties": {"addressPrefix": "10.7.0.0/24"}}],
    }
}
"""A virtual network that a test may spoil, under /virtualNetworks/green."""


def interface(
    address: str | None, subnet: str = "/virtualNetworks/green/subnets/web", **more: Any
) -> dict[str, Any]:
    properties = {"privateIPAddress": address, "subnet": {"resourceRef": subnet}}
    if address is None:
        properties["privateIPAllocationMethod"] = "Dynamic"
    return {"properties": {"ipConfigurations": [{"resourceId": "ip", "properties": properties}], **more}}


class Authority:
    """Issues certificates into directories."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._name = name
        builder = self._builder(name, self._key).add_extension(x509.BasicConstraints(True, None), True)
        self._pem = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    def issue(self, common_name: str) -> Path:
        """The directory with a node's certificate, made if need be."""
        directory = self._directory / common_name
        if directory.exists():
            return directory
        directory.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1())
        names = [
            x509.DNSName(common_name),
            x509.DNSName("localhost"),
            x509.IPAddress(IPv4Address("127.0.0.1")),
        ]
        certificate = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]), key)
            .add_extension(x509.SubjectAlternativeName(names), False)
            .sign(self._key, hashes.SHA256())
        )
        (directory / "ca.pem").write_bytes(self._pem)
        (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (directory / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return directory


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RunningController:
    """A controller process that can be killed and started again over the same database."""

    directory: Path
    authority: Authority
    rest_port: int = field(default_factory=free_port)
    southbound_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        token = self.directory / "token"
        token.write_text(TOKEN + "\n")
        options = {
            "address": "127.0.0.1",
            "rest-port": self.rest_port,
            "southbound-port": self.southbound_port,
            "tls": self.authority.issue("controller"),
            "token": token,
            "database": self.directory / "controller.db",
        }
        command = [sys.executable, "-X", "faulthandler", "-m", "lab.controller"]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        log = (self.directory / "controller.log").open("ab")
        self.process = subprocess.Popen(command, stderr=log, stdout=log, cwd=ROOT)
        log.close()
        with self.client(retry_for_s=0.2) as client:
            while True:
                if self.process.poll() is not None:
                    raise AssertionError((self.directory / "controller.log").read_text())
                try:
                    client.list("/servers")
                except ControllerUnreachableError:
                    continue
                return

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=WITHIN_S)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.rest_port}"

    def client(self, retry_for_s: float = 5.0) -> ControllerClient:
        return ControllerClient(self.url, self.authority.issue("controller") / "ca.pem", TOKEN, retry_for_s)

    def put_all(self, intent: list[tuple[str, dict[str, Any]]]) -> None:
        with self.client() as client:
            for path, body in intent:
                client.put(path, body)


@contextmanager
def running(directory: Path) -> Iterator[RunningController]:
    controller = RunningController(directory, Authority(directory / "tls"))
    controller.start()
    try:
        yield controller
    finally:
        if controller.process is not None and controller.process.poll() is None:
            controller.kill()


class FakeAgent:
    """An agent without a node: keeps the goal state it is sent and answers as it is told.

    Attributes:
        goal: what it has acknowledged.
        versions: every delta it was sent.
        refuse: faults for a delta; none: acknowledge.
    """

    def __init__(self, stream: Any, refuse: Callable[[pb.GoalStateDelta], list[pb.Fault]]) -> None:
        self._stream = stream
        self.refuse = refuse
        self.goal: GoalState = {}
        self._base: GoalState = {}
        self.deltas: list[pb.GoalStateDelta] = []

    async def report(self, report: pb.Report) -> None:
        await self._stream.write(pb.AgentMessage(report=report))

    async def take(self) -> pb.GoalStateDelta:
        """Receive one delta and answer it."""
        message = await asyncio.wait_for(self._stream.read(), WITHIN_S)
        assert message is not EOF, await self._stream.details()
        delta: pb.GoalStateDelta = message.delta
        self.deltas.append(delta)
        self._base = patched(self._base, delta)
        faults = self.refuse(delta)
        if faults:
            answer = pb.AgentMessage(nack=pb.Nack(version=delta.version, faults=faults))
        else:
            self.goal = self._base
            answer = pb.AgentMessage(ack=pb.Ack(version=delta.version))
        await self._stream.write(answer)
        return delta

    async def ended(self) -> grpc.StatusCode:
        """How the controller ended the stream."""
        try:
            while await self._stream.read() is not EOF:
                pass
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    async def take_until(self, predicate: Callable[[GoalState], bool]) -> None:
        """Receive deltas until the acknowledged goal state is as it should be."""
        while not predicate(self.goal):
            await self.take()

    def keys(self, prefix: str) -> set[str]:
        return {key for key in self.goal if key.startswith(prefix)}


@asynccontextmanager
async def agent(
    controller: RunningController,
    node: str,
    kind: str,
    *,
    certificate: str | None = None,
    instance: str = "",
    refuse: Callable[[pb.GoalStateDelta], list[pb.Fault]] = lambda _: [],
) -> AsyncIterator[FakeAgent]:
    tls = controller.authority.issue(certificate or node)
    credentials = grpc.ssl_channel_credentials(
        (tls / "ca.pem").read_bytes(), (tls / "key.pem").read_bytes(), (tls / "cert.pem").read_bytes()
    )
    target = f"127.0.0.1:{controller.southbound_port}"
    async with grpc.aio.secure_channel(target, credentials) as channel:
        stream = SouthboundStub(channel).Connect()
        hello = pb.Hello(node=node, kind=kind, instance=instance or os.urandom(8).hex())
        # A stream that is refused at once may be gone before its first message.
        with contextlib.suppress(grpc.aio.AioRpcError):
            await stream.write(pb.AgentMessage(hello=hello))
        try:
            yield FakeAgent(stream, refuse)
        finally:
            stream.cancel()


def error_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The error of an error body."""
    error = body["error"]
    assert isinstance(error, dict)
    return error


class Datacenter:
    """A controller inside this process, over a database in a directory."""

    def __init__(self, directory: Path, intent: list[tuple[str, dict[str, Any]]]) -> None:
        self.store = SqliteStore(directory / "controller.db")
        self.controller = Controller(self.store)
        for path, body in intent:
            self.put(path, body)

    def put(self, path: str, body: Mapping[str, Any]) -> Written:
        at = parse_path(path)
        assert at is not None
        resource = at.collection.model.model_validate({**body, "resourceId": at.ids[-1]})
        return self.controller.put(at, resource)

    def delete(self, path: str) -> bool:
        at = parse_path(path)
        assert at is not None
        return self.controller.delete(at)

    def get(self, path: str) -> dict[str, Any]:
        """A resource as a GET answers it."""
        at = parse_path(path)
        assert at is not None
        found = self.controller.inventory.find(at)
        assert found is not None, path
        return render(*found, self.controller)

    def properties(self, path: str) -> dict[str, Any]:
        """The same without what all resources have."""
        return dict(self.get(path)["properties"])

    def refusal(self, path: str, body: Mapping[str, Any]) -> str:
        """Why a PUT is refused, all complaints."""
        try:
            self.put(path, body)
        except Refused as refused:
            return "; ".join(complaint.message for complaint in refused.complaints)
        except ValidationError as error:
            return "; ".join(complaint.message for complaint in malformed(error).complaints)
        raise AssertionError(f"{path} is not refused")

    def version(self, node: str) -> int:
        """Of a node's goal state."""
        found = self.controller.fleet.node(node)
        assert found is not None
        return found.version

    def records(self, node: str, kind: str) -> list[Any]:
        """One kind of record in a node's goal state."""
        items = (item for _, item in sorted(self.goal_state(node).items()))
        return [getattr(item, kind) for item in items if item.WhichOneof("body") == kind]

    def observe(self, node: str, report: pb.Report) -> None:
        self.controller.observe(node, report)

    def goal_state(self, node: str) -> GoalState:
        return self.controller.policy.goal_state(node)

    def restarted(self) -> Controller:
        """A second controller over the same store, as after a crash."""
        return Controller(self.store)
