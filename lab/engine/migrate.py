"""Live migration: a VM's port goes to another host, and all hosts' policy follows.

The VM itself is not touched: its processes, addresses and connections never learn of it. Its vport is the far
end of its own adapter's link; that end moves into the destination's namespace, while the Network Controller
is told that the networkInterface's server is another one. Both begin together: each takes some ten
milliseconds, and a port without policy loses as much as policy without a port (docs/decisions/0007).
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import docker

from lab.controller.client import ControllerClient
from lab.engine import access, observe, runner
from lab.engine.containers import ended
from lab.engine.events import Events, Note
from lab.engine.helper import START_S, Helper, started
from lab.engine.pki import Pki
from lab.engine.state import LabState
from lab.engine.up import api_url
from lab.errors import LabError, Problem, WaitTimeoutError
from lab.model.lab import Lab, LinkEnd
from lab.model.tenants import Tenant, Vm
from lab.plan.marks import container_name

MODULE = "lab.engine.migrate_mover"
FLOWS = ("python3", "-m", "lab.hvhost", "flows")
MOVE_S = 30.0
RATE_PPS = 1000
FOLLOWED = "Succeeded"
"""provisioningState of a resource whose policy every connected node has taken over."""
PAUSE_S = 0.003


class MigrationError(LabError):
    """A VM could not be moved; it is where it was."""


@dataclass(frozen=True, slots=True)
class Migration:
    """What came of a migration.

    Attributes:
        vm: its name.
        source, destination: hosts; the same if there was nothing to do.
        target: the address that was probed from inside the VM; None: none answered, so nothing was measured.
        rate_pps: probes per second.
        sent, lost: probes.
        blackout_ms: how long the VM was cut off, by the probe; None: not measured.
        move_ms: how long the kernel took to move the port.
        policy_ms: from the request to the Network Controller until every node had acknowledged its policy.
    """

    vm: str
    source: str
    destination: str
    target: str | None = None
    rate_pps: int = RATE_PPS
    sent: int | None = None
    lost: int | None = None
    blackout_ms: float | None = None
    move_ms: float | None = None
    policy_ms: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The same as JSON data."""
        return asdict(self)


def place_of(interface: dict[str, Any]) -> str:
    """The host that a networkInterface resource names; empty: none."""
    reference = (interface["properties"].get("server") or {}).get("resourceRef", "")
    return str(reference).rpartition("/")[2]


def targets(tenant: Tenant, vm: Vm, places: dict[str, str], source: str, destination: str) -> tuple[str, ...]:
    """What to probe from inside a VM, the best first: other VMs of its tenant, then its default gateway.

    A VM on a third host sees the whole of a move: its own host's policy must follow. One on the source host
    becomes remote, one on the destination local. The gateway address is answered by the VM's own host.

    Parameters:
        places: host of each VM, as it is now.
    """
    rank = {source: 1, destination: 2}
    others = sorted(
        (item for item in tenant.vms if item.name != vm.name and item.address.version == vm.address.version),
        key=lambda item: (rank.get(places.get(item.name, item.host), 0), item.name),
    )
    router = next(subnet.router for subnet in tenant.subnets if subnet.name == vm.subnet)
    return (*(str(item.address) for item in others), str(router))


def migrate(
    client: docker.DockerClient, lab: Lab, tenant: Tenant, vm: Vm, destination: str, events: Events
) -> Migration:
    """Move a running VM to another host of its lab.

    Parameters:
        client: of the engine.
        lab: as its topology file says; the VM may stand elsewhere than there.
        tenant, vm: of the lab.
        destination: name of a host.
        events: is told how it goes.

    Raises:
        BusyLabError: another process works on the lab.
        ContainerError: the VM or a host does not run.
        MigrationError: the VM's port stands nowhere, or its connections cannot be taken along.
        ControllerError: the Network Controller refuses; the port is back where it was.
        WaitTimeoutError: some node does not take its new policy over.
    """
    state = LabState.of(lab.name)
    pki = Pki(state.directory)
    with (
        state.locked(),
        ControllerClient(api_url(client, lab), pki.ca_path, pki.token(), retry_for_s=0) as api,
    ):
        return _Work(client, lab, tenant, vm, destination, api, events).run()


@dataclass(frozen=True, slots=True)
class _Work:
    client: docker.DockerClient
    lab: Lab
    tenant: Tenant
    vm: Vm
    destination: str
    api: ControllerClient
    events: Events

    def run(self) -> Migration:
        hosts = [host.name for host in self.lab.hosts]
        running = {node.node for node in observe.nodes(self.client, self.lab.name) if node.state == "running"}
        names = {
            node: container_name(self.lab.name, node) for node in (*hosts, self.vm.name) if node in running
        }
        for node in (self.vm.name, self.destination):
            if node not in names:
                raise ended(self.client, container_name(self.lab.name, node), node)
        processes = runner.pids(self.client, names)
        interface = self.api.get(self._path)
        image = observe.fabric_image(self.client, self.lab.name)
        with started(self.client, self.lab.name, image, MODULE, processes) as mover:
            source, ifindex, target = self._prepare(mover, interface, processes)
            if source == self.destination == place_of(interface):
                return Migration(self.vm.name, source, source)
            self.events(Note(f"moving {self.vm.name} from {source} to {self.destination}"))
            if source != self.destination:
                self._take_flows(names[source], names[self.destination], ifindex)
            move_ms, policy_ms = self._move(mover, interface, source)
            mover.say({"end": {"within_s": 10.0}})
            lost = mover.hear(MOVE_S)
        return Migration(
            self.vm.name,
            source,
            self.destination,
            target,
            RATE_PPS,
            **lost,
            move_ms=move_ms,
            policy_ms=policy_ms,
        )

    @property
    def _path(self) -> str:
        return f"/networkInterfaces/{self.vm.name}"

    def _prepare(
        self, mover: Helper, interface: dict[str, Any], processes: Mapping[str, int]
    ) -> tuple[str, int, str | None]:
        """Where the port stands, which index it will have at the destination, and what is probed."""
        places = {item["resourceId"]: place_of(item) for item in self.api.list("/networkInterfaces")}
        port = port_of(self.lab, self.vm)
        source = place_of(interface)
        mover.say(
            {
                "pids": dict(processes),
                "hosts": [host.name for host in self.lab.hosts if host.name in processes],
                "vm": self.vm.name,
                "port": port.interface,
                "alias": port.alias,
                "destination": self.destination,
                "targets": targets(self.tenant, self.vm, places, source, self.destination),
                "rate_pps": RATE_PPS,
            }
        )
        ready = mover.hear(START_S)
        if ready["host"] is None:
            raise MigrationError(
                Problem(
                    code="HNV-ENG-090",
                    message=f"no host has the port {port.interface} of {self.vm.name}",
                    place=self.vm.name,
                    hint="hnvlab up FILE wires it again",
                )
            )
        return str(ready["host"]), int(ready["ifindex"]), ready["target"]

    def _take_flows(self, source: str, destination: str, ifindex: int) -> None:
        """Let the destination's switch know the connections that the source's access control lists follow.

        Before the move, so that the VM's first packet there finds them; what is opened in the few hundred
        milliseconds between is judged as new.

        Parameters:
            source, destination: containers.
            ifindex: that the port will have at the destination.
        """
        port = port_of(self.lab, self.vm).interface
        done = access.run(self.client, source, (*FLOWS, "export", port), MOVE_S)
        if done.exit_code == 0 and json.loads(done.stdout):
            with tempfile.TemporaryFile() as file:
                file.write(done.stdout.encode())
                file.seek(0)
                done = access.run(
                    self.client, destination, (*FLOWS, "import", str(ifindex)), MOVE_S, file.fileno()
                )
        if done.exit_code != 0:
            raise MigrationError(
                Problem(
                    code="HNV-ENG-094",
                    message=f"the connections of {port} cannot be taken along: {done.stderr.strip()}",
                    place=self.vm.name,
                    hint=f"hnvlab show flows {self.destination}",
                )
            )

    def _move(self, mover: Helper, interface: dict[str, Any], source: str) -> tuple[float | None, float]:
        """Port and policy at once; how long each took, in milliseconds."""
        moving = source != self.destination
        if moving:
            mover.say({"move": self.destination})
        before = time.monotonic()
        properties = {**interface["properties"], "server": {"resourceRef": f"/servers/{self.destination}"}}
        try:
            self.api.put(self._path, {**interface, "properties": properties})
        except LabError:
            if moving:
                mover.hear(MOVE_S)
                mover.say({"move": source})
                mover.hear(MOVE_S)
            raise
        moved = mover.hear(MOVE_S) if moving else {"move_ms": None}
        self._await_policy()
        return moved["move_ms"], (time.monotonic() - before) * 1000

    def _await_policy(self) -> None:
        """Until every connected node that the change concerns has acknowledged it."""
        end = time.monotonic() + MOVE_S
        while (state := self.api.get(self._path)["properties"].get("provisioningState")) != FOLLOWED:
            if time.monotonic() > end:
                raise WaitTimeoutError(
                    Problem(
                        code="HNV-ENG-091",
                        message=f"the policy of {self.vm.name} is {state} after {MOVE_S:.0f} s",
                        place=self._path,
                        expected=FOLLOWED,
                        hint=f"hnvlab status {self.lab.name} says which node does not follow",
                    )
                )
            time.sleep(PAUSE_S)


def port_of(lab: Lab, vm: Vm) -> LinkEnd:
    """The VM's vport, as it is wired where the topology file places the VM."""
    return next(link.first for link in lab.links_of(vm.name) if link.first.alias)
