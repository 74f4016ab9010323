"""Two tenants with the same addresses behind NAT, in namespaces: everything but the overlay.

vm1-blue  vm2-blue          10.0.0.4, 10.0.1.5; red's are the same
       \\  /
    router-blue             the distributed router: 10.0.2.1
        | hnv0 10.0.2.2
     comp-blue              the compartment, which translates to 203.0.113.20 (red: .21)
        | nat0 100.64.0.1   (red: 100.64.0.3)
      gateway               fe0 203.0.113.5
        |
      internet              203.0.113.1
        |
      server                198.51.100.10 and 192.0.2.10
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Address, IPv4Network

from gwnode.nat import SYSCTLS, Nat, forward_rules, nat, nat_items
from gwnode.nat_front import MARK, RULE_PRIORITY, TABLE, Leg, leg_items, leg_routes
from gwnode.nat_front import SYSCTLS as FRONT_SYSCTLS
from gwnode.nat_sessions import NatSession, end_stale_sessions, sessions
from gwnode.netns import set_sysctl
from gwnode.nft import chain, replace_table
from gwnode.transit import Transit
from lab.model.internet import NEVER_OUTSIDE
from lab.southbound import southbound_pb2 as pb

from .netns import Namespace, namespaces

TENANTS = ("blue", "red")
PUBLIC = {"blue": "203.0.113.20", "red": "203.0.113.21"}
INSIDE = (IPv4Network("10.0.0.0/24"), IPv4Network("10.0.1.0/24"))
VM1, VM2, SERVER, PARTNER = "10.0.0.4", "10.0.1.5", "198.51.100.10", "192.0.2.10"
ROUTER = IPv4Address("203.0.113.1")
PORTS = FIRST_PORT, LAST_PORT = 40000, 40999
PROTECTED = (*NEVER_OUTSIDE, IPv4Network("100.64.0.0/16"))

WEB = pb.NatMapping(name="web", protocol="tcp", external_port=8080, internal_address=VM1, internal_port=80)
DNS = pb.NatMapping(name="dns", protocol="udp", external_port=53, internal_address=VM1)
SHELL = pb.NatMapping(
    name="shell",
    protocol="tcp",
    external_port=22,
    internal_address=VM2,
    remote_prefix="192.0.2.0/24",
)


def transit(number: int) -> Transit:
    """Of the tenant of that number."""
    return Transit(IPv4Network(f"100.64.0.{2 * number}/31"))


class NatWorld:
    """The namespaces, by short name, and what the agent would do with them."""

    def __init__(self, made: dict[str, Namespace]) -> None:
        self.at = made
        self.legs = [
            Leg(
                tenant,
                f"n-{tenant}",
                IPv4Address(PUBLIC[tenant]),
                transit(number),
            )
            for number, tenant in enumerate(TENANTS)
        ]

    def wire(self, one: str, interface: str, other: str, peer: str) -> None:
        """A veth pair between two namespaces, up."""
        self.at[one].ip(f"link add {interface} type veth peer name {peer} netns {self.at[other].name}")
        self.at[one].ip(f"link set {interface} up")
        self.at[other].ip(f"link set {peer} up")

    def build(self) -> None:
        """Links, addresses, routes, and the default compartment's rules."""
        at = self.at
        for name in ("gateway", "internet", *(f"{n}-{t}" for t in TENANTS for n in ("router", "comp"))):
            at[name].call(lambda: set_sysctl("net/ipv4/ip_forward", "1"))
        # Two neighbours behind one gateway are not to be told of each other.
        at["internet"].call(partial(set_sysctl, "net/ipv4/conf/all/send_redirects", "0"))
        at["internet"].call(partial(set_sysctl, "net/ipv4/conf/default/send_redirects", "0"))
        self.wire("gateway", "fe0", "internet", "gw0")
        self.wire("server", "eth0", "internet", "srv0")
        at["gateway"].ip("address add 203.0.113.5/24 dev fe0")
        at["internet"].ip(f"address add {ROUTER}/24 dev gw0")
        at["internet"].ip("address add 198.51.100.1/24 dev srv0")
        at["server"].ip(f"address add {SERVER}/24 dev eth0")
        at["server"].ip(f"address add {PARTNER}/32 dev lo")
        at["server"].ip("route add default via 198.51.100.1")
        at["internet"].ip(f"route add {PARTNER}/32 via {SERVER}")
        for leg in self.legs:
            self._build_tenant(leg)
        self._build_front_end()

    def _build_tenant(self, leg: Leg) -> None:
        at, tenant = self.at, leg.tenant
        router, comp = f"router-{tenant}", f"comp-{tenant}"
        for number, address, gateway in ((1, VM1, "10.0.0.1"), (2, VM2, "10.0.1.1")):
            machine = f"vm{number}-{tenant}"
            self.wire(machine, "eth0", router, f"vm{number}")
            at[machine].ip(f"address add {address}/24 dev eth0")
            at[router].ip(f"address add {gateway}/24 dev vm{number}")
            at[machine].ip(f"route add default via {gateway}")
        self.wire(comp, "hnv0", router, "gw0")
        at[router].ip("address add 10.0.2.1/29 dev gw0")
        at[router].ip("route add default via 10.0.2.2")
        at[comp].ip("address add 10.0.2.2/29 dev hnv0")
        for prefix in INSIDE:
            at[comp].ip(f"route add {prefix} via 10.0.2.1")
        self.wire("gateway", leg.device, comp, "nat0")
        at["gateway"].ip(f"address add {leg.transit.outer}/31 dev {leg.device}")
        at[comp].ip(f"address add {leg.transit.inner}/31 dev nat0")
        at[comp].ip(f"route add default via {leg.transit.outer}")
        for name, value in SYSCTLS.items():
            at[comp].call(partial(set_sysctl, name, value))

    def _build_front_end(self) -> None:
        gateway = self.at["gateway"]
        for route in leg_routes(self.legs, "fe0", ROUTER):
            gateway.ip(f"route add {route.prefix} via {route.via} dev {route.device} table {route.table}")
        gateway.ip(f"rule add priority {RULE_PRIORITY} fwmark {MARK} table {TABLE}")
        for leg in self.legs:
            gateway.ip(f"neighbour add proxy {leg.public} dev fe0")
        for name, value in FRONT_SYSCTLS.items():
            gateway.call(partial(set_sysctl, name.format(front_end="fe0"), value))
        items = [
            chain("forward", "filter", "forward", 0, "drop"),
            chain("input", "filter", "input", 0),
            *leg_items(self.legs, "fe0", (IPv4Network("172.16.0.0/12"), IPv4Network("100.64.0.0/16"))),
        ]
        gateway.call(lambda: replace_table(items))

    def connection(self, tenant: str, *mappings: pb.NatMapping, ports: tuple[int, int] = PORTS) -> Nat:
        """A tenant's NAT connection with these mappings."""
        first, last = ports
        wanted = pb.Nat(public_address=PUBLIC[tenant], port_first=first, port_last=last, mappings=mappings)
        return nat(f"compartment/{tenant}", pb.Connection(name="internet", nat=wanted), "nat0", INSIDE)

    def apply(self, tenant: str, *mappings: pb.NatMapping, ports: tuple[int, int] = PORTS) -> int:
        """Have a tenant's NAT connection; how many sessions that ended."""
        item = self.connection(tenant, *mappings, ports=ports)
        items = [
            chain("forward", "filter", "forward", 0, "drop"),
            *nat_items(item, PROTECTED),
            *forward_rules(item),
            chain("input", "filter", "input", 0, "drop"),
        ]

        def inside() -> int:
            replace_table(items)
            return end_stale_sessions(item)

        return self.at[f"comp-{tenant}"].call(inside)

    def sessions(self, tenant: str) -> list[NatSession]:
        """What the compartment tells of a tenant's sessions."""
        item = self.connection(tenant)
        return self.at[f"comp-{tenant}"].call(lambda: sessions(item))

    # -- traffic ---

    def open(self, name: str, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        """A socket that lives in a namespace."""
        made = self.at[name].call(lambda: socket.socket(socket.AF_INET, kind, protocol))
        made.settimeout(3)
        return made

    @contextmanager
    def bound(
        self, name: str, address: str, port: int, kind: int = socket.SOCK_STREAM
    ) -> Iterator[socket.socket]:
        """A socket at an address, listening if it is TCP's."""
        with self.open(name, kind) as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port))
            if kind == socket.SOCK_STREAM:
                made.listen()
            yield made

    @contextmanager
    def overheard(self, name: str, device: str) -> Iterator[socket.socket]:
        """IPv4 packets that arrive at a device, from the IP header on."""
        kind = (socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        with self.at[name].call(lambda: socket.socket(*kind)) as made:
            made.bind((device, 0x0800))
            made.settimeout(3)
            yield made

    @contextmanager
    def dialled(
        self, name: str, listener: socket.socket, target: tuple[str, int], source: tuple[str, int] = ("", 0)
    ) -> Iterator[tuple[socket.socket, socket.socket, tuple[str, int]]]:
        """A TCP connection: the caller's end, the other end, and whom that one sees."""
        with self.open(name) as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            caller.bind(source)
            caller.connect(target)
            answered, seen = listener.accept()
            answered.settimeout(3)
            with answered:
                talk(caller, answered)
                yield caller, answered, seen

    def refused(self, name: str, target: tuple[str, int], source: str = "") -> bool:
        """Whether nothing answers a TCP call, not even with a refusal."""
        with self.open(name) as caller:
            caller.settimeout(0.6)
            caller.bind((source, 0))
            try:
                caller.connect(target)
            except TimeoutError:
                return True
            return False

    def pings(self, name: str, target: str) -> bool:
        """Whether one ping is answered."""
        return self.at[name].run(f"ping -c1 -W1 {target}", check=False).returncode == 0


def talk(one: socket.socket, other: socket.socket) -> None:
    """Something each way over a connection that stands."""
    for sender, receiver in ((one, other), (other, one)):
        sender.sendall(b"hello")
        assert receiver.recv(5, socket.MSG_WAITALL) == b"hello"


@contextmanager
def nat_world() -> Iterator[NatWorld]:
    """The world, without any tenant's NAT connection."""
    per_tenant = [f"{name}-{tenant}" for tenant in TENANTS for name in ("vm1", "vm2", "router", "comp")]
    with namespaces("gateway", "internet", "server", *per_tenant) as made:
        world = NatWorld(made)
        world.build()
        yield world
