"""What must be true of access control lists, route tables and port settings: nothing is accepted that the
switch would not enforce."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from lab.controller.catalog import NETWORK_INTERFACES, Path, children
from lab.controller.completion import router_address
from lab.controller.inventory import Inventory
from lab.controller.models_fabric import Server
from lab.controller.models_policy import (
    ANY,
    ANY_PORT,
    MOST_RULES,
    PROTOCOLS,
    AccessControlList,
    AclRule,
    RouteTable,
    UserRoute,
    ports,
)
from lab.controller.models_tenant import NetworkInterface, VirtualNetwork
from lab.controller.refusals import Complaint, invalid
from lab.controller.shapes import Resource


def access_control_list(
    path: Path, resource: Resource[AccessControlList], _inventory: Inventory
) -> Iterator[Complaint]:
    """The rules of an access control list: one order of its rules, and each of them can match something."""
    held: dict[tuple[str, int], Path] = {}
    for at, child in children(path, resource):
        rule: AclRule = child.properties
        other = held.setdefault((rule.type, rule.priority), at)
        if other is not at:
            yield invalid(
                f"Two {rule.type} rules have priority {rule.priority}: {other.ids[-1]} and {at.ids[-1]}.",
                f"{at.ref}: priority",
            )
        given = (rule.source_port_range, rule.destination_port_range)
        if rule.protocol not in ("TCP", "UDP") and any(ports(text) != ANY_PORT for text in given):
            yield invalid(f"{rule.protocol} has no ports: protocol is TCP or UDP.", f"{at.ref}: protocol")
        yield from _families(at, rule)
    for direction in ("Inbound", "Outbound"):
        rules = (child.properties for _, child in children(path, resource))
        count = sum(len(PROTOCOLS[rule.protocol]) for rule in rules if rule.type == direction)
        if count > MOST_RULES:
            yield invalid(
                f"The list has {count} {direction} rules (ICMP counts for two); a port takes {MOST_RULES}.",
                "properties.aclRules",
            )


def _families(at: Path, rule: AclRule) -> Iterator[Complaint]:
    prefixes = (rule.source_address_prefix, rule.destination_address_prefix)
    versions: set[int] = {ip_network(prefix).version for prefix in prefixes if prefix != ANY}
    versions |= {"ICMPv4": {4}, "ICMPv6": {6}}.get(rule.protocol, set())
    if len(versions) > 1:
        yield invalid("The rule mixes IPv4 and IPv6: no packet is both.", f"{at.ref}: sourceAddressPrefix")


def route_table(path: Path, resource: Resource[RouteTable], inventory: Inventory) -> Iterator[Complaint]:
    """The rules of a route table, with those of the subnets that refer to it."""
    held: dict[str, Path] = {}
    for at, child in children(path, resource):
        route: UserRoute = child.properties
        other = held.setdefault(route.address_prefix, at)
        if other is not at:
            yield invalid(f"{route.address_prefix} is routed twice: by {other.ids[-1]} as well.", at.ref)
        appliance = route.next_hop_type == "VirtualAppliance"
        if appliance != (route.next_hop_ip_address is not None):
            yield invalid(
                "A virtual appliance needs its address."
                if appliance
                else "'None' drops: it has no next hop.",
                f"{at.ref}: nextHopIpAddress",
            )
    for referrer in inventory.referrers(path):
        network = inventory.find(referrer.root)
        subnet = inventory.find(referrer)
        if network is not None and subnet is not None:
            yield from _routes_of(referrer, subnet[1].properties.address_prefix, resource, network[1])


def subnet_routes(
    path: Path, resource: Resource[VirtualNetwork], inventory: Inventory
) -> Iterator[Complaint]:
    """The same from the other side: a virtual network, with the route tables that its subnets refer to."""
    for at, subnet in children(path, resource):
        table = subnet.properties.route_table
        found = inventory.at(table.resource_ref) if table else None
        if found is not None:
            yield from _routes_of(at, subnet.properties.address_prefix, found[1], resource)


def _routes_of(
    at: Path, prefix: str, table: Resource[RouteTable], network: Resource[VirtualNetwork]
) -> Iterator[Complaint]:
    """A subnet's user-defined routes must be of its IP version and lead to places in its routing domain."""
    version = ip_network(prefix).version
    subnets = [ip_network(subnet.properties.address_prefix) for subnet in network.properties.subnets]
    for route in (child.properties for child in table.properties.routes):
        if ip_network(route.address_prefix).version != version:
            yield invalid(
                f"{route.address_prefix} is not of the IP version of {prefix}.", f"{at.ref}: routeTable"
            )
        if route.next_hop_ip_address is None:
            continue
        hop = ip_address(route.next_hop_ip_address)
        home = next((subnet for subnet in subnets if hop in subnet), None)
        if home is None or hop.version != version:
            yield invalid(
                f"The next hop {hop} is in no subnet of {network.resource_id} that {prefix} can reach.",
                f"{at.ref}: routeTable",
            )
        elif str(hop) == router_address(str(home)):
            yield invalid(
                f"The next hop {hop} is the distributed router's own address.", f"{at.ref}: routeTable"
            )


def port_settings(
    path: Path, resource: Resource[NetworkInterface], inventory: Inventory
) -> Iterator[Complaint]:
    """The rules of an interface's port settings."""
    settings, field = resource.properties.port_settings, "properties.portSettings"
    qos = settings.qos_settings
    if settings.mac_spoofing_enabled:
        yield invalid(
            "A VM's MAC address is policy here: it cannot be spoofed.", f"{field}.macSpoofingEnabled"
        )
    if settings.port_flow_limit:
        yield invalid("The switch limits no flows.", f"{field}.portFlowLimit")
    if settings.iov_weight:
        yield invalid("There is no SR-IOV: it would go around the switch.", f"{field}.iovWeight")
    if qos.outbound_reserved_mode != "absolute":
        yield invalid("Only absolute reservations, in Mbit/s.", f"{field}.qosSettings.outboundReservedMode")
    if qos.outbound_maximum_mbps and qos.outbound_reserved_value > qos.outbound_maximum_mbps:
        yield invalid(
            "More is reserved than the interface may send.", f"{field}.qosSettings.outboundReservedValue"
        )
    server = resource.properties.server
    found = inventory.at(server.resource_ref) if server and qos.outbound_reserved_value else None
    if found is not None:
        others = _reserved_mbps(found[0], inventory, without=path)
        yield from _overbooked(found[1], others + qos.outbound_reserved_value, f"{field}.qosSettings")


def server(path: Path, resource: Resource[Server], inventory: Inventory) -> Iterator[Complaint]:
    """The rules of a host: its uplinks must carry what is reserved on it."""
    before = inventory.find(path)
    if before is None or before[1].properties.uplink_mbps == resource.properties.uplink_mbps:
        return
    reserved = _reserved_mbps(path, inventory)
    if reserved:
        yield from _overbooked(resource, reserved, "properties.uplinkMbps")


def _reserved_mbps(server: Path, inventory: Inventory, without: Path | None = None) -> int:
    interfaces = (
        inventory.find(path)
        for path in inventory.referrers(server)
        if path.collection is NETWORK_INTERFACES and (without is None or path.key != without.key)
    )
    return sum(
        found[1].properties.port_settings.qos_settings.outbound_reserved_value
        for found in interfaces
        if found
    )


def _overbooked(server: Resource[Server], reserved_mbps: int, field: str) -> Iterator[Complaint]:
    """An absolute reservation is a promise: Hyper-V refuses to promise more than the team's speed."""
    speed_mbps = server.properties.uplink_mbps
    if not speed_mbps:
        yield invalid(f"{server.resource_id} has no 'uplinkMbps' that could be shared out.", field)
    elif reserved_mbps > speed_mbps:
        yield invalid(
            f"{reserved_mbps} Mbit/s would be reserved on {server.resource_id}, of {speed_mbps}.", field
        )
