"""The hoster's own part of a topology file: networks, hosts, gateways."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from lab.model.spec import Spec
from lab.model.types import (
    NVGRE_BYTES,
    VM_MTU,
    Address,
    Asn,
    Kbps,
    Mbps,
    Name,
    Prefix,
)


class Network(Spec):
    """A network of the fabric."""

    prefix: Prefix = Field(description="The network; the router node owns its first address.")


class Pool(Spec):
    """A range of addresses, both ends included."""

    first: Address = Field(description="The first address.")
    last: Address = Field(description="The last address.")


class ProviderNetwork(Network):
    """The provider network: the hosts' and gateways' underlay, which carries NVGRE or VXLAN."""

    pool: Pool = Field(description="Provider addresses that the Network Controller gives out, one an uplink.")
    mtu: Annotated[int, Strict()] = Field(
        default=1700,
        ge=VM_MTU + NVGRE_BYTES,
        le=65_535,
        description="MTU in bytes; at least 1500 and the encapsulation: 42 of NVGRE, 50 of VXLAN.",
    )
    encapsulation: Literal["nvgre", "vxlan"] = Field(
        default="nvgre", description="`nvgre` (RFC 7637, 2012) or `vxlan` (RFC 7348, the default of 2016)."
    )
    dscp: Literal["pipe", "uniform"] = Field(
        default="pipe",
        description="Outer DSCP (RFC 2983): `pipe` is 0, `uniform` is copied from the VM's packet and back.",
    )
    router: Literal["distributed", "external"] = Field(
        default="distributed",
        description="Who routes between subnets: `distributed`, every host; `external`, the gateway, "
        "and hosts know only the subnets of their own VMs.",
    )


class FrontEnd(Network):
    """The front-end network: where the gateways meet the internet."""

    vip: Address = Field(description="The public address that all tenants' IPsec connections share.")
    gre_vips: Prefix | None = Field(
        default=None,
        description="Part of the network that the Network Controller gives each gateway a GRE address of.",
    )
    asn: Asn = Field(
        default=65_000, description="AS number of the top-of-rack router, which learns public addresses."
    )
    gateway_asn: Asn = Field(
        default=65_001, description="AS number of the gateways, which announce their public addresses."
    )


class FabricSpec(Spec):
    """The hoster's own networks and the names of the nodes that every lab has."""

    management: Network = Field(description="Controller, hosts and gateways talk here.")
    provider: ProviderNetwork = Field(description="The underlay that carries NVGRE or VXLAN.")
    front_end: FrontEnd = Field(description="Where the gateways meet the internet.")
    transit: Network = Field(description="Between the top-of-rack router and the internet.")
    redundant_gateways: Annotated[int, Strict()] = Field(
        default=0,
        ge=0,
        description="How many of the gateways stand by and carry nothing until another is gone: N of M+N.",
    )
    controller: Name = Field(default="nc", description="Name of the Network Controller's node.")
    router: Name = Field(default="tor", description="Name of the top-of-rack router's node.")
    internet: Name = Field(default="internet", description="Name of the internet's node.")


class HostSpec(Spec):
    """A Hyper-V host."""

    uplinks: Annotated[int, Strict()] = Field(
        default=1,
        ge=1,
        le=2,
        description="Links to the provider network; two are a team, with a provider address each.",
    )
    team: Literal["hyper-v-port", "hash", "dynamic"] | None = Field(
        default=None,
        description="How a team of two spreads its load: by vport (without it), by flow, or by flowlet.",
    )
    uplink_mbps: Mbps | None = Field(
        default=None,
        description="Speed of the uplinks together in Mbit/s, which reservations share; "
        "without it, not limited.",
    )


class GatewaySpec(Spec):
    """A multitenant gateway."""

    capacity_kbps: Kbps = Field(
        default=1_000_000, description="Capacity in kbit/s, both directions together."
    )
