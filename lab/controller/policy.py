"""The goal states of all nodes, kept up to date by recompiling only the routing domains that changed."""

from __future__ import annotations

from collections.abc import Mapping

from lab.controller.compiler import EMPTY, DomainPolicy, compile_domain, compile_end
from lab.controller.domains import Domain, ProviderEnd
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState

RecordChanges = dict[str, pb.Record | None]
"""Changed records of one node by key; None: removed."""


class Policy:
    """What every node's policy is to be."""

    def __init__(self) -> None:
        self._domains: dict[str, tuple[Domain, DomainPolicy]] = {}
        self._ends: dict[str, GoalState] = {}
        self._carried: dict[str, set[str]] = {}

    def goal_state(self, node: str) -> GoalState:
        """The complete policy of a node."""
        result = dict(self._ends.get(node, {}))
        for rdid in sorted(self._carried.get(node, ())):
            policy = self._domains[rdid][1]
            result |= policy.shared | policy.own[node]
        return result

    def domain(self, rdid: str) -> Domain | None:
        """A routing domain as it was last taken over."""
        known = self._domains.get(rdid)
        return known[0] if known else None

    def update(
        self, domains: Mapping[str, Domain | None], ends: Mapping[str, ProviderEnd | None]
    ) -> dict[str, RecordChanges]:
        """Take over changed routing domains and provider interfaces.

        Args:
            domains: by routing domain id, each as it is now; None: it is gone.
            ends: by node, each as it is now; None: it is gone.

        Returns:
            what changed, by node; nodes that nothing changed for are not named.
        """
        # A record can leave one domain and enter another in one step (a VM that moves): entering wins.
        removed: dict[str, RecordChanges] = {}
        upserted: dict[str, RecordChanges] = {}
        for node, end in ends.items():
            new_end = {} if end is None else compile_end(end)
            _compare(node, self._ends.get(node, {}), new_end, removed, upserted)
            self._ends[node] = new_end
        for rdid, domain in domains.items():
            self._update_domain(rdid, domain, removed, upserted)
        return {
            node: removed.get(node, {}) | upserted.get(node, {})
            for node in sorted(removed.keys() | upserted.keys())
        }

    def _update_domain(
        self,
        rdid: str,
        domain: Domain | None,
        removed: dict[str, RecordChanges],
        upserted: dict[str, RecordChanges],
    ) -> None:
        before_domain, before = self._domains.get(rdid, (None, EMPTY))
        if domain == before_domain:
            return
        after = EMPTY if domain is None else compile_domain(domain, before)
        gone: RecordChanges = {}
        changed: RecordChanges = {}
        _difference(before.shared, after.shared, gone, changed)
        for node in before.own.keys() | after.own.keys():
            if node not in after.own:
                removed.setdefault(node, {}).update(dict.fromkeys(before.shared))
            elif node not in before.own:
                upserted.setdefault(node, {}).update(after.shared)
            else:
                if gone:
                    removed.setdefault(node, {}).update(gone)
                if changed:
                    upserted.setdefault(node, {}).update(changed)
            _compare(node, before.own.get(node, {}), after.own.get(node, {}), removed, upserted)
            carried = self._carried.setdefault(node, set())
            (carried.add if node in after.own else carried.discard)(rdid)
        if domain is None:
            self._domains.pop(rdid, None)
        else:
            self._domains[rdid] = (domain, after)


def _compare(
    node: str,
    old: GoalState,
    new: GoalState,
    removed: dict[str, RecordChanges],
    upserted: dict[str, RecordChanges],
) -> None:
    gone: RecordChanges = {}
    changed: RecordChanges = {}
    _difference(old, new, gone, changed)
    if gone:
        removed.setdefault(node, {}).update(gone)
    if changed:
        upserted.setdefault(node, {}).update(changed)


def _difference(old: GoalState, new: GoalState, gone: RecordChanges, changed: RecordChanges) -> None:
    gone.update(dict.fromkeys(old.keys() - new.keys()))
    for key, item in new.items():
        before = old.get(key)
        if before is not item and before != item:
            changed[key] = item
