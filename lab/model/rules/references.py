"""References: whatever one part of the file names must stand in another."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from lab.model.codes import Code, Finding, Path, did_you_mean
from lab.model.rules.names import nodes
from lab.model.topology import Topology
from lab.model.topology_connections import LinkConnectionSpec, NatConnectionSpec
from lab.model.topology_tenants import TenantSpec


def _reference(kind: str, name: str, known: Collection[str], path: Path) -> Iterator[Finding]:
    if name not in known:
        yield Finding(
            Code.REFERENCE,
            path,
            f"there is no {kind} `{name}`",
            f"the name of {'an' if kind[0] == 'a' else 'a'} {kind}",
            did_you_mean(name, known),
        )


def tenant_references(topology: Topology) -> Iterator[Finding]:
    """VMs name hosts, subnets and access control lists; subnets lists; gateways subnets and sites."""
    for name, tenant in topology.tenants.items():
        for vm, spec in tenant.vms.items():
            path = ("tenants", name, "vms", vm)
            yield from _reference("host", spec.host, topology.hosts, (*path, "host"))
            yield from _reference("subnet", spec.subnet, tenant.subnets, (*path, "subnet"))
            if spec.acl is not None:
                yield from _reference("access control list", spec.acl, tenant.acls, (*path, "acl"))
            if spec.gateway is not None:
                yield from _reference("site", spec.gateway.site, topology.sites, (*path, "gateway", "site"))
        for subnet, inside in tenant.subnets.items():
            path = ("tenants", name, "subnets", subnet)
            if inside.acl is not None:
                yield from _reference("access control list", inside.acl, tenant.acls, (*path, "acl"))
        for appliance, item in tenant.appliances.items():
            path = ("tenants", name, "appliances", appliance)
            yield from _reference("subnet", item.subnet, tenant.subnets, (*path, "subnet"))
        if tenant.gateway is None:
            continue
        above = ("tenants", name, "gateway")
        yield from _reference("subnet", tenant.gateway.subnet, tenant.subnets, (*above, "subnet"))
        if tenant.gateway.ipv6_subnet is not None:
            path = (*above, "ipv6-subnet")
            yield from _reference("subnet", tenant.gateway.ipv6_subnet, tenant.subnets, path)
        for connection, link in tenant.gateway.connections.items():
            place = (*above, "connections", connection)
            if isinstance(link, LinkConnectionSpec):
                yield from _link_references(topology, tenant, link, place)
            elif not isinstance(link, NatConnectionSpec):
                yield from _reference("site", link.site, topology.sites, (*place, "site"))


def _link_references(
    topology: Topology, tenant: TenantSpec, link: LinkConnectionSpec, place: Path
) -> Iterator[Finding]:
    yield from _reference("tenant", link.tenant, topology.tenants, (*place, "tenant"))
    for index, subnet in enumerate(link.offers):
        yield from _reference("subnet", subnet, tenant.subnets, (*place, "offers", index))
    other = topology.tenants.get(link.tenant)
    for index, subnet in enumerate(link.uses):
        if other is not None:
            yield from _reference("subnet", subnet, other.subnets, (*place, "uses", index))


def check_references(topology: Topology) -> Iterator[Finding]:
    """Checks name nodes, hosts and tenants."""
    known = [name for name, _ in nodes(topology)]
    for index, check in enumerate(topology.checks):
        if check.from_ is not None:
            yield from _reference("node", check.from_, known, ("checks", index, "from"))
        if check.policy is not None:
            path = ("checks", index, "policy")
            yield from _reference("host", check.policy.host, topology.hosts, (*path, "host"))
            yield from _reference("tenant", check.policy.tenant, topology.tenants, (*path, "tenant"))
        if check.policy_entries is not None:
            wanted = check.policy_entries.node
            switches = [*topology.hosts, *topology.gateways]
            yield from _reference(
                "host or gateway", wanted, switches, ("checks", index, "policy-entries", "node")
            )


RULES = (tenant_references, check_references)
