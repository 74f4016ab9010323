"""One routing domain's policy on all its nodes, kept up to date change by change.

What a change of one VM costs does not grow with the domain: its records are replaced where they are, and
what depends on the VMs together (which nodes carry the domain, which PAs may send into it) is counted, not
searched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from lab.controller.compiler import (
    WHOLE,
    Membership,
    View,
    compartment_endpoints,
    compile_compartment,
    compile_lookup,
    compile_members,
    compile_port,
    compile_view,
)
from lab.controller.domains import Domain, Endpoint, Frame
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState

K = TypeVar("K")
Edits = dict[str, tuple[pb.Record | None, pb.Record | None]]
"""Records of one node that a change concerns, by key: as they were and as they are; None: not there."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """What a node has of the domain beside lookup records and ports."""

    view: View
    records: GoalState
    members: GoalState
    own: GoalState

    def parts(self) -> tuple[GoalState, GoalState, GoalState]:
        return self.records, self.members, self.own


_NOTHING: GoalState = {}
_NOWHERE = _Standing(View(frozenset()), _NOTHING, _NOTHING, _NOTHING)


@dataclass(slots=True)
class _Journal:
    """What one update has done to lookup records, by scope, and to ports, by node."""

    lookups: dict[int, Edits] = field(default_factory=dict)
    ports: dict[str, Edits] = field(default_factory=dict)


class DomainBook:
    """The policy of one routing domain.

    Lookup records and members are kept by scope: what nodes see together. In external router mode that is a
    virtual subnet, else the whole domain (scope 0).
    """

    def __init__(self, external: bool) -> None:
        """An empty one.

        Args:
            external: external router mode; stays as it is for the book's life.
        """
        self.frame: Frame | None = None
        self._external = external
        self._endpoints: dict[str, Endpoint] = {}
        self._lookups: dict[int, GoalState] = {}
        self._ports: dict[str, GoalState] = {}
        self._carriers: Counter[tuple[str, int]] = Counter()
        self._members: Counter[tuple[int, str]] = Counter()
        self._forwarders: Counter[str] = Counter()
        self._standings: dict[str, _Standing] = {}
        self._views: dict[View, GoalState] = {}

    @classmethod
    def of(cls, domain: Domain) -> DomainBook:
        """The policy of a domain as it is."""
        book = cls(domain.frame.external)
        book.update(domain.frame, domain.endpoints)
        return book

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """The addresses that it knows, by interface id; the compartment's are among them."""
        return self._endpoints

    @property
    def nodes(self) -> frozenset[str]:
        """The nodes that carry the domain."""
        return frozenset(self._standings)

    def state(self, node: str) -> GoalState:
        """Everything that a node gets of this domain."""
        standing = self._standings.get(node)
        if standing is None:
            return {}
        result = standing.records | standing.members | standing.own
        for scope in self._scopes(standing.view):
            result |= self._lookups.get(scope, _NOTHING)
        return result | self._ports.get(node, _NOTHING)

    def update(self, frame: Frame, endpoints: Mapping[str, Endpoint | None]) -> dict[str, Edits]:
        """Take over what has changed.

        Args:
            frame: as it is now.
            endpoints: those that have changed, or may have, by interface id; None: gone.

        Returns:
            what changed, by node.
        """
        changed = dict(endpoints)
        changed |= compartment_endpoints(frame)
        journal = _Journal()
        disturbed = self._replace(changed, journal)
        before = self._standings
        if frame != self.frame:
            self._views.clear()
            disturbed = True
        self.frame = frame
        if disturbed:
            self._standings = dict(self._stand(frame))
        return self._edits(before, journal)

    # --- endpoints ---

    def _scope(self, vsid: int) -> int:
        return vsid if self._external else 0

    def _replace(self, changed: Mapping[str, Endpoint | None], journal: _Journal) -> bool:
        """Replace endpoints; whether that can concern more than their own records."""
        leaving: list[Endpoint] = []
        entering: list[Endpoint] = []
        for name, new in changed.items():
            old = self._endpoints.pop(name, None)
            if new is not None:
                self._endpoints[name] = new
            if old == new:
                continue
            leaving += [] if old is None else [old]
            entering += [] if new is None else [new]
        # An address can go from one VM to another in one step: all leave before the first one enters.
        for endpoint in leaving:
            self._write(endpoint, journal, enters=False)
        for endpoint in entering:
            self._write(endpoint, journal, enters=True)
        disturbed = [self._count(endpoint, -1) for endpoint in leaving]
        disturbed += [self._count(endpoint, +1) for endpoint in entering]
        return any(disturbed)

    def _write(self, endpoint: Endpoint, journal: _Journal, *, enters: bool) -> None:
        scope = self._scope(endpoint.vsid)
        lookup = compile_lookup(endpoint)
        edits = journal.lookups.setdefault(scope, {})
        _put(self._lookups.setdefault(scope, {}), lookup, edits, enters)
        if endpoint.node:
            edits = journal.ports.setdefault(endpoint.node, {})
            _put(self._ports.setdefault(endpoint.node, {}), compile_port(endpoint), edits, enters)

    def _count(self, endpoint: Endpoint, step: int) -> bool:
        """Count an endpoint in or out; whether it was the first or the last of something."""
        scope = self._scope(endpoint.vsid)
        edge = _step(self._members, (scope, endpoint.provider_address), step)
        if endpoint.node:
            edge |= _step(self._carriers, (endpoint.node, scope), step)
        if endpoint.rules.forwarding:
            edge |= _step(self._forwarders, endpoint.provider_address, step)
        return edge

    # --- nodes ---

    def _stand(self, frame: Frame) -> Iterator[tuple[str, _Standing]]:
        scopes: dict[str, set[int]] = {}
        for node, scope in self._carriers:
            scopes.setdefault(node, set()).add(scope)
        if self._external and frame.router and scopes:
            scopes.setdefault(frame.router.node, set())
        router = frame.router.provider_address if frame.router else ""
        views = {
            node: WHOLE
            if not self._external or (frame.router and node == frame.router.node)
            else View(frozenset(known), router)
            for node, known in scopes.items()
        }
        wanted = set(views.values())
        self._views = {view: self._views.get(view) or compile_view(frame, view) for view in wanted}
        membership = self._membership()
        members = {view: compile_members(frame, view, membership) for view in wanted}
        for node, view in views.items():
            place = frame.compartment
            own = compile_compartment(frame) if place and place.node == node else _NOTHING
            yield node, _Standing(view, self._views[view], members[view], own)

    def _membership(self) -> Membership:
        addresses: dict[int, set[str]] = {}
        for scope, address in self._members:
            addresses.setdefault(scope, set()).add(address)
        return Membership({s: frozenset(a) for s, a in addresses.items()}, frozenset(self._forwarders))

    def _scopes(self, view: View) -> Iterable[int]:
        return self._lookups.keys() if view.vsids is None else view.vsids

    # --- what changed ---

    def _edits(self, before: Mapping[str, _Standing], journal: _Journal) -> dict[str, Edits]:
        after = self._standings
        compared: dict[tuple[int, int], Edits] = {}
        result: dict[str, Edits] = {}
        for node in before.keys() | after.keys():
            old, new = before.get(node, _NOWHERE), after.get(node, _NOWHERE)
            edits: Edits = {}
            for was, now in zip(old.parts(), new.parts(), strict=True):
                if was is not now:
                    pair = (id(was), id(now))
                    if pair not in compared:
                        compared[pair] = difference(was, now)
                    edits |= compared[pair]
            edits |= self._lookup_edits(old.view, new.view, journal)
            edits |= _real(journal.ports.get(node, {}))
            if edits:
                result[node] = edits
        return result

    def _lookup_edits(self, old: View, new: View, journal: _Journal) -> Edits:
        if old == new:
            known = journal.lookups.keys() if new.vsids is None else journal.lookups.keys() & new.vsids
            return {k: v for scope in known for k, v in _real(journal.lookups[scope]).items()}
        had, has = set(self._scopes(old)), set(self._scopes(new))
        result: Edits = {}
        for scope in had | has:
            now = self._lookups.get(scope, _NOTHING)
            edits = journal.lookups.get(scope, {})
            if scope in had and scope in has:
                result |= _real(edits)
            elif scope in has:
                result |= {key: (None, item) for key, item in now.items()}
            else:
                was = {key: item for key, item in now.items() if key not in edits}
                was |= {key: item for key, (item, _) in edits.items() if item is not None}
                result |= {key: (item, None) for key, item in was.items()}
        return result


def _put(state: GoalState, item: pb.Record, edits: Edits, enters: bool) -> None:
    before = state.pop(item.key, None)
    if enters:
        state[item.key] = item
    first = edits[item.key][0] if item.key in edits else before
    edits[item.key] = (first, item if enters else None)


def _step(counter: Counter[K], key: K, step: int) -> bool:
    counter[key] += step
    if counter[key] == 0:
        del counter[key]
        return True
    return step > 0 and counter[key] == step


def _real(edits: Edits) -> Edits:
    return {key: (old, new) for key, (old, new) in edits.items() if old != new}


def difference(old: GoalState, new: GoalState) -> Edits:
    """What takes a node from one goal state to another."""
    result: Edits = {key: (item, None) for key, item in old.items() if key not in new}
    for key, item in new.items():
        before = old.get(key)
        if before is not item and before != item:
            result[key] = (before, item)
    return result
