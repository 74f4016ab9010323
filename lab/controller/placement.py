"""Which gateway of a pool carries a tenant. Pure.

"Best fit" by bandwidth, the tenant's present gateway first (RAS Gateway Deployment Architecture, gateway
allocation). Capacity follows the 2019 rule: an IPsec connection may fill a gateway up to 5 Gbit/s, inbound
and outbound together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lab.controller.models_fabric import GatewayPool
from lab.controller.models_tenant import VirtualGateway

TENANTS_PER_GATEWAY = 100
"""RAS Gateway Deployment Architecture: up to 100 tenants on one gateway."""
IPSEC_CAP_KBPS = 5_000_000
CARRIES: Mapping[str, frozenset[str]] = {
    "S2sIpSec": frozenset({"IPSec"}),
    "S2sGre": frozenset({"GRE"}),
    "Forwarding": frozenset({"L3"}),
}
"""Kinds of connections that a pool of a type is for; "All" is for all."""
INSIDE = frozenset({"Link"})
"""Kinds that stay inside the gateway, and need nothing of a pool."""


def carries(pool: GatewayPool, kind: str) -> bool:
    """Whether a pool is for a kind of connections."""
    return kind in INSIDE or kind in CARRIES.get(pool.type, {kind})


def lacking(pool: GatewayPool, gateway: VirtualGateway) -> list[str]:
    """What a tenant has that a pool is not for: kinds of connections, addresses for GRE, remote access."""
    kinds = {item.properties.connection_type for item in gateway.network_connections}
    found = sorted(kind for kind in kinds if not carries(pool, kind))
    if "GRE" in kinds and not pool.ip_configuration.gre_vip_subnets:
        found.append("greVipSubnets")
    if gateway.vpn_configuration is not None and pool.type != "All":
        found.append("remote access")
    return found


@dataclass(frozen=True, slots=True)
class Candidate:
    """A gateway that could take a tenant.

    Attributes:
        name: node name.
        capacity_kbps: what its pool gives it.
        allocated_kbps: bandwidth of the connections that are placed on it, both directions together.
        tenants: how many tenants are placed on it.
    """

    name: str
    capacity_kbps: int
    allocated_kbps: int
    tenants: int

    @property
    def free_kbps(self) -> int:
        """What is left for IPsec connections."""
        return min(self.capacity_kbps, IPSEC_CAP_KBPS) - self.allocated_kbps


def best_fit(demand_kbps: int, candidates: Sequence[Candidate]) -> str | None:
    """The gateway that the demand fits into with the least left over; None if it fits nowhere."""
    fitting = [c for c in candidates if c.free_kbps >= demand_kbps and c.tenants < TENANTS_PER_GATEWAY]
    return min(fitting, key=lambda c: (c.free_kbps, c.name)).name if fitting else None


def active(names: Sequence[str], loaded: Collection[str], redundant: int) -> tuple[str, ...]:
    """The M active gateways of an M+N pool: those that carry tenants stay active, then by name.

    Args:
        names: all gateways of the pool.
        loaded: those that carry tenants.
        redundant: N; they carry nothing until one of the M fails.
    """
    order = sorted(names, key=lambda name: (name not in loaded, name))
    count = max(len(order) - redundant, len(set(names) & set(loaded)))
    return tuple(order[:count])
