"""Edges around a gateway: a router with its front-end bridge, compartments, edges with servers behind them.

blue (10.0.2.2, VM network 10.0.0.0/24)   red, the same        compartments, as the gateway's agent makes them
       \\                                  /
        gw  front end 203.0.113.2, GRE VIP 203.0.113.65
        |
       tor  203.0.113.1, BGP; access ports of VLAN 1001 (blue) and 1002 (red)
        |
blue-mpls  203.0.113.20, key 1234         red-mpls  203.0.113.21, key 1234        192.168.60.0/24, both
blue-dc    10.127.134.50, VLAN 1001       red-dc    10.127.134.50, VLAN 1002      192.168.70.0/24, both
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from lab.datapath.access_port import NO_VLAN
from lab.model.edge import EdgeConfig, Ipv6End
from lab.model.router import RouterConfig

from .front_end_world import FE, Node
from .netns import Namespace, namespaces, pin_directory

GRE_VIP, GATEWAY, ROUTER = IPv4Address("203.0.113.65"), "203.0.113.2", "203.0.113.1"
KEY = 1234
TENANTS = {"blue": ("203.0.113.20", 1001), "red": ("203.0.113.21", 1002)}
LEG_ADDRESS, EDGE_ADDRESS = "10.127.134.55", "10.127.134.50"
COMPARTMENT, VM = "10.0.2.2", "10.0.0.4"
EDGE_SETTINGS = (
    "net.ipv4.ip_forward=1",
    "net.ipv4.ip_nonlocal_bind=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv6.conf.all.disable_ipv6=1",
)

WITH_IPV6 = ("blue", "mpls")
IPV6_ROUTER, IPV6_COMPARTMENT = "fd00:60::1", "fd00:2::2"

COMPARTMENT_BIRD = """\
log stderr all;
router id 10.0.2.2;
protocol device {}
protocol kernel { learn; ipv4 { import all; export where source = RTS_BGP; }; }
protocol static offered { ipv4; route 10.0.0.0/24 unreachable; }
template bgp site {
  local 10.0.2.2 as 64512; multihop; hold time 9;
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export where proto = "offered"; next hop self; };
}
protocol bgp peer_mpls from site { neighbor 192.168.60.1 as 64521; }
protocol bgp peer_dc from site { neighbor 192.168.70.1 as 64522; }
"""

GATEWAY_BIRD = """\
log stderr all;
router id 203.0.113.2;
protocol device {}
protocol static offered {
  ipv4;
  route 203.0.113.65/32 unreachable;
  route 203.0.113.10/32 unreachable;
  route 203.0.113.1/32 unreachable;
  route 203.0.113.64/28 unreachable;
  route 198.51.100.7/32 unreachable;
  route 0.0.0.0/0 unreachable;
}
protocol bgp tor {
  local 203.0.113.2 as 65001; neighbor 203.0.113.1 as 65000; direct; hold time 9;
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export where proto = "offered"; next hop self; };
}
"""


def edge_config(tenant: str, name: str) -> EdgeConfig:
    """What the engine leaves on an edge."""
    tunnelled = name == "mpls"
    lan = 60 if tunnelled else 70
    return EdgeConfig(
        name=f"{tenant}-{name}",
        lan_prefix=f"192.168.{lan}.0/24",
        lan_router=f"192.168.{lan}.1",
        wan_address=TENANTS[tenant][0] if tunnelled else EDGE_ADDRESS,
        gateway=str(GRE_VIP) if tunnelled else LEG_ADDRESS,
        gre_key=KEY if tunnelled else None,
        local_asn=64521 if tunnelled else 64522,
        peer_asn=64512,
        compartment_address=COMPARTMENT,
        router_id=f"192.168.{lan}.1",
        hold_time_s=9,
        ipv6=Ipv6End("fd00:60::/64", IPV6_ROUTER, IPV6_COMPARTMENT) if (tenant, name) == WITH_IPV6 else None,
    )


@dataclass
class EdgeWorld:
    """The running world."""

    inside: dict[str, Namespace]
    gw: Node
    pins: Path
    state: Path
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, node: str, program: str, *arguments: str) -> None:
        """Start a program of ours in a node; its log goes to a file."""
        name = f"{node}-{program.replace(' ', '-')}"
        command = [sys.executable, "-m", *program.split()[:1], *arguments, *program.split()[1:]]
        self._start(node, name, command)

    def bird(self, node: str, text: str) -> None:
        """Start BIRD in a node."""
        path = self.state / f"{node}-bird.conf"
        path.write_text(text)
        self._start(node, f"{node}-bird", ["bird", "-f", "-c", str(path), "-s", str(path) + ".ctl"])

    def _start(self, node: str, name: str, command: list[str]) -> None:
        log = (self.state / f"{name}.log").open("w")
        self.processes[name] = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.inside[node].name}", *command],
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
        log.close()

    def stop(self, name: str) -> None:
        """End a program by its name."""
        process = self.processes.pop(name)
        process.terminate()
        process.wait(10)

    def kill(self, name: str) -> None:
        """End a program that has no time to say so."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(10)

    def log(self, name: str) -> str:
        """What a program has said."""
        return (self.state / f"{name}.log").read_text()

    def start_edge(self, tenant: str, name: str) -> None:
        """Start what runs on an edge."""
        self.start_edge_agent(tenant, name)
        self.start_edge_bgp(tenant, name)

    def start_edge_agent(self, tenant: str, name: str) -> None:
        """Start an edge's agent."""
        self.start(f"{tenant}-{name}", "lab.edge run", *self._edge(tenant, name))

    def start_edge_bgp(self, tenant: str, name: str) -> None:
        """Start an edge's ExaBGP."""
        self.start(f"{tenant}-{name}", "lab.edge exabgp", *self._edge(tenant, name))

    def _edge(self, tenant: str, name: str) -> tuple[str, ...]:
        node = f"{tenant}-{name}"
        path = self.state / f"{node}.json"
        path.write_text(edge_config(tenant, name).to_json())
        return ("--config", str(path), "--state", str(self.state / node), "--pins", str(self.pins / node))

    def start_router(self) -> None:
        """Start what runs on the top-of-rack router."""
        config = RouterConfig(
            address=ROUTER,
            asn=65000,
            gateways={"gw-01": GATEWAY},
            gateway_asn=65001,
            announced=("203.0.113.10/32", "203.0.113.64/28"),
            access_ports={
                **{f"f-{tenant}-dc": vlan for tenant, (_, vlan) in TENANTS.items()},
                **{f"f-{tenant}-mpls": NO_VLAN for tenant in TENANTS},
            },
        )
        path = self.state / "router.json"
        path.write_text(config.to_json())
        common = ("--config", str(path), "--state", str(self.state / "tor"), "--pins", str(self.pins / "tor"))
        self.start("tor", "lab.tor bird", *common)
        self.start("tor", "lab.tor ports", *common)

    def wire(self, node: str, address: str) -> None:
        """Put an edge at the router's bridge."""
        inner, tor = self.inside[node], self.inside["tor"]
        tor.ip(f"link add f-{node} type veth peer name wan0 netns {inner.name}")
        tor.ip(f"link set f-{node} master br-fe up")
        inner.ip(f"addr add {address}/24 dev wan0")
        inner.ip("link set wan0 up")

    def wire_lan(self, node: str, lan: int) -> None:
        """Give an edge its own network, with a server."""
        inner, server = self.inside[node], self.inside[f"{node}-pc"]
        inner.ip(f"link add lan0 type veth peer name eth0 netns {server.name}")
        inner.ip(f"addr add 192.168.{lan}.1/24 dev lan0")
        inner.ip("link set lan0 up")
        server.ip(f"addr add 192.168.{lan}.10/24 dev eth0")
        server.ip("link set eth0 up")
        server.ip(f"route add default via 192.168.{lan}.1")


@contextmanager
def edge_world(state: Path) -> Iterator[EdgeWorld]:
    """Everything but the edges' and the router's own programs; the edges have no `wan0` yet."""
    edges = [f"{tenant}-{name}" for tenant in TENANTS for name in ("mpls", "dc")]
    names = ["gw", "tor", *TENANTS, *edges, *(f"{edge}-pc" for edge in edges)]
    with namespaces(*names) as made, pin_directory() as pins:
        world = EdgeWorld(made, Node(made["gw"], GRE_VIP, pins / "gw"), pins, state)
        tor, gw = made["tor"], made["gw"]
        tor.ip("link add br-fe type bridge")
        tor.ip(f"addr add {ROUTER}/24 dev br-fe")
        tor.ip(f"link add f-gw type veth peer name {FE} netns {gw.name}")
        tor.ip("link set f-gw master br-fe up")
        tor.ip("link set br-fe up")
        gw.ip(f"addr add {GATEWAY}/24 dev {FE}")
        gw.ip(f"addr add {GRE_VIP}/32 dev {FE}")
        gw.ip(f"link set {FE} up")
        for tenant, (peer, vlan) in TENANTS.items():
            inner = made[tenant]
            # The VM's address is here for want of a VM; in the VLAN, nobody but a router leads to it.
            inner.run("sysctl -qw net.ipv4.conf.all.arp_ignore=1")
            inner.ip(f"addr add {COMPARTMENT}/32 dev lo")
            inner.ip(f"addr add {VM}/32 dev lo")
            world.gw.plug_gre(inner, f"g-{tenant}", IPv4Address(peer), KEY, "mpls0")
            world.gw.plug_vlan(inner, f"v-{tenant}", vlan)
            inner.ip(f"addr add {LEG_ADDRESS}/24 dev vlan0")
            inner.ip(f"route add 192.168.60.1 dev mpls0 src {COMPARTMENT}")
            inner.ip(f"route add 192.168.70.1 via {EDGE_ADDRESS} src {COMPARTMENT}")
        for edge in edges:
            for setting in EDGE_SETTINGS:
                made[edge].run(f"sysctl -qw {setting}")
            world.wire_lan(edge, 60 if edge.endswith("mpls") else 70)
            if edge == "-".join(WITH_IPV6):
                made[edge].run("sysctl -qw net.ipv6.conf.lan0.disable_ipv6=0")
                made[edge].ip(f"addr add {IPV6_ROUTER}/64 dev lan0 nodad")
        world.gw.start()
        world.gw.apply()
        try:
            yield world
        finally:
            for name in list(world.processes):
                world.stop(name)
            world.gw.stop()
