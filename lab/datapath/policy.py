"""What one node's switch shall do, as plain data: the input of `Switch.apply`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from uuid import UUID

from lab.datapath.errors import InvalidPolicyError
from lab.errors import Problem

FIRST_VSID = 4096
LAST_VSID = 16_777_214
"""RFC 7637 §3.2: 0 to 0xfff are reserved, 0xffffff is the vendor's."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A virtual subnet and the distributed router's interface in it."""

    key: str
    vsid: int
    rdid: UUID
    router: IPv4Address
    router_mac: str


@dataclass(frozen=True, slots=True)
class LookupRecord:
    """(VSID, CA) → (MAC, PA): where a customer address lives."""

    key: str
    vsid: int
    customer_address: IPv4Address
    mac: str
    provider_address: IPv4Address


@dataclass(frozen=True, slots=True)
class CustomerRoute:
    """(RDID, prefix) → next hop.

    Attributes:
        vsid: subnet of the next hop; for an on-link route the subnet itself.
        next_hop: None: on-link.
    """

    key: str
    rdid: UUID
    prefix: IPv4Network
    vsid: int
    next_hop: IPv4Address | None


@dataclass(frozen=True, slots=True)
class ProviderMember:
    """A PA that may send into a routing domain; a gateway may carry sources from outside it."""

    key: str
    rdid: UUID
    provider_address: IPv4Address
    gateway: bool


@dataclass(frozen=True, slots=True)
class Port:
    """A vport that is there.

    Attributes:
        ifindex: in the namespace of the switch.
        gateway: a compartment: carries sources and destinations from outside the routing domain.
    """

    key: str
    ifindex: int
    vsid: int
    customer_address: IPv4Address
    mac: str
    gateway: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that a switch knows.

    Attributes:
        provider_address: the node's own PA; None: it has none yet.
        uplink: ifindex of the provider interface; 0: it is not there yet.
    """

    provider_address: IPv4Address | None = None
    uplink: int = 0
    subnets: tuple[Subnet, ...] = ()
    lookups: tuple[LookupRecord, ...] = ()
    routes: tuple[CustomerRoute, ...] = ()
    members: tuple[ProviderMember, ...] = ()
    ports: tuple[Port, ...] = ()


@dataclass(slots=True)
class _Findings:
    problems: list[Problem] = field(default_factory=list)

    def add(self, code: str, place: str, message: str, expected: str = "") -> None:
        self.problems.append(Problem(code, message, place=place, expected=expected))


def validate(policy: Policy) -> None:
    """Refuse what no switch could carry out, all of it at once.

    Raises:
        InvalidPolicyError: each problem's place is the key of the record at fault.
    """
    found = _Findings()
    subnets: dict[int, Subnet] = {}
    for subnet in policy.subnets:
        if not FIRST_VSID <= subnet.vsid <= LAST_VSID:
            found.add(
                "HNV-POLICY-001",
                subnet.key,
                f"VSID {subnet.vsid} is reserved",
                f"{FIRST_VSID} to {LAST_VSID} (RFC 7637 §3.2)",
            )
        if subnet.vsid in subnets:
            found.add("HNV-POLICY-002", subnet.key, f"VSID {subnet.vsid} stands twice")
        subnets[subnet.vsid] = subnet
    _check_references(policy, subnets, found)
    _check_macs(policy, found)
    _check_ports(policy.ports, found)
    if found.problems:
        raise InvalidPolicyError(found.problems)


def _check_references(policy: Policy, subnets: Mapping[int, Subnet], found: _Findings) -> None:
    """Every record stands in a known subnet; a route leads into a subnet of its own routing domain."""
    items: tuple[LookupRecord | CustomerRoute | Port, ...] = (
        *policy.lookups,
        *policy.routes,
        *policy.ports,
    )
    for item in items:
        if item.vsid not in subnets:
            found.add("HNV-POLICY-003", item.key, f"there is no virtual subnet {item.vsid}")
    for route in policy.routes:
        subnet = subnets.get(route.vsid)
        if subnet is not None and subnet.rdid != route.rdid:
            found.add(
                "HNV-POLICY-004",
                route.key,
                f"the route leads into subnet {route.vsid} of another routing domain",
                f"a subnet of {route.rdid}, not of {subnet.rdid}",
            )
    for record in policy.lookups:
        subnet = subnets.get(record.vsid)
        if subnet is not None and subnet.router == record.customer_address:
            found.add(
                "HNV-POLICY-005",
                record.key,
                f"{record.customer_address} is the distributed router's",
                "an address other than the subnet's first",
            )


def _check_macs(policy: Policy, found: _Findings) -> None:
    named: Iterable[tuple[str, str]] = (
        *((s.key, s.router_mac) for s in policy.subnets),
        *((r.key, r.mac) for r in policy.lookups),
        *((p.key, p.mac) for p in policy.ports),
    )
    for key, mac in named:
        octets = mac.replace("-", ":").split(":")
        try:
            first, *rest = (int(octet, 16) if len(octet) == 2 else -1 for octet in octets)
        except ValueError:
            first, rest = -1, []
        if len(rest) != 5 or min(first, *rest) < 0 or first & 1:
            found.add(
                "HNV-POLICY-006", key, f"{mac!r} is no station's MAC", "aa:bb:cc:dd:ee:ff, first octet even"
            )


def _check_ports(ports: Iterable[Port], found: _Findings) -> None:
    """One port for each interface, one MAC only once in a subnet."""
    taken: dict[tuple[str, object], str] = {}
    for port in ports:
        for what in (("interface", port.ifindex), ("MAC", (port.vsid, port.mac.lower()))):
            other = taken.setdefault(what, port.key)
            if other != port.key:
                found.add("HNV-POLICY-007", port.key, f"{what[0]} {what[1]} is already that of {other}")
