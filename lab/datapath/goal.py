"""What a goal state means to a switch, read record by record as it changes. Pure.

A record is read once. What it becomes is either an item of the switch's policy, or part of what the node has
once (`Meaning`), from which ports and the node's part of the policy follow when the interfaces are known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network

from lab.datapath.errors import InvalidPolicyError
from lab.datapath.policy import AclRule, Item, Node, Port, ProviderAddress
from lab.datapath.records import NodeAddress, NodeSettings, PortRecord, Read, RuleList, read
from lab.errors import Problem
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a goal state says that is no item of the switch's policy by itself.

    Attributes:
        addresses: the node's PAs, by record key.
        lists: access control lists, by id.
        ports: port records, by interface id.
    """

    addresses: Mapping[str, NodeAddress] = field(default_factory=dict)
    settings: NodeSettings = field(default_factory=NodeSettings)
    lists: Mapping[str, RuleList] = field(default_factory=dict)
    ports: Mapping[str, PortRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draft:
    """A change of the goal state, read and not yet made.

    Attributes:
        removed: items of the policy that go.
        added: items that come.
        meaning: what holds then.
        readings: records by key and what they became; None: the record goes.
    """

    removed: list[Item]
    added: list[Item]
    meaning: Meaning
    readings: dict[str, tuple[pb.Record, Read | None] | None]


class GoalBook:
    """The goal state that a node follows, as far as it is the switch's.

    Attributes:
        meaning: see `Meaning`.
    """

    def __init__(self) -> None:
        self.meaning = Meaning()
        self._readings: dict[str, tuple[pb.Record, Read | None]] = {}

    def draft(self, goal: GoalState, touched: Collection[str] | None = None) -> Draft:
        """Read what differs from the goal state that was committed last.

        Args:
            goal: complete.
            touched: keys of all records that may differ; None: any may.

        Raises:
            InvalidPolicyError: a record cannot be read; each problem's place is its key.
        """
        keys = self._differing(goal) if touched is None else touched
        readings: dict[str, tuple[pb.Record, Read | None] | None] = {}
        problems = []
        for key in keys:
            record = goal.get(key)
            if record is None:
                readings[key] = None
                continue
            try:
                readings[key] = (record, read(key, record))
            except ValueError as error:
                problems.append(Problem("HNV-POLICY-011", f"cannot be read: {error}", place=key))
        if problems:
            raise InvalidPolicyError(problems)
        gone, come = [], []
        for key, reading in readings.items():
            old, new = self._readings.get(key, (None, None))[1], reading[1] if reading else None
            if old != new:
                gone += [] if old is None else [old]
                come += [] if new is None else [new]
        return Draft(
            [item for item in gone if isinstance(item, Item)],
            [item for item in come if isinstance(item, Item)],
            _changed(self.meaning, gone, come),
            readings,
        )

    def commit(self, draft: Draft) -> None:
        """Hold what a draft of this book says."""
        self.meaning = draft.meaning
        for key, reading in draft.readings.items():
            if reading is None:
                self._readings.pop(key, None)
            else:
                self._readings[key] = reading

    def _differing(self, goal: GoalState) -> list[str]:
        known = self._readings
        missing = [key for key in known if key not in goal]
        nothing = (None, None)
        # The same object is the same record; only what a new snapshot brings has to be compared.
        return missing + [
            key
            for key, record in goal.items()
            if (old := known.get(key, nothing)[0]) is not record and old != record
        ]


def _changed(meaning: Meaning, gone: Sequence[Read], come: Sequence[Read]) -> Meaning:
    """The meaning after some records went and others came; the same object if none of them matters to it."""
    kinds = (NodeAddress, NodeSettings, RuleList, PortRecord)
    if not any(isinstance(item, kinds) for item in (*gone, *come)):
        return meaning
    addresses, lists = dict(meaning.addresses), dict(meaning.lists)
    ports, settings = dict(meaning.ports), meaning.settings
    for item in gone:
        match item:
            case NodeAddress():
                del addresses[item.key]
            case NodeSettings():
                settings = NodeSettings()
            case RuleList():
                del lists[item.id]
            case PortRecord():
                del ports[item.interface_id]
    for item in come:
        match item:
            case NodeAddress():
                addresses[item.key] = item
            case NodeSettings():
                settings = item
            case RuleList():
                lists[item.id] = item
            case PortRecord():
                ports[item.interface_id] = item
    return Meaning(addresses, settings, lists, ports)


def ports_of(meaning: Meaning, present: Mapping[str, int], classes: Mapping[str, int]) -> dict[str, Port]:
    """The ports that are there and have a record, by interface id.

    Args:
        meaning: of the goal state.
        present: ifindex of each vport that is there, by interface id. A record without its interface is no
            fault: the interface may come later.
        classes: handle of the HTB class of each port that is shaped, by interface id.

    Raises:
        InvalidPolicyError: a port names an access control list that is not there.
    """
    problems = []
    ports = {}
    for interface_id, ifindex in present.items():
        record = meaning.ports.get(interface_id)
        if record is None:
            continue
        missing = [name for name in record.lists if name not in meaning.lists]
        if missing:
            message = f"there is no access control list {', '.join(missing)}"
            problems.append(Problem("HNV-POLICY-015", message, place=record.port.key))
            continue
        ports[interface_id] = replace(
            record.port,
            ifindex=ifindex,
            acl=_rules(record, meaning.lists),
            qos_class=classes.get(interface_id, 0),
        )
    if problems:
        raise InvalidPolicyError(problems)
    return ports


def _rules(record: PortRecord, lists: Mapping[str, RuleList]) -> tuple[AclRule, ...]:
    """The rules of a port in order: the interface's own lists first, then its subnet's."""
    if len(record.lists) == 1:
        return lists[record.lists[0]].rules
    return tuple(rule for name in record.lists for rule in lists[name].rules)


def node_of(meaning: Meaning, uplinks: Sequence[int], qos_in: int) -> Node:
    """What the node has once.

    Args:
        meaning: of the goal state.
        uplinks: ifindex of each team member that has carrier, or 0, in the order of their names.
        qos_in: ifindex of the shaping device; 0: there is none.
    """
    addresses = list(meaning.addresses.values())
    provider, gateway = _provider(addresses)
    return Node(
        carried(addresses, uplinks),
        tuple(index for index in uplinks if index),
        replace(meaning.settings.switch, qos_in=qos_in, provider=provider, provider_gateway=gateway),
    )


def _provider(addresses: Sequence[NodeAddress]) -> tuple[IPv4Network | None, IPv4Address | None]:
    """The network of all PAs, and its gateway; (None, None): they are of several."""
    places = {
        (IPv4Network((item.address, item.prefix_length), strict=False), item.gateway) for item in addresses
    }
    return places.pop() if len(places) == 1 else (None, None)


def carried(addresses: Sequence[NodeAddress], uplinks: Sequence[int]) -> tuple[ProviderAddress, ...]:
    """Which uplink carries each PA now: its home while that is alive, else the first that is.

    Args:
        addresses: of the goal state.
        uplinks: ifindex of each team member that has carrier, or 0, in the order of their names.
    """
    spare = next((index for index in uplinks if index), 0)
    ordered = sorted(addresses, key=lambda item: (item.uplink, item.address))
    return tuple(
        ProviderAddress(
            item.key,
            item.address,
            (uplinks[item.uplink] if item.uplink < len(uplinks) else 0) or spare,
        )
        for item in ordered
    )
