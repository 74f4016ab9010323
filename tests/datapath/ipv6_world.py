"""A gateway with the real agent, and two tenants that have the same IPv6 networks, in namespaces.

vm-TENANT             10.0.0.4 behind 10.0.2.1; fd00:1::4 behind fd00:2::1
   |  x-TENANT | v-TENANT, x6-TENANT | v6-TENANT
gateway               fe0 203.0.113.5, GRE VIP 203.0.113.65
   |
site                  fe0 203.0.113.2: far ends of GRE tunnels and VLANs
   |     |
TENANT-gre  TENANT-dc     routers of a customer's: fd60::1 and fd70::1; behind them fd60::10 and fd70::10
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from gwnode.bgp.control import Bird
from gwnode.bgp.routes import Route, routes
from gwnode.netns import Namespace
from lab.datapath.devices import find_devices
from lab.datapath.front_end import GRE_OVERHEAD, ConnectionLeg, FrontEnd, GreLeg, VlanLeg
from lab.model.edge import EdgeConfig, Ipv6End
from lab.southbound import southbound_pb2 as pb

from .gateway_world import RDIDS, VIP, World

GRE_VIP, FAR = IPv4Address("203.0.113.65"), IPv4Address("203.0.113.2")
TENANTS = {"blue": 1, "red": 2}
VM, COMPARTMENT = "fd00:1::4", "fd00:2::2"
LANS = {"gre": 60, "dc": 70}
HOLD_TIME_S = 9


def machine(site: str) -> str:
    """Behind a site's router."""
    return f"fd{LANS[site]}::10"


def router(site: str) -> str:
    """A site's router: next hop of what it offers."""
    return f"fd{LANS[site]}::1"


def lan(site: str) -> str:
    """What a site offers."""
    return f"fd{LANS[site]}::/64"


def compartment(tenant: str, *, ipv6: bool = True) -> pb.Compartment:
    """What the Network Controller would send."""
    number = TENANTS[tenant]
    six = {site: [pb.StaticRoute(prefix=f"{router(site)}/128")] if ipv6 else [] for site in LANS}
    for route in six["dc"]:
        route.next_hop = "fd61::50"
    record = pb.Compartment(
        rdid=RDIDS[tenant],
        tenant=tenant,
        vsid=5003,
        customer_address="10.0.2.2",
        prefix_length=29,
        mac="00:15:5d:0a:02:02",
        router_address="10.0.2.1",
        vm_prefixes=["10.0.0.0/24"],
        vip=VIP,
        connections=[
            pb.Connection(
                name="gre",
                routes=[pb.StaticRoute(prefix="192.168.60.1/32"), *six["gre"]],
                gre=pb.Gre(local=str(GRE_VIP), peer=str(FAR), key=number),
            ),
            pb.Connection(
                name="dc",
                routes=[pb.StaticRoute(prefix="192.168.70.1/32", next_hop="10.61.0.50"), *six["dc"]],
                forwarding=pb.Forwarding(
                    vlan=1000 + number, addresses=["10.61.0.2/24", *(["fd61::2/64"] if ipv6 else [])]
                ),
            ),
        ],
        bgp=pb.BgpRouter(
            asn=64512,
            router_id="10.0.2.2",
            networks=["10.0.0.0/24", *(["fd00:1::/64"] if ipv6 else [])],
            peers=[
                pb.BgpPeer(
                    name=site, address=f"192.168.{number}.1", asn=64500 + number, hold_time_s=HOLD_TIME_S
                )
                for site, number in LANS.items()
            ],
            local_ipv6_address=COMPARTMENT if ipv6 else "",
        ),
    )
    if ipv6:
        record.ipv6.CopyFrom(
            pb.CompartmentIpv6(
                customer_address=COMPARTMENT,
                prefix_length=64,
                mac="00:15:5d:0a:02:03",
                router_address="fd00:2::1",
                vm_prefixes=["fd00:1::/64"],
            )
        )
    return record


def bird(site: str) -> str:
    """A site's BGP router."""
    number = LANS[site]
    return f"""\
log stderr all;
router id 192.168.{number}.1;
protocol device {{ }}
protocol kernel {{ learn; ipv4 {{ import all; export where source = RTS_BGP; }}; }}
protocol kernel {{ learn; ipv6 {{ import all; export where source = RTS_BGP; }}; }}
protocol static offered4 {{ ipv4; route 192.168.{number}.0/24 unreachable; }}
protocol static offered6 {{ ipv6; route {lan(site)} unreachable; }}
protocol bgp cloud {{
  local 192.168.{number}.1 as {64500 + number};
  neighbor 10.0.2.2 as 64512;
  multihop;
  hold time {HOLD_TIME_S};
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 2;
  ipv4 {{ import all; export where proto = "offered4"; }};
  ipv6 {{ next hop address {router(site)}; import all; export where proto = "offered6"; }};
}}
"""


@dataclass
class Ipv6World(World):
    """The namespaces and processes."""

    far: FrontEnd | None = None

    def routers(self, tenant: str) -> list[str]:
        """Namespaces of the routers at a tenant's sites."""
        return [f"{tenant}-{site}" for site in LANS]

    def build(self) -> None:
        """All namespaces, links, addresses and routes."""
        names = [f"{tenant}-{site}" for tenant in TENANTS for site in LANS]
        for name in ("gateway", "site", *(f"vm-{tenant}" for tenant in TENANTS), *names):
            Namespace(self.path(name)).ensure()
            self.run(name, "ip", "link", "set", "lo", "up")
            self.run(name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        self.wire("gateway", "fe0", "site", "fe0")
        self.address("gateway", "fe0", "203.0.113.5/24", f"{VIP}/32")
        self.address("site", "fe0", f"{FAR}/24")
        for tenant in TENANTS:
            vm = f"vm-{tenant}"
            self.wire("gateway", f"x-{tenant}", vm, "eth0")
            self.wire("gateway", f"x6-{tenant}", vm, "eth6")
            self.address(vm, "eth0", "10.0.2.1/29")
            self.address(vm, "eth6", "fd00:2::1/64")
            self.address(vm, "lo", "10.0.0.4/32", f"{VM}/128")
            self.run(vm, "ip", "route", "add", "default", "via", "10.0.2.2", "src", "10.0.0.4")
            self.run(vm, "ip", "route", "add", "default", "via", COMPARTMENT, "src", VM)
            for site in LANS:
                self._build_site(f"{tenant}-{site}", site)
        legs: list[ConnectionLeg] = []
        for tenant, number in TENANTS.items():
            gre = f"{tenant}-gre"
            mac = Namespace(self.path(gre)).run(lambda: find_devices(("wan0",)))["wan0"].mac
            legs.append(GreLeg(f"g-{tenant}", mac, FAR, GRE_VIP, number))
            legs.append(VlanLeg(f"d-{tenant}", 1000 + number))
        across = Namespace(self.path("site"))
        self.far = far = across.run(lambda: FrontEnd("fe0", Path(f"{self.pins}-far")))
        across.run(lambda: far.apply(legs))

    def _build_site(self, name: str, site: str) -> None:
        number, tenant = LANS[site], name.partition("-")[0]
        self.wire("site", f"{'g' if site == 'gre' else 'd'}-{tenant}", name, "wan0")
        self.address(name, "lo", f"192.168.{number}.1/32", f"{router(site)}/128", f"{machine(site)}/128")
        if site == "gre":
            self.run(name, "ip", "link", "set", "wan0", "mtu", str(1500 - GRE_OVERHEAD), "arp", "off")
            ways = [("10.0.2.2/32", "dev", "wan0"), (f"{COMPARTMENT}/128", "dev", "wan0")]
        else:
            self.address(name, "wan0", "10.61.0.50/24", "fd61::50/64")
            ways = []
        for prefix, *way in ways:
            source = router(site) if ":" in prefix else f"192.168.{number}.1"
            self.run(name, "ip", "route", "add", prefix, *way, "src", source)

    def start_routers(self) -> None:
        """A BIRD for every site behind a tunnel; the lab's own edge, with ExaBGP, for those in a VLAN."""
        for tenant in TENANTS:
            self._start_edge(f"{tenant}-dc")
            for site in ("gre",):
                name = f"{tenant}-{site}"
                config = self.folder / f"{name}.conf"
                config.write_text(bird(site))
                self.start(
                    name, name, "bird", "-f", "-c", str(config), "-s", str(self.folder / f"{name}.ctl")
                )

    def _start_edge(self, name: str) -> None:
        number = LANS["dc"]
        config = EdgeConfig(
            name=name,
            lan_prefix=f"192.168.{number}.0/24",
            lan_router=f"192.168.{number}.1",
            wan_address="10.61.0.50",
            gateway="10.61.0.2",
            gre_key=None,
            local_asn=64500 + number,
            peer_asn=64512,
            compartment_address="10.0.2.2",
            router_id=f"192.168.{number}.1",
            hold_time_s=HOLD_TIME_S,
            ipv6=Ipv6End(lan("dc"), router("dc"), COMPARTMENT, "fd61::2"),
        )
        path = self.folder / f"{name}.json"
        path.write_text(config.to_json())
        for program in ("run", "exabgp"):
            words = ("-m", "lab.edge", "--config", str(path), "--state", str(self.folder / name), program)
            self.start(f"{name}-{program}", name, sys.executable, *words)

    def at(self, tenant: str, site: str) -> dict[str, Route]:
        """What a site has learned, by prefix."""
        try:
            with Bird(self.folder / f"{tenant}-{site}.ctl") as control:
                found = routes(control.command('show route all where proto = "cloud"'))
        except OSError:
            found = []
        return {route.prefix: route for route in found}

    def close(self) -> None:
        """End every process of ours and every namespace."""
        for name in [name for name in self.processes if name not in ("gateway", "agent")]:
            self.end(name)
        if self.far is not None:
            self.far.close()
        shutil.rmtree(f"{self.pins}-far", ignore_errors=True)
        super().close()


@contextmanager
def ipv6_world(folder: Path) -> Iterator[Ipv6World]:
    """A world for the time of a test module."""
    assert os.geteuid() == 0
    world = Ipv6World(folder)
    try:
        world.build()
        world.start_gateway()
        world.apply(*(compartment(tenant) for tenant in TENANTS))
        world.start_agent()
        world.start_routers()
        yield world
    finally:
        world.close()
