"""The rig with what tests of the switch's state need: access lists, IPv6 neighbours, the state itself."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from lab.datapath import abi
from lab.datapath.flows import FLOWS
from lab.datapath.image import DOMAINS
from lab.datapath.maps import Map
from lab.datapath.pins import map_pins
from lab.datapath.policy import AclRule, CustomerRoute, LookupRecord, Policy, Port, Subnet, SwitchSettings

from .model.outcome import FORWARD, Outcome
from .netns import namespaces, pin_directory
from .scenario import ALICE, BLUE, CAROL, FAR, OWN, ROUTER, from_wire, policy
from .switch_rig import Rig

EVE, FAY = "00:15:5d:0a:06:04", "00:15:5d:0a:06:06"
EVE6, FAY6 = "fd00:6::4", "fd00:6::6"
VSID6 = 5006
ALICE_PORT, BOB_PORT, GATEWAY_PORT, EVE_PORT = 0, 1, 2, 4
TCP, UDP, ICMP = 6, 17, 1


class StateBench:
    """A rig whose policy differs from test to test in ports and settings only.

    Attributes:
        maps: directory of the switch's maps.
    """

    def __init__(self, bench: Rig, maps: Path) -> None:
        self.rig = bench
        self.maps = maps

    def base(self) -> Policy:
        """The policy that the rule tests share, and an IPv6 subnet with Eve here and Fay far."""
        shared = policy(self.rig)
        ip = IPv6Address
        return replace(
            shared,
            subnets=(*shared.subnets, Subnet("s6", VSID6, BLUE, ip("fd00:6::1"), ROUTER)),
            lookups=(
                *shared.lookups,
                LookupRecord("l66", VSID6, ip(EVE6), EVE, IPv4Address(OWN)),
                LookupRecord("l67", VSID6, ip(FAY6), FAY, IPv4Address(FAR)),
            ),
            routes=(*shared.routes, CustomerRoute("r6", BLUE, IPv6Network("fd00:6::/64"), VSID6, None)),
            ports=(*shared.ports, Port("eve", self.rig.ports[EVE_PORT], VSID6, ip(EVE6), EVE)),
        )

    def apply(self, *acl: AclRule, settings: SwitchSettings | None = None, **port: Any) -> None:
        """Give the first port of both families a list, Alice and Eve, and other properties."""
        base = self.base()
        changed = tuple(
            replace(item, acl=acl, **port) if item.key in ("alice", "eve") else item for item in base.ports
        )
        self.rig.apply(replace(base, ports=changed, switch=settings or base.switch))

    def send(self, payload: Packet, *, dst: str = "10.0.0.6", mac: str = CAROL, **ip: Any) -> Outcome:
        """Alice sends, to Carol on another host if nothing else is said."""
        frame = Ether(src=ALICE, dst=mac) / IP(**{"src": "10.0.0.4", "dst": dst, **ip}) / payload
        return self.rig.vport(self.rig.ports[ALICE_PORT], bytes(frame))

    def receive(self, payload: Packet, *, src: str = "10.0.0.6", **ip: Any) -> Outcome:
        """Carol sends to Alice."""
        frame = Ether(src=CAROL, dst=ALICE) / IP(**{"src": src, "dst": "10.0.0.4", **ip}) / payload
        return self.rig.wire(bytes(from_wire(frame)))

    def send6(self, payload: Packet, **ip: Any) -> Outcome:
        """Eve sends to Fay."""
        frame = Ether(src=EVE, dst=FAY) / IPv6(**{"src": EVE6, "dst": FAY6, **ip}) / payload
        return self.rig.vport(self.rig.ports[EVE_PORT], bytes(frame))

    def receive6(self, payload: Packet, **ip: Any) -> Outcome:
        """Fay sends to Eve."""
        frame = Ether(src=FAY, dst=EVE) / IPv6(**{"src": FAY6, "dst": EVE6, **ip}) / payload
        return self.rig.wire(bytes(from_wire(frame, vsid=VSID6)))

    def map(self, name: str) -> Map:
        """One of the switch's maps; not closed before the test run ends."""
        return Map.pinned(self.maps / name)

    def age(self, seconds: float) -> None:
        """Let time pass for every flow and fragment."""
        past = round(seconds * 1e9)
        for name in (FLOWS, "hnv_fragments_v1"):
            state = self.map(name)
            for key, value in state.items().items():
                # Before the boot of this machine, perhaps.
                older = (int.from_bytes(value[:8], "little") - past) % (1 << 64)
                state.update({key: older.to_bytes(8, "little") + value[8:]})

    def forget(self) -> None:
        """No flow, no fragment, no used-up limit is left."""
        for name in (FLOWS, "hnv_fragments_v1", "hnv_rates_v1"):
            state = self.map(name)
            state.delete(state.items())

    def trace(self, ident: int, packets: dict[tuple[str, str], int]) -> None:
        """Follow packets of one IPv4 identification in Blue: (source, destination) → trace id."""
        domain = int.from_bytes(
            next(v for k, v in self.map(DOMAINS).items().items() if k == BLUE.bytes), "little"
        )
        self.map("hnv_traces_v1").update(
            {
                bytes(
                    abi.TraceKey(domain, ident, abi.addr(IPv4Address(source)), abi.addr(IPv4Address(target)))
                ): number.to_bytes(4, "little")
                for (source, target), number in packets.items()
            }
        )
        state = self.map("hnv_settings_v3")
        settings = abi.Settings.from_buffer_copy(state.items()[bytes(4)])
        settings.flags |= abi.SettingsFlag.TRACE
        state.update({bytes(4): bytes(settings)})

    def vport(self, port: int) -> abi.VPort:
        """What the data plane knows of a port."""
        value = self.map("hnv_vports_v2").get(self.rig.ports[port].to_bytes(4, "little"))
        assert value is not None
        assert len(value) == ctypes.sizeof(abi.VPort)
        return abi.VPort.from_buffer_copy(value)


@contextmanager
def state_bench() -> Iterator[StateBench]:
    """A bench of this call's own."""
    with namespaces("rig") as made, pin_directory() as pins:
        built = Rig(made["rig"], pins)
        try:
            yield StateBench(built, map_pins(pins))
        finally:
            built.close()


def passed(seen: Outcome) -> bool:
    """The frame went on, at one place."""
    return seen.verdict == FORWARD


def rule(direction: str, action: str = "deny", **fields: Any) -> AclRule:
    """A rule that matches everything but what is said; networks as text."""
    for name in ("source", "destination"):
        if isinstance(fields.get(name), str):
            fields[name] = IPv4Network(fields[name])
    return AclRule(
        fields.pop("id", f"{action}-{direction}"),
        inbound=direction == "in",
        deny=action == "deny",
        **fields,
    )
