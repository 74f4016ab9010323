"""The tenants' part of a topology file: subnets, VMs, what may talk to whom, and the way to the outside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints, ValidationInfo, field_validator

from lab.model.codes import Code
from lab.model.spec import Flag, Spec, Text
from lab.model.topology_connections import ConnectionSpec
from lab.model.topology_dial_in import DialInSpec
from lab.model.types import (
    Address,
    Asn,
    CustomerAddress,
    CustomerPrefix,
    Guid,
    Mac,
    Mbps,
    Name,
    NextHop,
    Ports,
    Pps,
    Priority,
    RoutePrefix,
    Vsid,
    Word,
    refusal,
)


class Machine(Spec):
    """What runs in a container that is none of hnvlab's own."""

    image: Text = Field(
        default="vm", description="`vm` or `server` (built by hnvlab), or any Docker image reference."
    )
    command: tuple[Word, ...] | None = Field(
        default=None, min_length=1, description="What runs; without it, the image's own command."
    )
    environment: dict[Text, Word] = Field(default={}, description="Environment variables.")
    files: dict[str, Path] = Field(
        default={},
        description="Absolute path in the container: path of a file, relative to the topology file.",
    )

    @field_validator("files", mode="after")
    @classmethod
    def _absolute(cls, files: dict[str, Path], info: ValidationInfo) -> dict[str, Path]:
        base: Path = (info.context or {}).get("base", Path())
        for target in files:
            if not target.startswith("/") or ".." in target.split("/") or target.endswith("/"):
                raise refusal(
                    Code.VALUE, f"`{target}` is no place for a file", "an absolute path in the container"
                )
        return {target: base / source for target, source in files.items()}


class VmSpec(Machine):
    """A tenant's VM."""

    host: Name = Field(description="The host that it runs on.")
    subnet: Name = Field(description="The tenant's subnet that it is in.")
    address: CustomerAddress = Field(
        description="Its address; never the subnet's first, which is the router's."
    )
    mac: Mac | None = Field(
        default=None,
        description="Its MAC address; without it 00-15-5D and the last three octets of the address "
        "(of an IPv6 address: of its SHA-256).",
    )
    dns: CustomerAddress | None = Field(default=None, description="The name server.")
    acl: Name | None = Field(
        default=None, description="Access control list of the VM's port; it is asked before the subnet's."
    )
    forwarding: Flag = Field(
        default=False,
        description="A virtual appliance: it routes, and may carry packets from and to others' addresses.",
    )
    dhcp_guard: Flag = Field(default=True, description="DHCP replies of the VM are dropped.")
    router_guard: Flag = Field(
        default=True, description="Router advertisements and redirects of the VM are dropped."
    )
    storm_limit: Pps | None = Field(
        default=None, description="Broadcast and multicast packets a second that the VM may send."
    )
    qos: QosSpec | None = Field(default=None, description="Bandwidth of the VM's port.")
    gateway: GatewayVmSpec | None = Field(
        default=None, description="The tenant's own gateway, as Windows Server 2012 had one for each tenant."
    )

    @property
    def forwards(self) -> bool:
        """Whether it carries others' packets: as every gateway does."""
        return self.forwarding or self.gateway is not None


class GatewayVmSpec(Spec):
    """What makes a VM a gateway of its tenant alone: a second interface, and an IPsec tunnel to one site.

    The interface has no virtual subnet (VSID 0), and the switch leaves it alone. Routes are static.
    """

    public_address: Address = Field(
        description="A free address of the front-end network, the tenant's own: `wan0`."
    )
    site: Name = Field(description="The site at the other end.")
    shared_secret: Annotated[str, StringConstraints(min_length=8, max_length=128)] = Field(
        description="IKE pre-shared key."
    )


class QosSpec(Spec):
    """Bandwidth of a VM's port. Without a value, not limited, or nothing reserved."""

    outbound_maximum_mbps: Mbps | None = Field(default=None, description="At most, from the VM, in Mbit/s.")
    outbound_reserved_mbps: Mbps | None = Field(
        default=None, description="At least, from the VM, in Mbit/s; the host needs `uplink-mbps`."
    )
    inbound_maximum_mbps: Mbps | None = Field(default=None, description="At most, to the VM, in Mbit/s.")


class ApplianceSpec(Machine):
    """A partner's appliance: a container on the provider network that speaks NVGRE or VXLAN itself."""

    provider_address: Address = Field(
        description="Its address in the provider network, outside the pool; hosts send to it there."
    )
    subnet: Name = Field(description="The tenant's subnet that it serves in.")
    address: CustomerAddress = Field(description="The customer address behind it.")
    mac: Mac | None = Field(default=None, description="The MAC address behind it; without it, as a VM's.")
    forwarding: Flag = Field(
        default=False, description="It may carry packets from and to others' addresses, as a VM may."
    )


class AclRuleSpec(Spec):
    """A rule of an access control list. The first that matches decides; none that matches allows."""

    name: Name = Field(description="Of the rule; once in its list.")
    action: Literal["allow", "deny"] = Field(description="What becomes of the packet.")
    direction: Literal["inbound", "outbound"] = Field(description="Towards the VM, or from it.")
    protocol: Literal["tcp", "udp", "icmp", "any"] = Field(default="any", description="`icmp` is ICMPv6 too.")
    source: RoutePrefix | None = Field(default=None, description="From where; without it, anywhere.")
    destination: RoutePrefix | None = Field(default=None, description="To where; without it, anywhere.")
    source_ports: Ports | None = Field(default=None, description="Without it, all.")
    destination_ports: Ports | None = Field(default=None, description="Without it, all.")
    priority: Priority | None = Field(
        default=None, description="The lower goes first; without it, 100 and 10 more for each rule before."
    )
    log: Flag = Field(default=False, description="Packets that the rule decides leave an event.")


class SubnetSpec(Spec):
    """A virtual subnet, IPv4 or IPv6."""

    vsid: Vsid = Field(description="Virtual subnet id, unique in the datacenter.")
    prefix: CustomerPrefix = Field(description="Customer addresses; the first is the distributed router's.")
    acl: Name | None = Field(default=None, description="Access control list of all the subnet's ports.")
    routes: dict[RoutePrefix, NextHop] = Field(
        default={},
        description="User-defined routes: prefix: customer address of an appliance that forwards, "
        "or `none`, which drops.",
    )


class TenantGatewaySpec(Spec):
    """A tenant's compartment on the gateway."""

    subnet: Name = Field(description="The tenant's subnet that holds the gateway and nothing else.")
    ipv6_subnet: Name | None = Field(
        default=None,
        description="The IPv6 subnet of the same kind; without it, nothing of IPv6 leaves the VM network.",
    )
    asn: Asn = Field(description="AS number of the tenant's BGP router.")
    hold_time_s: Annotated[int, Strict()] = Field(
        default=9, ge=3, le=65_535, description="BGP hold time in seconds (RFC 4271 section 4.2)."
    )
    connections: dict[Name, ConnectionSpec] = Field(default={}, description="By name.")
    dial_in: DialInSpec | None = Field(default=None, description="Remote access, if there is any.")


class TenantSpec(Spec):
    """A customer of the hoster, with one VM network."""

    routing_domain: Guid | None = Field(
        default=None,
        description="Routing domain id; without it, one is derived from the names of lab and tenant.",
    )
    subnets: dict[Name, SubnetSpec] = Field(min_length=1, description="By name.")
    vms: dict[Name, VmSpec] = Field(default={}, description="By name, which is the container's name too.")
    appliances: dict[Name, ApplianceSpec] = Field(
        default={}, description="Partner appliances by name, which is the container's name too."
    )
    acls: dict[Name, tuple[AclRuleSpec, ...]] = Field(
        default={}, description="Access control lists by name: rules."
    )
    gateway: TenantGatewaySpec | None = Field(
        default=None, description="The way to the outside, if there is one."
    )
