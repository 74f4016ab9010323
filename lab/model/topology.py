"""The topology file as types: what a user may write. `docs/topology.schema.json` is generated from here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lab.model.spec import Spec
from lab.model.topology_checks import CheckSpec
from lab.model.topology_dial_in import RoadWarriorSpec
from lab.model.topology_fabric import FabricSpec, GatewaySpec, HostSpec, Network
from lab.model.topology_tenants import Machine, TenantSpec
from lab.model.types import Address, Asn, Interface, IpNetwork, Name, Prefix, empty_as_mapping
from lab.model.types_ipv6 import Ipv6Address, Ipv6Prefix, Ipv6WithLength


class Lan(Network):
    """A site's own network."""

    prefix: Prefix = Field(description="The network; the site's router owns its first address.")
    ipv6_prefix: Ipv6Prefix | None = Field(
        default=None,
        description="The IPv6 network beside it, its first address the router's as well; the connection is "
        "of type `gre` or `l3`.",
    )

    @property
    def prefixes(self) -> dict[str, IpNetwork]:
        """Its networks by their keys, IPv4 first."""
        beside = {} if self.ipv6_prefix is None else {"ipv6-prefix": self.ipv6_prefix}
        return {"prefix": self.prefix, **beside}


class ServerSpec(Machine):
    """A server of a site."""

    dns: Address | None = Field(default=None, description="The name server.")
    address: Address = Field(description="Its address; never the network's first, which is the router's.")
    ipv6_address: Ipv6Address | None = Field(
        default=None, description="Its address in the site's IPv6 network."
    )


class LineSpec(Spec):
    """A line between two sites of one corporation, its own WAN: each is the other's way to the cloud."""

    to: Name = Field(description="The other site.")
    prefix: Prefix = Field(description="The line's own network; the other site has the first address.")


class SiteSpec(Spec):
    """A customer's own site: a router with BGP, and servers behind it.

    Its connection says what the router is: by IPsec, a customer's on the internet; by GRE, an edge router of
    the datacenter or, on the internet, of an MPLS provider; by L3 forwarding, an edge in the tenant's VLAN.
    """

    wan: Interface = Field(
        description="Address with prefix length. Public: the internet takes another one of that network. A "
        "GRE edge may have one of the front-end network; an L3 edge has one of the tenant's VLAN, which may "
        "be another tenant's as well."
    )
    ipv6_wan: Ipv6WithLength | None = Field(
        default=None, description="Of an L3 edge: its IPv6 address in the VLAN, with prefix length."
    )
    lan: Lan = Field(description="The site's own network.")
    asn: Asn | None = Field(
        default=None,
        description="AS number of the site's BGP router; without it, none: static routes at both ends, and "
        "the connection's `routes` say what is there.",
    )
    line: LineSpec | None = Field(default=None, description="To another site of the same tenant.")
    servers: dict[Name, ServerSpec] = Field(
        default={}, description="By name, which is the container's name too."
    )


class Topology(Spec):
    """A lab, as its file says it."""

    lab: Name = Field(description="Name of the lab; containers are named LAB-NODE.")
    fabric: FabricSpec = Field(description="The hoster's own networks.")
    hosts: dict[Name, Annotated[HostSpec, empty_as_mapping(HostSpec)]] = Field(
        min_length=1, description="By name."
    )
    gateways: dict[Name, Annotated[GatewaySpec, empty_as_mapping(GatewaySpec)]] = Field(
        default={}, description="By name."
    )
    tenants: dict[Name, TenantSpec] = Field(default={}, description="By name.")
    sites: dict[Name, SiteSpec] = Field(default={}, description="By name, which is the container's name too.")
    road_warriors: dict[Name, RoadWarriorSpec] = Field(
        default={}, description="By name, which is the container's name too."
    )
    checks: tuple[CheckSpec, ...] = Field(default=(), description="What `hnvlab check` asserts.")
