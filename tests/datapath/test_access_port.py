"""Stations of two VLANs at one bridge that knows no VLANs, and a gateway at its trunk."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from scapy.layers.l2 import ARP, Dot1Q, Ether

from lab.datapath import access_port as access_module
from lab.datapath import front_end_abi as fe
from lab.datapath.access_port import NO_VLAN, AccessPorts
from lab.datapath.attach import ClsactHook, Side
from lab.datapath.build import FRONT_END_SOURCE
from lab.datapath.errors import InvalidPolicyError
from lab.datapath.front_end_abi import FrontEndDrop
from lab.datapath.maps import Map
from lab.datapath.programs import Program
from lab.testing import eventually

from .front_end_world import FE, VIP, Node
from .netns import Namespace, namespaces, pin_directory
from .probe import Sink, blast, ping
from .switch_object import compiled

pytestmark = pytest.mark.root

MEBIBYTE = 1 << 20
VLANS = {"red": 1001, "blue": 1002}


class Site:
    """A bridge with a trunk to the gateway and a port for each tenant's router."""

    def __init__(self, made: dict[str, Namespace], pins: Path) -> None:
        self.tor, self.inside, self.stations = made["tor"], {}, {}
        self.pins = pins / "tor"
        self.gw = Node(made["gw"], VIP, pins / "gw")
        self.tor.ip("link add br-fe type bridge")
        self.tor.ip(f"link add trunk type veth peer name {FE} netns {made['gw'].name}")
        self.gw.namespace.ip(f"link set {FE} up")
        for tenant, vlan in VLANS.items():
            self.inside[tenant], self.stations[tenant] = made[tenant], made[f"{tenant}-r"]
            self.gw.plug_vlan(made[tenant], f"v-{tenant}", vlan)
            made[tenant].ip("addr add 10.127.134.55/24 dev vlan0")
            station = made[f"{tenant}-r"]
            self.tor.ip(f"link add p-{tenant} type veth peer name eth0 netns {station.name}")
            station.ip("link set eth0 up")
            station.ip("addr add 10.127.134.65/24 dev eth0")
        for port in ("trunk", *self.ports):
            self.tor.ip(f"link set {port} master br-fe up")
        self.tor.ip("link set br-fe up")
        self.gw.start()
        self.gw.apply()
        self.start()
        self.tor.call(lambda: self.access.apply(self.ports))

    @property
    def ports(self) -> dict[str, int]:
        """The access ports."""
        return {f"p-{tenant}": vlan for tenant, vlan in VLANS.items()}

    def start(self) -> None:
        """Open the access ports: what stands is taken over."""
        self.access = self.tor.call(lambda: AccessPorts(self.pins, compiled(FRONT_END_SOURCE)))

    def close(self) -> None:
        """Let go of the kernel's objects."""
        self.gw.stop()
        self.tor.call(self.access.close)


@pytest.fixture
def site() -> Iterator[Site]:
    names = [f"{tenant}{end}" for tenant in VLANS for end in ("", "-r")]
    with namespaces("gw", "tor", *names) as made, pin_directory() as pins:
        built = Site(made, pins)
        try:
            yield built
        finally:
            built.close()


def answered(source: Namespace, destination: str, size: int = 56) -> None:
    assert source.call(lambda: ping(destination, size=size, within_s=1)) is not None


def transfer(source: Namespace, target: Namespace, destination: str) -> None:
    sink = target.call(Sink)
    source.call(lambda: blast(destination, sink.port, MEBIBYTE))
    assert sink.join() == MEBIBYTE


def use_both_ways(site: Site) -> None:
    for tenant in VLANS:
        eventually(partial(answered, site.inside[tenant], "10.127.134.65"), within_s=10)
        answered(site.stations[tenant], "10.127.134.55", 1472)
        transfer(site.inside[tenant], site.stations[tenant], "10.127.134.65")
        transfer(site.stations[tenant], site.inside[tenant], "10.127.134.55")


def test_a_station_reaches_the_compartment_of_its_vlan(site: Site) -> None:
    use_both_ways(site)
    site.tor.call(site.access.close)
    for tenant in VLANS:
        answered(site.stations[tenant], "10.127.134.55")
    site.start()


def test_a_station_reaches_nothing_of_another_vlan(site: Site) -> None:
    use_both_ways(site)
    site.stations["blue"].ip("addr add 10.127.134.66/24 dev eth0")
    site.tor.ip("addr add 10.127.134.67/24 dev br-fe")
    for other in ("10.127.134.66", "10.127.134.67"):
        assert site.stations["red"].call(partial(ping, other, within_s=0.5)) is None
    drops = site.access.counters().drops
    assert drops["p-blue", FrontEndDrop.OTHER_VLAN]


def test_a_port_changes_its_vlan_and_ends_to_be_one(site: Site) -> None:
    use_both_ways(site)
    site.tor.call(lambda: site.access.apply({"p-red": VLANS["blue"]}))
    before = site.gw.front_end.counters().legs
    site.stations["red"].ip("neigh flush all")
    answered(site.stations["red"], "10.127.134.55")
    after = site.gw.front_end.counters().legs
    assert after["v-blue"].packets_in > before["v-blue"].packets_in
    assert after["v-red"] == before["v-red"]
    with closing(Map.pinned(site.pins / "maps" / fe.ACCESS)) as ports:
        index = site.tor.ifindex("p-red").to_bytes(4, sys.byteorder)
        assert ports.items() == {index: VLANS["blue"].to_bytes(4, sys.byteorder)}


def test_a_port_of_no_vlan_sends_and_hears_nothing_with_a_tag(site: Site) -> None:
    use_both_ways(site)
    site.tor.call(lambda: site.access.apply({"p-red": NO_VLAN, "p-blue": NO_VLAN}))
    for tenant in VLANS:
        site.stations[tenant].ip("neigh flush all")
        assert site.stations[tenant].call(partial(ping, "10.127.134.55", within_s=0.5)) is None
    site.stations["red"].ip("addr flush dev eth0")
    site.stations["red"].ip("addr add 10.127.134.66/24 dev eth0")
    answered(site.stations["red"], "10.127.134.65")

    tagged = Ether(dst="ff:ff:ff:ff:ff:ff") / Dot1Q(vlan=VLANS["blue"]) / ARP(pdst="10.127.134.55")
    before = site.gw.front_end.counters().legs["v-blue"]
    site.stations["red"].call(lambda: send(bytes(tagged)))
    site.inside["blue"].ip("neigh flush all")
    site.inside["blue"].call(partial(ping, "10.127.134.65", within_s=0.5))
    drops = site.access.counters().drops
    assert drops["p-red", FrontEndDrop.TAGGED] == 1
    assert drops["p-red", FrontEndDrop.OTHER_VLAN], "the compartment's question for a neighbour"
    assert site.gw.front_end.counters().legs["v-blue"].packets_in == before.packets_in


def send(frame: bytes) -> None:
    """A frame out of a station's interface, as it is."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(frame)


def test_a_wrong_port_is_refused_before_anything_is_touched(site: Site) -> None:
    with pytest.raises(InvalidPolicyError) as raised:
        site.tor.call(lambda: site.access.apply({"p-red": 4095, "nowhere": 5}))
    assert {problem.code for problem in raised.value.problems} == {"HNV-FE-001", "HNV-FE-003"}
    use_both_ways(site)


def test_without_tcx_the_filters_of_cls_bpf_do_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_tcx(_: Program, side: Side) -> ClsactHook:
        return ClsactHook(side)

    monkeypatch.setattr(access_module, "detect_hook", no_tcx)
    names = [f"{tenant}{end}" for tenant in VLANS for end in ("", "-r")]
    with namespaces("gw", "tor", *names) as made, pin_directory() as pins:
        built = Site(made, pins)
        try:
            use_both_ways(built)
            for side in ("ingress", "egress"):
                assert "direct-action" in built.tor.run(f"tc filter show dev p-red {side}").stdout
            built.tor.call(lambda: built.access.apply({"p-blue": VLANS["blue"]}))
            assert "clsact" not in built.tor.run("tc qdisc show dev p-red").stdout
            assert "direct-action" in built.tor.run("tc filter show dev p-blue egress").stdout
        finally:
            built.close()
