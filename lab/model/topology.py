"""The topology file as types: what a user may write. `docs/topology.schema.json` is generated from here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, StringConstraints, ValidationInfo, field_validator

from lab.model.codes import Code
from lab.model.types import (
    ENCAPSULATION_BYTES,
    VM_MTU,
    Address,
    Asn,
    Guid,
    Interface,
    Kbps,
    Mac,
    Name,
    Port,
    Prefix,
    RoutePrefix,
    Vsid,
    Word,
    empty_as_mapping,
    refusal,
)

S2S_DEFAULT_KBPS = 5120
"""Microsoft's default of a site-to-site connection, each direction (Windows Server 2012 R2)."""

Flag = Annotated[bool, Strict()]
Text = Annotated[str, StringConstraints(min_length=1)]


def _kebab(field: str) -> str:
    return field.rstrip("_").replace("_", "-")


class Spec(BaseModel):
    """Base of everything in the file: immutable, no unknown keys, kebab-case."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=_kebab)


class Network(Spec):
    """A network of the fabric."""

    prefix: Prefix = Field(description="The network; the router node owns its first address.")


class Pool(Spec):
    """A range of addresses, both ends included."""

    first: Address = Field(description="The first address.")
    last: Address = Field(description="The last address.")


class ProviderNetwork(Network):
    """The provider network: the hosts' and gateways' underlay, which carries NVGRE."""

    pool: Pool = Field(
        description="Provider addresses that the Network Controller gives out, one a host or gateway."
    )
    mtu: Annotated[int, Strict()] = Field(
        default=1700,
        ge=VM_MTU + ENCAPSULATION_BYTES,
        le=65_535,
        description="MTU in bytes; at least 1500 and 42 of encapsulation.",
    )


class FrontEnd(Network):
    """The front-end network: where the gateways meet the internet."""

    vip: Address = Field(description="The public address that all tenants' connections share.")


class FabricSpec(Spec):
    """The hoster's own networks and the names of the nodes that every lab has."""

    management: Network = Field(description="Controller, hosts and gateways talk here.")
    provider: ProviderNetwork = Field(description="The underlay that carries NVGRE.")
    front_end: FrontEnd = Field(description="Where the gateways meet the internet.")
    transit: Network = Field(description="Between the top-of-rack router and the internet.")
    controller: Name = Field(default="nc", description="Name of the Network Controller's node.")
    router: Name = Field(default="tor", description="Name of the top-of-rack router's node.")
    internet: Name = Field(default="internet", description="Name of the internet's node.")


class HostSpec(Spec):
    """A Hyper-V host; it has no options yet."""


class GatewaySpec(Spec):
    """A multitenant gateway."""

    capacity_kbps: Kbps = Field(
        default=1_000_000, description="Capacity in kbit/s, both directions together."
    )


class Machine(Spec):
    """A container with one network card: a VM, or a server of a site."""

    image: Text = Field(
        default="vm", description="`vm` or `server` (built by hnvlab), or any Docker image reference."
    )
    command: tuple[Word, ...] | None = Field(
        default=None, min_length=1, description="What runs; without it, the image's own command."
    )
    environment: dict[Text, Word] = Field(default={}, description="Environment variables.")
    dns: Address | None = Field(default=None, description="The name server.")
    files: dict[str, Path] = Field(
        default={},
        description="Absolute path in the container: path of a file, relative to the topology file.",
    )
    address: Address = Field(description="Its address; never the network's first, which is the router's.")

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
    mac: Mac | None = Field(
        default=None,
        description="Its MAC address; without it 00-15-5D and the last three octets of the address.",
    )


class SubnetSpec(Spec):
    """A virtual subnet."""

    vsid: Vsid = Field(description="Virtual subnet id, unique in the datacenter.")
    prefix: Prefix = Field(description="Customer addresses; the first is the distributed router's.")


class ConnectionSpec(Spec):
    """A connection of a VM network to the outside."""

    type: Literal["ipsec"] = Field(description="`ipsec`: IKEv2 site-to-site with a pre-shared key.")
    site: Name = Field(description="The site at the other end.")
    shared_secret: Annotated[str, StringConstraints(min_length=8, max_length=128)] = Field(
        description="IKE pre-shared key."
    )
    outbound_kbps: Kbps = Field(default=S2S_DEFAULT_KBPS, description="Towards the site, in kbit/s.")
    inbound_kbps: Kbps = Field(default=S2S_DEFAULT_KBPS, description="From the site, in kbit/s.")


class TenantGatewaySpec(Spec):
    """A tenant's compartment on the gateway."""

    subnet: Name = Field(description="The tenant's subnet that holds the gateway and nothing else.")
    asn: Asn = Field(description="AS number of the tenant's BGP router.")
    hold_time_s: Annotated[int, Strict()] = Field(
        default=9, ge=3, le=65_535, description="BGP hold time in seconds (RFC 4271 section 4.2)."
    )
    connections: dict[Name, ConnectionSpec] = Field(description="By name.")


class TenantSpec(Spec):
    """A customer of the hoster, with one VM network."""

    routing_domain: Guid | None = Field(
        default=None,
        description="Routing domain id; without it, one is derived from the names of lab and tenant.",
    )
    subnets: dict[Name, SubnetSpec] = Field(min_length=1, description="By name.")
    vms: dict[Name, VmSpec] = Field(default={}, description="By name, which is the container's name too.")
    gateway: TenantGatewaySpec | None = Field(
        default=None, description="The way to the outside, if there is one."
    )


class Lan(Network):
    """A site's own network."""

    prefix: Prefix = Field(description="The network; the site's router owns its first address.")


class SiteSpec(Spec):
    """A customer's own site: a router with IPsec and BGP, and servers behind it."""

    wan: Interface = Field(
        description="Public address with prefix length; the internet takes another one of it."
    )
    lan: Lan = Field(description="The site's own network.")
    asn: Asn = Field(description="AS number of the site's BGP router.")
    servers: dict[Name, Machine] = Field(
        default={}, description="By name, which is the container's name too."
    )


class HttpSpec(Spec):
    """The URL answers 200."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+")] = Field(
        description="What is fetched."
    )
    contains: str = Field(default="", description="A text that the body must contain.")


class TcpSpec(Spec):
    """A TCP connection can be opened."""

    address: Address = Field(description="Destination.")
    port: Port = Field(description="Destination port.")
    reachable: Flag = Field(default=True, description="false: it must be impossible.")


class DnsSpec(Spec):
    """A name resolves."""

    name: Text = Field(description="The name to resolve with the node's own name servers.")
    address: Address = Field(description="The address that it must have.")


class PingSpec(Spec):
    """An address answers echo requests."""

    address: Address = Field(description="Destination.")
    reachable: Flag = Field(default=True, description="false: it must not answer.")


class TracerouteSpec(Spec):
    """The way to an address."""

    address: Address = Field(description="Destination.")
    hops: tuple[Address, ...] = Field(min_length=1, description="Every hop, the destination last.")


class PolicySpec(Spec):
    """A host's policy holds a customer route."""

    host: Name = Field(description="The host.")
    tenant: Name = Field(description="The tenant whose routing domain is looked at.")
    prefix: RoutePrefix = Field(description="The route's destination.")
    present: Flag = Field(default=True, description="false: the route must be absent.")


class CheckSpec(Spec):
    """An assertion; exactly one of http, tcp, dns, ping, traceroute and policy."""

    name: Text = Field(description="What is asserted, as a sentence.")
    from_: Name | None = Field(default=None, description="The node that it is tried from (not for `policy`).")
    http: HttpSpec | None = Field(default=None, description="A URL is fetched.")
    tcp: TcpSpec | None = Field(default=None, description="A TCP connection is opened.")
    dns: DnsSpec | None = Field(default=None, description="A name is resolved.")
    ping: PingSpec | None = Field(default=None, description="An address is pinged.")
    traceroute: TracerouteSpec | None = Field(default=None, description="The way to an address is traced.")
    policy: PolicySpec | None = Field(default=None, description="A host's policy is looked at.")


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
    checks: tuple[CheckSpec, ...] = Field(default=(), description="What `hnvlab check` asserts.")
