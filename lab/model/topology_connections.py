"""The connections of a topology file: what ties a VM network to the outside, one type for each kind.

Kinds and their keys follow networkConnections of Microsoft's API (MS-NCNBI section 3.1.5.17.4), and where
that says nothing, Add-VpnS2SInterface and New-NetNat of the RemoteAccess and NetNat modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag

from lab.model.spec import Flag, Spec
from lab.model.types import (
    Address,
    Count,
    GreKey,
    Interface,
    Kbps,
    LifetimeKilobytes,
    LifetimeSeconds,
    Metric,
    Name,
    Port,
    Ports,
    RoutePrefix,
    SocketAddress,
    Vlan,
)
from lab.model.types_ipv6 import Ipv6WithLength

S2S_DEFAULT_KBPS = 5120
"""Microsoft's default of a site-to-site connection, each direction (Windows Server 2012 R2)."""
CERTIFICATE = "certificate"
"""The `authentication` that needs no secret."""
DEFAULT_METRIC = 10
"""Of a connection's static routes, as in Microsoft's samples."""
TAG = "type:"
"""Begins the marks that Pydantic puts between a connection's name and its keys; no key begins so."""


class MainModeSpec(Spec):
    """What protects IKE itself, in the words of Add-VpnS2SInterface."""

    dh_group: Literal["Group1", "Group2", "Group14", "ECP256", "ECP384", "Group24"] = Field(
        default="ECP256", description="Diffie-Hellman group."
    )
    encryption: Literal["DES", "DES3", "AES128", "AES192", "AES256"] = Field(
        default="AES256", description="Cipher."
    )
    integrity: Literal["MD5", "SHA1", "SHA256", "SHA384"] = Field(default="SHA256", description="Hash.")
    lifetime_s: LifetimeSeconds = Field(default=28_800, description="Lifetime of the IKE SA in seconds.")


class QuickModeSpec(Spec):
    """What protects the traffic, in the words of Add-VpnS2SInterface. Lifetimes are the product's."""

    cipher: Literal[
        "DES", "DES3", "AES128", "AES192", "AES256", "GCMAES128", "GCMAES192", "GCMAES256", "None"
    ] = Field(default="GCMAES128", description="Cipher.")
    authentication: Literal["MD596", "SHA196", "SHA256128", "GCMAES128", "GCMAES192", "GCMAES256", "None"] = (
        Field(default="GCMAES128", description="Integrity; with a GCM cipher, that cipher.")
    )
    pfs: Literal["None", "PFS1", "PFS2", "PFS2048", "ECP256", "ECP384", "PFSMM", "PFS24"] = Field(
        default="ECP256", description="Perfect forward secrecy: the group of a rekey."
    )
    lifetime_s: LifetimeSeconds = Field(default=3600, description="Lifetime of an SA in seconds.")
    lifetime_kb: LifetimeKilobytes = Field(default=33_553_408, description="Lifetime of an SA in kilobytes.")


class RatedSpec(Spec):
    """What every connection has."""

    outbound_kbps: Kbps = Field(default=S2S_DEFAULT_KBPS, description="Towards the outside, in kbit/s.")
    inbound_kbps: Kbps = Field(default=S2S_DEFAULT_KBPS, description="From the outside, in kbit/s.")


class SiteConnectionSpec(RatedSpec):
    """What every connection to a site has."""

    site: Name = Field(description="The site at the other end.")
    metric: Metric = Field(
        default=DEFAULT_METRIC, description="Of the static route to the site's BGP router; the lowest wins."
    )
    routes: dict[RoutePrefix, Metric] = Field(
        default={}, description="Static routes to the site beside that one: prefix: metric."
    )


class IpsecConnectionSpec(SiteConnectionSpec):
    """An IKEv2 site-to-site connection over the internet, by a pre-shared key or by machine certificates."""

    type: Literal["ipsec"] = Field(description="`ipsec`.")
    authentication: Literal["shared-secret", "certificate"] = Field(
        default="shared-secret",
        description="How both ends authenticate; `certificate`: by those of the tenant's own authority.",
    )
    shared_secret: Annotated[str, StringConstraints(min_length=8, max_length=128)] | None = Field(
        default=None, description="IKE pre-shared key; not with `authentication: certificate`."
    )
    main_mode: MainModeSpec = Field(default=MainModeSpec(), description="Protection of IKE.")
    quick_mode: QuickModeSpec = Field(default=QuickModeSpec(), description="Protection of the traffic.")
    persistent: Flag = Field(
        default=True, description="false: called by the first packet for one of its routes, not always up."
    )
    idle_disconnect_s: Count = Field(
        default=0, description="Silence after which it is taken down, in seconds; 0: never."
    )
    network_outage_s: Literal[3, 6, 9, 12, 15, 30, 60, 120, 240, 360, 720, 900] | None = Field(
        default=None, description="Silence of the peer after which the connection is down, in seconds."
    )
    retries: Count | None = Field(default=None, description="Calls before the gateway gives up; 0: no end.")
    retry_interval_s: Count | None = Field(default=None, description="Pause between calls, in seconds.")


class GreConnectionSpec(SiteConnectionSpec):
    """A GRE tunnel with a key (RFC 2890) to an edge router in the datacenter or of an MPLS provider."""

    type: Literal["gre"] = Field(description="`gre`; needs `gre-vips` of the front-end network.")
    key: GreKey = Field(description="The tunnel's key, 0 to 4294967295.")


class ForwardingConnectionSpec(SiteConnectionSpec):
    """L3 forwarding: the compartment and the tenant's physical router meet in a VLAN of the tenant's own."""

    type: Literal["l3"] = Field(description="`l3`.")
    vlan: Vlan = Field(description="VLAN on the front-end network, 1 to 4094; no two connections share one.")
    address: Interface = Field(
        description="The compartment's address there with prefix length; the site's `wan` is the peer's."
    )
    ipv6_address: Ipv6WithLength | None = Field(
        default=None, description="The same in IPv6; the site's `ipv6-wan` is the peer's."
    )


class NatMappingSpec(Spec):
    """A static mapping: a port of the public address leads to a VM (Add-NetNatStaticMapping)."""

    protocol: Literal["tcp", "udp"] = Field(default="tcp", description="Of the service.")
    port: Port = Field(description="Port of the public address.")
    to: SocketAddress = Field(
        description="Customer address of the VM, and `:PORT` where its port is another one."
    )
    from_: RoutePrefix | None = Field(default=None, description="Who may come in; without it, everybody.")


class NatConnectionSpec(RatedSpec):
    """Network address translation (RFC 3022): the VM network meets the internet as one public address."""

    type: Literal["nat"] = Field(description="`nat`; no site.")
    public_address: Address = Field(description="A free address of the front-end network, the tenant's own.")
    ports: Ports | None = Field(
        default=None, description="What sessions from the inside may take; without it, 1024-65535."
    )
    mappings: dict[Name, NatMappingSpec] = Field(default={}, description="Ways in, by name.")


class LinkConnectionSpec(RatedSpec):
    """To another tenant's VM network, inside the gateway; it carries what both tenants' links allow."""

    type: Literal["link"] = Field(description="`link`; no site.")
    tenant: Name = Field(description="The other tenant, which needs a link back.")
    offers: tuple[Name, ...] = Field(
        min_length=1, description="Subnets of this tenant that the other may reach."
    )
    uses: tuple[Name, ...] = Field(
        min_length=1, description="Subnets of the other tenant that this one may reach."
    )


def _tag(value: Any) -> str | None:
    """Which type a connection is of; what is no mapping ends as an ipsec connection that is none."""
    if isinstance(value, Mapping):
        return f"{TAG}{value['type']}" if "type" in value else None
    return f"{TAG}{getattr(value, 'type', 'ipsec')}"


ConnectionSpec = Annotated[
    Annotated[IpsecConnectionSpec, Tag(f"{TAG}ipsec")]
    | Annotated[GreConnectionSpec, Tag(f"{TAG}gre")]
    | Annotated[ForwardingConnectionSpec, Tag(f"{TAG}l3")]
    | Annotated[NatConnectionSpec, Tag(f"{TAG}nat")]
    | Annotated[LinkConnectionSpec, Tag(f"{TAG}link")],
    Discriminator(_tag),
]
"""A connection, by its `type`."""
CONNECTION_TYPES = ("ipsec", "gre", "l3", "nat", "link")
SiteConnection = IpsecConnectionSpec | GreConnectionSpec | ForwardingConnectionSpec
"""A connection that has a site at its other end."""
