"""The policy that a switch follows, kept so that a change to it costs what the change is worth. Pure.

Items go in and out; the ledger knows which entries of the kernel's maps they mean. What depends on more than
one item is derived: numbers of routing domains and of access control lists, who receives a subnet's
broadcast, and whether a subnet has routes of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import cast
from uuid import UUID

from lab.datapath import entries
from lab.datapath.abi import FLOOD_MAX
from lab.datapath.errors import InvalidPolicyError
from lab.datapath.image import (
    ACLS,
    DOMAINS,
    FLOOD,
    LOCALS,
    LOOKUP,
    MAKE_ORDER,
    MEMBERS,
    PROVIDERS,
    ROUTES,
    SETTINGS,
    SUBNETS,
    VPORTS,
    Image,
    Step,
    Wanted,
    empty_image,
    overfull,
    steps_to,
    take,
)
from lab.datapath.numbers import AclSets, Numbers
from lab.datapath.policy import (
    CustomerRoute,
    Item,
    LookupRecord,
    Node,
    Port,
    ProviderMember,
    Subnet,
    UserRoute,
)
from lab.datapath.receivers import receivers_in, settled
from lab.datapath.validation import Identity, faults_of, faults_of_node, identity, mac_twins, stands_twice
from lab.errors import Problem

_Named = dict[Identity, Item]


@dataclass(slots=True)
class _Group:
    """What stands in one virtual subnet."""

    items: dict[Identity, Item] = field(default_factory=dict)
    ports: dict[int, Port] = field(default_factory=dict)
    homes: Counter[bytes] = field(default_factory=Counter)
    user_routes: int = 0


@dataclass(slots=True)
class _Touched:
    """What a change may have changed beside its items' own entries."""

    subnets: set[int] = field(default_factory=set)
    floods: set[int] = field(default_factory=set)
    domains: set[UUID] = field(default_factory=set)
    acls: set[int] = field(default_factory=set)


class Ledger:
    """See the module.

    Args:
        seed: what the kernel holds: numbers are kept, and places in lists of receivers.
        room: how many entries fit, by map name.

    Attributes:
        image: what the kernel's maps hold when they follow the policy.
        node: the part of the policy that the node has once.
    """

    def __init__(self, seed: Image, room: Mapping[str, int]) -> None:
        self.node = Node()
        self.image = empty_image()
        self.image[SETTINGS] = {entries.u32(0): entries.settings(self.node)}
        self._room = room
        self._items: dict[Identity, Item] = {}
        self._subnets: dict[int, Subnet] = {}
        self._groups: dict[int, _Group] = {}
        self._domain_users: Counter[UUID] = Counter()
        self._domains = Numbers(seed[DOMAINS], 0)
        self._acls = AclSets(seed[ACLS])
        self._receivers = receivers_in(seed)

    def difference(self, items: Iterable[Item]) -> tuple[list[Item], list[Item]]:
        """What takes the policy to these items and no others: (to remove, to add).

        Raises:
            InvalidPolicyError: two items are the same thing.
        """
        wanted: dict[Identity, Item] = {}
        problems = []
        for item in items:
            other = wanted.setdefault(identity(item), item)
            if other is not item:
                problems.append(stands_twice(item, other))
        if problems:
            raise InvalidPolicyError(problems)
        removed = [old for name, old in self._items.items() if wanted.get(name) != old]
        added = [new for name, new in wanted.items() if self._items.get(name) != new]
        return removed, added

    def change(self, removed: Sequence[Item], added: Sequence[Item], node: Node | None = None) -> list[Step]:
        """Take items out and others in, all or nothing.

        Args:
            removed: items that are in the policy.
            added: items to put in; one that takes another's place needs that one in `removed`.
            node: None: as it was.

        Returns:
            What makes the kernel follow.

        Raises:
            InvalidPolicyError: the policy would be none; nothing has changed.
        """
        gone, come = self._named(removed, added)
        before = self.node
        touched = self._edit(gone, come, node or before)
        problems = self._faults(removed, added, before)
        if not problems:
            wanted = self._wanted(gone, come, touched, before)
            steps = steps_to(self.image, wanted)
            problems = [
                no_room(name, needed, self._room[name])
                for name, needed in overfull(self.image, steps, self._room)
            ]
        if problems:
            self._edit(come, gone, before)
            raise InvalidPolicyError(problems)
        take(self.image, steps)
        self._acls.forget()
        return steps

    def _named(self, removed: Iterable[Item], added: Iterable[Item]) -> tuple[_Named, _Named]:
        """Both with their identities.

        Raises:
            InvalidPolicyError: an item to add is in the policy, or to be added twice.
        """
        gone = {identity(item): item for item in removed}
        come: _Named = {}
        problems = []
        for item in added:
            name = identity(item)
            other = come.get(name) or (None if name in gone else self._items.get(name))
            if other is not None:
                problems.append(stands_twice(item, other))
            come[name] = item
        if problems:
            raise InvalidPolicyError(problems)
        return gone, come

    # -- the books

    def _edit(self, removed: _Named, added: _Named, node: Node) -> _Touched:
        """Change the books; the opposite call takes it back."""
        touched = _Touched()
        self.node = node
        for name, item in removed.items():
            self._remove(name, item, touched)
        for name, item in added.items():
            self._add(name, item, touched)
        return touched

    def _add(self, name: Identity, item: Item, touched: _Touched) -> None:
        self._items[name] = item
        match item:
            case LookupRecord():
                group = self._group(item.vsid)
                group.items[name] = item
                home = item.provider_address.packed
                if home not in group.homes:
                    touched.floods.add(item.vsid)
                group.homes[home] += 1
            case Subnet():
                self._subnets[item.vsid] = item
                self._count_domain(item.rdid, 1, touched)
                touched.subnets.add(item.vsid)
            case CustomerRoute():
                self._group(item.vsid).items[name] = item
                self._count_domain(item.rdid, 1, touched)
            case UserRoute():
                self._group(item.vsid).items[name] = item
                self._group(item.next_hop_vsid).items[name] = item
                self._group(item.vsid).user_routes += 1
                touched.subnets.add(item.vsid)
            case ProviderMember():
                self._count_domain(item.rdid, 1, touched)
            case Port():
                group = self._group(item.vsid)
                group.items[name] = item
                group.ports[item.ifindex] = item
                touched.acls.add(self._acls.take(item))
                touched.subnets.add(item.vsid)
                touched.floods.add(item.vsid)

    def _remove(self, name: Identity, item: Item, touched: _Touched) -> None:
        del self._items[name]
        match item:
            case LookupRecord():
                group = self._group(item.vsid)
                del group.items[name]
                home = item.provider_address.packed
                group.homes[home] -= 1
                if not group.homes[home]:
                    del group.homes[home]
                    touched.floods.add(item.vsid)
            case Subnet():
                del self._subnets[item.vsid]
                self._count_domain(item.rdid, -1, touched)
                touched.subnets.add(item.vsid)
            case CustomerRoute():
                del self._group(item.vsid).items[name]
                self._count_domain(item.rdid, -1, touched)
            case UserRoute():
                self._group(item.vsid).items.pop(name, None)
                self._group(item.next_hop_vsid).items.pop(name, None)
                self._group(item.vsid).user_routes -= 1
                touched.subnets.add(item.vsid)
            case ProviderMember():
                self._count_domain(item.rdid, -1, touched)
            case Port():
                group = self._group(item.vsid)
                del group.items[name]
                del group.ports[item.ifindex]
                touched.acls.add(self._acls.release(item))
                touched.subnets.add(item.vsid)
                touched.floods.add(item.vsid)

    def _group(self, vsid: int) -> _Group:
        group = self._groups.get(vsid)
        if group is None:
            group = self._groups[vsid] = _Group()
        return group

    def _count_domain(self, rdid: UUID, count: int, touched: _Touched) -> None:
        self._domain_users[rdid] += count
        touched.domains.add(rdid)

    # -- is it a policy?

    def _faults(self, removed: Iterable[Item], added: Iterable[Item], before: Node) -> list[Problem]:
        """What is wrong, where the change can have made something wrong."""
        problems: list[Problem] = []
        suspects: dict[int, Item] = {}
        crowded = set()
        for item in removed:
            if isinstance(item, Subnet):
                suspects |= {id(other): other for other in self._group(item.vsid).items.values()}
        for item in added:
            problems += faults_of(item, self._subnets, self.node)
            suspects.pop(id(item), None)
            if isinstance(item, Port):
                crowded.add(item.vsid)
        if self.node is not before:
            problems += faults_of_node(self.node)
            if self._own() != {own.address for own in before.provider_addresses}:
                suspects |= {
                    id(port): port for group in self._groups.values() for port in group.ports.values()
                }
        for item in suspects.values():
            problems += faults_of(item, self._subnets, self.node)
        for vsid in crowded:
            problems += mac_twins(self._group(vsid).ports.values())
        return problems

    def _own(self) -> set[IPv4Address]:
        return {own.address for own in self.node.provider_addresses}

    # -- what it means in the kernel

    def _wanted(self, removed: _Named, added: _Named, touched: _Touched, before: Node) -> Wanted:
        wanted: Wanted = {name: {} for name in MAKE_ORDER}
        for name, item in removed.items():
            self._put(name, item, wanted, present=False)
        for name, item in added.items():
            self._put(name, item, wanted, present=True)
        if self.node is not before:
            self._put_node(before, wanted)
            if before.provider_addresses != self.node.provider_addresses:
                touched.subnets |= self._subnets.keys()
                touched.floods |= self._groups.keys()
        for rdid in touched.domains:
            number = entries.u32(self._domains.of(rdid.bytes))
            wanted[DOMAINS][rdid.bytes] = number if self._domain_users[rdid] else None
        for vsid in touched.subnets:
            self._put_subnet(vsid, wanted)
        for vsid in touched.floods:
            self._put_receivers(vsid, wanted)
        for acl in touched.acls - {0}:
            self._acls.put(acl, wanted)
        return wanted

    def _put(self, name: Identity, item: Item, wanted: Wanted, *, present: bool) -> None:
        """An item's own entries, but for those of subnets and ports that stay: see `_put_subnet`."""
        match item:
            case LookupRecord():
                # Its identity is its key: most items are lookup records, and each key takes its time.
                wanted[LOOKUP][cast(bytes, name)] = entries.lookup(item) if present else None
            case CustomerRoute():
                key, value = entries.route(item, self._domains.of(item.rdid.bytes))
                wanted[ROUTES][key] = value if present else None
            case UserRoute():
                key, value = entries.user_route(item)
                wanted[ROUTES][key] = value if present else None
            case ProviderMember():
                key, value = entries.member(item, self._domains.of(item.rdid.bytes))
                wanted[MEMBERS][key] = value if present else None
            case Port():
                wanted[VPORTS][entries.u32(item.ifindex)] = None
                wanted[LOCALS][entries.local_key(item)] = entries.u32(item.ifindex) if present else None

    def _put_subnet(self, vsid: int, wanted: Wanted) -> None:
        """A subnet's entry, and those of its ports, which hold its routing domain's number."""
        subnet, group = self._subnets.get(vsid), self._group(vsid)
        if subnet is None:
            wanted[SUBNETS][entries.u32(vsid)] = None
            return
        domain = self._domains.of(subnet.rdid.bytes)
        wanted[SUBNETS][entries.u32(vsid)] = entries.subnet(
            subnet, domain, user_routes=bool(group.user_routes)
        )
        first = self.node.provider_addresses[0].address if self.node.provider_addresses else None
        for port in group.ports.values():
            wanted[VPORTS][entries.u32(port.ifindex)] = entries.vport(
                port, domain, self._acls.number(port.ifindex), first
            )

    def _put_receivers(self, vsid: int, wanted: Wanted) -> None:
        """Who gets a subnet's broadcast. One more than the switch copies to says that there are too many."""
        group = self._group(vsid)
        own = {address.packed for address in self._own()}
        now = [entries.flood_to_port(ifindex) for ifindex in sorted(group.ports)]
        now += [entries.flood_to_node(IPv4Address(home)) for home in sorted(group.homes) if home not in own]
        before = self._receivers.pop(vsid, [])
        places = settled(before, now)
        if places:
            self._receivers[vsid] = places
        for index in range(min(max(len(before), len(places)), FLOOD_MAX + 1)):
            value = places[index] if index < len(places) else None
            wanted[FLOOD][entries.FLOOD_KEY.pack(vsid, index)] = value

    def _put_node(self, before: Node, wanted: Wanted) -> None:
        wanted[SETTINGS][entries.u32(0)] = entries.settings(self.node)
        for own in before.provider_addresses:
            wanted[PROVIDERS][entries.packed(own.address)] = None
        for own in self.node.provider_addresses:
            wanted[PROVIDERS][entries.packed(own.address)] = entries.u32(own.uplink_ifindex)


def no_room(name: str, needed: int, room: int) -> Problem:
    """A map that cannot hold what a policy needs of it."""
    return Problem("HNV-DATAPATH-011", f"{name} would need {needed} entries", expected=f"at most {room}")
