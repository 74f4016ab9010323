"""The road warriors of a lab as nodes of its internet."""

from __future__ import annotations

from collections.abc import Iterator

from lab.model.connections import DialIn
from lab.model.lab import InterfaceAddress, Node, NodeKind, Route
from lab.model.networks import other_host
from lab.model.node_settings import DEFAULT_ROUTE, NO_IPV6, NOT_ROUTING
from lab.model.roadwarrior import RoadWarrior
from lab.model.tenants import Tenant
from lab.model.topology import Topology
from lab.model.topology_dial_in import RoadWarriorSpec

WAN = "wan0"


def nodes(topology: Topology, tenants: tuple[Tenant, ...]) -> Iterator[Node]:
    """The road warriors in the order of the file."""
    accesses = {tenant.name: tenant.gateway.dial_in for tenant in tenants if tenant.gateway}
    for name, spec in topology.road_warriors.items():
        access = accesses[spec.tenant]
        if access is None:
            raise ValueError(f"{spec.tenant} has no remote access: the topology was not validated")
        yield Node(
            name=name,
            kind=NodeKind.ROADWARRIOR,
            image="fabric",
            addresses=(InterfaceAddress(WAN, spec.wan),),
            routes=(Route(DEFAULT_ROUTE, other_host(spec.wan)),),
            sysctls=NOT_ROUTING,
            interface_sysctls=NO_IPV6,
            road_warrior=_road_warrior(name, spec, access),
        )


def _road_warrior(name: str, spec: RoadWarriorSpec, access: DialIn) -> RoadWarrior:
    by_password = spec.user is not None and access.users.get(spec.user) == spec.password
    return RoadWarrior(
        name=name,
        tenant=spec.tenant,
        address=str(spec.wan.ip),
        server=str(access.public_address),
        server_id=access.identity,
        user=spec.user or "",
        password=spec.password or "",
        issuer=spec.certificate or "",
        welcome=by_password or (access.certificates and spec.certificate == spec.tenant),
        wan=WAN,
    )
