"""What must be true of gateway pools, and of virtual gateways with their connections and BGP routers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, ip_network

from lab.controller.allocation import gre_vips
from lab.controller.catalog import Path, children
from lab.controller.checks_bgp import bgp
from lab.controller.connections_link import LINK, check_link
from lab.controller.connections_nat import check_nat
from lab.controller.inventory import Inventory
from lab.controller.models_connection import IpsecConfiguration, NetworkConnection, TrafficSelector
from lab.controller.models_fabric import GatewayPool, LogicalSubnet
from lab.controller.models_tenant import VirtualGateway
from lab.controller.refusals import Complaint, invalid
from lab.controller.shapes import Resource
from lab.controller.vpn import check_vpn
from lab.errors import LabError
from lab.ipsec.proposals import Transforms, proposals

CARRIES: Mapping[str, frozenset[str]] = {
    "S2sIpSec": frozenset({"IPSec"}),
    "S2sGre": frozenset({"GRE"}),
    "Forwarding": frozenset({"L3"}),
}
"""Kinds of connections that a pool of a type is for; "All" is for all."""


def gateway_pool(_path: Path, resource: Resource[GatewayPool], _inventory: Inventory) -> Iterator[Complaint]:
    """The rules of a gateway pool (MS-NCNBI §3.1.5.3)."""
    pool = resource.properties
    if pool.type in ("S2sIpSec", "All") and not pool.ip_configuration.public_ip_addresses:
        yield invalid(
            "A pool for IPsec connections needs a public address that its tenants share.",
            "properties.ipConfiguration.publicIPAddresses",
        )
    if pool.type == "S2sGre" and not pool.ip_configuration.gre_vip_subnets:
        yield invalid(
            "A pool for GRE connections needs subnets that its gateways get their GRE addresses from.",
            "properties.ipConfiguration.greVipSubnets",
        )


def virtual_gateway(
    path: Path, resource: Resource[VirtualGateway], inventory: Inventory
) -> Iterator[Complaint]:
    """The rules of a virtual gateway."""
    gateway = resource.properties
    subnet = inventory.at(gateway.gateway_subnets[0].resource_ref)
    if subnet is not None and ip_network(subnet[1].properties.address_prefix).version != 4:
        yield invalid("A gateway's compartment is IPv4: so is the subnet it stands in.", "gatewaySubnets")
    for at, child in children(path, resource):
        if isinstance(child.properties, NetworkConnection):
            yield from _pool(at, child.properties, gateway, inventory)
            yield from _KINDS[child.properties.connection_type](at, child.properties, gateway, inventory)
    yield from check_vpn(path, gateway, inventory)
    yield from bgp(path, resource, inventory)


def _pool(
    at: Path, connection: NetworkConnection, gateway: VirtualGateway, inventory: Inventory
) -> Iterator[Complaint]:
    kind = connection.connection_type
    if kind == LINK:
        return  # It stays inside the gateway, and needs nothing of the pool.
    pools = [
        found[1].properties for ref in gateway.gateway_pools if (found := inventory.at(ref.resource_ref))
    ]
    if not any(kind in CARRIES.get(pool.type, {kind}) for pool in pools):
        types = ", ".join(pool.type for pool in pools)
        yield invalid(
            f"No gateway pool of this virtual gateway is for {kind} connections ({types}); one of type "
            "'All' is.",
            f"{at.ref}: connectionType",
        )


def _ipsec(
    at: Path, connection: NetworkConnection, _gateway: VirtualGateway, _inventory: Inventory
) -> Iterator[Complaint]:
    if connection.destination_ip_address is None:
        yield invalid("An IPsec connection needs the site's address.", f"{at.ref}: destinationIPAddress")
    ipsec = connection.ip_sec_configuration
    if ipsec is None or not ipsec.shared_secret:
        yield invalid("An IPsec connection needs a pre-shared key.", f"{at.ref}: sharedSecret")
    if ipsec is None:
        return
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
    if connection.gre_configuration is None:
        yield invalid("A GRE connection needs a key.", f"{at.ref}: greConfiguration.greKey")
    if not any(next(gre_vips(inventory, ref.resource_ref), None) for ref in gateway.gateway_pools):
        yield invalid(
            "No gateway pool of this virtual gateway has greVipSubnets, of which its gateways get their GRE "
            "addresses.",
            f"{at.ref}: connectionType",
        )


def _l3(
    at: Path, connection: NetworkConnection, _gateway: VirtualGateway, inventory: Inventory
) -> Iterator[Complaint]:
    if connection.l3_configuration is None:
        yield invalid("An L3 connection needs a VLAN.", f"{at.ref}: l3Configuration.vlanSubnet")
        return
    found = inventory.at(connection.l3_configuration.vlan_subnet.resource_ref)
    subnet: LogicalSubnet | None = found[1].properties if found else None
    if subnet is not None and not subnet.vlan_id:
        yield invalid("The subnet has no VLAN (vlanID 1 to 4094).", f"{at.ref}: l3Configuration.vlanSubnet")
    own = [IPv4Interface(f"{a.ip_address}/{a.prefix_length}") for a in connection.ip_addresses]
    if not own:
        yield invalid("An L3 connection needs an address in its VLAN.", f"{at.ref}: ipAddresses")
    prefix = IPv4Network(subnet.address_prefix) if subnet else None
    for address in own:
        if prefix and address.ip not in prefix:
            yield invalid(f"{address.ip} is outside of the VLAN's {prefix}.", f"{at.ref}: ipAddresses")
    hops = [*connection.peer_ip_addresses, *(r.next_hop for r in connection.routes if r.next_hop)]
    for hop in hops:
        if own and not any(IPv4Address(hop) in address.network for address in own):
            yield invalid(f"{hop} is not in the connection's own network.", f"{at.ref}: peerIPAddresses")
    if connection.routes and not hops:
        yield invalid(
            "The routes of an L3 connection lead to a peer; there is none.", f"{at.ref}: peerIPAddresses"
        )


_KINDS: Mapping[str, Callable[[Path, NetworkConnection, VirtualGateway, Inventory], Iterator[Complaint]]] = {
    "IPSec": _ipsec,
    "GRE": _gre,
    "L3": _l3,
    "NAT": check_nat,
    LINK: check_link,
}
