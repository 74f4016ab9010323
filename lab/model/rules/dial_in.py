"""Remote access and road warriors: who can be called, and who can call."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from lab.model.attachment import remote_accesses
from lab.model.codes import Code, Finding, Path, did_you_mean
from lab.model.connections import DIAL_IN
from lab.model.rules.certificates import LONGEST_TENANT
from lab.model.topology import Topology
from lab.model.topology_connections import ForwardingConnectionSpec, LinkConnectionSpec, NatConnectionSpec
from lab.model.topology_tenants import TenantSpec
from lab.model.types import IpNetwork


def servers(topology: Topology) -> Iterator[Finding]:
    """Somebody can call, and what callers get is nobody's else."""
    for name, spec in remote_accesses(topology):
        path: Path = ("tenants", name, "gateway", "dial-in")
        if not spec.users and not spec.certificates:
            message = f"nobody can call `{name}`: there are neither users nor certificates"
            expected = "`users`, or `certificates: true`"
            yield Finding(Code.DIAL_IN, path, message, expected)
        if len(name) > LONGEST_TENANT:
            message = f"`{name}` has {len(name)} characters, which no certificate of its authority can name"
            yield Finding(Code.DIAL_IN, path, message, f"a tenant's name of at most {LONGEST_TENANT}")
        tenant = topology.tenants[name]
        for what, taken in _taken(topology, tenant):
            if spec.pool.overlaps(taken):
                message = f"{spec.pool} overlaps {taken} of {what} of tenant `{name}`"
                yield Finding(Code.DIAL_IN, (*path, "pool"), message, "a prefix that the tenant has nowhere")
        if tenant.gateway and DIAL_IN in tenant.gateway.connections:
            place = ("tenants", name, "gateway", "connections", DIAL_IN)
            yield Finding(
                Code.DIAL_IN, place, f"`{DIAL_IN}` is the remote access of `{name}`", "another name"
            )


def _taken(topology: Topology, tenant: TenantSpec) -> Iterator[tuple[str, IpNetwork]]:
    yield from ((f"subnet `{name}`", spec.prefix) for name, spec in tenant.subnets.items())
    for name, connection in (tenant.gateway.connections if tenant.gateway else {}).items():
        if isinstance(connection, ForwardingConnectionSpec):
            yield f"the VLAN of connection `{name}`", connection.address.network
        if isinstance(connection, LinkConnectionSpec):
            other = topology.tenants.get(connection.tenant)
            for subnet in connection.uses:
                if other is not None and subnet in other.subnets:
                    yield f"subnet `{subnet}` of `{connection.tenant}`", other.subnets[subnet].prefix
        elif not isinstance(connection, NatConnectionSpec) and connection.site in topology.sites:
            yield f"site `{connection.site}`", topology.sites[connection.site].lan.prefix


def callers(topology: Topology) -> Iterator[Finding]:
    """A road warrior calls a tenant that can be called, in one way."""
    known = dict(remote_accesses(topology))
    for name, spec in topology.road_warriors.items():
        path = ("road-warriors", name)
        if spec.tenant not in known:
            yield _nobody(spec.tenant, known, (*path, "tenant"))
        if spec.certificate is not None and spec.certificate not in known:
            yield _nobody(spec.certificate, known, (*path, "certificate"))
        by_password = (spec.user is not None, spec.password is not None)
        if by_password not in ((True, True), (False, False)) or all(by_password) == bool(spec.certificate):
            yield Finding(
                Code.DIAL_IN,
                path,
                f"`{name}` has not one way to say who it is",
                "either `user` and `password`, or `certificate: TENANT`",
            )


def _nobody(tenant: str, known: Collection[str], path: Path) -> Finding:
    return Finding(
        Code.REFERENCE,
        path,
        f"there is no tenant `{tenant}` with remote access",
        "a tenant whose gateway has `dial-in`",
        did_you_mean(tenant, known),
    )


RULES = (servers, callers)
