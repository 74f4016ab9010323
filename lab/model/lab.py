"""A resolved lab: every name, address, link and route decided. This is what every other room reads.

Built by `lab.model.resolve.resolve` from a `Topology`; pure data, equal for equal topology files. Only the
standard library is imported here, because agents inside the nodes read `SiteConfig` from this module too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path

from lab.model.certificates import SiteCertificates
from lab.model.check import Check
from lab.model.edge import EdgeConfig
from lab.model.roadwarrior import RoadWarrior
from lab.model.router import RouterConfig
from lab.model.tenants import Tenant

SITE_PATH = Path("/etc/hnvlab/site.json")
"""Where the engine leaves a site's `SiteConfig` in its container."""


class NodeKind(StrEnum):
    """What a node is; the value is what HNVLAB_KIND and `NodeIdentity.kind` say."""

    CONTROLLER = "controller"
    ROUTER = "router"
    INTERNET = "internet"
    HOST = "host"
    GATEWAY = "gateway"
    SITE = "site"
    EDGE = "edge"
    ROADWARRIOR = "roadwarrior"
    VM = "vm"
    GATEWAY_VM = "gateway-vm"
    SERVER = "server"
    APPLIANCE = "appliance"


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """One end of a veth pair.

    Attributes:
        node: name of the node whose namespace holds the end.
        interface: name of the interface there, at most 15 characters.
        mtu: in bytes.
        mac: aa:bb:cc:dd:ee:ff; None: the kernel picks one.
        alias: interface alias that marks a vport; None: no alias.
        bridge: the bridge on the same node that the end is a port of; None: no bridge.
    """

    node: str
    interface: str
    mtu: int
    mac: str | None = None
    alias: str | None = None
    bridge: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A veth pair between two nodes."""

    first: LinkEnd
    second: LinkEnd

    @property
    def ends(self) -> tuple[LinkEnd, LinkEnd]:
        """Both ends."""
        return self.first, self.second


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge inside a node; its ports are the link ends that name it."""

    name: str
    mtu: int


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address with its prefix length on an interface of a node."""

    interface: str
    address: IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class Route:
    """A static route of a node; 0.0.0.0/0 and ::/0 are the default route; the lowest metric wins."""

    destination: IPv4Network | IPv6Network
    via: IPv4Address | IPv6Address
    metric: int = 0


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """What a site's daemons must know: the content of /etc/hnvlab/site.json.

    Attributes:
        name: name of the site node.
        lan_prefix: the site's own network, offered to the tenant by BGP.
        lan_router: the site router's address on that network; BGP speaks from it.
        wan_address: the site's public address: its IKE identity and source.
        vip: the gateways' public address: the IKE peer.
        shared_secret: IKE pre-shared key; empty: by certificates.
        local_asn: the site's AS number.
        peer_asn: the tenant's AS number.
        compartment_address: the compartment's CA in the gateway subnet: the BGP neighbour.
        router_id: BGP identifier of the site.
        hold_time_s: BGP hold time to propose.
        calls: it calls, and again whenever the tunnel falls; else it waits to be called.
        on_demand: the gateways call when somebody wants to go there, and nobody calls otherwise.
        routes: what is behind the tunnel of a gateway VM, or of its site: no other way leads there.
        cloud: the tenant's subnets, if the site has no BGP router: static routes while the tunnel is up.
        carried: networks of other sites that are reached through this one, with the AS of each; offered, too.
        certificates: what it proves, and demands of the gateway; None: both by the shared secret.
    """

    name: str
    lan_prefix: str
    lan_router: str
    wan_address: str
    vip: str
    shared_secret: str
    local_asn: int
    peer_asn: int
    compartment_address: str
    router_id: str
    hold_time_s: int
    calls: bool = True
    on_demand: bool = False
    routes: Sequence[str] = ()
    cloud: Sequence[str] = ()
    carried: Mapping[str, int] = field(default_factory=dict)
    certificates: SiteCertificates | None = None

    @property
    def bgp(self) -> bool:
        """Whether both ends of the tunnel have a BGP router."""
        return bool(self.local_asn and self.peer_asn) and not self.cloud

    @property
    def ipv6(self) -> None:
        """IPsec carries IPv4 alone."""
        return None

    def to_json(self) -> str:
        """The configuration as it stands in the file."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, path: Path = SITE_PATH) -> SiteConfig:
        """Read the configuration of the site that this process runs on.

        Raises:
            FileNotFoundError: this node is no site.
        """
        values = json.loads(path.read_text())
        lists = {key: tuple(values[key]) for key in ("routes", "cloud")}
        given = values["certificates"]
        return cls(**{**values, **lists, "certificates": SiteCertificates(**given) if given else None})


@dataclass(frozen=True, slots=True)
class Node:
    """One container of the lab.

    Attributes:
        name: unique in the lab; also the host name. The container is named LAB-NODE.
        kind: decides capabilities, devices and services (`lab/plan/kinds.py`).
        image: "fabric", "vm", "server" (built by hnvlab), or any Docker reference.
        command: what runs; None: the image's own command.
        environment: variables that the topology file gives.
        dns: name servers.
        files: absolute path in the container -> absolute path of the file on this machine.
        interfaces: names of all interfaces and bridges, in the order in which they are made.
        bridges: made before the links.
        addresses: set after the links.
        routes: set after the addresses.
        sysctls: of the network namespace as a whole; set before any interface exists (Docker's `sysctls`).
        interface_sysctls: set when the interfaces exist, before they are set up. IPv6's are skipped where the
            kernel has no IPv6.
        management: address on the management network; None: not on it.
        site: configuration of a site that is reached by IPsec; None: no such site.
        edge: configuration of an edge; None: no edge.
        router: what the top-of-rack router does beyond the kernel's routing; None: nothing.
        road_warrior: whom it calls and how; None: no road warrior.
        fixed: the lab alone decides its addresses: others are removed from its interfaces.
        absent: names of interfaces that it must not have, as an earlier lab of that name had them.
    """

    name: str
    kind: NodeKind
    image: str
    command: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    dns: tuple[IPv4Address | IPv6Address, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    interfaces: tuple[str, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    addresses: tuple[InterfaceAddress, ...] = ()
    routes: tuple[Route, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    interface_sysctls: Mapping[str, str] = field(default_factory=dict)
    management: IPv4Address | None = None
    site: SiteConfig | None = None
    edge: EdgeConfig | None = None
    router: RouterConfig | None = None
    road_warrior: RoadWarrior | None = None
    fixed: bool = False
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """A network of the fabric: a bridge on the router node, which owns the first address."""

    prefix: IPv4Network
    router: IPv4Address
    bridge: str
    mtu: int


@dataclass(frozen=True, slots=True)
class Fabric:
    """The hoster's own network.

    Attributes:
        pool_first, pool_last: the provider addresses that the Network Controller gives out, both included.
        vip: the public address that all tenants' connections share.
        controller, router, internet: names of the nodes.
        controller_address: management address of the Network Controller.
        encapsulation: "nvgre" or "vxlan".
        dscp: "pipe" or "uniform" (RFC 2983).
        external_router: the gateway routes between subnets, hosts know only their own VMs' subnets.
        gre_vips: part of the front-end network that gateways get their GRE addresses of; None: no GRE.
        asn, gateway_asn: AS numbers of the top-of-rack router and of all gateways.
        redundant_gateways: how many of the gateways stand by.
        announced: where the addresses are that gateways announce to the router by BGP; empty: no BGP there.
    """

    management: Segment
    provider: Segment
    front_end: Segment
    pool_first: IPv4Address
    pool_last: IPv4Address
    vip: IPv4Address
    controller: str
    router: str
    internet: str
    controller_address: IPv4Address
    encapsulation: str = "nvgre"
    dscp: str = "pipe"
    external_router: bool = False
    gre_vips: IPv4Network | None = None
    asn: int = 65_000
    gateway_asn: int = 65_001
    redundant_gateways: int = 0
    announced: tuple[IPv4Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Host:
    """A Hyper-V host.

    Attributes:
        uplinks: how many links to the provider network it has, 1 or 2.
        team: how they share the load: "hyper-v-port", "hash" or "dynamic".
        uplink_mbps: speed of the uplinks together in Mbit/s; None: not limited.
    """

    name: str
    management: IPv4Address
    uplinks: int = 1
    team: str = "hyper-v-port"
    uplink_mbps: int | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """A multitenant gateway; capacity in kbit/s."""

    name: str
    management: IPv4Address
    front_end: IPv4Address
    capacity_kbps: int


@dataclass(frozen=True, slots=True)
class Lab:
    """A whole lab.

    Attributes:
        name: of the lab; containers are named LAB-NODE.
        nodes: by name, fabric first, in the order of the file.
        links: all veth pairs.
    """

    name: str
    fabric: Fabric
    hosts: tuple[Host, ...]
    gateways: tuple[Gateway, ...]
    tenants: tuple[Tenant, ...]
    nodes: Mapping[str, Node]
    links: tuple[Link, ...]
    checks: tuple[Check, ...]

    def links_of(self, node: str) -> tuple[Link, ...]:
        """The links that end at a node."""
        return tuple(link for link in self.links if node in (link.first.node, link.second.node))

    def tenant(self, name: str) -> Tenant:
        """The tenant of that name.

        Raises:
            KeyError: there is none.
        """
        for tenant in self.tenants:
            if tenant.name == name:
                return tenant
        raise KeyError(name)
