"""Bodies of what is decided about packets: access control lists, route tables, port settings, and how the
virtual networks are carried.

Fields and spelling: MS-NCNBI §3.1.5 (accessControlLists, routeTables, virtualNetworkManager), the objects of
the NetworkController PowerShell module (AclRuleProperties, VirtualNetworkInterfaceQosSettings). Extensions to
Microsoft's shape:

- `networkInterfaces.properties.portSettings.routerGuardEnabled` and `.ipForwardingEnabled`
- `virtualNetworkManager.properties.dscpMode` and `.useExternalRouter` (the latter is
  Set-NetVirtualizationGlobal's, of the product's first release)

Guards are on unless they are turned off, where the product's are off: a lab shows what they do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated

from pydantic import BeforeValidator, Field

from lab.controller.shapes import MAX_MBPS, Address, AnyPrefix, Resource, Shape, word

ANY = "*"
FIRST_PRIORITY = 100
LAST_PRIORITY = 65_000
ANY_PORT = (0, 65_535)
MOST_RULES = 256
"""Of one direction: what a switch's port has room for."""
PROTOCOLS: Mapping[str, tuple[int, ...]] = {
    "TCP": (6,),
    "UDP": (17,),
    "ICMP": (1, 58),
    "ICMPv4": (1,),
    "ICMPv6": (58,),
    "All": (0,),
    ANY: (0,),
}
"""IP protocol numbers of a rule's protocol. A packet is of one IP version, so that two never both match."""


def _port_range(value: object) -> str:
    text = str(value).strip()
    if text == ANY:
        return text
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text)
    if found is None:
        raise ValueError('one port ("80"), a range ("100-200") or "*"')
    first, last = int(found[1]), int(found[2] or found[1])
    if not first <= last <= ANY_PORT[1]:
        raise ValueError("a port range goes upwards and ends at 65535 or below")
    return text


def _address_prefix(value: object) -> str:
    text = str(value).strip()
    return text if text == ANY else str(ip_network(text))


PortRange = Annotated[str, BeforeValidator(_port_range)]
AddressPrefix = Annotated[str, BeforeValidator(_address_prefix)]
"""A prefix, an address, or "*". The product's service words ("Internet") are refused: they name lists that
Microsoft keeps."""


def ports(text: str) -> tuple[int, int]:
    """First and last port of a range, both included."""
    if text == ANY:
        return ANY_PORT
    first, _, last = text.partition("-")
    return int(first), int(last or first)


class AclRule(Shape):
    """A stateful rule. Which of a list decides: the one with the lowest priority that matches."""

    protocol: Annotated[str, word(*PROTOCOLS)]
    source_port_range: PortRange = ANY
    destination_port_range: PortRange = ANY
    source_address_prefix: AddressPrefix = ANY
    destination_address_prefix: AddressPrefix = ANY
    action: Annotated[str, word("Allow", "Deny")]
    type: Annotated[str, word("Inbound", "Outbound")]
    logging: Annotated[str, word("Enabled", "Disabled")] = "Disabled"
    priority: int = Field(ge=FIRST_PRIORITY, le=LAST_PRIORITY)


class AccessControlList(Shape):
    """Rules of the datacenter firewall, for the interfaces and subnets that refer to it."""

    acl_rules: tuple[Resource[AclRule], ...] = ()


class UserRoute(Shape):
    """A user-defined route. Of the product's next hops those that the switch can carry out."""

    address_prefix: AnyPrefix
    next_hop_type: Annotated[str, word("VirtualAppliance", "None")]
    next_hop_ip_address: Address | None = Field(default=None, alias="nextHopIpAddress")


class RouteTable(Shape):
    """User-defined routes, for the subnets that refer to it."""

    routes: tuple[Resource[UserRoute], ...] = ()


class QosSettings(Shape):
    """Bandwidth of an interface in Mbit/s; 0: not limited, none reserved."""

    outbound_reserved_mode: Annotated[str, word("absolute", "weight")] = "absolute"
    outbound_reserved_value: int = Field(default=0, ge=0, le=MAX_MBPS)
    outbound_maximum_mbps: int = Field(default=0, ge=0, le=MAX_MBPS)
    inbound_maximum_mbps: int = Field(default=0, ge=0, le=MAX_MBPS)


class PortSettings(Shape):
    """What an interface's vport lets through.

    The switch always guards ARP; `arp_guard_enabled` is read and kept because Microsoft's clients write it.
    `storm_limit` counts broadcast and multicast packets per second from the VM, 0: not limited.
    """

    mac_spoofing_enabled: bool = False
    arp_guard_enabled: bool = True
    dhcp_guard_enabled: bool = True
    router_guard_enabled: bool = True
    ip_forwarding_enabled: bool = False
    storm_limit: int = Field(default=0, ge=0, le=0xFFFFFFFF)
    port_flow_limit: int = Field(default=0, ge=0)
    iov_weight: int = Field(default=0, ge=0)
    qos_settings: QosSettings = QosSettings()


class VirtualNetworkManager(Shape):
    """How the virtual networks are carried over the fabric: one setting for the whole lab."""

    network_virtualization_protocol: Annotated[str, word("NVGRE", "VXLAN")] = "NVGRE"
    dscp_mode: Annotated[str, word("pipe", "uniform")] = "pipe"
    use_external_router: bool = False
