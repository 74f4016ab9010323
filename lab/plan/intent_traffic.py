"""Access control lists and route tables. Microsoft's shapes: SDN Express, NCRESTExamples/WebTierAcl.ps1."""

from __future__ import annotations

from typing import Any

from lab.model.tenants import AccessControlList, AclRule, Subnet, Tenant, UserRoute
from lab.model.types import LAST_PORT, IpNetwork, PortRange
from lab.plan.resources import body

PROTOCOLS = {"tcp": "TCP", "udp": "UDP", "icmp": "ICMP", "any": "All"}


def list_path(tenant: Tenant, name: str) -> str:
    """Where a tenant's access control list stands. A name holds no dot, so no two paths are the same."""
    return f"/accessControlLists/{tenant.name}.{name}"


def table_path(tenant: Tenant, subnet: Subnet) -> str:
    """Where a subnet's route table stands."""
    return f"/routeTables/{tenant.name}.{subnet.name}"


def access_control_list(acl: AccessControlList) -> dict[str, Any]:
    """The properties of an access control list."""
    return {"aclRules": [body(rule.name, _rule(rule)) for rule in acl.rules]}


def _rule(rule: AclRule) -> dict[str, Any]:
    return {
        "protocol": PROTOCOLS[rule.protocol],
        "sourceAddressPrefix": _prefix(rule.source),
        "destinationAddressPrefix": _prefix(rule.destination),
        "sourcePortRange": _ports(rule.source_ports),
        "destinationPortRange": _ports(rule.destination_ports),
        "action": "Allow" if rule.allow else "Deny",
        "type": "Inbound" if rule.inbound else "Outbound",
        "logging": "Enabled" if rule.log else "Disabled",
        "priority": rule.priority,
    }


def _prefix(prefix: IpNetwork | None) -> str:
    return "*" if prefix is None else str(prefix)


def _ports(ports: PortRange | None) -> str:
    if ports is None:
        return f"0-{LAST_PORT}"
    return str(ports.first) if ports.first == ports.last else f"{ports.first}-{ports.last}"


def route_table(subnet: Subnet) -> dict[str, Any]:
    """The properties of a subnet's route table."""
    return {"routes": [body(f"route-{n}", _route(route)) for n, route in enumerate(subnet.routes)]}


def _route(route: UserRoute) -> dict[str, Any]:
    if route.next_hop is None:
        return {"addressPrefix": str(route.prefix), "nextHopType": "None"}
    return {
        "addressPrefix": str(route.prefix),
        "nextHopType": "VirtualAppliance",
        "nextHopIpAddress": str(route.next_hop),
    }
