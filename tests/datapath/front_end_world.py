"""Gateways in namespaces: front ends on one wire, and compartments behind them.

red   blue                     red-site   blue-site
   |  |                               |  |
    gw  203.0.113.1, VIP .10 ------- site  203.0.113.2

Both tenants have the same addresses: 10.9.0.1 and .2 at `tunnel0` (GRE), 10.8.0.1 and .2 at `vlan0`; of IPv6
fd09::1 and ::2, fd08::1 and ::2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from lab.datapath.build import FRONT_END_SOURCE
from lab.datapath.devices import find_devices
from lab.datapath.front_end import GRE_OVERHEAD, ConnectionLeg, FrontEnd, GreLeg, VlanLeg

from .netns import Namespace, namespaces, pin_directory
from .switch_object import compiled

FE = "fe0"
FE_MTU = 1500
VIP, SITE = IPv4Address("203.0.113.10"), IPv4Address("203.0.113.2")
KEYS = {"red": 1234, "blue": 4294967295}
VLANS = {"red": 1001, "blue": 4094}


@dataclass
class Node:
    """A gateway, or a customer's end: a front end, and the legs that it has."""

    namespace: Namespace
    address: IPv4Address
    pins: Path
    legs: list[ConnectionLeg] = field(default_factory=list)
    front_end: FrontEnd = field(init=False)

    def start(self) -> None:
        """What the agent does first; again after its death."""
        self.front_end = self.namespace.call(lambda: FrontEnd(FE, self.pins, compiled(FRONT_END_SOURCE)))

    def stop(self) -> None:
        """What the death of the agent's process does: its descriptors are gone."""
        self.front_end.close()

    def apply(self) -> None:
        """Serve the legs, and open them."""
        self.namespace.call(lambda: self.front_end.apply(self.legs))
        for leg in self.legs:
            self.namespace.ip(f"link set {leg.interface} up")

    def plug_gre(
        self, inner: Namespace, name: str, remote: IPv4Address, key: int, device: str = "tunnel0"
    ) -> None:
        """A GRE connection for a compartment; the device has no address yet."""
        self._pair(inner, name, device)
        inner.ip(f"link set {device} mtu {FE_MTU - GRE_OVERHEAD} arp off up")
        mac = inner.call(lambda: find_devices((device,)))[device].mac
        self.legs.append(GreLeg(name, mac, self.address, remote, key))

    def plug_vlan(self, inner: Namespace, name: str, vlan: int, device: str = "vlan0") -> None:
        """An L3 connection for a compartment."""
        self._pair(inner, name, device)
        inner.ip(f"link set {device} up")
        self.legs.append(VlanLeg(name, vlan))

    def _pair(self, inner: Namespace, name: str, device: str) -> None:
        self.namespace.ip(f"link add {name} type veth peer name {device} netns {inner.name}")
        self.namespace.call(lambda: Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1"))


def join(one: Namespace, other: Namespace) -> None:
    """One wire between two front ends, which have the addresses that tunnels end at."""
    one.ip(f"link add {FE} mtu {FE_MTU} type veth peer name {FE} mtu {FE_MTU} netns {other.name}")
    one.ip(f"addr add 203.0.113.1/24 dev {FE}")
    one.ip(f"addr add {VIP}/32 dev {FE}")
    other.ip(f"addr add {SITE}/24 dev {FE}")
    for namespace in (one, other):
        namespace.ip(f"link set {FE} up")


@dataclass
class FrontEndWorld:
    """A gateway, its customers' ends, and both tenants' compartments (`red`, `red-site` …)."""

    gw: Node
    site: Node
    inside: dict[str, Namespace]


@contextmanager
def front_end_world() -> Iterator[FrontEndWorld]:
    """Two tenants, each with a GRE tunnel and a VLAN, all with the same addresses inside."""
    names = [f"{tenant}{end}" for tenant in KEYS for end in ("", "-site")]
    with namespaces("gw", "site", *names) as made, pin_directory() as pins:
        join(made["gw"], made["site"])
        gw, site = Node(made["gw"], VIP, pins / "gw"), Node(made["site"], SITE, pins / "site")
        for tenant in KEYS:
            for node, name, remote, last in ((gw, tenant, SITE, 1), (site, f"{tenant}-site", VIP, 2)):
                inner = made[name]
                node.plug_gre(inner, f"g-{tenant}", remote, KEYS[tenant])
                node.plug_vlan(inner, f"v-{tenant}", VLANS[tenant])
                inner.ip(f"addr add 10.9.0.{last}/24 dev tunnel0")
                inner.ip(f"addr add 10.8.0.{last}/24 dev vlan0")
                inner.ip(f"addr add fd09::{last}/64 dev tunnel0 nodad")
                inner.ip(f"addr add fd08::{last}/64 dev vlan0 nodad")
        for node in (gw, site):
            node.start()
            node.apply()
        try:
            yield FrontEndWorld(gw, site, {name: made[name] for name in names})
        finally:
            for node in (gw, site):
                node.stop()
