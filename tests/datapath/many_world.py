"""A gateway of many tenants, of every kind of connection, all with the same addresses, in namespaces.

      vm-TENANT                   10.0.0.4 behind 10.0.2.1
          |  x-TENANT | v-TENANT
            gateway               fe0 203.0.113.5, VIP 203.0.113.10, GRE VIP 203.0.113.65
               |
            internet              gw0 203.0.113.1, server 192.0.2.10; the far ends of GRE tunnels and VLANs
               |
         site-TENANT              192.168.50.10; behind charon, a GRE tunnel or a VLAN. NAT has none.

Whoever answers says who it is, as addresses tell nobody apart.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from pyroute2 import IPRoute

from gwnode.kernel import KERNEL_REFUSALS
from gwnode.netns import Namespace
from lab.datapath.front_end import GRE_OVERHEAD, ConnectionLeg, FrontEnd, GreLeg, VlanLeg
from lab.ipsec.charon import Charon
from lab.ipsec.device import TUNNEL_MTU, ensure_device
from lab.ipsec.esp import EspBackend, detect_backend
from lab.ipsec.strongswan import CharonConfig, render
from lab.ipsec.tunnel import Tunnel
from lab.model.lab import SiteConfig
from lab.onprem.config import CONNECTION, TUNNEL_DEVICE, WAN, tunnel
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import record
from lab.testing.eventually import eventually

from .gateway_world import VIP, World
from .guests import EDGE_ADDRESS, GRE_VIP, LEG_ADDRESS, SERVER, SITE, VM, Guest, Kind

APPLIED_S = 90
PROVIDER = record(pb.ProviderAddress(address="10.60.0.5", prefix_length=16))
SHORTEST_S = 0.8
"""So long is probed at least."""


class SiteRouter:
    """charon of a site, and who drives it."""

    def __init__(self, world: ManyWorld, guest: Guest, wanted: Tunnel) -> None:
        self._guest = guest
        self._space = Namespace(world.path(guest.outside))
        self._tunnel = wanted
        state = world.folder / guest.outside
        state.mkdir(exist_ok=True)
        config = CharonConfig(state / "charon.vici", state / "charon.log", world.backend, (WAN,))
        (state / "strongswan.conf").write_text(render(config))
        environment = f"STRONGSWAN_CONF={state}/strongswan.conf"
        world.start(guest.outside, guest.outside, "env", environment, "charon-systemd")
        self.charon = Charon(config.vici_socket, config.log)
        self.charon.apply({CONNECTION: wanted})
        self._stop = threading.Event()
        self._ready = False
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch it no longer."""
        self._stop.set()
        self._thread.join(10)

    def _watch(self) -> None:
        self.charon.watch(self._stop, lambda: None, self._on_look)

    def _on_look(self, _changed: bool) -> None:
        if not self._ready:
            with contextlib.suppress(*KERNEL_REFUSALS):
                self._ready = self._space.run(self._ensure_route)

    def _ensure_route(self) -> bool:
        with IPRoute() as kernel:
            index = ensure_device(kernel, TUNNEL_DEVICE, mtu=TUNNEL_MTU, if_id=self._tunnel.if_id, lower=WAN)
            if index is not None:
                kernel.route("replace", dst="10.0.0.0/16", oif=index, scope=253, prefsrc=SITE)
        return index is not None


@dataclass
class ManyWorld(World):
    """The namespaces and processes.

    Attributes:
        backend: who encrypts here.
        sites: charons of the tenants' sites, by tenant.
        legs: of the far end's front end, by tenant.
        goal: the records that the gateway was told, by key.
    """

    backend: EspBackend = field(default_factory=detect_backend)
    sites: dict[str, SiteRouter] = field(default_factory=dict)
    legs: dict[str, ConnectionLeg] = field(default_factory=dict)
    goal: dict[str, pb.Record] = field(default_factory=dict)
    far_pins: Path = Path()
    far: FrontEnd | None = None

    def build(self) -> None:
        """What there is without any tenant."""
        for name in ("gateway", "internet"):
            Namespace(self.path(name)).ensure()
        self.far_pins = self.pins.with_name(f"{self.pins.name}-far")
        sysctls = ("ip_forward=1", "conf.all.send_redirects=0", "conf.default.send_redirects=0")
        self.run("internet", "sysctl", "-qw", *(f"net.ipv4.{item}" for item in sysctls))
        self.batch(
            "gateway",
            "link set lo up",
            f"link add fe0 type veth peer name gw0 netns {self.path('internet')}",
            "address add 203.0.113.5/24 dev fe0",
            f"address add {VIP}/32 dev fe0",
            "link set fe0 up",
        )
        self.batch(
            "internet",
            "link set lo up",
            f"address add {SERVER}/32 dev lo",
            "address add 203.0.113.1/24 dev gw0",
            "link set gw0 up",
        )
        self.batch("gateway", "route add default via 203.0.113.1")
        self.far = Namespace(self.path("internet")).run(lambda: FrontEnd("gw0", self.far_pins))

    def batch(self, name: str, *lines: str) -> None:
        """Lines for iproute2, in a namespace."""
        ended = subprocess.run(
            self.command(name, "ip", "-batch", "-"),
            input="\n".join(lines),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"{name}: {ended.stderr}"

    def plug(self, *wanted: Guest) -> None:
        """The VMs and sites of some tenants, cabled and ready."""
        for guest in wanted:
            self._plug_vm(guest)
            if guest.kind is not Kind.NAT:
                Namespace(self.path(guest.outside)).ensure()
                self._plug_site(guest)
        self.serve_far()

    def unplug(self, guest: Guest) -> None:
        """Take a tenant's VM and site away."""
        self.legs.pop(guest.name, None)
        if site := self.sites.pop(guest.name, None):
            site.close()
            self.end(guest.outside)
        self.serve_far()
        self.batch("gateway", f"link del x-{guest.name}")
        Namespace(self.path(f"vm-{guest.name}")).remove()
        if guest.kind is not Kind.NAT:
            self.batch("internet", f"link del s-{guest.name}")
            Namespace(self.path(guest.outside)).remove()

    def serve_far(self) -> None:
        """Have the far end's front end serve the legs that are cabled."""
        assert self.far is not None
        far = self.far
        Namespace(self.path("internet")).run(lambda: far.apply(self.legs.values()))
        if self.legs:
            self.batch("internet", *(f"link set {leg.interface} up" for leg in self.legs.values()))

    def _plug_vm(self, guest: Guest) -> None:
        machine = f"vm-{guest.name}"
        Namespace(self.path(machine)).ensure()
        self.batch(
            "gateway",
            f"link add x-{guest.name} type veth peer name eth0 netns {self.path(machine)}",
            f"link set x-{guest.name} up",
        )
        self.batch(
            machine,
            "link set lo up",
            f"address add {VM}/32 dev lo",
            "address add 10.0.2.1/29 dev eth0",
            "link set eth0 up",
            f"route add default via 10.0.2.2 src {VM}",
        )

    def _plug_site(self, guest: Guest) -> None:
        leg, site = f"s-{guest.name}", guest.outside
        inner = {Kind.IPSEC: WAN, Kind.GRE: "tunnel0", Kind.L3: "vlan0"}[guest.kind]
        self.batch("internet", f"link add {leg} type veth peer name {inner} netns {self.path(site)}")
        common = ["link set lo up", f"address add {SITE}/32 dev lo"]
        match guest.kind:
            case Kind.IPSEC:
                router = str(IPv4Address(guest.peer) - 1)
                self.batch("internet", f"address add {router}/30 dev {leg}", f"link set {leg} up")
                address = f"address add {guest.peer}/30 dev {WAN}"
                self.batch(site, *common, address, f"link set {WAN} up", f"route add default via {router}")
                self.sites[guest.name] = SiteRouter(self, guest, self.site_tunnel(guest))
            case Kind.GRE:
                mac, mtu = f"02:00:00:00:01:{guest.number:02x}", 1500 - GRE_OVERHEAD
                device = f"link set tunnel0 address {mac} mtu {mtu} arp off up"
                self.batch(site, *common, device, f"route add 10.0.0.0/16 dev tunnel0 src {SITE}")
                ends = IPv4Address(guest.peer), IPv4Address(GRE_VIP)
                self.legs[guest.name] = GreLeg(leg, mac, *ends, guest.key)
            case Kind.L3:
                address = f"address add {EDGE_ADDRESS}/24 dev vlan0"
                route = f"route add 10.0.0.0/16 via {LEG_ADDRESS} src {SITE}"
                self.batch(site, *common, address, "link set vlan0 up", route)
                self.legs[guest.name] = VlanLeg(leg, guest.vlan)

    def site_tunnel(self, guest: Guest) -> Tunnel:
        """What a site's charon is told."""
        site = SiteConfig(
            name=guest.outside,
            lan_prefix="192.168.50.0/24",
            lan_router=SITE,
            wan_address=guest.peer,
            vip=VIP,
            shared_secret=f"{guest.name}-secret",
            local_asn=64521,
            peer_asn=64512,
            compartment_address="10.0.2.2",
            router_id=SITE,
            hold_time_s=9,
        )
        return tunnel(site, self.backend)

    def serve(self, *wanted: Guest) -> float:
        """Have the gateway serve exactly these tenants; it hears of what differs, as from the controller.

        Returns: how long that took it, in seconds.
        """
        records = {item.key: item for item in (PROVIDER, *(record(g.compartment()) for g in wanted))}
        self.version += 1
        delta = pb.GoalStateDelta(
            version=self.version,
            upserts=[item for key, item in records.items() if self.goal.get(key) != item],
            removes=self.goal.keys() - records.keys(),
        )
        self.goal = records
        put(self.folder / "gateway" / "goal", delta.SerializeToString())
        answer = eventually(self.answer, APPLIED_S)
        assert answer["error"] == "", answer
        return float(answer["seconds"])

    def restart_agent(self, *wanted: Guest) -> None:
        """Kill the agent and start another, which gets a snapshot."""
        self.end("agent", signal.SIGKILL)
        (self.folder / "gateway" / "report").unlink()
        self.version += 1
        records = [PROVIDER, *(record(guest.compartment()) for guest in wanted)]
        delta = pb.GoalStateDelta(version=self.version, snapshot=True, upserts=records)
        put(self.folder / "gateway" / "goal", delta.SerializeToString())
        self.start_agent()
        eventually(self.answer, APPLIED_S)

    def states(self) -> dict[str, str]:
        """State of each tenant's connection that the report knows, by routing domain."""
        return {item["rdid"]: item.get("state", "") for item in self.report().get("connections", [])}

    def last_error(self, guest: Guest) -> str:
        """What the report says of why a connection is not up."""
        found = [i for i in self.report().get("connections", []) if i["rdid"] == guest.rdid]
        return str(found[0].get("last_error", "")) if found else "not in the report"

    def connected(self, wanted: Iterable[Guest]) -> None:
        """Assert that the gateway has applied all, and that these tenants' connections are up."""
        assert self.answer()["error"] == "", self.answer()
        states = self.states()
        down = {
            guest.name: self.last_error(guest) for guest in wanted if states.get(guest.rdid) != "Connected"
        }
        assert not down, f"not connected: {down}"

    @contextmanager
    def quiet(self, *sample: Guest, interval_s: float = 0.02) -> Iterator[None]:
        """Probes from VMs to what their tenants reach outside, of which no packet may be lost meanwhile.

        Raises:
            AssertionError: some were.
        """
        words = ("ping", "-q", "-i", f"{interval_s}")
        probes = {
            guest.name: subprocess.Popen(
                self.command(f"vm-{guest.name}", *words, guest.target), stdout=subprocess.PIPE, text=True
            )
            for guest in sample
        }
        began = time.monotonic()
        try:
            yield
        finally:
            time.sleep(max(0.0, began + SHORTEST_S - time.monotonic()))
            said = {name: _told(process) for name, process in probes.items()}
        # The last one may be on its way when ping is told to end.
        lost = {name: (sent, got) for name, (sent, got) in said.items() if sent < 5 or sent - got > 1}
        assert not lost, f"probes sent and answered: {lost}"

    def close(self) -> None:
        """End every process of ours and every namespace."""
        for site in self.sites.values():
            site.close()
        if "agent" in self.processes:
            self.end("agent", signal.SIGKILL)
        scan = self.folder / "gateway" / "service"
        links = [link for link in scan.glob("*") if not link.name.startswith(".")]
        stopping = [subprocess.Popen(["s6-svc", "-wD", "-T", "5000", "-xd", str(link)]) for link in links]
        for process in stopping:
            process.wait(20)
        if "gateway" in self.processes:
            subprocess.run(["s6-svscanctl", "-t", str(scan)], check=True)
            self.processes.pop("gateway").wait(20)
        for key in list(self.processes):
            self.end(key)
        if self.far is not None:
            self.far.close()
        for pins in (self.pins, self.far_pins):
            if pins.name:
                shutil.rmtree(pins, ignore_errors=True)
        for folder in ("compartments", "netns"):
            for path in (self.folder / folder).glob("*"):
                Namespace(path).remove()


def put(path: Path, content: bytes) -> None:
    """Write a file in one step."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    fresh.rename(path)


def _told(process: subprocess.Popen[str]) -> tuple[int, int]:
    """End a ping; what it sent, and what came back."""
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=10)[0]
    words = said.replace(",", "").split()
    assert "transmitted" in words, said
    return int(words[words.index("transmitted") - 2]), int(words[words.index("received") - 1])


@contextmanager
def many_world(folder: Path, wanted: Sequence[Guest]) -> Iterator[ManyWorld]:
    """The world with these tenants cabled, and the gateway's agent without any yet."""
    world = ManyWorld(folder)
    try:
        world.build()
        world.start_gateway()
        world.apply()
        world.start_agent()
        eventually(world.answer, APPLIED_S)
        world.plug(*wanted)
        yield world
    finally:
        world.close()


def in_parallel(count: int, work: Callable[[Guest], None], wanted: Iterable[Guest]) -> None:
    """Do something for each of some tenants, so many at a time; the first failure is raised."""
    with ThreadPoolExecutor(count) as pool:
        for _ in pool.map(work, wanted):
            pass
