"""Point-to-site at a virtual gateway: who may call it, and what callers get.

`vpnConfiguration` and its `IPv4AddressPrefixes` are named by MS-NCNBI §3.1.5.17, without more. All else is an
extension after Set-RemoteAccessRoutingDomain (docs/decisions/0010-dial-in-shape.md).
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from lab.controller.shapes import Ipv4, PositiveUint32, Prefix, Reference, Refers, Resource, Shape


class VpnUser(Shape):
    """Who calls with a password (EAP-MSCHAPv2); the resourceId is the user's name."""

    write_only: ClassVar[frozenset[str]] = frozenset({"password"})
    inherited: ClassVar[frozenset[str]] = frozenset({"password"})

    password: Annotated[str, Field(min_length=1)] | None = None


class VpnConfiguration(Shape):
    """Remote access into a virtual network by IKEv2.

    Attributes:
        ipv4_address_prefixes: callers get their addresses from here (IPAddressRange).
        dns_ip_addresses: name servers that they are told (DnsIPAddress).
        maximum_vpn_connections: of callers at a time; 0: as many as the pool has addresses.
        interim_accounting_period_sec: between two accounting records of a caller who stays; 0: none.
        public_ip_address: what they call: the tenant's own.
        identity: what the gateway calls itself, a name in its certificate.
        certificate, private_key: the gateway's own, PEM.
        ca_certificate: PEM; who has a certificate of this authority may call, too.
    """

    write_only: ClassVar[frozenset[str]] = frozenset({"private_key"})
    inherited: ClassVar[frozenset[str]] = frozenset({"private_key"})

    ipv4_address_prefixes: tuple[Prefix, ...] = Field(alias="IPv4AddressPrefixes", min_length=1, max_length=1)
    dns_ip_addresses: tuple[Ipv4, ...] = ()
    maximum_vpn_connections: int = Field(default=0, ge=0, le=0xFFFFFFFF)
    interim_accounting_period_sec: int = Field(default=300, ge=0, le=0xFFFFFFFF)
    public_ip_address: Annotated[Reference, Refers("publicIPAddresses")]
    identity: str = ""
    certificate: str = ""
    private_key: str | None = None
    ca_certificate: str = ""
    users: tuple[Resource[VpnUser], ...] = ()
    outbound_kilo_bits_per_second: PositiveUint32 = 5120
    inbound_kilo_bits_per_second: PositiveUint32 = 5120
