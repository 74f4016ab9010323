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
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import docker

from lab.controller.client import ControllerClient, ControllerUnreachableError
from lab.engine import access, observe, runner
from lab.engine.containers import ended
from lab.engine.events import Events, Note
from lab.engine.helper import START_S, Helper, HelperError, started
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
MOST_PROBED = 5
"""VMs that are asked for an answer before the move, for up to a second each; the user waits meanwhile."""
MEASURE_S = 10.0
"""How long a VM that has moved may take to be well again."""
ASK_S = 5.0
"""How long a Network Controller that did not answer a change is asked whether it has made it."""
NOT_CONNECTED = "HostNotConnectedToController"


class MigrationError(LabError):
    """A VM could not be moved, or not well; the message says where it is."""


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
    """What to probe from inside a VM, the best first: some other VMs of its tenant, then its default gateway.

    A VM on a third host sees the whole of a move: its own host's policy must follow. One on the source host
    becomes remote, one on the destination local. The gateway address is answered by the VM's own host.

    Parameters:
        places: host of each VM, as it is now.
    """
    rank = {source: 1, destination: 2}
    others = sorted(
        (item for item in tenant.vms if item.name != vm.name and item.address.version == vm.address.version),
        key=lambda item: (rank.get(places.get(item.name, item.host), 0), item.name),
    )[:MOST_PROBED]
    router = next(subnet.router for subnet in tenant.subnets if subnet.name == vm.subnet)
    return (*(str(item.address) for item in others), str(router))


def require_over(result: Migration) -> None:
    """That a VM that has moved is not cut off any more.

    Raises:
        MigrationError: it still was when measuring ended.
    """
    if result.target is not None and result.blackout_ms is None:
        raise MigrationError(
            Problem(
                code="HNV-ENG-097",
                message=f"{result.vm} has moved from {result.source} to {result.destination} and was still "
                f"cut off when measuring ended: {result.lost} of {result.sent} probes to {result.target} "
                "were lost",
                place=result.vm,
                hint="hnvlab status says which node does not follow; hnvlab up FILE moves it back",
            )
        )


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
        MigrationError: the VM's port stands nowhere, the agent of a host is not connected, or the connections
            cannot be taken along, and nothing has moved; the Network Controller or the kernel refuses, and
            what was done is taken back; or the VM has moved and stays cut off.
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
            source, ifindex = self._prepare(mover, interface, processes)
            if source == self.destination == place_of(interface):
                return Migration(self.vm.name, source, source)
            self._require_agents(source, place_of(interface))
            mover.say({"probe": True})
            target = mover.hear(START_S)["target"]
            self.events(Note(f"moving {self.vm.name} from {source} to {self.destination}"))
            if source != self.destination:
                self._take_flows(names[source], names[self.destination], ifindex)
            move_ms, policy_ms = self._move(mover, interface, source)
            mover.say({"end": {"within_s": MEASURE_S}})
            lost = mover.hear(MOVE_S)
        result = Migration(
            self.vm.name,
            source,
            self.destination,
            target,
            RATE_PPS,
            **lost,
            move_ms=move_ms,
            policy_ms=policy_ms,
        )
        require_over(result)
        return result

    @property
    def _path(self) -> str:
        return f"/networkInterfaces/{self.vm.name}"

    def _prepare(
        self, mover: Helper, interface: dict[str, Any], processes: Mapping[str, int]
    ) -> tuple[str, int]:
        """Where the port stands, and which index it will have at the destination."""
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
        return str(ready["host"]), int(ready["ifindex"])

    def _require_agents(self, source: str, told: str) -> None:
        """Both hosts must follow: the Network Controller does not wait for an agent that is not there.

        Parameters:
            source: host that the port stands on.
            told: the one that the Network Controller has the VM on; another after a migration was killed.
        """
        states = self.api.node_states()
        away = [
            host
            for host in dict.fromkeys((source, told, self.destination))
            if host and (host not in states or states[host].code == NOT_CONNECTED)
        ]
        if away:
            raise MigrationError(
                [
                    Problem(
                        code="HNV-ENG-095",
                        message=f"{self.vm.name} stays on {source}: the agent of {host} is not connected, "
                        "so the host would not follow",
                        place=host,
                        hint=f"start it: hnvlab exec {host} -- s6-svc -u /run/service/hvhost, "
                        "or hnvlab up FILE",
                    )
                    for host in away
                ]
            )

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
        refusal = self._tell(interface)
        try:
            moved = mover.hear(MOVE_S) if moving else {"move_ms": None}
        except HelperError as error:
            cause = error if refusal is None else refusal
            if refusal is None:
                self._tell_again(interface)
            raise self._not_moved(cause, source) from error
        if refusal is not None:
            raise self._not_moved(refusal, self._back(mover, source) if moving else source) from refusal
        self._await_policy()
        return moved["move_ms"], (time.monotonic() - before) * 1000

    def _tell(self, interface: dict[str, Any]) -> LabError | None:
        """Let the Network Controller know of the new place; why it does not, if it does not."""
        properties = {**interface["properties"], "server": {"resourceRef": f"/servers/{self.destination}"}}
        try:
            self.api.put(self._path, {**interface, "properties": properties})
        except ControllerUnreachableError as error:
            # Only the answer may be lost: it may have made the change before it went away.
            return None if self._told() == self.destination else error
        except LabError as error:
            return error
        return None

    def _tell_again(self, interface: dict[str, Any]) -> None:
        """Let the Network Controller know the old place; what came of it is asked for after it."""
        with suppress(LabError):
            self.api.put(self._path, interface)

    def _told(self) -> str | None:
        """The host that the Network Controller has the VM on; None: it does not say."""
        end = time.monotonic() + ASK_S
        while True:
            try:
                return place_of(self.api.get(self._path))
            except ControllerUnreachableError:
                if time.monotonic() > end:
                    return None
            except LabError:
                return None
            time.sleep(10 * PAUSE_S)

    def _back(self, mover: Helper, source: str) -> str:
        """Bring the port back; the host that it is on then."""
        try:
            mover.say({"move": source})
            mover.hear(MOVE_S)
        except HelperError:
            return self.destination
        return source

    def _not_moved(self, cause: LabError, port_at: str) -> MigrationError:
        """A failure, and what holds after it."""
        told = self._told()
        port = port_of(self.lab, self.vm).interface
        known = f"has it on {told}" if told else "does not say where it has it"
        well = Problem(
            code="HNV-ENG-096",
            message=f"the move of {self.vm.name} has failed: its port {port} is on {port_at}, "
            f"the Network Controller {known}",
            place=self.vm.name,
            hint="" if told == port_at else "hnvlab up FILE brings both to where the file says",
        )
        return MigrationError((*cause.problems, well))

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
