"""What a lab must satisfy beyond the types of its fields: one small function for each rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lab.model.codes import Finding
from lab.model.rules import (
    certificates,
    checks,
    connections,
    dial_in,
    fabric,
    gateway_vms,
    ipv6,
    lines,
    links,
    names,
    references,
    sites,
    tenants,
    traffic,
)
from lab.model.topology import Topology

Rule = Callable[[Topology], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    *names.RULES,
    *references.RULES,
    *fabric.RULES,
    *tenants.RULES,
    *traffic.RULES,
    *sites.RULES,
    *lines.RULES,
    *connections.RULES,
    *ipv6.RULES,
    *certificates.RULES,
    *links.RULES,
    *gateway_vms.RULES,
    *dial_in.RULES,
    *checks.RULES,
)


def broken_rules(topology: Topology) -> list[Finding]:
    """Everything in a topology that breaks a rule."""
    return [finding for rule in RULES for finding in rule(topology)]
