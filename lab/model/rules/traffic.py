"""What may talk to whom, and by which way: access control lists and user-defined routes."""

from __future__ import annotations

from collections.abc import Iterator

from lab.model.codes import Code, Finding, Path
from lab.model.defaults import priority_of
from lab.model.rules.tenants import machines
from lab.model.topology import Topology
from lab.model.topology_tenants import AclRuleSpec, SubnetSpec, TenantSpec
from lab.model.types import MAX_PRIORITY, IpAddress, IpNetwork


def acl_rules(topology: Topology) -> Iterator[Finding]:
    """A rule means something, and two of one list never claim the same place."""
    for tenant, spec in topology.tenants.items():
        for acl, rules in spec.acls.items():
            for position, rule in enumerate(rules):
                path = ("tenants", tenant, "acls", acl, position)
                yield from _contradictions(rule, path)
                yield from _taken(rules[:position], rule, position, path)


def _contradictions(rule: AclRuleSpec, path: Path) -> Iterator[Finding]:
    if rule.protocol not in ("tcp", "udp"):
        for key, ports in (
            ("source-ports", rule.source_ports),
            ("destination-ports", rule.destination_ports),
        ):
            if ports is not None:
                message = f"`{rule.name}` names ports, and {rule.protocol} has none"
                yield Finding(Code.ACL_RULE, (*path, key), message, "`protocol: tcp` or `protocol: udp`")
    if rule.source and rule.destination and rule.source.version != rule.destination.version:
        message = f"`{rule.name}` leads from {rule.source} to {rule.destination}"
        yield Finding(Code.FAMILY, (*path, "destination"), message, "both IPv4, or both IPv6")


def _taken(
    before: tuple[AclRuleSpec, ...], rule: AclRuleSpec, position: int, path: Path
) -> Iterator[Finding]:
    if any(other.name == rule.name for other in before):
        message = f"there is already a rule `{rule.name}` in the list"
        yield Finding(Code.ACL_RULE, (*path, "name"), message, "each name once in a list")
    priority = priority_of(rule, position)
    if priority > MAX_PRIORITY:
        message = f"rule {position + 1} of the list would have the priority {priority}"
        yield Finding(Code.ACL_RULE, path, message, f"at most {MAX_PRIORITY}", "give priorities by hand")
    for place, other in enumerate(before):
        if other.direction == rule.direction and priority_of(other, place) == priority:
            yield Finding(
                Code.ACL_RULE,
                (*path, "priority") if rule.priority is not None else path,
                f"`{rule.name}` and `{other.name}` both have the priority {priority}",
                f"each priority once among the {rule.direction} rules of a list",
            )


def user_routes(topology: Topology) -> Iterator[Finding]:
    """A user-defined route leads to a virtual appliance of the same tenant, or nowhere."""
    for name, tenant in topology.tenants.items():
        for subnet, spec in tenant.subnets.items():
            for prefix, next_hop in spec.routes.items():
                path = ("tenants", name, "subnets", subnet, "routes", str(prefix))
                yield from _route(tenant, spec, prefix, next_hop, path)


def _route(
    tenant: TenantSpec, subnet: SubnetSpec, prefix: IpNetwork, next_hop: IpAddress | None, path: Path
) -> Iterator[Finding]:
    versions = {prefix.version, subnet.prefix.version} | ({next_hop.version} if next_hop else set())
    if len(versions) > 1:
        message = f"a route to {prefix} through {next_hop or 'none'} in the subnet {subnet.prefix}"
        yield Finding(Code.FAMILY, path, message, "all IPv4, or all IPv6")
    elif next_hop is not None:
        owners = [spec for _, _, spec in machines(tenant) if spec.address == next_hop]
        expected = "the address of a VM or appliance of the same tenant that forwards"
        if not owners:
            yield Finding(Code.NEXT_HOP, path, f"{next_hop} is nobody's in this tenant", expected)
        elif not (owners[0].forwarding or getattr(owners[0], "gateway", None)):
            message = f"{next_hop} does not forward what is not its own"
            yield Finding(Code.NEXT_HOP, path, message, expected, "give it `forwarding: true`")


RULES = (acl_rules, user_routes)
