"""What the policy says, looked up as slowly and as plainly as can be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address

from lab.datapath.policy import CustomerRoute, LookupRecord, Policy, Port, ProviderMember, Subnet

from .parsing import Address, mac


@dataclass(frozen=True)
class Route:
    """The best route for a destination: a customer route or a user-defined one."""

    vsid: int
    next_hop: Address | None
    external_router: IPv4Address | None = None
    blackhole: bool = False

    @property
    def on_link(self) -> bool:
        return self.next_hop is None and not self.blackhole


class Tables:
    """A policy, ready to be asked."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.own_addresses = {p.address for p in policy.provider_addresses}

    @cached_property
    def ports(self) -> dict[int, Port]:
        return {p.ifindex: p for p in self.policy.ports}

    @cached_property
    def subnets(self) -> dict[int, Subnet]:
        return {s.vsid: s for s in self.policy.subnets}

    @cached_property
    def records(self) -> dict[tuple[int, Address], LookupRecord]:
        return {(r.vsid, r.customer_address): r for r in self.policy.lookups}

    @cached_property
    def locals(self) -> dict[tuple[int, bytes], int]:
        """Which port holds a MAC: its ifindex. In the midst of a change it may be what it was before."""
        return {(p.vsid, mac(p.mac)): p.ifindex for p in self.policy.ports}

    @property
    def encapsulation_overhead(self) -> int:
        """NVGRE: IPv4, GRE with key, Ethernet. VXLAN: IPv4, UDP, VXLAN, Ethernet."""
        return 20 + 8 + 8 + 14 if self.policy.switch.vxlan else 20 + 8 + 14

    def domain_route(self, subnet: Subnet, destination: Address) -> CustomerRoute | None:
        """The longest of the routing domain's routes."""
        matching = [
            r
            for r in self.policy.routes
            if r.rdid == subnet.rdid and r.prefix.version == destination.version and destination in r.prefix
        ]
        return max(matching, key=lambda r: r.prefix.prefixlen, default=None)

    def route(self, subnet: Subnet, destination: Address) -> Route | None:
        """Routing, rule 1."""
        domain = self.domain_route(subnet, destination)
        matching = [
            r
            for r in self.policy.user_routes
            if r.vsid == subnet.vsid and r.prefix.version == destination.version and destination in r.prefix
        ]
        user = max(matching, key=lambda r: r.prefix.prefixlen, default=None)
        if user and (domain is None or user.prefix.prefixlen >= domain.prefix.prefixlen):
            return Route(user.next_hop_vsid, user.next_hop, blackhole=user.next_hop is None)
        return Route(domain.vsid, domain.next_hop, domain.external_router) if domain else None

    def on_link(self, subnet: Subnet, address: Address) -> Subnet | None:
        """The virtual subnet that an address is on-link in, within the routing domain."""
        route = self.domain_route(subnet, address)
        if route is None or route.next_hop is not None or route.external_router is not None:
            return None
        return self.subnets.get(route.vsid)

    def member(self, subnet: Subnet, address: Address) -> ProviderMember | None:
        """Who sends into a routing domain from a PA."""
        found = (m for m in self.policy.members if m.rdid == subnet.rdid and m.provider_address == address)
        return next(found, None)

    def local_port(self, vsid: int, address: bytes) -> Port | None:
        """The port of this node that holds a MAC, if it is in that subnet itself."""
        port = self.ports.get(self.locals.get((vsid, address), 0))
        return port if port and port.vsid == vsid else None

    def is_external(self, port: Port, address: Address) -> bool:
        """Whether an address is none of the routing domain's own subnets'."""
        return self.on_link(self.subnets[port.vsid], address) is None
