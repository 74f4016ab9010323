"""The assertions of a topology file."""

from __future__ import annotations

from collections.abc import Iterator

from lab.model.codes import Code, Finding
from lab.model.topology import Topology
from lab.model.topology_checks import CheckSpec

KINDS = ("http", "tcp", "dns", "ping", "traceroute", "policy", "policy-entries")
LOOKS = frozenset({"policy", "policy-entries"})
"""Kinds that look into a node's switch and name the node themselves."""


def kinds_of(check: CheckSpec) -> list[str]:
    """The kinds that a check names; exactly one is right."""
    return [kind for kind in KINDS if getattr(check, kind.replace("-", "_")) is not None]


def one_assertion_each(topology: Topology) -> Iterator[Finding]:
    """A check asserts one thing, from one node."""
    for index, check in enumerate(topology.checks):
        kinds, path = kinds_of(check), ("checks", index)
        if len(kinds) != 1:
            said = " and ".join(f"`{kind}`" for kind in kinds) or "nothing"
            yield Finding(
                Code.CHECK, path, f"`{check.name}` asserts {said}", f"exactly one of {', '.join(KINDS)}"
            )
        elif kinds[0] in LOOKS and check.from_ is not None:
            yield Finding(Code.CHECK, (*path, "from"), f"`{kinds[0]}` names its node itself", "no `from`")
        elif kinds[0] not in LOOKS and check.from_ is None:
            yield Finding(Code.CHECK, path, f"`{check.name}` is tried from nowhere", "`from: NODE`")
        if check.traceroute and check.traceroute.hops[-1] != check.traceroute.address:
            yield Finding(
                Code.CHECK,
                (*path, "traceroute", "hops"),
                f"the hops end at {check.traceroute.hops[-1]}",
                f"the last hop is the destination, {check.traceroute.address}",
            )
        entries = check.policy_entries
        if entries and entries.at_most is None and not entries.at_least:
            yield Finding(
                Code.CHECK, (*path, "policy-entries"), "any number is right", "`at-least`, `at-most` or both"
            )
        if entries and entries.at_most is not None and entries.at_most < entries.at_least:
            yield Finding(
                Code.CHECK, (*path, "policy-entries"), "no number is right", "`at-least` up to `at-most`"
            )


def unique_check_names(topology: Topology) -> Iterator[Finding]:
    """A result is known by the check's name."""
    seen: set[str] = set()
    for index, check in enumerate(topology.checks):
        if check.name in seen:
            yield Finding(
                Code.DUPLICATE_CHECK, ("checks", index, "name"), f"there is already a check `{check.name}`"
            )
        seen.add(check.name)


RULES = (one_assertion_each, unique_check_names)
