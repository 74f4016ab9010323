"""Point-to-site: what must be true of a vpnConfiguration, and what the gateway is told of it. Pure.

A gateway refuses a goal state as a whole: whatever it would refuse of remote access is refused here.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, ip_network

from lab.controller.catalog import Path, children, parse_path
from lab.controller.certificates import check_authority, check_own
from lab.controller.inventory import Inventory
from lab.controller.models_fabric import PublicIpAddress
from lab.controller.models_tenant import VirtualGateway, VirtualNetwork
from lab.controller.models_vpn import VpnConfiguration
from lab.controller.refusals import Complaint, in_use, invalid
from lab.controller.shapes import Resource
from lab.errors import LabError
from lab.ipsec.dial_in import DialInServer, checked
from lab.ipsec.esp import EspBackend
from lab.model.connections import DIAL_IN
from lab.model.internet import NEVER_OUTSIDE
from lab.prefixes import inside
from lab.southbound import southbound_pb2 as pb

FIELD = "properties.vpnConfiguration"


def check_vpn(path: Path, gateway: VirtualGateway, inventory: Inventory) -> Iterator[Complaint]:
    """The rules of a virtual gateway's remote access.

    Args:
        path: of the virtual gateway.
        gateway: its properties.
        inventory: as it is now; references lead somewhere.
    """
    wanted = gateway.vpn_configuration
    if wanted is None:
        return
    pools = [
        found[1].properties for ref in gateway.gateway_pools if (found := inventory.at(ref.resource_ref))
    ]
    if not any(pool.type == "All" for pool in pools):
        yield invalid("Remote access needs a gateway pool of type 'All'.", "properties.gatewayPools")
    for connection in gateway.network_connections:
        if connection.resource_id.lower() == DIAL_IN:
            yield invalid(
                f"The name '{DIAL_IN}' is that of the virtual gateway's remote access.",
                f"{path.ref}/networkConnections/{connection.resource_id}",
            )
    yield from _public_address(path, wanted, inventory)
    yield from _users(wanted)
    yield from _routes(wanted, gateway)
    try:
        checked(
            _server(wanted, _subnets(gateway, inventory)),
            [user.resource_id.lower() for user in wanted.users],
            FIELD,
        )
    except LabError as error:
        for problem in error.problems:
            hint = f" ({problem.hint})" if problem.hint else ""
            yield invalid(f"{problem.message}{hint}.", FIELD)
    else:
        before = inventory.find(path)
        yield from _certificates(wanted, before[1].properties.vpn_configuration if before else None)


def check_subnets(
    path: Path, resource: Resource[VirtualNetwork], inventory: Inventory
) -> Iterator[Complaint]:
    """That a virtual network leaves the pool of its tenant's remote access alone.

    Args:
        path: of the virtual network.
        resource: as it is to be.
        inventory: as it is now.
    """
    found = inventory.at(inventory.holder("virtual gateway of", path.key) or "")
    gateway: VirtualGateway | None = found[1].properties if found else None
    if found is None or gateway is None or gateway.vpn_configuration is None:
        return
    pool = IPv4Network(gateway.vpn_configuration.ipv4_address_prefixes[0])
    for at, subnet in children(path, resource):
        prefix = ip_network(subnet.properties.address_prefix)
        if isinstance(prefix, IPv4Network) and prefix.overlaps(pool):
            message = f"'{prefix}' overlaps with {pool}, the address pool of {found[0].ref}'s remote access."
            yield invalid(message, at.ref)


def _public_address(path: Path, wanted: VpnConfiguration, inventory: Inventory) -> Iterator[Complaint]:
    """It is this tenant's remote access's alone: callers name nothing else that tells tenants apart."""
    target = parse_path(wanted.public_ip_address.resource_ref)
    if target is None:
        return
    address = _address(wanted, inventory)
    if any(IPv4Address(address) in prefix for prefix in NEVER_OUTSIDE):
        yield invalid(f"Nobody in the internet can reach {address}.", f"{FIELD}.publicIPAddress")
    others = [holder.ref for holder in inventory.referrers(target) if holder.key != path.key]
    if others:
        yield in_use(target.ref, others)


def _users(wanted: VpnConfiguration) -> Iterator[Complaint]:
    for user in wanted.users:
        if not user.properties.password:
            yield invalid("A user needs a password.", f"{FIELD}.users/{user.resource_id}")


def _routes(wanted: VpnConfiguration, gateway: VirtualGateway) -> Iterator[Complaint]:
    """A site's route into the pool would take callers' traffic away."""
    pool = IPv4Network(wanted.ipv4_address_prefixes[0])
    for connection in gateway.network_connections:
        for route in connection.properties.routes:
            if inside(ip_network(route.destination_prefix), pool):
                yield invalid(
                    f"The address pool {pool} holds {route.destination_prefix}, which connection "
                    f"'{connection.resource_id}' leads to.",
                    f"{FIELD}.IPv4AddressPrefixes",
                )


def _certificates(wanted: VpnConfiguration, stored: VpnConfiguration | None) -> Iterator[Complaint]:
    before, before_authority = (stored.certificate, stored.ca_certificate) if stored else ("", "")
    faults = [*check_own(wanted.certificate, wanted.private_key or "", wanted.identity, before)]
    if wanted.ca_certificate:
        faults += check_authority(wanted.ca_certificate, stored=before_authority)
    for fault in faults:
        yield invalid(fault.message, f"{FIELD}.{fault.field}")


def _subnets(gateway: VirtualGateway, inventory: Inventory) -> tuple[IPv4Network, ...]:
    """All IPv4 subnets of the virtual network, the gateway's own among them."""
    subnet = parse_path(gateway.gateway_subnets[0].resource_ref)
    network = inventory.find(subnet.root) if subnet else None
    found = [ip_network(item.properties.address_prefix) for _, item in children(*network)] if network else []
    return tuple(prefix for prefix in found if isinstance(prefix, IPv4Network))


def _server(wanted: VpnConfiguration, subnets: tuple[IPv4Network, ...]) -> DialInServer:
    """As the gateway's agent will see it, for the rules that both share."""
    return DialInServer(
        name=DIAL_IN,
        local="",
        identity=wanted.identity,
        certificate=wanted.certificate,
        key=wanted.private_key or "",
        pool=IPv4Network(wanted.ipv4_address_prefixes[0]),
        subnets=subnets,
        backend=EspBackend.LIBIPSEC,
        users={user.resource_id: user.properties.password or "" for user in wanted.users},
        authority=wanted.ca_certificate,
        maximum=wanted.maximum_vpn_connections,
    )


def _address(wanted: VpnConfiguration, inventory: Inventory) -> str:
    found = inventory.at(wanted.public_ip_address.resource_ref)
    properties = found[1].properties if found else None
    return properties.ip_address if isinstance(properties, PublicIpAddress) else ""


def dial_in_record(wanted: VpnConfiguration, inventory: Inventory) -> pb.Connection:
    """Remote access as the connection that the gateway's agent is told of.

    Args:
        wanted: a configuration that `check_vpn` had nothing against.
        inventory: where the public address stands.
    """
    return pb.Connection(
        name=DIAL_IN,
        outbound_kbps=wanted.outbound_kilo_bits_per_second,
        inbound_kbps=wanted.inbound_kilo_bits_per_second,
        dial_in=pb.DialIn(
            public_address=_address(wanted, inventory),
            pool=wanted.ipv4_address_prefixes[0],
            dns_servers=wanted.dns_ip_addresses,
            maximum_connections=wanted.maximum_vpn_connections,
            interim_accounting_s=wanted.interim_accounting_period_sec,
            users=[
                pb.DialInUser(name=user.resource_id, password=user.properties.password or "")
                for user in wanted.users
            ],
            ca_certificate=wanted.ca_certificate,
            certificate=wanted.certificate,
            private_key=wanted.private_key or "",
            identity=wanted.identity,
        ),
    )
