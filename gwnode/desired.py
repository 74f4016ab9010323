"""From the goal state to what shall stand on the gateway, tenant by tenant. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from lab.errors import LabError, Problem
from lab.ipsec.esp import EspBackend
from lab.ipsec.proposals import Transforms, proposals
from lab.ipsec.tunnel import Tunnel
from lab.model.names import interface_name
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState

SHARED_PEER = "HNV-GW-001"
ONE_TUNNEL = "HNV-GW-002"
NO_TRANSIT = "HNV-GW-003"
SHARED_NAME = "HNV-GW-004"

XFRM_IF_ID = 1
"""Of ipsec0, where the kernel encrypts; unique in its compartment only."""


@dataclass(frozen=True, slots=True)
class Transit:
    """The /31 between the default compartment and a tenant's (RFC 3021)."""

    network: IPv4Network

    @property
    def outer(self) -> IPv4Address:
        """Address in the default compartment."""
        return self.network[0]

    @property
    def inner(self) -> IPv4Address:
        """Address in the tenant's compartment: charon's own."""
        return self.network[1]


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
        vip: the public address.
        transit: addresses of the front-end pair.
        tunnels: IPsec connections by name.
        tunnel_routes: for each connection, prefixes that it always routes while it is connected.
        bgp: as in the record; None: no BGP router.
    """

    name: str
    rdid: str
    key: str
    address: IPv4Interface
    mac: str
    router: IPv4Address
    vm_prefixes: tuple[IPv4Network, ...]
    vip: IPv4Address
    transit: Transit
    tunnels: Mapping[str, Tunnel]
    tunnel_routes: Mapping[str, tuple[IPv4Network, ...]]
    bgp: pb.BgpRouter | None

    @property
    def vport(self) -> str:
        """Interface in the default compartment: port of the virtual switch."""
        return interface_name("v-", self.name)

    @property
    def connector(self) -> str:
        """Interface in the default compartment that leads to the tenant's `fe0`."""
        return interface_name("c-", self.name)

    @property
    def peers(self) -> tuple[IPv4Address, ...]:
        """Public addresses of its sites."""
        return tuple(IPv4Address(tunnel.remote) for tunnel in self.tunnels.values())


def tenants(
    goal: GoalState,
    transits: Mapping[str, Transit],
    pool: IPv4Network,
    backend: EspBackend,
    dpd_delay_s: int,
) -> dict[str, Tenant]:
    """All tenants of a goal state, by name.

    Parameters:
        goal: the node's complete policy; only its compartments matter here.
        transits: what stands already, by tenant: stays as it is.
        pool: where new ones come from.
        backend: who encrypts ESP here.
        dpd_delay_s: silence after which a peer is asked whether it lives.

    Raises:
        LabError: with every problem; the place of each is the record's key.
    """
    records = {key: record.compartment for key, record in goal.items() if record.HasField("compartment")}
    problems = [*_shared_names(records), *_shared_peers(records)]
    allocated = allocate([item.tenant for item in records.values()], transits, pool)
    found: dict[str, Tenant] = {}
    for key, item in records.items():
        try:
            found[item.tenant] = _tenant(key, item, allocated[item.tenant], backend, dpd_delay_s)
        except LabError as error:
            problems += error.problems
    if problems:
        raise LabError(problems)
    return found


def allocate(names: Iterable[str], standing: Mapping[str, Transit], pool: IPv4Network) -> dict[str, Transit]:
    """A /31 for each tenant: the one that it has, else the lowest that is free.

    Raises:
        LabError: the pool is too small (HNV-GW-003).
    """
    taken = {item.network for item in standing.values()}
    free = (network for network in pool.subnets(new_prefix=31) if network not in taken)
    result: dict[str, Transit] = {}
    for name in sorted(names):
        try:
            result[name] = standing[name] if name in standing else Transit(next(free))
        except StopIteration:
            message = f"{pool} has no /31 left for tenant {name}"
            raise LabError(Problem(NO_TRANSIT, message, hint="take a larger transit range")) from None
    return result


def _tenant(
    key: str, item: pb.Compartment, transit: Transit, backend: EspBackend, dpd_delay_s: int
) -> Tenant:
    ipsec = [connection for connection in item.connections if connection.HasField("ipsec")]
    problems: list[Problem] = []
    if backend is EspBackend.LIBIPSEC and len(ipsec) > 1:
        # libipsec picks the SA by selector alone, and all selectors are 0.0.0.0/0.
        names = ", ".join(connection.name for connection in ipsec)
        message = f"without the kernel's ESP, tenant {item.tenant} can have one IPsec connection, not {names}"
        problems.append(Problem(ONE_TUNNEL, message, place=key, hint="run the lab on a kernel with ESP"))
    tunnels: dict[str, Tunnel] = {}
    for number, connection in enumerate(ipsec):
        try:
            if_id = XFRM_IF_ID + number if backend is EspBackend.KERNEL else 0
            tunnels[connection.name] = _tunnel(key, item, connection, transit, backend, dpd_delay_s, if_id)
        except LabError as error:
            problems += error.problems
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
        vip=IPv4Address(item.vip),
        transit=transit,
        tunnels=tunnels,
        tunnel_routes={
            connection.name: tuple(IPv4Network(route.prefix) for route in connection.routes)
            for connection in ipsec
        },
        bgp=item.bgp if item.HasField("bgp") else None,
    )


def _tunnel(
    key: str,
    item: pb.Compartment,
    connection: pb.Connection,
    transit: Transit,
    backend: EspBackend,
    dpd_delay_s: int,
    if_id: int,
) -> Tunnel:
    """The site calls, the gateway answers. Identities are the public addresses, as the real product's are."""
    ipsec = connection.ipsec
    words = proposals(
        Transforms(
            encryption=ipsec.main_mode.encryption,
            integrity=ipsec.main_mode.integrity,
            dh_group=ipsec.main_mode.dh_group,
            cipher=ipsec.quick_mode.cipher,
            authentication=ipsec.quick_mode.authentication,
            pfs=ipsec.quick_mode.pfs,
        ),
        key,
    )
    return Tunnel(
        name=connection.name,
        local=str(transit.inner),
        remote=ipsec.peer,
        local_id=item.vip,
        remote_id=ipsec.peer,
        secret=ipsec.shared_secret,
        ike_proposals=(words.ike,),
        esp_proposals=(words.esp,),
        backend=backend,
        dpd_delay_s=dpd_delay_s,
        if_id=if_id,
        ike_life_s=ipsec.main_mode.sa_life_time_s,
        child_life_s=ipsec.quick_mode.sa_life_time_s,
        child_life_kb=ipsec.quick_mode.sa_life_time_kb,
        idle_s=ipsec.quick_mode.idle_disconnect_s,
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
    owners: dict[str, str] = {}
    return [
        Problem(SHARED_NAME, f"two compartments are called {item.tenant}", place=key)
        for key, item in records.items()
        if owners.setdefault(item.tenant, key) != key
    ]
