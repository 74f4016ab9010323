"""What the controller knows of every node's agent: what it was sent, what it took, what it refused.

No I/O here: the southbound server calls in with what it hears and asks for what to send next.

One version is in flight at a time; changes that come up meanwhile are sent together as the next version. A
version that an agent refuses does not stop the ones behind it: the records that the refusal names go back to
what the agent last acknowledged, so that one tenant's bad configuration on a shared gateway does not hold up
the others. They are sent again when they change, and when the agent connects anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lab.controller.policy import RecordChanges
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState

POLICY_FAILURE = "PolicyConfigurationFailure"
NOT_CONNECTED = {"host": "HostNotConnectedToController", "gateway": "VirtualServerUnreachable"}
"""Microsoft's configuration state code for an agent that is not there, by node kind (SdnDiag Health.Config).
"""


@dataclass(frozen=True, slots=True)
class Detail:
    """One entry of a configurationState's detailedInfo."""

    source: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ConfigurationState:
    """Microsoft's configurationState: "Success", "InProgress", "Warning", "Failure" or "Uninitialized"."""

    status: str
    updated_unix_s: float
    details: tuple[Detail, ...]


@dataclass(slots=True)
class _Awaited:
    """A change of a resource that a node has not answered yet."""

    version: int
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a resource's change has failed on a node; `keys` empty: the whole version was refused."""

    message: str
    keys: frozenset[str]


@dataclass(slots=True)
class Node:
    """One agent.

    Attributes:
        name: the node's name.
        kind: "host" or "gateway".
        declared: there is a server or gateway resource of its name. An agent that is here before its resource
            waits for its first snapshot, so that it does not lose the policy that it may still carry.
        version: of the goal state as it is to be.
        acknowledged: the last version that the agent has taken over in its present stream.
        stream: id of the stream that the agent holds; empty: it holds none.
        refused: records that the agent could not apply, by key; they are back at what it acknowledged.
        rejection: why it refused a whole version, no record named; holds until it acknowledges another.
        reported: what is wrong on the node by its own report.
        counters: packet counters of its last report.
        awaited: changes without an answer, by the key of the document that caused them.
        wake: called when there may be something to send.
    """

    name: str
    kind: str
    declared: bool = False
    version: int = 1
    acknowledged: int = 0
    stream: str = ""
    updated_unix_s: float = field(default_factory=time.time)
    refused: dict[str, pb.Fault] = field(default_factory=dict)
    rejection: tuple[pb.Fault, ...] = ()
    reported: tuple[pb.Fault, ...] = ()
    counters: tuple[pb.Counter, ...] = ()
    awaited: dict[str, list[_Awaited]] = field(default_factory=dict)
    failed: dict[str, _Failure] = field(default_factory=dict)
    wake: Callable[[], None] = lambda: None
    _confirmed: GoalState = field(default_factory=dict)
    _unsent: RecordChanges = field(default_factory=dict)
    _unconfirmed: RecordChanges = field(default_factory=dict)
    _snapshot_due: bool = True
    _in_flight: int = 0

    @property
    def connected(self) -> bool:
        """Whether the agent holds a stream."""
        return bool(self.stream)

    def publish(self, changes: RecordChanges, resource: str) -> None:
        """Records of this node have changed.

        Args:
            changes: by key; None: removed.
            resource: key of the document that caused it; empty: none did.
        """
        self.version += 1
        self._touch()
        for key in changes:
            self.refused.pop(key, None)
        if self.connected:
            self._unsent.update(changes)
            if resource:
                change = _Awaited(self.version, frozenset(changes))
                self.awaited.setdefault(resource, []).append(change)
        self.wake()

    def connect(self, stream: str, wake: Callable[[], None]) -> None:
        """An agent has opened a stream; whatever was sent on another one is void."""
        ended = self.wake
        self.stream, self.wake = stream, wake
        ended()
        self.refused, self.rejection, self.acknowledged = {}, (), 0
        self._unsent.clear()
        self._unconfirmed.clear()
        self._snapshot_due, self._in_flight = True, 0
        self._touch()

    def disconnect(self, stream: str) -> None:
        """A stream has ended; without effect if another one has taken its place."""
        if self.stream == stream:
            self.stream, self.wake = "", lambda: None
            self.awaited.clear()
            self._touch()

    def next_delta(self, goal_state: Callable[[], GoalState]) -> pb.GoalStateDelta | None:
        """What to send now; None: nothing, or the version in flight comes first.

        Args:
            goal_state: the node's complete policy; called only for a snapshot.
        """
        due = self.declared if self._snapshot_due else bool(self._unsent)
        if self._in_flight or not due:
            return None
        self._in_flight = self.version
        if self._snapshot_due:
            goal = goal_state()
            self._snapshot_due = False
            self._unsent.clear()
            self._unconfirmed = {**dict.fromkeys(self._confirmed.keys() - goal.keys()), **goal}
            return pb.GoalStateDelta(version=self.version, snapshot=True, upserts=goal.values())
        changes, self._unsent = self._unsent, {}
        self._unconfirmed.update(changes)
        return pb.GoalStateDelta(
            version=self.version,
            upserts=[item for item in changes.values() if item is not None],
            removes=[key for key, item in changes.items() if item is None],
        )

    def ack(self, version: int) -> None:
        """The agent has taken a version over."""
        if not version or version != self._in_flight:
            return
        for key, item in self._unconfirmed.items():
            if item is None:
                self._confirmed.pop(key, None)
            else:
                self._confirmed[key] = item
        self._unconfirmed.clear()
        self.acknowledged, self._in_flight, self.rejection = version, 0, ()
        self._touch()
        self.failed = {r: f for r, f in self.failed.items() if f.keys & self.refused.keys()}
        self._await_only(lambda _, item: item.version > version)
        self.wake()

    def nack(self, version: int, faults: Iterable[pb.Fault]) -> None:
        """The agent has refused a version and kept the policy that it had."""
        if not version or version != self._in_flight:
            return
        self._in_flight = 0
        faults = tuple(faults) or (pb.Fault(code=POLICY_FAILURE, message="The node gave no reason."),)
        named = {f.record_key: f for f in faults if self._unconfirmed.get(f.record_key) is not None}
        back: RecordChanges = {
            key: self._confirmed.get(key)
            for key in named
            if self._confirmed.get(key) != self._unconfirmed[key]
        }
        if back:
            self.refused |= named
            # What has changed again since is sent as it is now.
            self._unsent = back | self._unsent
            self.version += 1
        else:
            self.rejection = faults
        self._touch()
        self._conclude_refused(version)
        self.wake()

    def _conclude_refused(self, version: int) -> None:
        """Changes that this refusal ends: those with a refused record, or all when no record was named."""

        def open_still(resource: str, item: _Awaited) -> bool:
            keys = item.keys & self.refused.keys()
            if item.version > version or not (keys or self.rejection):
                return True
            fault = self.refused[min(keys)] if keys else self.rejection[0]
            self.failed[resource] = _Failure(f"{self.name}: {fault.message}", keys)
            return False

        self._await_only(open_still)

    def _await_only(self, open_still: Callable[[str, _Awaited], bool]) -> None:
        self.awaited = {
            resource: left
            for resource, items in self.awaited.items()
            if (left := [item for item in items if open_still(resource, item)])
        }

    def _touch(self) -> None:
        self.updated_unix_s = time.time()

    @property
    def state(self) -> ConfigurationState:
        """The node's configurationState."""
        if not self.connected:
            message = f"The agent of {self.name} is not connected; the node keeps the policy that it has."
            return self._state("Failure", Detail("NetworkController", NOT_CONNECTED[self.kind], message))
        if faults := (*self.refused.values(), *self.rejection):
            return self._state("Failure", *map(self._detail, faults))
        if self.acknowledged < self.version:
            message = f"Version {self.version} is on its way; {self.acknowledged} is applied."
            return self._state("InProgress", Detail("NetworkController", "InProgress", message))
        if self.reported:
            return self._state("Warning", *map(self._detail, self.reported))
        return self._state("Success", Detail(self.name, "Success", f"Version {self.version} is applied."))

    def _detail(self, fault: pb.Fault) -> Detail:
        return Detail(fault.record_key or self.name, fault.code or POLICY_FAILURE, fault.message)

    def _state(self, status: str, *details: Detail) -> ConfigurationState:
        return ConfigurationState(status, self.updated_unix_s, details)


class Fleet:
    """All nodes that have a resource or a connected agent. Names are compared as resource ids are."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes' names."""
        return tuple(node.name for node in self._nodes.values())

    def resize(self, kinds: dict[str, str]) -> None:
        """Follow the resources: `kinds` names every node that there is to be, and its kind."""
        for key in self._nodes.keys() - {name.lower() for name in kinds}:
            self._nodes[key].declared = False
            if not self._nodes[key].connected:
                del self._nodes[key]
        for name, kind in kinds.items():
            node = self.admit(name, kind)
            node.name, node.kind, node.declared = name, kind, True
            node.wake()

    def admit(self, name: str, kind: str) -> Node:
        """The node of that name; a new one if there is none, not declared yet."""
        return self._nodes.setdefault(name.lower(), Node(name, kind))

    def node(self, name: str) -> Node | None:
        """A node by its name."""
        return self._nodes.get(name.lower())

    def publish(self, changes: dict[str, RecordChanges], resource: str) -> None:
        """Hand changed records to their nodes; arguments as for `Node.publish`."""
        for name, records in changes.items():
            if (node := self.node(name)) is not None:
                node.publish(records, resource)

    def provisioning(self, resource: str) -> tuple[str, str]:
        """A document's provisioningState, and why it has failed.

        "Updating" until every connected node that its last change concerned has answered. A node that is not
        connected does not hold it up: its own configurationState says so.
        """
        failures = [node.failed[resource].message for node in self._nodes.values() if resource in node.failed]
        if any(resource in node.awaited for node in self._nodes.values()):
            return "Updating", ""
        return ("Failed", "; ".join(failures)) if failures else ("Succeeded", "")

    def forget(self, resource: str) -> None:
        """A document is gone or has changed: its old failures are no more."""
        for node in self._nodes.values():
            node.failed.pop(resource, None)
