"""Links between VM networks: both tenants want them, and their addresses differ."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from lab.model.attachment import connections
from lab.model.codes import Code, Finding, Path
from lab.model.topology import Topology
from lab.model.topology_connections import LinkConnectionSpec
from lab.model.topology_tenants import TenantSpec


def links(topology: Topology) -> Iterator[Finding]:
    """A link has another one that leads back, and no address that is on both sides."""
    seen: set[tuple[str, str]] = set()
    for tenant, name, spec in connections(topology):
        other = topology.tenants.get(spec.tenant) if isinstance(spec, LinkConnectionSpec) else None
        if not isinstance(spec, LinkConnectionSpec) or other is None:
            continue
        path = ("tenants", tenant, "gateway", "connections", name)
        if spec.tenant == tenant:
            message = f"`{tenant}` cannot be linked to itself"
            yield Finding(Code.CONNECTION, (*path, "tenant"), message, "another tenant")
            continue
        if (tenant, spec.tenant) in seen:
            message = f"`{tenant}` has a link to `{spec.tenant}` already"
            yield Finding(Code.CONNECTION, (*path, "tenant"), message, "one link between two tenants")
        seen.add((tenant, spec.tenant))
        if not _links_to(other, tenant):
            message = f"`{spec.tenant}` has no link to `{tenant}`: nothing would pass"
            hint = f"add a connection of type link with `tenant: {tenant}` to `{spec.tenant}`"
            yield Finding(Code.CONNECTION, (*path, "tenant"), message, "a link of both tenants", hint)
        yield from _prefixes(topology.tenants[tenant], tenant, other, spec, path)


def _links_to(tenant: TenantSpec, other: str) -> bool:
    found = tenant.gateway.connections.values() if tenant.gateway else ()
    return any(isinstance(item, LinkConnectionSpec) and item.tenant == other for item in found)


def _prefixes(
    tenant: TenantSpec, name: str, other: TenantSpec, spec: LinkConnectionSpec, path: Path
) -> Iterator[Finding]:
    for key, names, mine, its, whose in (
        ("offers", spec.offers, tenant, other, spec.tenant),
        ("uses", spec.uses, other, tenant, name),
    ):
        for index, subnet in enumerate(names):
            place = (*path, key, index)
            prefix = mine.subnets[subnet].prefix if subnet in mine.subnets else None
            if prefix is None:
                continue
            if not isinstance(prefix, IPv4Network):
                yield Finding(Code.FAMILY, place, f"{prefix} is IPv6", "IPv4 subnets: links carry IPv4")
            elif mine.gateway is not None and subnet == mine.gateway.subnet:
                message = f"`{subnet}` is the gateway's own subnet"
                yield Finding(Code.CONNECTION, place, message, "subnets of VMs")
            else:
                yield from _taken(prefix, its, whose, place)


def _taken(prefix: IPv4Network, its: TenantSpec, whose: str, place: Path) -> Iterator[Finding]:
    for subnet, spec in its.subnets.items():
        if prefix.overlaps(spec.prefix):
            message = f"{prefix} overlaps {spec.prefix} of subnet `{subnet}` of `{whose}`"
            expected = "linked subnets that differ from all of the other tenant's: a link translates nothing"
            yield Finding(Code.CONNECTION, place, message, expected)


RULES = (links,)
