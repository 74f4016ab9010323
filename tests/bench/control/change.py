"""One policy change: from the acknowledged REST PUT to the first packet that flows to another host by it."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lab.controller.client import ControllerClient
from lab.southbound.identity import port_alias
from lab.testing import eventually
from tests.bench.datapath.policy import MACHINES, Machine
from tests.bench.datapath.variants import cabled
from tests.datapath.netns import Namespace, pin_directory
from tests.datapath.switch_object import compiled
from tests.unit.controller_support import RunningController, running

from .node import LAB, Settings, agent

HOSTS = ("hv01", "hv02")
PORT = 4000
PAUSE_S = 0.0005
"""Between two packets of the probe."""
SILENCE_S = 0.2
"""Nothing has come for so long: the way is closed."""
WITHIN_S = 20.0


class Probe:
    """Packets from the first VM to the second, again and again; when the last one arrived."""

    def __init__(self, source: Namespace, target: Namespace, address: str) -> None:
        self._ended = threading.Event()
        self._arrived = threading.Condition()
        self._last_s = 0.0
        self._address = address
        self._out = source.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._in = target.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._in.bind(("0.0.0.0", PORT))
        self._in.settimeout(SILENCE_S)
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End both sides."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._out.close()
        self._in.close()

    def first_after(self, moment_s: float) -> float:
        """When the first packet arrived that arrived after a moment; monotonic clock.

        Raises:
            TimeoutError: none did for long.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: self._last_s > moment_s, WITHIN_S):
                raise TimeoutError("no packet arrives")
            return self._last_s

    def silent(self) -> None:
        """Assert that nothing arrives any more."""
        assert time.monotonic() - self._last_s > SILENCE_S

    def _send(self) -> None:
        while not self._ended.wait(PAUSE_S):
            # Without policy the way is closed, and the kernel may say so.
            with contextlib.suppress(OSError):
                self._out.sendto(b"policy", (self._address, PORT))

    def _receive(self) -> None:
        while not self._ended.is_set():
            try:
                self._in.recv(64)
            except TimeoutError:
                continue
            with self._arrived:
                quiet, self._last_s = time.monotonic() - self._last_s > SILENCE_S, time.monotonic()
                if quiet:
                    self._arrived.notify_all()


def policy_change_ms(rounds: int) -> list[float]:
    """Milliseconds of each round: a VM's networkInterface is PUT, its first packet arrives on the other host.

    Raises:
        AssertionError: policy does not come, or does not go.
    """
    results = []
    with _fabric() as (client, probe):
        path, body = _interface(MACHINES[1])
        for _ in range(rounds):
            eventually(probe.silent, within_s=WITHIN_S)
            before_s = time.monotonic()
            client.put(path, body)
            acknowledged_s = time.monotonic()
            first_s = probe.first_after(before_s)
            results.append(max(0.0, (first_s - acknowledged_s) * 1000))
            client.delete(path)
    return results


@contextmanager
def _fabric() -> Iterator[tuple[ControllerClient, Probe]]:
    """A controller and two agents, each a process; two VMs, the second without policy yet."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hnvt-bench-")))
        controller = stack.enter_context(running(directory))
        made, place = stack.enter_context(cabled(prefix_length=24))
        pins = stack.enter_context(pin_directory())
        controller.put_all(_intent())
        for number, name in enumerate(HOSTS):
            host = place.hosts[number]
            host.ip(f"link set v-{MACHINES[number].name} alias {port_alias(LAB, MACHINES[number].name)}")
            stack.enter_context(agent(_settings(controller, name, host, pins / name)))
        for namespace, machine in zip((made["vm1"], made["vm2"]), MACHINES, strict=True):
            namespace.ip(f"route add default via {machine.router}")
        client = stack.enter_context(controller.client())
        eventually(lambda: _connected(client), within_s=WITHIN_S)
        yield (
            client,
            stack.enter_context(contextlib.closing(Probe(made["vm1"], made["vm2"], MACHINES[1].address))),
        )


def _intent() -> list[tuple[str, dict[str, Any]]]:
    """Everything but the second VM."""
    pool = {
        "resourceId": "pool",
        "properties": {"startIpAddress": "192.168.6.10", "endIpAddress": "192.168.6.99"},
    }
    provider = {"addressPrefix": "192.168.6.0/24", "defaultGateways": ["192.168.6.1"], "ipPools": [pool]}
    logical = {
        "networkVirtualizationEnabled": True,
        "subnets": [{"resourceId": "provider", "properties": provider}],
    }
    subnets = [
        {
            "resourceId": machine.name,
            "properties": {"addressPrefix": str(machine.subnet), "virtualSubnetId": machine.vsid},
        }
        for machine in MACHINES
    ]
    network = {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "logicalNetwork": {"resourceRef": "/logicalNetworks/provider"},
        "subnets": subnets,
    }
    return [
        ("/logicalNetworks/provider", {"properties": logical}),
        *((f"/servers/{n}", {"properties": {"connections": [{"managementAddresses": [n]}]}}) for n in HOSTS),
        ("/virtualNetworks/bench", {"properties": network}),
        _interface(MACHINES[0]),
    ]


def _interface(machine: Machine) -> tuple[str, dict[str, Any]]:
    address = {
        "privateIPAddress": machine.address,
        "privateIPAllocationMethod": "Static",
        "subnet": {"resourceRef": f"/virtualNetworks/bench/subnets/{machine.name}"},
    }
    return f"/networkInterfaces/{machine.name}", {
        "properties": {
            "privateMacAddress": machine.mac.replace(":", "-").upper(),
            "server": {"resourceRef": f"/servers/{HOSTS[machine.host]}"},
            "ipConfigurations": [{"resourceId": "ip", "properties": address}],
        }
    }


def _connected(client: ControllerClient) -> None:
    states = {name: node.status for name, node in client.node_states().items()}
    assert states.get("hv01") in ("Success", "Warning"), states
    assert states.get("hv02") in ("Success", "Warning"), states


def _settings(controller: RunningController, name: str, host: Namespace, pins: Path) -> Settings:
    return Settings(
        name=name,
        namespace=host.name,
        pins=str(pins),
        object_file=str(compiled()),
        tls=str(controller.authority.issue(name)),
        port=controller.southbound_port,
    )
