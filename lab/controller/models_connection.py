"""Bodies of networkConnections: what ties a virtual network to the outside, kind by kind.

Fields and spelling: MS-NCNBI §3.1.5.17.4. Extensions to Microsoft's shape, all optional, where the product's
gateway is told by Add-VpnS2SInterface what its API does not carry:

- `ipSecConfiguration.persistent` (default true; false: dialled by the first packet for one of its routes, and
  only then closed after `quickMode.idleDisconnectSeconds`)
- `natConfiguration`, with connectionType "NAT" (docs/decisions/0009-nat-shape.md)
- `linkConfiguration`, with connectionType "Link" (docs/decisions/0011-linked-vm-networks.md)
- `ipSecConfiguration.networkOutageSeconds` (NetworkOutageTime), `numberOfTries`, `retryIntervalSeconds`
- `ipSecConfiguration.authenticationMethod` "MachineCertificates", with `identity`, `certificate`,
  `privateKey`, `caCertificate` and `remoteIdentity` (docs/decisions/0012-machine-certificates.md)
"""

from __future__ import annotations

from ipaddress import IPv4Address, summarize_address_range
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from lab.controller.shapes import (
    Address,
    AnyPrefix,
    Ipv4,
    PositiveUint32,
    Prefix,
    Reference,
    Refers,
    Resource,
    Shape,
    empty_is_none,
    word,
)

Port = Annotated[int, Field(ge=1, le=65535)]
OptionalText = Annotated[str | None, BeforeValidator(empty_is_none)]
PSK, MACHINE_CERTIFICATES = "PSK", "MachineCertificates"
"""AuthenticationMethod."""
OUTAGES_S = (3, 6, 9, 12, 15, 30, 60, 120, 240, 360, 720, 900)
"""What NetworkOutageTime of Add-VpnS2SInterface may be, in seconds."""


def _outage(seconds: int) -> int:
    if seconds not in OUTAGES_S:
        raise ValueError(f"one of {', '.join(map(str, OUTAGES_S))}")
    return seconds


def _unspecified_is_none(value: object) -> object:
    """PowerShell's clients write 0.0.0.0 where there is no next hop."""
    return None if str(value).strip() in ("", "0.0.0.0", "::") else value


class Route(Shape):
    """A prefix behind a connection. The product wants every BGP peer's address among them, as a /32.

    Only the routes of an L3 connection have a next hop: others lead to the far end.
    """

    destination_prefix: AnyPrefix
    next_hop: Annotated[Address | None, BeforeValidator(_unspecified_is_none)] = None
    metric: int = Field(default=10, ge=0, le=0xFFFFFFFF)
    protocol: str | None = None


class QuickMode(Shape):
    """IPsec (child SA) parameters; defaults where Add-VpnS2SInterface documents them."""

    perfect_forward_secrecy: Annotated[
        str, word("None", "PFS1", "PFS2", "PFS2048", "ECP256", "ECP384", "PFSMM", "PFS24")
    ] = "ECP256"
    cipher_transformation_constant: Annotated[
        str, word("DES", "DES3", "AES128", "AES192", "AES256", "GCMAES128", "GCMAES192", "GCMAES256", "None")
    ] = "GCMAES128"
    authentication_transformation_constant: Annotated[
        str, word("MD596", "SHA196", "SHA256128", "GCMAES128", "GCMAES192", "GCMAES256", "None")
    ] = "GCMAES128"
    sa_life_time_seconds: PositiveUint32 = 3600
    sa_life_time_kilo_bytes: PositiveUint32 = 33_553_408
    idle_disconnect_seconds: int = Field(default=300, ge=0, le=0xFFFFFFFF)


class MainMode(Shape):
    """IKE SA parameters."""

    diffie_hellman_group: Annotated[
        str, word("Group1", "Group2", "Group14", "ECP256", "ECP384", "Group24", "None")
    ] = "ECP256"
    encryption_algorithm: Annotated[str, word("DES", "DES3", "AES128", "AES192", "AES256")] = "AES256"
    integrity_algorithm: Annotated[str, word("MD5", "SHA1", "SHA256", "SHA384")] = "SHA256"
    sa_life_time_seconds: PositiveUint32 = 28_800
    sa_life_time_kilo_bytes: int | None = None


class TrafficSelector(Shape):
    """What an SA may carry, as New-VpnTrafficSelector describes it; by default everything of IPv4."""

    type: Annotated[str, word("IPv4", "IPv6")] = "IPv4"
    protocol_id: int = Field(default=0, ge=0, le=255)
    port_start: int = Field(default=0, ge=0, le=65535)
    port_end: int = Field(default=65535, ge=0, le=65535)
    ip_address_start: Ipv4 = "0.0.0.0"
    ip_address_end: Ipv4 = "255.255.255.255"
    ts_payload_id: int = 0


class IpsecConfiguration(Shape):
    """How a site-to-site connection is protected.

    Attributes:
        identity: what the gateway calls itself, a name in its certificate.
        certificate, private_key: the gateway's own, PEM.
        ca_certificate: PEM; the authority that has issued both ends' certificates.
        remote_identity: a name that the site's certificate must have.
    """

    write_only: ClassVar[frozenset[str]] = frozenset({"shared_secret", "private_key"})
    inherited: ClassVar[frozenset[str]] = frozenset({"shared_secret", "private_key"})

    authentication_method: Annotated[str, word(PSK, MACHINE_CERTIFICATES)] = PSK
    shared_secret: Annotated[str, Field(min_length=1)] | None = None
    identity: OptionalText = None
    certificate: OptionalText = None
    private_key: OptionalText = None
    ca_certificate: OptionalText = None
    remote_identity: OptionalText = None
    quick_mode: QuickMode = QuickMode()
    main_mode: MainMode = MainMode()
    local_vpn_traffic_selector: tuple[TrafficSelector, ...] = ()
    remote_vpn_traffic_selector: tuple[TrafficSelector, ...] = ()
    persistent: bool = True
    network_outage_seconds: Annotated[int, AfterValidator(_outage)] | None = None
    number_of_tries: int = Field(default=0, ge=0, le=0xFFFFFFFF)
    retry_interval_seconds: int = Field(default=0, ge=0, le=0xFFFFFFFF)

    def inherits(self, old: Shape) -> frozenset[str]:
        """The secret of one method is none of another's, which would be refused for it."""
        same = isinstance(old, IpsecConfiguration) and old.authentication_method == self.authentication_method
        return self.inherited if same else frozenset()


class GreConfiguration(Shape):
    """A GRE tunnel: its key tells tenants apart that share both ends."""

    gre_key: int = Field(ge=0, le=0xFFFFFFFF)


class L3Configuration(Shape):
    """The VLAN that an L3 connection has a leg in: a subnet of a logical network of the tenant's own."""

    vlan_subnet: Annotated[Reference, Refers("logicalNetworks/subnets")]


class InboundNatRule(Shape):
    """From a port of the public address to one VM; the names are those of loadBalancers/inboundNatRules.

    Without `backendPort` it is the frontend's, and without `remoteAddressPrefix` anybody may use it
    (Add-NetNatStaticMapping).
    """

    protocol: Annotated[str, word("TCP", "UDP")]
    frontend_port: Port
    backend_port: Port | None = None
    backend_ip_address: Ipv4
    remote_address_prefix: Prefix | None = None


class NatConfiguration(Shape):
    """How a connection of type NAT translates: what New-NetNat and Add-NetNatExternalAddress say."""

    public_ip_address: Annotated[Reference, Refers("publicIPAddresses")]
    start_port: Port = 1024
    end_port: Port = 65535
    inbound_nat_rules: tuple[Resource[InboundNatRule], ...] = ()


class LinkConfiguration(Shape):
    """Another VM network, and what of this one it may reach; `routes` say what this one may reach of it."""

    remote_virtual_network: Annotated[Reference, Refers("virtualNetworks")]
    local_prefixes: tuple[Prefix, ...] = ()


class ConnectionAddress(Shape):
    """An address of the compartment in its VLAN."""

    ip_address: Address
    prefix_length: int = Field(ge=1, le=128)


class NetworkConnection(Shape):
    """What ties a virtual network to one site, router or network.

    What is not this kind's may stand empty: Microsoft's own samples have `"l3Configuration": {}` everywhere.
    """

    connection_type: Annotated[str, word("IPSec", "GRE", "L3", "NAT", "Link")]
    outbound_kilo_bits_per_second: PositiveUint32 = 5120
    inbound_kilo_bits_per_second: PositiveUint32 = 5120
    routes: tuple[Route, ...] = ()
    ip_addresses: tuple[ConnectionAddress, ...] = ()
    peer_ip_addresses: tuple[Address, ...] = ()
    destination_ip_address: Ipv4 | None = None
    ip_sec_configuration: Annotated[IpsecConfiguration | None, BeforeValidator(empty_is_none)] = None
    gre_configuration: Annotated[GreConfiguration | None, BeforeValidator(empty_is_none)] = None
    l3_configuration: Annotated[L3Configuration | None, BeforeValidator(empty_is_none)] = None
    nat_configuration: Annotated[NatConfiguration | None, BeforeValidator(empty_is_none)] = None
    link_configuration: Annotated[LinkConfiguration | None, BeforeValidator(empty_is_none)] = None


def prefixes_of(selectors: tuple[TrafficSelector, ...]) -> list[str]:
    """Traffic selectors as prefixes; none where all is selected.

    Raises:
        ValueError: ranges that are no IPv4 ranges.
    """
    found = [
        str(prefix)
        for item in selectors
        for prefix in summarize_address_range(
            IPv4Address(item.ip_address_start), IPv4Address(item.ip_address_end)
        )
    ]
    return [] if "0.0.0.0/0" in found else found
