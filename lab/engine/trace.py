"""Follow one packet through the lab: marked at its sender, listened for on every node with a switch.

Beyond the switches (in the gateways' compartments, at the sites, in the machine that it is for) packet
sockets watch for it too. Inside an IPsec tunnel nobody can: the trace shows where it goes in and comes out.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import docker

from lab.engine import access, observe, runner
from lab.engine.containers import ended
from lab.engine.helper import START_S, Helper, started
from lab.engine.trace_ends import End
from lab.engine.trace_events import (
    SENT,
    Outcome,
    Step,
    Trace,
    concluded,
    step_of_event,
    step_of_sighting,
    unsent,
)
from lab.engine.trace_packet import Probe, Protocol
from lab.errors import LabError, Problem, WaitTimeoutError
from lab.model.lab import Lab
from lab.model.tenants import Tenant
from lab.plan.marks import container_name

MODULE = "lab.engine.trace_sender"
LISTENER = ("python3", "-m", "lab.hvhost", "trace")
WITH_SWITCH = ("host", "gateway")
READY_S = 30.0
GRACE_S = 0.3
"""After the verdict is known: for what passed other nodes before and is still being told."""
LEAST_LIFE_S = 60


class TraceError(LabError):
    """The packet could not be followed."""


def marked(source: End, destination: End, protocol: Protocol, port: int) -> Probe:
    """A packet between two ends with a mark of its own."""
    most = 0xFFFF if source.address.version == 4 else 0xFFFFF
    return Probe(source.address, destination.address, protocol, port, 1 + secrets.randbelow(most))


def places(lab: Lab, source: End, destination: End) -> list[dict[str, str]]:
    """Where packets are watched outside of the switches: both machines, and the tenant's way to its sites."""
    nodes = [source.node, destination.node]
    nodes += [
        connection.site.name
        for connection in (source.tenant.gateway.connections if source.tenant.gateway else ())
        if connection.site
    ]
    found = [{"node": node, "compartment": ""} for node in dict.fromkeys(nodes) if node]
    if source.tenant.gateway:
        found += [{"node": gateway.name, "compartment": source.tenant.name} for gateway in lab.gateways]
    return found


def trace(
    client: docker.DockerClient,
    lab: Lab,
    source: End,
    destination: End,
    protocol: Protocol,
    port: int,
    timeout_s: float,
) -> Trace:
    """Send one packet and follow it.

    Parameters:
        client: of the engine.
        source: a machine of the lab.
        port: destination port; 0 with ICMP.
        timeout_s: how long to wait for what becomes of the packet, in seconds.

    Raises:
        ContainerError: the sender's container does not run.
        TraceError: a switch cannot be listened to.
        WaitTimeoutError: a node does not begin to listen.
    """
    probe = marked(source, destination, protocol, port)
    standing = {node.node: node for node in observe.nodes(client, lab.name) if node.state == "running"}
    if source.node not in standing:
        raise ended(client, container_name(lab.name, source.node), source.node)
    watched = [place for place in places(lab, source, destination) if place["node"] in standing]
    names = {place["node"]: standing[place["node"]].container for place in watched}
    processes = runner.pids(client, names)
    switches = [node for node in standing.values() if node.kind in WITH_SWITCH]
    ears = _Ears(client, _command(source.tenant, probe, timeout_s))
    with ExitStack() as stack:
        image = observe.fabric_image(client, lab.name)
        sender = stack.enter_context(started(client, lab.name, image, MODULE, processes))
        stack.enter_context(ears.open({node.node: node.container for node in switches}))
        sender.say({"pids": dict(processes), "source": source.node, "places": watched, "probe": _data(probe)})
        sender.hear(START_S)
        ears.await_ready(READY_S)
        sender.say({"send": True})
        return _followed(sender, ears, source, destination, timeout_s)


def _data(probe: Probe) -> dict[str, Any]:
    return {
        "source": str(probe.source),
        "destination": str(probe.destination),
        "protocol": probe.protocol.value,
        "port": probe.port,
        "mark": probe.mark,
    }


def _command(tenant: Tenant, probe: Probe, timeout_s: float) -> tuple[str, ...]:
    life_s = LEAST_LIFE_S + int(timeout_s)
    what = ("--rdid", tenant.routing_domain, "--mark", str(probe.mark))
    ends = ("--source", str(probe.source), "--destination", str(probe.destination))
    return (*LISTENER, *what, *ends, "--timeout", str(life_s))


def _followed(sender: Helper, ears: _Ears, source: End, destination: End, timeout_s: float) -> Trace:
    """Take in what is told until it is known what became of the packet."""
    steps: list[Step] = []
    end = time.monotonic() + timeout_s
    known_at: float | None = None
    while time.monotonic() < end and (known_at is None or time.monotonic() < known_at + GRACE_S):
        message = sender.overhear(0.02) or {}
        if "refused" in message:
            return unsent(message["refused"])
        if "sent_ns" in message:
            steps.append(Step(message["sent_ns"], source.node, SENT, str(destination.address)))
        elif "seen" in message:
            steps.append(step_of_sighting(message["seen"]))
        steps += ears.heard()
        if (
            known_at is None
            and concluded(steps, destination.node, destination.port).outcome is not Outcome.LOST
        ):
            known_at = time.monotonic()
    return concluded(steps, destination.node, destination.port)


class _Ears:
    """A listener on each node that has a switch."""

    def __init__(self, client: docker.DockerClient, command: Sequence[str]) -> None:
        self._client = client
        self._command = command
        self._steps: queue.SimpleQueue[Step] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._awaited: set[str] = set()

    @contextmanager
    def open(self, containers: Mapping[str, str]) -> Iterator[None]:
        """Begin to listen on nodes; ends with the context.

        Parameters:
            containers: node -> container.
        """
        self._awaited = set(containers)
        with ExitStack() as stack:
            for node, container in containers.items():
                # A listener ends with its stdin.
                theirs, ours = os.pipe()
                stack.callback(os.close, ours)
                threading.Thread(target=self._listen, args=(node, container, theirs), daemon=True).start()
            yield

    def await_ready(self, timeout_s: float) -> None:
        """Wait until every node listens.

        Raises:
            TraceError: one cannot.
            WaitTimeoutError: one does not begin in time.
        """
        end = time.monotonic() + timeout_s
        while self._awaited:
            try:
                node, complaint = self._ready.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise WaitTimeoutError(
                    [
                        Problem("HNV-ENG-092", "does not begin to listen", node, hint=f"hnvlab logs {node}")
                        for node in sorted(self._awaited)
                    ]
                ) from None
            if complaint:
                raise TraceError(
                    Problem(
                        "HNV-ENG-093",
                        f"its switch cannot be listened to: {complaint}",
                        node,
                        hint=f"hnvlab show policy {node}",
                    )
                )
            self._awaited.discard(node)

    def heard(self) -> list[Step]:
        """What came since the last call."""
        found = []
        while not self._steps.empty():
            found.append(self._steps.get())
        return found

    def _listen(self, node: str, container: str, stdin: int) -> None:
        rest, complaint = b"", b""

        def out(piece: bytes) -> None:
            nonlocal rest
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if message.get("ready"):
                    self._ready.put((node, ""))
                else:
                    self._steps.put(step_of_event(node, message))

        def err(piece: bytes) -> None:
            nonlocal complaint
            complaint += piece

        try:
            code = access.stream(self._client, container, self._command, out, err, stdin=stdin)
            words = complaint.decode(errors="replace").strip() or f"it ended with {code}"
        except (LabError, OSError, ValueError) as error:
            words = str(error)
        finally:
            os.close(stdin)
        # If it was ready before, nobody waits for this any more.
        self._ready.put((node, words))
