"""Brings a lab up, or makes a running one be as its topology says.

Images; fabric nodes and their links; then, side by side, the VMs with theirs and the tenants' intent;
convergence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from lab.controller.client import ControllerClient
from lab.engine import containers, images, observe, policy
from lab.engine.certificates import certificates
from lab.engine.containers import Credentials
from lab.engine.down import remove_all
from lab.engine.events import Event, Events, Note, PhaseFinished, phase
from lab.engine.execute import Executor
from lab.engine.pki import Pki, controller_names
from lab.engine.state import LabRecord, LabState
from lab.model.lab import Lab, Node, NodeKind
from lab.plan import marks
from lab.plan.container import Materials, files_of
from lab.plan.intent import intent
from lab.plan.kinds import KINDS
from lab.plan.planner import plan
from lab.plan.steps import Step, waves
from lab.southbound.identity import NORTHBOUND_PORT

ANSWER_TIMEOUT_S = 90
"""For the Network Controller to answer at all; it starts in 2 s, on two busy cores in 10."""
FABRIC = "fabric"


@dataclass(frozen=True, slots=True)
class UpResult:
    """What came of an `up`.

    Attributes:
        lab: its name.
        nodes: names of all nodes.
        changes: how many things were not yet as wanted; 0: the lab was left untouched.
        phases: seconds that each phase took.
        api: address of the Network Controller's API on this machine.
        ca: file with the certificate that vouches for it.
        token: file with the token that it wants.
    """

    lab: str
    nodes: tuple[str, ...]
    changes: int
    phases: Mapping[str, float]
    api: str
    ca: Path
    token: Path

    def to_json(self) -> dict[str, Any]:
        """The same as JSON data."""
        return {
            "lab": self.lab,
            "nodes": list(self.nodes),
            "changes": self.changes,
            "phases": {name: round(seconds, 3) for name, seconds in self.phases.items()},
            "api": self.api,
            "ca": str(self.ca),
            "token": str(self.token),
        }


@dataclass(slots=True)
class _Ledger:
    """Adds up what the phases say, and hands everything on."""

    events: Events
    phases: dict[str, float] = field(default_factory=dict)
    changes: int = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, PhaseFinished):
            self.phases[event.phase] = event.elapsed_s
            # Images belong to the machine, not to the lab.
            self.changes += event.changes if event.phase != "images" else 0
        self.events(event)


def bring_up(
    client: docker.DockerClient, lab: Lab, topology: Path, events: Events, timeout_s: float
) -> UpResult:
    """Make the lab stand and converge. What stands already as it should is left alone.

    Where it is interrupted, or fails before the containers stand, and nothing of the lab stood before, all
    that it made is removed again; a change to a running lab is left as far as it got, and the next run goes
    on from there.

    Parameters:
        client: of the engine.
        lab: what shall be.
        topology: the file that it comes from; remembered for `check` and `status`.
        events: is told how it goes.
        timeout_s: how long to wait for convergence, in seconds.

    Raises:
        BusyLabError: another process works on the lab.
        BusyNameError: something else has a name that the lab needs; nothing was touched.
        ImageBuildError, ContainerError, WiringFailedError: the engine or the kernel refused.
        ControllerError: the Network Controller refused a part of the intent.
        WaitTimeoutError: the lab did not converge in time; it is left for looking at.
    """
    state = LabState.of(lab.name)
    ledger = _Ledger(events)
    with state.locked():
        work = _Up(client, lab, topology.resolve(), state, ledger, timeout_s)
        first = not any(observe.everything(client, lab.name))
        try:
            api = work.run()
        except BaseException as error:
            unfinished = not work.stands or isinstance(error, KeyboardInterrupt)
            if first and unfinished:
                _roll_back(client, lab.name, state, events)
            raise
    pki = Pki(state.directory)
    return UpResult(
        lab.name, tuple(lab.nodes), ledger.changes, ledger.phases, api, pki.ca_path, pki.token_path
    )


def _roll_back(client: docker.DockerClient, lab: str, state: LabState, events: Events) -> None:
    """A first `up` that did not get through leaves nothing behind."""
    events(Note(f"removing what was made of {lab}"))
    remove_all(client, lab, events)
    state.remove()


@dataclass(slots=True)
class _Up:
    """One run; `stands` says whether all containers run and are wired."""

    client: docker.DockerClient
    lab: Lab
    topology: Path
    state: LabState
    events: Events
    timeout_s: float
    stands: bool = False

    def run(self) -> str:
        """Everything; the API's address."""
        executor, steps = self.prepare()
        first, rest = waves(steps)
        with phase(self.events, "fabric") as current:
            current.changes = _carry_out(executor, first)
        # The controller takes the intent while the VMs start: the fabric need not wait for them to converge.
        background = ThreadPoolExecutor(1, thread_name_prefix="intent")
        try:
            intended = background.submit(self.bring_intent)
            if rest:
                with phase(self.events, "machines") as current:
                    current.changes = _carry_out(executor, rest)
            self.stands = True
            url = intended.result()
        finally:
            # Not waited for: after a failure the controller goes away, and with it what still talks to it.
            background.shutdown(wait=False, cancel_futures=True)
        with phase(self.events, "convergence"), self._client(url) as api:
            policy.await_converged(lambda: self._missing(api), self._log_of, self.events, self.timeout_s)
        return url

    def prepare(self) -> tuple[Executor, Sequence[Step]]:
        """Images and certificates; who does what is left to do, and what that is."""
        wanted = {FABRIC} | {node.image for node in self.lab.nodes.values()}
        references = images.ensure(self.client, wanted, self.events)
        ids = {key: str(self.client.images.get(reference).id) for key, reference in references.items()}
        credentials = self._credentials()
        materials = Materials(
            images=ids,
            digests=_digests(files_of(self.lab)),
            credentials=_identity(credentials),
            certificates=certificates(self.lab, self.state.directory),
        )
        steps = plan(self.lab, observe.observe(self.client, self.lab.name), materials)
        self._remember()
        return Executor(self.client, self.lab, credentials, ids[FABRIC], self.events), steps

    def bring_intent(self) -> str:
        """PUT the tenants' intent as soon as the controller answers; the API's address."""
        url = api_url(self.client, self.lab)
        with self._client(url) as api:
            with phase(self.events, "controller"):
                policy.await_reachable(
                    api, lambda: self._still_running(self.lab.fabric.controller), ANSWER_TIMEOUT_S
                )
            with phase(self.events, "intent") as current:
                before = self.state.load()
                resources = intent(self.lab, certificates(self.lab, self.state.directory))
                current.changes = policy.put_intent(api, resources, before.intent if before else ())
                self._remember(path for path, _ in resources)
        return url

    def _client(self, url: str) -> ControllerClient:
        pki = Pki(self.state.directory)
        return ControllerClient(url, pki.ca_path, pki.token(), retry_for_s=0)

    def _missing(self, api: ControllerClient) -> tuple[policy.Missing, ...]:
        self._still_running(*self.lab.nodes)
        return policy.missing(api, self.lab)

    def _still_running(self, *awaited: str) -> None:
        """Raise for a node that has ended: waiting for what it should do would be in vain."""
        for standing in observe.nodes(self.client, self.lab.name):
            if standing.state != "running" and standing.node in awaited:
                raise containers.ended(self.client, standing.container, standing.node)

    def _log_of(self, node: str) -> str:
        name = marks.container_name(self.lab.name, node)
        return containers.last_log(self.client, name, containers.LOG_LINES)

    def _credentials(self) -> Credentials:
        pki = Pki(self.state.directory)
        nodes = {node.name: _names(node) for node in self.lab.nodes.values() if KINDS[node.kind].tls}
        return Credentials(pki.ensure(self.lab.name, nodes), pki.token())

    def _remember(self, paths: Iterable[str] | None = None) -> None:
        before = self.state.load()
        known = before.intent if before else ()
        self.state.save(LabRecord(self.topology, known if paths is None else tuple(paths)))


def api_url(client: docker.DockerClient, lab: Lab) -> str:
    """Where the Network Controller's API is published on this machine.

    Raises:
        ContainerError: the controller's container does not run.
    """
    name = marks.container_name(lab.name, lab.fabric.controller)
    found = client.api.port(name, NORTHBOUND_PORT)
    if not found:
        raise containers.ended(client, name, lab.fabric.controller)
    return f"https://{containers.LOOPBACK}:{found[0]['HostPort']}"


def _carry_out(executor: Executor, steps: Sequence[Step]) -> int:
    """Containers, then their links; how much was changed."""
    return executor.stand_up(steps) + len(executor.wire(steps))


def _names(node: Node) -> tuple[Any, ...]:
    if node.management is None:
        return ()
    return controller_names(node.management) if node.kind is NodeKind.CONTROLLER else (node.management,)


def _digests(files: Iterable[Path]) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _identity(credentials: Credentials) -> str:
    """Identifies the authority and the token: nodes that hold older ones no longer trust each other."""
    ca = next(iter(credentials.tls.values())).ca
    return hashlib.sha256(ca + credentials.token.encode()).hexdigest()[:16]
