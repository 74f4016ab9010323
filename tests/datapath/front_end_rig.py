"""A front end on the kernel's test bench: real programs and maps, frames by BPF_PROG_TEST_RUN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.packet import Packet

from lab.datapath.access_port import AccessPorts
from lab.datapath.build import FRONT_END_SOURCE
from lab.datapath.devices import find_devices
from lab.datapath.front_end import FrontEnd, FrontEndCounters, GreLeg, VlanLeg
from lab.datapath.front_end_abi import FrontEndDrop
from lab.datapath.programs import Program, SkBuff

from .netns import Namespace, namespaces, pin_directory
from .switch_object import compiled

OK, SHOT, REDIRECT = 0, 2, 7
"""TC_ACT_ numbers."""
FE = "fe0"
FE_MAC, INNER_MAC = "02:00:00:00:fe:00", "02:00:00:00:c0:01"
LOCAL, REMOTE = IPv4Address("203.0.113.10"), IPv4Address("198.51.100.20")
OTHER_LOCAL = IPv4Address("203.0.113.11")
"""Another of our own tunnels' addresses."""
RED_KEY, BLUE_KEY = 1234, 1235
RED_VLAN, BLUE_VLAN = 1001, 1002
LEG_MTU = 1500
RED = (GreLeg("g-red", INNER_MAC, LOCAL, REMOTE, RED_KEY), VlanLeg("v-red", RED_VLAN))
BLUE = (GreLeg("g-blue", INNER_MAC, LOCAL, REMOTE, BLUE_KEY), VlanLeg("v-blue", BLUE_VLAN))
FAR = GreLeg("g-far", INNER_MAC, OTHER_LOCAL, REMOTE, RED_KEY)
LEGS = (*RED, *BLUE, FAR)


@dataclass(frozen=True)
class Seen:
    """What became of a frame.

    Attributes:
        out: the interface that it went on to.
        drops: what has been counted: (interface, reason).
        crossed: of each leg, (packets in, octets in, packets out, octets out).
    """

    verdict: int
    out: str
    frame: bytes
    drops: tuple[tuple[str, FrontEndDrop], ...]
    crossed: Mapping[str, tuple[int, int, int, int]]


class FrontEndRig:
    """A gateway's front end and legs, with nobody at their far ends; `a0` is an access port."""

    def __init__(self, namespace: Namespace, pins: Path) -> None:
        self.namespace = namespace
        self._ifindex: dict[str, int] = {}
        namespace.call(lambda: Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1"))
        for name in (FE, *(leg.interface for leg in LEGS), "a0", "idle"):
            mac = f"address {FE_MAC}" if name == FE else ""
            namespace.ip(f"link add {name} mtu {LEG_MTU} arp off {mac} type veth peer name {name}-far")
            namespace.ip(f"link set {name}-far arp off up")
            namespace.ip(f"link set {name} up")
            self._ifindex[name] = namespace.ifindex(name)
        object_file = compiled(FRONT_END_SOURCE)
        self.front_end_pins = pins / "fe"
        self.front_end: FrontEnd = namespace.call(lambda: FrontEnd(FE, self.front_end_pins, object_file))
        self.access: AccessPorts = namespace.call(lambda: AccessPorts(pins / "access", object_file))
        namespace.call(lambda: self.front_end.apply(LEGS))
        namespace.call(lambda: self.access.apply({"a0": RED_VLAN}))
        self._before = self._counted()

    def mac(self, interface: str) -> str:
        """Of an interface of the gateway's."""
        return self.namespace.call(lambda: find_devices((interface,)))[interface].mac

    def wire(self, frame: bytes) -> Seen:
        """A frame that comes in at the front end."""
        return self._run(self.front_end.front_end, FE, frame)

    def leg(self, interface: str, frame: bytes) -> Seen:
        """A frame from a compartment."""
        return self._run(self.front_end.leg, interface, frame)

    def station(self, frame: bytes, interface: str = "a0") -> Seen:
        """A frame from the station at an access port."""
        return self._run(self.access.access_in, interface, frame)

    def bridge(self, frame: bytes, interface: str = "a0") -> Seen:
        """A frame that the bridge sends out of an access port."""
        return self._run(self.access.access_out, interface, frame)

    def close(self) -> None:
        """Let go of the kernel's objects."""
        self.namespace.call(self.front_end.close)
        self.namespace.call(self.access.close)

    def _counted(self) -> tuple[FrontEndCounters, FrontEndCounters]:
        return self.front_end.counters(), self.access.counters()

    def _run(self, program: Program, interface: str, frame: bytes) -> Seen:
        ifindex = self._ifindex[interface]
        run = self.namespace.call(lambda: program.test_run(frame, SkBuff(ifindex=ifindex)))
        drops: list[tuple[str, FrontEndDrop]] = []
        crossed: dict[str, tuple[int, int, int, int]] = {}
        now = self._counted()
        for before, after in zip(self._before, now, strict=True):
            for key, count in after.drops.items():
                drops += [key] * (count - before.drops.get(key, 0))
            for name, leg in after.legs.items():
                was = before.legs.get(name)
                if leg != was:
                    crossed[name] = (
                        leg.packets_in - (was.packets_in if was else 0),
                        leg.bytes_in - (was.bytes_in if was else 0),
                        leg.packets_out - (was.packets_out if was else 0),
                        leg.bytes_out - (was.bytes_out if was else 0),
                    )
        self._before = now
        out = {index: name for name, index in self._ifindex.items()}.get(run.context.cb[0], "")
        return Seen(run.verdict, out, b"" if run.verdict == SHOT else run.frame, tuple(drops), crossed)


@contextmanager
def front_end_rig() -> Iterator[FrontEndRig]:
    """A rig of this call's own."""
    with namespaces("gw") as made, pin_directory() as pins:
        built = FrontEndRig(made["gw"], pins)
        try:
            yield built
        finally:
            built.close()


def inner_packet(**ip: Any) -> Packet:
    """What a customer's site sends to a VM."""
    return IP(**{"src": "192.168.50.10", "dst": "10.0.0.4", "ttl": 63, **ip}) / UDP(dport=53) / b"payload"


def from_tunnel(
    inner: Packet, *, key: int = RED_KEY, gre: dict[str, Any] | None = None, mac: str = FE_MAC, **ip: Any
) -> Packet:
    """A GRE packet as the customer's end sends it."""
    header = IP(**{"src": str(REMOTE), "dst": str(LOCAL), "flags": "DF", **ip})
    fields = {"key_present": 1, "key": key, "proto": 0x0800, **(gre or {})}
    return Ether(dst=mac, src="02:00:00:00:00:99") / header / GRE(**fields) / inner


def tagged(payload: Packet, *vlans: int, kind: int = 0x8100, **ethernet: Any) -> Packet:
    """A frame with tags, the outermost first, of 802.1Q or 802.1ad."""
    frame: Packet = Ether(**{"dst": INNER_MAC, "src": "02:00:00:00:00:98", "type": kind, **ethernet})
    for number, vlan in enumerate(vlans):
        frame = frame / (Dot1Q(vlan=vlan, type=0x8100) if number + 1 < len(vlans) else Dot1Q(vlan=vlan))
    return frame / payload
