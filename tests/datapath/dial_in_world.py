"""Two tenants with the same addresses and the same pool, and road warriors on the internet, in namespaces.

      vm-blue    vm-red          10.0.0.4, the same for both
         |          |
      in-blue    in-red          compartments; each has its charon's TUN, vpn0
      ike-blue   ike-red         each charon's own namespace: 100.64.0.1 and .3
           \\      /
            gateway              203.0.113.21 is blue's, 203.0.113.22 red's: translated to the tenant's charon
               |
            internet
          |  |  |  |  |
      road warriors              198.51.100.2, .6, .10 ...

The gateway's side is what its agent will do, step by step; the road warriors run their own programs.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from gwnode.dial_in import HALF_OPEN_S, PLUGINS, source_rules
from gwnode.netns import Namespace
from gwnode.nft import chain, replace_table
from lab.engine.pki import NodeTls, Pki
from lab.ipsec.accounting import Accounting, AccountingEvent
from lab.ipsec.charon import Charon
from lab.ipsec.clients import DialInState
from lab.ipsec.device import TUNNEL_MTU
from lab.ipsec.dial_in import DialInServer
from lab.ipsec.esp import EspBackend, detect_backend
from lab.ipsec.handover import hand_over, selector_addresses
from lab.ipsec.strongswan import CharonConfig, render
from lab.model.roadwarrior import RoadWarriorConfig

from .gateway_world import kill

POOL = IPv4Network("10.99.0.0/24")
SUBNET = IPv4Network("10.0.0.0/24")
VM = "10.0.0.4"
DNS = "10.0.0.53"
CONNECTION = "dial-in"
DEVICE = "vpn0"
PUBLIC = {"blue": "203.0.113.21", "red": "203.0.113.22"}
TRANSIT = {"blue": ("100.64.0.0", "100.64.0.1"), "red": ("100.64.0.2", "100.64.0.3")}
CALLERS = ("alice", "bob", "laptop", "stranger", "carol", "dave")
USERS = {
    "blue": {"alice": "blue-alice", "bob": "blue-bob"},
    "red": {"carol": "red-carol", "dave": "red-dave", "alice": "red-alice"},
}


@dataclass
class Server:
    """One tenant's dial-in server: the gateway's share of it, in this process."""

    world: World
    tenant: str
    desired: DialInServer
    charon: Charon = field(init=False)
    records: list[AccountingEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = self.world.folder / f"server-{self.tenant}"
        self.folder.mkdir()
        self._accounting = Accounting()
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None
        self.daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """charon, and who drives it."""
        self.start_charon()
        self.start_driver()

    def start_driver(self) -> None:
        """Who drives charon, with nothing known of any run before."""
        self.charon = Charon(self.folder / "vici", self.folder / "causes")
        self._stop.clear()
        self.apply(self.desired)
        self._watcher = threading.Thread(
            target=self.charon.watch, args=(self._stop, self._on_attach, self._on_look), daemon=True
        )
        self._watcher.start()

    def stop_driver(self) -> None:
        """As when the gateway's agent ends; charon goes on."""
        self._stop.set()
        if self._watcher:
            self._watcher.join()

    def start_charon(self) -> None:
        config = CharonConfig(
            vici_socket=self.folder / "vici",
            log=self.folder / "causes",
            backend=EspBackend.LIBIPSEC,
            interfaces=("fe0",),
            half_open_s=HALF_OPEN_S,
            plugins=PLUGINS,
        )
        (self.folder / "strongswan.conf").write_text(render(config))
        words = ("env", f"STRONGSWAN_CONF={self.folder}/strongswan.conf", "charon-systemd")
        self.daemon = self.world.start(f"server-{self.tenant}", f"ike-{self.tenant}", *words)

    def kill_charon(self) -> None:
        """As a crash would."""
        assert self.daemon
        kill(self.daemon.pid)
        self.daemon.wait(20)

    def apply(self, desired: DialInServer) -> None:
        """A new goal state."""
        self.desired = desired
        self.charon.apply({CONNECTION: desired})

    @property
    def state(self) -> DialInState:
        return self.charon.servers[CONNECTION]

    def ids(self) -> dict[str, str]:
        """charon's own numbers of the CHILD_SAs that stand, by user."""
        return {client.user: ",".join(client.tunnel.children) for client in self.state.clients.values()}

    def users(self) -> set[str]:
        """Who is connected."""
        return {client.user for client in self.state.clients.values()}

    def address(self, user: str) -> str:
        """Where a caller is, out of the pool."""
        found = [client.address for client in self.state.clients.values() if client.user == user]
        assert len(found) == 1, (user, self.state)
        return found[0]

    def _on_attach(self) -> None:
        """charon's device goes to the compartment before anything is loaded."""
        inside = Namespace(self.world.path(f"in-{self.tenant}"))
        with inside.path.open() as target:
            Namespace(self.world.path(f"ike-{self.tenant}")).run(lambda: self._hand_over(target.fileno()))
        self.world.run(f"in-{self.tenant}", "ip", "link", "set", DEVICE, "up", "mtu", str(TUNNEL_MTU))
        self.world.run(f"in-{self.tenant}", "ip", "route", "replace", str(POOL), "dev", DEVICE)

    @staticmethod
    def _hand_over(target: int) -> None:
        with IPRoute() as kernel:
            hand_over(kernel, target, DEVICE)

    def _on_look(self, changed: bool) -> None:
        self.records += self._accounting.update(self.state.clients, time.time(), 1)

    def close(self) -> None:
        """End both."""
        self.stop_driver()
        if self.daemon and self.daemon.poll() is None:
            self.daemon.terminate()
            self.daemon.wait(20)


@dataclass
class World:
    """The namespaces and processes of one test module."""

    folder: Path
    callers: Collection[str] = CALLERS
    servers: dict[str, Server] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    identities: dict[str, NodeTls] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Where a namespace stands."""
        return self.folder / "netns" / name

    def command(self, name: str, *words: str) -> list[str]:
        """A command, to be run in a namespace."""
        return ["nsenter", f"--net={self.path(name)}", *words]

    def run(self, name: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in a namespace to its end."""
        ended = subprocess.run(
            self.command(name, *words), capture_output=True, text=True, check=False, timeout=30
        )
        assert not check or ended.returncode == 0, f"{name}: {words}: {ended.stdout}{ended.stderr}"
        return ended

    def start(self, key: str, name: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a process in a namespace; its output goes to a file."""
        with (self.folder / f"{key}.log").open("ab") as log:
            return subprocess.Popen(
                self.command(name, *words), stdout=log, stderr=log, start_new_session=True
            )

    def pings(self, name: str, target: str, *options: str) -> bool:
        """Whether one ping is answered."""
        return self.run(name, "ping", "-c1", "-W1", *options, target, check=False).returncode == 0

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
        """All namespaces, links, addresses, routes, and the front end's translation."""
        kinds = [f"{kind}-{tenant}" for kind in ("vm", "in", "ike") for tenant in PUBLIC]
        for name in ("gateway", "internet", *kinds, *self.callers):
            Namespace(self.path(name)).ensure()
            self.run(name, "ip", "link", "set", "lo", "up")
        for name in ("gateway", "internet", "in-blue", "in-red"):
            self.run(name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.wire("gateway", "fe0", "internet", "gw0")
        self.address("gateway", "fe0", "203.0.113.5/24", *(f"{public}/32" for public in PUBLIC.values()))
        self.address("internet", "gw0", "203.0.113.1/24")
        self.run("gateway", "ip", "route", "add", "default", "via", "203.0.113.1")
        for tenant in PUBLIC:
            self._build_tenant(tenant)
        for number, caller in enumerate(self.callers):
            first = IPv4Address("198.51.100.0") + 4 * number
            self.wire(caller, "wan0", "internet", f"c-{caller}")
            self.address("internet", f"c-{caller}", f"{first + 1}/30")
            self.address(caller, "wan0", f"{first + 2}/30")
            self.run(caller, "ip", "route", "add", "default", "via", str(first + 1))
        names: dict[str, list[str | IPv4Address]] = {name: [] for name in ("vpn.blue", "vpn.red", "laptop")}
        self.identities.update(Pki(self.folder / "pki").ensure("test", names))
        strange = Pki(self.folder / "strange").ensure("strange", {"stranger": [], "vpn.blue": []})
        self.identities["stranger"] = strange["stranger"]

    def _build_tenant(self, tenant: str) -> None:
        ike, inside, machine = f"ike-{tenant}", f"in-{tenant}", f"vm-{tenant}"
        outer, inner = TRANSIT[tenant]
        self.wire("gateway", f"c-{tenant}", ike, "fe0")
        self.address("gateway", f"c-{tenant}", f"{outer}/31")
        self.address(ike, "fe0", f"{inner}/31")
        self.address(ike, "lo", *selector_addresses([SUBNET]))
        self.run(ike, "ip", "route", "add", "default", "via", outer)
        self.wire(inside, "hnv0", machine, "eth0")
        self.address(inside, "hnv0", "10.0.2.2/29")
        self.run(inside, "ip", "route", "add", str(SUBNET), "via", "10.0.2.1")
        self.address(machine, "eth0", "10.0.2.1/29")
        self.address(machine, "lo", f"{VM}/32")
        self.run(machine, "ip", "route", "add", "default", "via", "10.0.2.2", "src", VM)
        rules = [chain("forward", "filter", "forward", 0), *source_rules("forward", DEVICE, POOL)]
        Namespace(self.path(inside)).run(lambda: replace_table(rules))
        translate = (
            "add table ip test; add chain ip test in { type nat hook prerouting priority -100; };"
            f"add rule ip test in iifname fe0 ip daddr {PUBLIC[tenant]} udp dport {{ 500, 4500 }}"
            f" dnat to {inner}"
        )
        self.run("gateway", "nft", translate)

    # -- the gateway ---

    def server(self, tenant: str, **values: Any) -> DialInServer:
        """A tenant's server as its goal state says."""
        own = self.identities[f"vpn.{tenant}"]
        wanted = DialInServer(
            name=CONNECTION,
            local=TRANSIT[tenant][1],
            identity=f"vpn.{tenant}",
            certificate=own.certificate.decode(),
            key=own.key.decode(),
            pool=POOL,
            subnets=(SUBNET,),
            backend=EspBackend.LIBIPSEC,
            users=USERS[tenant],
            authority=own.ca.decode(),
            dns=(IPv4Address(DNS),),
        )
        return replace(wanted, **values)

    def start_server(self, tenant: str, **values: Any) -> Server:
        """A tenant's charon, its device handed over."""
        server = Server(self, tenant, self.server(tenant, **values))
        self.servers[tenant] = server
        server.start()
        return server

    # -- road warriors ---

    def call(self, caller: str, tenant: str, **values: Any) -> None:
        """Start a road warrior's two services."""
        assert detect_backend() is EspBackend.LIBIPSEC
        folder = self.folder / f"caller-{caller}"
        folder.mkdir(exist_ok=True)
        # What a machine has of its own name servers stays.
        (folder / "resolv.conf").write_text("search example.net\nnameserver 198.51.100.53\n")
        (folder / "vpn.json").unlink(missing_ok=True)
        config = RoadWarriorConfig(
            name=caller,
            server=PUBLIC[tenant],
            server_id=f"vpn.{tenant}",
            authority=self.identities[f"vpn.{tenant}"].ca.decode(),
            **values,
        )
        (folder / "config.json").write_text(config.to_json())
        for service in ("charon", "run"):
            self.start_service(caller, service)

    def start_service(self, caller: str, service: str) -> None:
        """One of a road warrior's services."""
        folder = self.folder / f"caller-{caller}"
        self.processes[f"{caller}-{service}"] = self.start(
            f"{caller}-{service}",
            caller,
            *(sys.executable, "-m", "lab.roadwarrior", "--config", f"{folder}/config.json"),
            *("--state", str(folder), "--resolver", f"{folder}/resolv.conf", service),
        )

    def kill_service(self, caller: str, service: str) -> None:
        """As a crash would."""
        process = self.processes.pop(f"{caller}-{service}")
        kill(process.pid)
        process.wait(20)

    def hang_up(self, caller: str) -> None:
        """End a road warrior's services as a machine that is switched off properly does."""
        for service in ("charon", "run"):
            self.end_service(caller, service)

    def end_service(self, caller: str, service: str) -> None:
        """One of them, if it runs."""
        process = self.processes.pop(f"{caller}-{service}", None)
        if process:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise

    def seen(self, caller: str) -> dict[str, Any]:
        """What a road warrior says of his connection."""
        path = self.folder / f"caller-{caller}" / "vpn.json"
        content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return content

    def resolver(self, caller: str) -> str:
        """A road warrior's resolv.conf."""
        return (self.folder / f"caller-{caller}" / "resolv.conf").read_text()

    def by_password(self, caller: str, tenant: str, user: str = "", password: str = "") -> None:
        """Call with a user name and a password; the right ones, if none are given."""
        user = user or caller
        self.call(caller, tenant, user=user, password=password or USERS[tenant][user])

    def by_certificate(self, caller: str, tenant: str) -> None:
        """Call with the certificate of the caller's name."""
        own = self.identities[caller]
        self.call(caller, tenant, certificate=own.certificate.decode(), key=own.key.decode())

    def close(self) -> None:
        """End every process of ours and every namespace."""
        with ExitStack() as closing:
            for path in (self.folder / "netns").glob("*"):
                closing.callback(Namespace(path).remove)
            for server in self.servers.values():
                closing.callback(server.close)
            for key in list(self.processes):
                closing.callback(self.end_service, *key.rsplit("-", 1))
