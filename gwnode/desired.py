"""From the goal state to what shall stand on the gateway, tenant by tenant. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from gwnode.connections.wanted import (
    Connection,
    DialInEnd,
    GreEnd,
    IpsecDefaults,
    IpsecEnd,
    leg_name,
    needs_transit,
    wanted_connection,
)
from gwnode.link import LinkEnd
from gwnode.transit import Transit
from lab.errors import LabError, Problem
from lab.model.names import interface_name
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState

SHARED_PEER = "HNV-GW-001"
NO_TRANSIT = "HNV-GW-003"
SHARED_NAME = "HNV-GW-004"
MALFORMED = "HNV-GW-006"


@dataclass(frozen=True, slots=True)
class Ipv6Side:
    """A compartment's interface in an IPv6 subnet of the VM network.

    Attributes:
        address: the compartment's CA there, with its prefix.
        mac: of that interface.
        router: distributed router of that subnet.
        vm_prefixes: reached through it.
    """

    address: IPv6Interface
    mac: str
    router: IPv6Address
    vm_prefixes: tuple[IPv6Network, ...]

    @property
    def inside(self) -> list[IPv6Network]:
        """All of the VM network that is IPv6."""
        return sorted({*self.vm_prefixes, self.address.network})


@dataclass(frozen=True, slots=True)
class Tenant:
    """Everything of one tenant that shall stand on this gateway.

    Attributes:
        name: resourceId of its virtualGateway; names namespace, services and files.
        rdid: its routing domain.
        key: key of the record, for refusals.
        address: the compartment's CA with its prefix.
        mac: of that interface.
        router: distributed router of the gateway subnet.
        vm_prefixes: reached through it.
        vip: the public address; None: the pool has none, as no connection of its needs one.
        connections: by name.
        bgp: as in the record; None: no BGP router.
        ipv6: None: the compartment is IPv4 alone.
    """

    name: str
    rdid: str
    key: str
    address: IPv4Interface
    mac: str
    router: IPv4Address
    vm_prefixes: tuple[IPv4Network, ...]
    vip: IPv4Address | None
    connections: Mapping[str, Connection]
    bgp: pb.BgpRouter | None
    ipv6: Ipv6Side | None = None

    @property
    def vport(self) -> str:
        """Interface in the default compartment: port of the virtual switch."""
        return vport_name(self.name)

    @property
    def ipv6_vport(self) -> str:
        """The same for the IPv6 subnet."""
        return ipv6_vport_name(self.name)

    @property
    def spoken_for(self) -> tuple[IPv4Network, ...]:
        """Where its road warriors' addresses are from, and what it is linked to: a site that offers a part of
        that would be sent what is theirs."""
        found: list[IPv4Network] = []
        for item in self.connections.values():
            match item.end:
                case DialInEnd(server=server):
                    found.append(server.pool)
                case LinkEnd(remote=remote):
                    found += remote
        return tuple(found)

    @property
    def peers(self) -> tuple[IPv4Address, ...]:
        """Where its tunnels end: the way to them cannot lead through them."""
        ends = [item.end for item in self.connections.values()]
        return (
            *(end.peer for end in ends if isinstance(end, IpsecEnd)),
            *(end.remote for end in ends if isinstance(end, GreEnd)),
        )


def vport_name(tenant: str) -> str:
    """The port of a tenant's compartment."""
    return interface_name("v-", tenant)


def ipv6_vport_name(tenant: str) -> str:
    """The port of a tenant's compartment in an IPv6 subnet."""
    return interface_name("v6-", tenant)


def tenants(
    goal: GoalState, transits: Mapping[str, Transit], pool: IPv4Network, ipsec: IpsecDefaults
) -> dict[str, Tenant]:
    """All tenants of a goal state, by name.

    Parameters:
        goal: the node's complete policy; only its compartments matter here.
        transits: what stands already, by leg: stays as it is.
        pool: where new ones come from.
        ipsec: what the node decides about IPsec.

    Raises:
        LabError: with every problem; the place of each is the record's key.
    """
    records = {key: record.compartment for key, record in goal.items() if record.HasField("compartment")}
    problems = [*_shared_names(records), *_shared_peers(records)]
    legs = [
        leg_name(item.tenant, connection.name, str(connection.WhichOneof("kind")))
        for item in records.values()
        for connection in item.connections
        if needs_transit(connection)
    ]
    allocated = allocate(legs, transits, pool)
    found: dict[str, Tenant] = {}
    for key, item in records.items():
        try:
            found[item.tenant] = _tenant(key, item, allocated, ipsec)
        except LabError as error:
            problems += error.problems
    if problems:
        raise LabError(problems)
    return found


def allocate(legs: Iterable[str], standing: Mapping[str, Transit], pool: IPv4Network) -> dict[str, Transit]:
    """A /31 for each leg: the one that it has, else the lowest that is free.

    Raises:
        LabError: the pool is too small (HNV-GW-003).
    """
    taken = {item.network for item in standing.values()}
    free = (network for network in pool.subnets(new_prefix=31) if network not in taken)
    result: dict[str, Transit] = {}
    for leg in legs:
        try:
            result[leg] = standing[leg] if leg in standing else Transit(next(free))
        except StopIteration:
            message = f"{pool} has no /31 left for another connection"
            raise LabError(Problem(NO_TRANSIT, message, hint="take a larger transit range")) from None
    return result


def _tenant(key: str, item: pb.Compartment, transits: Mapping[str, Transit], ipsec: IpsecDefaults) -> Tenant:
    connections: dict[str, Connection] = {}
    problems: list[Problem] = []
    for connection in item.connections:
        leg = leg_name(item.tenant, connection.name, str(connection.WhichOneof("kind")))
        try:
            connections[connection.name] = wanted_connection(key, item, connection, transits.get(leg), ipsec)
        except LabError as error:
            problems += error.problems
        except ValueError as error:
            problems.append(Problem(MALFORMED, f"connection {connection.name}: {error}", place=key))
    problems += [
        Problem(MALFORMED, f"connection {name}: {way.prefix} is IPv6, and {item.tenant} has none", place=key)
        for name, connection in connections.items()
        for way in connection.ways
        if way.prefix.version == 6 and not (item.HasField("ipv6") and connection.carries_ipv6)
    ]
    devices = [item.device for item in connections.values()]
    if len(item.connections) != len(set(devices)) and not problems:
        message = f"two connections of {item.tenant} would have one name: {', '.join(sorted(devices))}"
        problems.append(Problem(SHARED_NAME, message, place=key, hint="call one of them otherwise"))
    if problems:
        raise LabError(problems)
    return Tenant(
        name=item.tenant,
        rdid=item.rdid,
        key=key,
        address=IPv4Interface(f"{item.customer_address}/{item.prefix_length}"),
        mac=item.mac,
        router=IPv4Address(item.router_address),
        vm_prefixes=tuple(IPv4Network(prefix) for prefix in item.vm_prefixes),
        vip=IPv4Address(item.vip) if item.vip else None,
        connections=connections,
        bgp=item.bgp if item.HasField("bgp") else None,
        ipv6=_ipv6_side(item.ipv6) if item.HasField("ipv6") else None,
    )


def _ipv6_side(item: pb.CompartmentIpv6) -> Ipv6Side:
    return Ipv6Side(
        address=IPv6Interface(f"{item.customer_address}/{item.prefix_length}"),
        mac=item.mac,
        router=IPv6Address(item.router_address),
        vm_prefixes=tuple(IPv6Network(prefix) for prefix in item.vm_prefixes),
    )


def _shared_peers(records: Mapping[str, pb.Compartment]) -> list[Problem]:
    """Tenants on one VIP are told apart by the peer's address, "expected to be unique" (RAS gateway HA)."""
    owners: dict[tuple[str, str], str] = {}
    problems = []
    for key, item in records.items():
        for connection in item.connections:
            if not connection.HasField("ipsec"):
                continue
            peer = connection.ipsec.peer
            owner = owners.setdefault((item.vip, peer), item.tenant)
            if owner != item.tenant:
                message = f"{item.tenant} and {owner} both have a connection to {peer} through {item.vip}"
                hint = "the peer's address is all that tells tenants apart: each needs one of its own"
                problems.append(Problem(SHARED_PEER, message, place=key, hint=hint))
    return problems


def _shared_names(records: Mapping[str, pb.Compartment]) -> list[Problem]:
    """Names, and what is made of them: interfaces have room for a few letters and a hash."""
    owners: dict[str, str] = {}
    return [
        Problem(SHARED_NAME, f"two compartments would have the port {port}", place=key, hint="rename one")
        for key, item in records.items()
        for port in [vport_name(item.tenant)]
        if owners.setdefault(port, key) != key
    ]
