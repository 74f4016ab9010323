"""A gateway between two tenants' VM networks and their sites, in namespaces: everything but the overlay.

      vm-blue   vm-red          10.0.0.4 behind 10.0.2.1, the same for both
          x-*  |  v-*
            gateway             fe0 203.0.113.5, VIP 203.0.113.10
               |
            internet
            |      |
      site-blue  site-red       198.51.100.2 and .6; lan0 192.168.50.1, the same for both
            |      |
      lan-blue  lan-red         192.168.50.10

Namespaces stand under a folder of the test, so that no name can meet another's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gwnode.netns import Namespace
from lab.datapath.pins import BPFFS
from lab.model.lab import SiteConfig
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import record
from lab.testing.eventually import eventually

DRIVER = Path(__file__).with_name("gateway_driver.py")
VIP = "203.0.113.10"
HOLD_TIME_S = 6
SETTLED_S = 30
BGP_SESSIONS = ("ss", "-HtinO", "state", "established", "( sport = :179 or dport = :179 )")
RDIDS = {
    "blue": "5d0c4d4a-0b1e-4000-8000-0000000000b1",
    "red": "5d0c4d4a-0b1e-4000-8000-0000000000e1",
}
WAN = {"blue": "198.51.100.2", "red": "198.51.100.6"}
INTERNET = {"blue": "198.51.100.1", "red": "198.51.100.5"}


def compartment(tenant: str, secret: str | None = None) -> pb.Compartment:
    """What the Network Controller would send for a tenant of hybrid-cloud.yml."""
    return pb.Compartment(
        rdid=RDIDS[tenant],
        tenant=tenant,
        vsid=5003,
        customer_address="10.0.2.2",
        prefix_length=29,
        mac="00:15:5d:0a:02:02",
        router_address="10.0.2.1",
        vm_prefixes=["10.0.0.0/24", "10.0.1.0/24"],
        vip=VIP,
        connections=[
            pb.Connection(
                name=f"{tenant}-hq",
                routes=[pb.StaticRoute(prefix="192.168.50.1/32")],
                ipsec=pb.Ipsec(
                    peer=WAN[tenant],
                    shared_secret=secret or f"{tenant}-secret",
                    main_mode=pb.MainMode(encryption="AES256", integrity="SHA256", dh_group="ECP256"),
                    quick_mode=pb.QuickMode(cipher="GCMAES128", authentication="GCMAES128", pfs="None"),
                ),
            )
        ],
        bgp=pb.BgpRouter(
            asn=64512,
            router_id="10.0.2.2",
            networks=["10.0.0.0/24", "10.0.1.0/24"],
            peers=[
                pb.BgpPeer(name=f"{tenant}-hq", address="192.168.50.1", asn=64521, hold_time_s=HOLD_TIME_S)
            ],
        ),
    )


@dataclass
class World:
    """The namespaces and processes of one test module.

    Attributes:
        folder: everything stands below it.
        pins: of the gateway's front end.
        pids: processes that we started, by name.
    """

    folder: Path
    pins: Path = field(default_factory=lambda: BPFFS / f"hnvt-{uuid.uuid4().hex[:8]}")
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    version: int = 0

    def path(self, name: str) -> Path:
        """Where a namespace stands."""
        return self.folder / "netns" / name

    def command(self, name: str, *words: str) -> list[str]:
        """A command, to be run in a namespace."""
        return ["nsenter", f"--net={self.path(name)}", *words]

    def run(self, name: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in a namespace to its end."""
        ended = subprocess.run(self.command(name, *words), capture_output=True, text=True, check=False)
        assert not check or ended.returncode == 0, f"{name}: {words}: {ended.stdout}{ended.stderr}"
        return ended

    def pings(self, name: str, target: str, *options: str) -> bool:
        """Whether one ping is answered."""
        return self.run(name, "ping", "-c1", "-W1", *options, target, check=False).returncode == 0

    @contextmanager
    def piped(self, name: str, *words: str) -> Iterator[subprocess.Popen[str]]:
        """A process in a namespace whose output the test reads; it does not outlive the test."""
        with subprocess.Popen(self.command(name, *words), stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def served(self, name: str, program: str) -> Iterator[subprocess.Popen[str]]:
        """A Python program in a namespace, which writes a line when it listens."""
        with self.piped(name, sys.executable, "-c", program) as server:
            assert server.stdout
            assert server.stdout.readline(), program
            yield server

    @contextmanager
    def undisturbed(
        self, tenant: str, interval_s: float = 0.02, target: str = "192.168.50.10"
    ) -> Iterator[None]:
        """Traffic from a tenant's VM to its site, of which no packet may be lost meanwhile.

        Raises:
            AssertionError: some were.
        """
        eventually(lambda: self.settled(tenant, target), SETTLED_S)
        with self.piped(f"vm-{tenant}", "ping", "-q", "-i", str(interval_s), target) as pinging:
            yield
            pinging.send_signal(signal.SIGINT)
            said = pinging.communicate(timeout=10)[0]
        sent, received = (int(number) for number in re.findall(r"(\d+) (?:packets|received)", said))
        # The last one may be on its way when ping is told to end.
        assert sent > 10, f"{tenant}: {said}"
        assert sent - received <= 1, f"{tenant}: {said}"

    def settled(self, tenant: str, target: str) -> None:
        """Assert that a tenant's BGP has nothing left to say, and that its site is reached.

        After an outage TCP waits longer and longer before it tries again: a session may fall, and take its
        routes along, seconds after its tunnel has come back.
        """
        ours = bgp_connections(self.inside(tenant, *BGP_SESSIONS).stdout)
        theirs = [
            found
            for router in self.routers(tenant)
            for found in bgp_connections(self.run(router, *BGP_SESSIONS).stdout)
        ]
        assert {(a, b) for a, b, _ in ours} == {(b, a) for a, b, _ in theirs}, (ours, theirs)
        assert not [state for *_, state in (*ours, *theirs) if re.search(r"\b(unacked|backoff):", state)]
        assert self.pings(f"vm-{tenant}", target)

    def routers(self, tenant: str) -> list[str]:
        """Namespaces of the routers at a tenant's sites."""
        return [path.name for path in (self.folder / "netns").iterdir() if path.name == f"site-{tenant}"]

    def start(self, key: str, name: str, *words: str) -> None:
        """Start a process in a namespace; its output goes to a file."""
        with (self.folder / f"{key}.log").open("ab") as log:
            self.processes[key] = subprocess.Popen(
                self.command(name, *words), stdout=log, stderr=log, start_new_session=True
            )

    def end(self, key: str, number: int = signal.SIGTERM) -> None:
        """End a process that `start` started."""
        process = self.processes.pop(key)
        process.send_signal(number)
        process.wait(20)

    def log(self, key: str) -> str:
        """What a process has said so far."""
        return (self.folder / f"{key}.log").read_text(errors="replace")

    # -- the network ---

    def wire(self, one: str, interface: str, other: str, peer: str) -> None:
        """A veth pair between two namespaces, up."""
        words = ("name", peer, "netns", str(self.path(other)))
        self.run(one, "ip", "link", "add", interface, "type", "veth", "peer", *words)
        self.run(one, "ip", "link", "set", interface, "up")
        self.run(other, "ip", "link", "set", peer, "up")

    def address(self, name: str, interface: str, *addresses: str) -> None:
        """Addresses on an interface."""
        for address in addresses:
            self.run(name, "ip", "address", "add", address, "dev", interface)

    def build(self) -> None:
        """All namespaces, links, addresses and routes."""
        tenants = tuple(RDIDS)
        names = [f"{kind}-{tenant}" for kind in ("vm", "site", "lan") for tenant in tenants]
        for name in ("gateway", "internet", *names):
            Namespace(self.path(name)).ensure()
            self.run(name, "ip", "link", "set", "lo", "up")
        for name in ("internet", "site-blue", "site-red"):
            self.run(name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.wire("gateway", "fe0", "internet", "gw0")
        self.address("gateway", "fe0", "203.0.113.5/24", f"{VIP}/32")
        self.address("internet", "gw0", "203.0.113.1/24")
        self.run("gateway", "ip", "route", "add", "default", "via", "203.0.113.1")
        for tenant in tenants:
            site, lan, machine = f"site-{tenant}", f"lan-{tenant}", f"vm-{tenant}"
            self.wire(site, "wan0", "internet", f"s-{tenant}")
            self.address(site, "wan0", f"{WAN[tenant]}/30")
            self.address("internet", f"s-{tenant}", f"{INTERNET[tenant]}/30")
            self.run(site, "ip", "route", "add", "default", "via", INTERNET[tenant])
            self.wire(site, "lan0", lan, "eth0")
            self.address(site, "lan0", "192.168.50.1/24")
            self.address(lan, "eth0", "192.168.50.10/24")
            self.run(lan, "ip", "route", "add", "default", "via", "192.168.50.1")
            self.wire("gateway", f"x-{tenant}", machine, "eth0")
            self.address(machine, "eth0", "10.0.2.1/29")
            self.address(machine, "lo", "10.0.0.4/32")
            self.run(machine, "ip", "route", "add", "default", "via", "10.0.2.2", "src", "10.0.0.4")

    def configure_site(self, tenant: str, offers: str = "192.168.50.0/24", **more: Any) -> Path:
        """Write a site's configuration; its daemons read it when they start."""
        site = SiteConfig(
            name=f"{tenant}-hq",
            lan_prefix=offers,
            lan_router="192.168.50.1",
            wan_address=WAN[tenant],
            vip=VIP,
            shared_secret=f"{tenant}-secret",
            local_asn=64521,
            peer_asn=64512,
            compartment_address="10.0.2.2",
            router_id="192.168.50.1",
            hold_time_s=HOLD_TIME_S,
        )
        site = replace(site, **more)
        path = self.folder / f"site-{tenant}" / "site.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(site.to_json())
        return path

    def start_site(self, tenant: str, **more: Any) -> None:
        """The site's supervisor with the services that its image has.

        Parameters:
            more: of its `SiteConfig`.
        """
        path = self.configure_site(tenant, **more)
        folder = path.parent
        scan = folder / "service"
        scan.mkdir()
        for service, word in (("charon", "charon"), ("exabgp", "exabgp"), ("onprem", "run")):
            (scan / service).mkdir()
            run = scan / service / "run"
            run.write_text(
                f"#!/bin/sh\nexec 2>&1\nexec {sys.executable} -m lab.onprem"
                f" --site {path} --state {folder}/state {word}\n"
            )
            run.chmod(0o755)
        self.start(f"site-{tenant}", f"site-{tenant}", "s6-svscan", str(scan))

    def service(self, node: str, name: str, option: str) -> None:
        """s6-svc on a service of "gateway" or "site-TENANT", waiting for what the option asks."""
        wait = {"d": "-wD", "u": "-wu", "r": "-wr"}.get(option)
        words = [wait, "-T", "10000"] if wait else []
        subprocess.run(
            ["s6-svc", *words, f"-{option}", str(self.folder / node / "service" / name)], check=True
        )

    def service_pid(self, node: str, name: str) -> int:
        """Process id of a supervised daemon; 0: it is down."""
        link = self.folder / node / "service" / name
        words = ["s6-svstat", "-o", "pid", str(link)]
        return max(0, int(subprocess.run(words, capture_output=True, check=True).stdout))

    # -- the gateway ---

    def start_gateway(self) -> None:
        """The gateway's supervisor, and its agent with an empty goal state."""
        folder = self.folder / "gateway"
        (folder / "service").mkdir(parents=True)
        settings = {
            "lab": "test",
            "transit": "100.64.0.0/16",
            "namespaces": str(self.folder / "compartments"),
            "scan": str(folder / "service"),
            "definitions": str(folder / "definitions"),
            "state": str(folder / "state"),
            "pins": str(self.pins),
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        self.start("gateway", "gateway", "s6-svscan", str(folder / "service"))

    def start_agent(self) -> None:
        """The gateway's agent."""
        self.start("agent", "gateway", sys.executable, str(DRIVER), str(self.folder / "gateway"))

    def apply(self, *compartments: pb.Compartment) -> None:
        """Give the agent a new goal state; it answers in its own time."""
        self.version += 1
        delta = pb.GoalStateDelta(version=self.version, snapshot=True, upserts=map(record, compartments))
        fresh = self.folder / "gateway" / "goal.new"
        fresh.write_bytes(delta.SerializeToString())
        fresh.rename(fresh.with_name("goal"))

    def answer(self) -> Mapping[str, Any]:
        """The agent's answer to the latest goal state."""
        answer: dict[str, Any] = self._read("answer")
        assert answer.get("version") == self.version, f"{answer}\n{self.log('agent')[-2000:]}"
        return answer

    def report(self) -> Mapping[str, Any]:
        """The agent's latest report."""
        return self._read("report")

    def connection(self, tenant: str) -> Mapping[str, Any]:
        """What the report says about a tenant's connection; empty: nothing."""
        found = [i for i in self.report().get("connections", []) if i["rdid"] == RDIDS[tenant]]
        return found[0] if found else {}

    def peer(self, tenant: str) -> Mapping[str, Any]:
        """What the report says about a tenant's BGP peer; empty: nothing."""
        found = [i for i in self.report().get("bgp_peers", []) if i["rdid"] == RDIDS[tenant]]
        return found[0] if found else {}

    def learned(self, tenant: str) -> list[str] | None:
        """Prefixes that the report says BGP learned; None: the report does not know."""
        found = [i for i in self.report().get("learned_routes", []) if i["rdid"] == RDIDS[tenant]]
        return [route["prefix"] for route in found[0].get("routes", [])] if found else None

    def inside(self, tenant: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in a tenant's compartment."""
        path = self.folder / "compartments" / tenant
        ended = subprocess.run(
            ["nsenter", f"--net={path}", *words], capture_output=True, text=True, check=False
        )
        assert not check or ended.returncode == 0, (
            f"compartment {tenant}: {words}: {ended.stdout}{ended.stderr}"
        )
        return ended

    def _read(self, name: str) -> dict[str, Any]:
        path = self.folder / "gateway" / name
        if not path.exists():
            return {}
        content: dict[str, Any] = json.loads(path.read_text())
        return content

    def close(self) -> None:
        """End every process of ours and every namespace."""
        if "agent" in self.processes:
            self.end("agent", signal.SIGKILL)
        for key in list(self.processes):
            scan = self.folder / key / "service"
            for link in scan.iterdir():
                if not link.name.startswith("."):
                    subprocess.run(
                        ["s6-svc", "-wD", "-T", "5000", "-xd", str(link)], check=False, capture_output=True
                    )
            subprocess.run(["s6-svscanctl", "-t", str(scan)], check=True)
            self.processes.pop(key).wait(20)
        shutil.rmtree(self.pins, ignore_errors=True)
        for folder in ("compartments", "netns"):
            for path in (self.folder / folder).glob("*"):
                Namespace(path).remove()


def bgp_connections(listed: str) -> list[tuple[str, str, str]]:
    """Own end, other end and state of each TCP connection that `BGP_SESSIONS` lists."""
    words = (line.split(maxsplit=4) for line in listed.splitlines())
    return [(own, other, state) for _, _, own, other, state in words]


def kill(pid: int) -> None:
    """As `kill -9` does."""
    os.kill(pid, signal.SIGKILL)
