"""Tenants that differ in nothing but the outer end of their only connection. Pure."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import StrEnum

from lab.southbound import southbound_pb2 as pb

from .gateway_world import VIP

GRE_VIP, SERVER = "203.0.113.65", "192.0.2.10"
VM, SITE = "10.0.0.4", "192.168.50.10"
LEG_ADDRESS, EDGE_ADDRESS = "10.127.134.55", "10.127.134.50"
WEB_PORT = 8080
"""Outside; the VM's own port is `PORT`."""
PORT = 5000
ASN, SITE_ASN = 64512, 64521
MOST_PREFIXES = 500


class Kind(StrEnum):
    """Of a tenant's only connection."""

    IPSEC = "ipsec"
    GRE = "gre"
    L3 = "l3"
    NAT = "nat"


@dataclass(frozen=True)
class Guest:
    """A tenant of the gateway.

    Attributes:
        number: 1 to 60 within its kind; all that is not the same for all tenants follows from it.
        outbound_kbps, inbound_kbps: rates of its connection; 0: not limited.
        bgp: has a BGP router, whose peer is the site.
        selectors: its tunnel protects the VM network and the site's network, and nothing else.
    """

    kind: Kind
    number: int
    outbound_kbps: int = 0
    inbound_kbps: int = 0
    bgp: bool = False
    selectors: bool = False

    @property
    def name(self) -> str:
        """Of the tenant."""
        return f"{self.kind}{self.number:02}"

    @property
    def rdid(self) -> str:
        """Its routing domain."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, self.name))

    @property
    def unit(self) -> str:
        """What its connection's own namespace, service and files are called."""
        return f"{self.name}+hq"

    @property
    def peer(self) -> str:
        """Public address of the far end of its tunnel."""
        if self.kind is Kind.IPSEC:
            return f"198.51.100.{4 * self.number + 2}"
        return f"192.0.2.{100 + self.number}"

    @property
    def public(self) -> str:
        """Its own public address, behind which NAT hides it."""
        return f"203.0.113.{100 + self.number}"

    @property
    def key(self) -> int:
        """Of its GRE tunnel."""
        return 1000 + self.number

    @property
    def vlan(self) -> int:
        """Its own."""
        return 100 + self.number

    @property
    def outside(self) -> str:
        """Namespace of what it reaches outside..."""
        return "internet" if self.kind is Kind.NAT else f"site-{self.name}"

    @property
    def target(self) -> str:
        """... and the address there."""
        return SERVER if self.kind is Kind.NAT else SITE

    @property
    def published(self) -> tuple[str, int]:
        """Address and port at which the outside reaches its VM."""
        return (self.public, WEB_PORT) if self.kind is Kind.NAT else (VM, PORT)

    def compartment(self) -> pb.Compartment:
        """What the Network Controller would send: the same for all but for the connection's outer end."""
        return pb.Compartment(
            rdid=self.rdid,
            tenant=self.name,
            vsid=5003,
            customer_address="10.0.2.2",
            prefix_length=29,
            mac="00:15:5d:0a:02:02",
            router_address="10.0.2.1",
            vm_prefixes=["10.0.0.0/24"],
            vip=VIP,
            connections=[self.connection()],
            bgp=self.router() if self.bgp else None,
        )

    def router(self) -> pb.BgpRouter:
        """Its BGP router: so few prefixes are taken, and flaps are dampened after so many."""
        peer = pb.BgpPeer(name="site", address=SITE, asn=SITE_ASN, hold_time_s=90, max_prefixes=MOST_PREFIXES)
        return pb.BgpRouter(
            asn=ASN,
            router_id="10.0.2.2",
            networks=["10.0.0.0/24"],
            peers=[peer],
            dampening=pb.BgpDampening(half_life_s=900, reuse=750, suppress=2000, maximum_s=3600),
        )

    def connection(self) -> pb.Connection:
        """Its connection."""
        made = pb.Connection(name="hq", outbound_kbps=self.outbound_kbps, inbound_kbps=self.inbound_kbps)
        route = pb.StaticRoute(prefix="192.168.50.0/24")
        match self.kind:
            case Kind.IPSEC:
                made.ipsec.CopyFrom(self.ipsec())
            case Kind.GRE:
                made.gre.CopyFrom(pb.Gre(local=GRE_VIP, peer=self.peer, key=self.key))
            case Kind.L3:
                made.forwarding.CopyFrom(pb.Forwarding(vlan=self.vlan, addresses=[f"{LEG_ADDRESS}/24"]))
                route.next_hop = EDGE_ADDRESS
            case Kind.NAT:
                made.nat.CopyFrom(self.nat())
                route.prefix = "0.0.0.0/0"
        made.routes.append(route)
        return made

    def ipsec(self) -> pb.Ipsec:
        """Site-to-site, called by the site."""
        return pb.Ipsec(
            peer=self.peer,
            shared_secret=f"{self.name}-secret",
            main_mode=pb.MainMode(encryption="AES256", integrity="SHA256", dh_group="ECP256"),
            quick_mode=pb.QuickMode(cipher="GCMAES128", authentication="GCMAES128", pfs="None"),
            local_selectors=["10.0.0.0/24"] if self.selectors else [],
            remote_selectors=["192.168.50.0/24"] if self.selectors else [],
        )

    def nat(self) -> pb.Nat:
        """The VM's port, published for TCP and UDP."""
        return pb.Nat(
            public_address=self.public,
            mappings=[
                pb.NatMapping(
                    name=protocol,
                    protocol=protocol,
                    external_port=WEB_PORT,
                    internal_address=VM,
                    internal_port=PORT,
                )
                for protocol in ("tcp", "udp")
            ],
        )


def guests(**counts: int) -> list[Guest]:
    """So many of each kind: ipsec=20, gre=30 …"""
    return [Guest(Kind(kind), number) for kind, count in counts.items() for number in range(1, count + 1)]
