"""What must be true of a connection, kind by kind: whatever its gateway would refuse is refused here.

A gateway refuses a goal state as a whole, so that what it refuses of one tenant stops all others. These rules
hold when a virtual gateway is PUT, and again when something is that its connections refer to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_interface
from urllib.parse import quote

from lab.controller.allocation import gre_vip_subnets
from lab.controller.catalog import VIRTUAL_GATEWAYS, Path
from lab.controller.checks_authentication import check_authentication
from lab.controller.connections_link import LINK, check_link
from lab.controller.connections_nat import check_nat
from lab.controller.inventory import Inventory
from lab.controller.models_connection import IpsecConfiguration, NetworkConnection, TrafficSelector
from lab.controller.models_fabric import LogicalSubnet
from lab.controller.models_tenant import VirtualGateway
from lab.controller.refusals import Complaint, invalid
from lab.errors import LabError
from lab.ipsec.proposals import Transforms, proposals
from lab.prefixes import Network, version_of

IPV6_KINDS = frozenset({"GRE", "L3"})
MOST_NAME_OCTETS = 80
"""Of a virtual gateway's and a connection's id together, percent-encoded: on the gateway they are in the path
of a socket, of which unix(7) lets be 107 octets."""
_OWN: Mapping[str, str] = {
    "IPSec": "ip_sec_configuration",
    "GRE": "gre_configuration",
    "L3": "l3_configuration",
    "NAT": "nat_configuration",
    LINK: "link_configuration",
}
"""What is a kind's own; what is another's, it has not."""


def check_connection(
    at: Path, connection: NetworkConnection, gateway: VirtualGateway, inventory: Inventory
) -> Iterator[Complaint]:
    """The rules of a connection.

    Args:
        at: path of the connection.
        connection: its properties.
        gateway: the virtual gateway that it belongs to, as it is to be.
        inventory: as it is now; references lead somewhere.
    """
    yield from _name(at)
    kind = connection.connection_type
    for name in sorted({*_OWN.values()} - {_OWN[kind]}):
        if getattr(connection, name) is not None:
            field = NetworkConnection.model_fields[name].alias
            yield invalid(
                f"A connection of type {kind} has no '{field}': leave it out, or empty.", f"{at.ref}: {field}"
            )
    for route in connection.routes:
        if route.next_hop and kind != "L3":
            yield invalid(
                f"The routes of a connection of type {kind} lead to its far end; a 'nextHop' "
                f"({route.next_hop}) is for type L3.",
                f"{at.ref}: routes",
            )
    six = list(_ipv6(at, connection, gateway))
    yield from six
    if not six:
        yield from _KINDS[kind](at, connection, gateway, inventory)


def _ipv6(at: Path, connection: NetworkConnection, gateway: VirtualGateway) -> Iterator[Complaint]:
    """Which connections carry IPv6: those that the gateway passes whole packets or frames through."""
    wanted = [
        *(
            f"routes: {item.destination_prefix}"
            for item in connection.routes
            if ":" in item.destination_prefix
        ),
        *(f"ipAddresses: {item.ip_address}" for item in connection.ip_addresses if ":" in item.ip_address),
        *(f"peerIPAddresses: {address}" for address in connection.peer_ip_addresses if ":" in address),
    ]
    if not wanted:
        return
    kind, field = connection.connection_type, f"{at.ref}: {wanted[0]}"
    if kind not in IPV6_KINDS:
        kinds = " and ".join(sorted(IPV6_KINDS))
        yield invalid(f"A connection of type {kind} carries IPv4 alone; {kinds} carry IPv6, too.", field)
    elif len(gateway.gateway_subnets) < 2:
        yield invalid(
            "The compartment is IPv4 alone: give the gateway an IPv6 subnet, second in 'gatewaySubnets'.",
            field,
        )


def _name(at: Path) -> Iterator[Complaint]:
    """The gateway calls interfaces and files after both ids."""
    for ref, name in zip((at.root.ref, at.ref), (at.ids[0], at.ids[-1]), strict=True):
        if not name.isascii() or ":" in name:
            yield invalid(
                f"The id '{name}' names an interface on the gateway: it is of ASCII characters without ':'.",
                ref,
            )
    octets = len(quote(at.ids[0])) + len(quote(at.ids[-1]))
    if octets > MOST_NAME_OCTETS:
        yield invalid(
            f"The ids of a virtual gateway and of a connection are at most {MOST_NAME_OCTETS} octets long "
            f"together; '{at.ids[0]}' and '{at.ids[-1]}' are {octets}.",
            at.ref,
        )


def _far_end(at: Path, address: str, gateway: VirtualGateway, inventory: Inventory) -> Iterator[Complaint]:
    """A tunnel ends at a host, and not at the gateway that it begins at."""
    end, field = IPv4Address(address), f"{at.ref}: destinationIPAddress"
    if end.is_multicast or end.is_unspecified or end.is_loopback or end.is_reserved:
        yield invalid(f"No tunnel can end at {end}: it is no host's address.", field)
    for reference in gateway.gateway_pools:
        for subnet in gre_vip_subnets(inventory, reference.resource_ref):
            if end in IPv4Network(subnet.address_prefix) and str(end) not in subnet.default_gateways:
                yield invalid(
                    f"{end} is one of {subnet.address_prefix}, which the gateways themselves get their GRE "
                    "addresses from.",
                    field,
                )
        if str(end) in _shared(reference.resource_ref, inventory):
            yield invalid(f"{end} is the public address of the gateways themselves.", field)


def _shared(pool_ref: str, inventory: Inventory) -> set[str]:
    """The public addresses of a pool."""
    pool = inventory.at(pool_ref)
    references = pool[1].properties.ip_configuration.public_ip_addresses if pool else ()
    found = (inventory.at(reference.resource_ref) for reference in references)
    return {address[1].properties.ip_address for address in found if address is not None}


def _ipsec(
    at: Path, connection: NetworkConnection, gateway: VirtualGateway, inventory: Inventory
) -> Iterator[Complaint]:
    if connection.destination_ip_address is None:
        yield invalid("An IPsec connection needs the site's address.", f"{at.ref}: destinationIPAddress")
    else:
        yield from _far_end(at, connection.destination_ip_address, gateway, inventory)
    ipsec = connection.ip_sec_configuration
    if ipsec is None:
        message = "An IPsec connection needs an 'ipSecConfiguration': a pre-shared key, or certificates."
        yield invalid(message, f"{at.ref}: ipSecConfiguration")
        return
    stored = inventory.find(at)
    yield from check_authentication(at, ipsec, stored[1].properties.ip_sec_configuration if stored else None)
    yield from _transforms(at, ipsec)
    for field, selectors in (
        ("localVpnTrafficSelector", ipsec.local_vpn_traffic_selector),
        ("remoteVpnTrafficSelector", ipsec.remote_vpn_traffic_selector),
    ):
        for selector in selectors:
            yield from _selector(selector, f"{at.ref}: {field}")


def _transforms(at: Path, ipsec: IpsecConfiguration) -> Iterator[Complaint]:
    """What the gateway's strongSwan cannot do is refused here, not when the gateway is told."""
    main, quick = ipsec.main_mode, ipsec.quick_mode
    words = Transforms(
        encryption=main.encryption_algorithm,
        integrity=main.integrity_algorithm,
        dh_group=main.diffie_hellman_group,
        cipher=quick.cipher_transformation_constant,
        authentication=quick.authentication_transformation_constant,
        pfs=quick.perfect_forward_secrecy,
    )
    try:
        proposals(words, at.ref)
    except LabError as error:
        for problem in error.problems:
            hint = f" ({problem.hint})" if problem.hint else ""
            yield invalid(f"{problem.message}{hint}.", f"{at.ref}: ipSecConfiguration")


def _selector(selector: TrafficSelector, field: str) -> Iterator[Complaint]:
    """libipsec chooses an SA by addresses alone, so protocols and ports would be promised and not kept."""
    if selector.type != "IPv4":
        yield invalid("A compartment is IPv4, and so are its traffic selectors.", field)
    if selector.protocol_id or (selector.port_start, selector.port_end) != (0, 65535):
        yield invalid(
            "A traffic selector of this gateway selects by address; the nearest choice is protocolId 0 and "
            "ports 0 to 65535, and an access control list for the rest.",
            field,
        )
    if IPv4Address(selector.ip_address_start) > IPv4Address(selector.ip_address_end):
        yield invalid(f"{selector.ip_address_start} is behind {selector.ip_address_end}.", field)


def _gre(
    at: Path, connection: NetworkConnection, gateway: VirtualGateway, inventory: Inventory
) -> Iterator[Complaint]:
    if connection.destination_ip_address is None:
        yield invalid("A GRE connection needs its far end's address.", f"{at.ref}: destinationIPAddress")
    else:
        yield from _far_end(at, connection.destination_ip_address, gateway, inventory)
    if connection.gre_configuration is None:
        yield invalid("A GRE connection needs a key.", f"{at.ref}: greConfiguration.greKey")


def _l3(
    at: Path, connection: NetworkConnection, gateway: VirtualGateway, inventory: Inventory
) -> Iterator[Complaint]:
    if connection.l3_configuration is None:
        yield invalid("An L3 connection needs a VLAN.", f"{at.ref}: l3Configuration.vlanSubnet")
        return
    found = inventory.at(connection.l3_configuration.vlan_subnet.resource_ref)
    subnet: LogicalSubnet | None = found[1].properties if found else None
    if subnet is not None and not subnet.vlan_id:
        yield invalid("The subnet has no VLAN (vlanID 1 to 4094).", f"{at.ref}: l3Configuration.vlanSubnet")
    elif subnet is not None:
        yield from _vlan(at, subnet.vlan_id, gateway, inventory)
    yield from _addresses(at, connection)


def outside_of_vlan(at: Path, connection: NetworkConnection, inventory: Inventory) -> Iterator[Complaint]:
    """Addresses of an L3 connection that are outside of its subnet.

    Its gateway can have them all the same. So a subnet that is renumbered is not held up by the connections
    in it, which could not be renumbered before it either: they are told when they are PUT.
    """
    leg = connection.l3_configuration
    found = inventory.at(leg.vlan_subnet.resource_ref) if leg and connection.connection_type == "L3" else None
    if found is None:
        return
    prefix = IPv4Network(found[1].properties.address_prefix)
    for address in connection.ip_addresses:
        # Logical networks are IPv4; what a tenant has in its VLAN beside that is its own affair.
        if version_of(address.ip_address) == 4 and IPv4Address(address.ip_address) not in prefix:
            yield invalid(
                f"{address.ip_address} is outside of the VLAN's {prefix}.", f"{at.ref}: ipAddresses"
            )


def _vlan(at: Path, vlan: int, gateway: VirtualGateway, inventory: Inventory) -> Iterator[Complaint]:
    """A frame says its VLAN and nothing else: two subnets with one VLAN id are one VLAN (IEEE 802.1Q)."""
    holders = {path.key: (path, item.properties) for path, item in inventory.all(VIRTUAL_GATEWAYS)}
    holders[at.root.key] = (at.root, gateway)
    for path, holder in holders.values():
        for item in holder.network_connections:
            other, leg = path.below(at.collection, item.resource_id), item.properties.l3_configuration
            if item.properties.connection_type != "L3" or leg is None or other.key == at.key:
                continue
            found = inventory.at(leg.vlan_subnet.resource_ref)
            if found is not None and found[1].properties.vlan_id == vlan:
                yield invalid(
                    f"The VLAN {vlan} is already held by {other.ref}.",
                    f"{at.ref}: l3Configuration.vlanSubnet",
                )


def _addresses(at: Path, connection: NetworkConnection) -> Iterator[Complaint]:
    own = []
    for item in connection.ip_addresses:
        try:
            own.append(ip_interface(f"{item.ip_address}/{item.prefix_length}"))
        except ValueError:
            message = f"A prefix length of {item.prefix_length} is none of IPv4's, as {item.ip_address} is."
            yield invalid(message, f"{at.ref}: ipAddresses")
    if not any(address.version == 4 for address in own):
        yield invalid("An L3 connection needs an IPv4 address in its VLAN.", f"{at.ref}: ipAddresses")
    for address in own:
        if not _is_hosts(address.ip, address.network):
            yield invalid(
                f"{address.ip} is no host's address in {address.network}.", f"{at.ref}: ipAddresses"
            )
    hops = [*connection.peer_ip_addresses, *(r.next_hop for r in connection.routes if r.next_hop)]
    for hop in hops:
        networks = [address.network for address in own if ip_address(hop) in address.network]
        if own and not networks:
            yield invalid(f"{hop} is not in the connection's own network.", f"{at.ref}: peerIPAddresses")
        elif any(ip_address(hop) == address.ip for address in own):
            yield invalid(f"{hop} is the connection's own address.", f"{at.ref}: peerIPAddresses")
        elif not all(_is_hosts(ip_address(hop), network) for network in networks):
            yield invalid(f"{hop} is no host's address.", f"{at.ref}: peerIPAddresses")
    for version in sorted({version_of(route.destination_prefix) for route in connection.routes if own}):
        if not any(version_of(hop) == version for hop in hops):
            yield invalid(
                f"The IPv{version} routes of an L3 connection lead to a peer; there is none of IPv{version}.",
                f"{at.ref}: peerIPAddresses",
            )


def _is_hosts(address: IPv4Address | IPv6Address, network: Network) -> bool:
    """Whether an address of a network can be a host's (RFC 3021: of a /31 both can; RFC 6164: of a /127)."""
    if address.version == 6 and (address.is_link_local or address.is_multicast or address.is_loopback):
        return False
    if network.prefixlen >= network.max_prefixlen - 1:
        return True
    # The first address of an IPv6 network is its routers' anycast address (RFC 4291 section 2.6.1).
    return address not in (network[0], *([network[-1]] if network.version == 4 else []))


_KINDS: Mapping[str, Callable[[Path, NetworkConnection, VirtualGateway, Inventory], Iterator[Complaint]]] = {
    "IPSec": _ipsec,
    "GRE": _gre,
    "L3": _l3,
    "NAT": check_nat,
    LINK: check_link,
}
