"""The goal states of all nodes, kept up to date by recompiling only what a change concerns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lab.controller.book import DomainBook, Edits, difference
from lab.controller.compiler import compile_acl, compile_end
from lab.controller.domains import Domain, Endpoint, Frame, NodeEnd
from lab.controller.models_policy import AccessControlList
from lab.controller.shapes import Resource
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState

RecordChanges = dict[str, pb.Record | None]
"""Changed records of one node by key; None: removed."""


@dataclass(frozen=True, slots=True)
class Change:
    """What has changed, or may have. None: it is gone.

    Attributes:
        ends: by node.
        frames: by routing domain.
        endpoints: by routing domain and interface id.
        acls: by resource id.
    """

    ends: Mapping[str, NodeEnd | None] = field(default_factory=dict)
    frames: Mapping[str, Frame | None] = field(default_factory=dict)
    endpoints: Mapping[str, Mapping[str, Endpoint | None]] = field(default_factory=dict)
    acls: Mapping[str, Resource[AccessControlList] | None] = field(default_factory=dict)


def compile_all(
    domains: Iterable[Domain],
    ends: Mapping[str, NodeEnd],
    acls: Iterable[Resource[AccessControlList]] = (),
) -> dict[str, GoalState]:
    """The goal state of every node, compiled from nothing.

    Args:
        domains: all routing domains.
        ends: every node's side of the fabric.
        acls: all access control lists; a node gets those that its ports name.
    """
    lists = {item.resource_id: compile_acl(item) for item in acls}
    result: dict[str, GoalState] = {node: compile_end(end) for node, end in ends.items()}
    for domain in domains:
        book = DomainBook.of(domain)
        for node in book.nodes:
            result[node] |= book.state(node)
    for state in result.values():
        used = {name for item in state.values() for name in item.port.access_control_lists}
        state |= {lists[name].key: lists[name] for name in used}
    return result


class Policy:
    """What every node's policy is to be."""

    def __init__(self) -> None:
        self._books: dict[str, DomainBook] = {}
        self._ends: dict[str, GoalState] = {}
        self._carried: dict[str, set[str]] = {}
        self._acls: dict[str, pb.Record] = {}
        self._acl_users: Counter[tuple[str, str]] = Counter()

    def goal_state(self, node: str) -> GoalState:
        """The complete policy of a node."""
        result = dict(self._ends.get(node, {}))
        for rdid in sorted(self._carried.get(node, ())):
            result |= self._books[rdid].state(node)
        acls = (self._acls[acl] for user, acl in self._acl_users if user == node)
        return result | {item.key: item for item in acls}

    def endpoints(self, rdid: str) -> Mapping[str, Endpoint]:
        """The addresses of a routing domain as last taken over, by interface id."""
        book = self._books.get(rdid)
        return book.endpoints if book else {}

    def update(self, change: Change) -> dict[str, RecordChanges]:
        """Take over a change.

        Returns:
            what changed, by node; nodes that nothing changed for are not named. A node that gains a port
            comes first and one that only loses one last, so that a VM that moves is known where it goes
            before it is forgotten where it was.
        """
        edits: dict[str, list[Edits]] = {}
        for node, end in change.ends.items():
            new = {} if end is None else compile_end(end)
            edits.setdefault(node, []).append(difference(self._ends.get(node, {}), new))
            self._ends[node] = new
        for rdid in change.frames.keys() | change.endpoints.keys():
            for node, items in self._update_domain(rdid, change).items():
                edits.setdefault(node, []).append(items)
        self._update_acls(change, edits)
        merged = {node: _merged(items) for node, items in edits.items()}
        return {
            node: merged[node]
            for node in sorted(merged, key=lambda node: (_port_rank(merged[node]), node))
            if merged[node]
        }

    def _update_domain(self, rdid: str, change: Change) -> dict[str, Edits]:
        book = self._books.get(rdid)
        frame = change.frames.get(rdid, book.frame if book else None)
        endpoints = change.endpoints.get(rdid, {})
        same_mode = book and book.frame and frame and book.frame.external == frame.external
        if book and frame and same_mode:
            before = book.nodes
            edits = book.update(frame, endpoints)
            self._carry(rdid, before, book.nodes)
            return edits
        before = book.nodes if book else frozenset()
        states = {node: book.state(node) for node in before} if book else {}
        known = dict(book.endpoints) if book else {}
        after: frozenset[str] = frozenset()
        if frame is None:
            self._books.pop(rdid, None)
        else:
            now = {name: item for name, item in {**known, **endpoints}.items() if item is not None}
            book = self._books[rdid] = DomainBook.of(Domain(frame, now))
            after = book.nodes
        self._carry(rdid, before, after)
        return {
            node: difference(states.get(node, {}), book.state(node) if book and node in after else {})
            for node in before | after
        }

    def _carry(self, rdid: str, before: frozenset[str], after: frozenset[str]) -> None:
        for node in before - after:
            self._carried[node].discard(rdid)
        for node in after - before:
            self._carried.setdefault(node, set()).add(rdid)

    def _update_acls(self, change: Change, edits: dict[str, list[Edits]]) -> None:
        """Give every node the lists that its ports name, and no others."""
        lists = self._acls
        used = set(self._acl_users)
        self._count_users(edits)
        uses = set(self._acl_users)
        before = {key: lists[key[1]] for key in used - uses}
        before |= {key: lists[key[1]] for key in used & uses if key[1] in change.acls}
        for name, resource in change.acls.items():
            if resource is None:
                lists.pop(name, None)
            else:
                lists[name] = compile_acl(resource)
        now = {key: lists[key[1]] for key in uses - used}
        now |= {key: lists[key[1]] for key in used & uses if key[1] in change.acls}
        for node, name in before.keys() | now.keys():
            old, new = before.get((node, name)), now.get((node, name))
            if old != new:
                edits.setdefault(node, []).append({f"access-control-list/{name}": (old, new)})

    def _count_users(self, edits: Mapping[str, list[Edits]]) -> None:
        for node, items in edits.items():
            for key, (old, new) in ((k, e) for item in items for k, e in item.items()):
                if not key.startswith("port/"):
                    continue
                for item, step in ((old, -1), (new, +1)):
                    for name in item.port.access_control_lists if item is not None else ():
                        self._acl_users[node, name] += step
                        if not self._acl_users[node, name]:
                            del self._acl_users[node, name]


def _merged(items: list[Edits]) -> RecordChanges:
    """A record can leave one domain and enter another in one step (a VM that moves): entering wins."""
    gone: RecordChanges = {key: None for item in items for key, (_, new) in item.items() if new is None}
    return gone | {key: new for item in items for key, (_, new) in item.items() if new is not None}


def _port_rank(changes: RecordChanges) -> int:
    ports = [item for key, item in changes.items() if key.startswith("port/")]
    if any(item is not None for item in ports):
        return 0
    return 2 if ports else 1
