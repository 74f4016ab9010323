"""What a port may send at most and not at all, what it is metered, and how it is shaped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Packet

from lab.datapath.abi import AclDirection, Drop, MeterKind
from lab.datapath.meters import METERS, forget_meters, read_meters
from lab.datapath.policy import LookupRecord, Port, SwitchSettings
from lab.datapath.programs import SkBuff

from .model.outcome import FORWARD, Outcome
from .model.parsing import mac as octets
from .model.spoofing import link_local
from .scenario import ALICE, BOB, DAVE, FAR, GATEWAY_PA, ROUTER, dropped, from_wire
from .state_bench import (
    ALICE_PORT,
    BOB_PORT,
    EVE,
    EVE6,
    EVE_PORT,
    FAY,
    FAY6,
    VSID6,
    StateBench,
    passed,
    state_bench,
)

pytestmark = pytest.mark.root

ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"
EVE_LINK_LOCAL, FAY_LINK_LOCAL, ROUTER_LINK_LOCAL = (
    str(link_local(octets(station))) for station in (EVE, FAY, ROUTER)
)
TC_ACT_REDIRECT = 7


@pytest.fixture(scope="module")
def shared() -> Iterator[StateBench]:
    with state_bench() as built:
        yield built


@pytest.fixture
def bench(shared: StateBench) -> Iterator[StateBench]:
    shared.forget()
    yield shared
    shared.apply()


def within_limit(send: Callable[[], Outcome], good: Callable[[Outcome], bool], per_second: int) -> None:
    """Of 20 at once so many are good as one second allows, and what the time that they took allows."""
    started = time.monotonic()
    seen = [good(send()) for _ in range(20)]
    elapsed = time.monotonic() - started
    assert all(seen[:per_second])
    assert per_second <= sum(seen) <= per_second * (1 + elapsed)


# -- storm


def broadcast(bench: StateBench) -> Outcome:
    return bench.send(UDP(sport=5, dport=6), dst="10.0.0.255", mac="ff:ff:ff:ff:ff:ff")


def is_storm(seen: Outcome) -> bool:
    return any(reason is Drop.STORM for (reason, _, _), _ in seen.counts)


def test_a_port_floods_so_many_frames_a_second(bench: StateBench) -> None:
    bench.apply(storm_limit_pps=3)
    within_limit(lambda: broadcast(bench), lambda seen: not is_storm(seen), 3)
    assert passed(bench.send(UDP(sport=5, dport=6))), "what goes to one only is not limited"
    bench.forget()
    assert not is_storm(broadcast(bench))


def test_without_a_limit_a_port_floods_what_it_likes(bench: StateBench) -> None:
    bench.apply()
    assert not any(is_storm(broadcast(bench)) for _ in range(20))


# -- ICMP errors


def test_the_router_sends_so_many_errors_a_second(bench: StateBench) -> None:
    bench.apply(settings=SwitchSettings(icmp_pps=3))
    within_limit(lambda: bench.send(UDP(), dst="10.0.1.4", mac=ROUTER, ttl=1), passed, 3)


def test_the_limit_of_errors_is_each_ports_own(bench: StateBench) -> None:
    bench.apply(settings=SwitchSettings(icmp_pps=1))
    assert passed(bench.send(UDP(), dst="10.0.1.4", mac=ROUTER, ttl=1))
    expired = Ether(src=EVE, dst=ROUTER) / IPv6(src=EVE6, dst="fd00:7::1", hlim=1) / UDP()
    assert passed(bench.rig.vport(bench.rig.ports[EVE_PORT], bytes(expired)))


def test_without_a_limit_the_router_sends_every_error(bench: StateBench) -> None:
    bench.apply()
    assert all(passed(bench.send(UDP(), dst="10.0.1.4", mac=ROUTER, ttl=1)) for _ in range(20))


# -- guards


def test_only_a_dhcp_server_speaks_as_one(bench: StateBench) -> None:
    bench.apply()
    assert dropped(bench.send(UDP(sport=67, dport=68))) is Drop.DHCP_GUARD
    assert dropped(bench.send6(UDP(sport=547, dport=546))) is Drop.DHCP_GUARD
    assert passed(bench.send(UDP(sport=547, dport=546)))
    assert passed(bench.send6(UDP(sport=67, dport=68)))
    assert passed(bench.send(UDP(sport=68, dport=67)))
    bench.apply(dhcp_server=True)
    assert passed(bench.send(UDP(sport=67, dport=68)))
    assert passed(bench.send6(UDP(sport=547, dport=546)))


def say(
    bench: StateBench, message: Packet, copies: int = 0, *, station: str = ALL_NODES_MAC, **ip: Any
) -> Outcome:
    """Eve says something to her link."""
    packet = IPv6(**{"src": EVE_LINK_LOCAL, "dst": ALL_NODES, "hlim": 255, **ip}) / message
    return bench.rig.vport(bench.rig.ports[EVE_PORT], bytes(Ether(src=EVE, dst=station) / packet), copies)


def hear(
    bench: StateBench,
    message: Packet,
    *,
    mac: str = FAY,
    station: str = ALL_NODES_MAC,
    pa: str = FAR,
    **ip: Any,
) -> Outcome:
    """Something comes to Eve's link from Fay's host."""
    packet = IPv6(**{"src": FAY_LINK_LOCAL, "dst": ALL_NODES, "hlim": 255, **ip}) / message
    return bench.rig.wire(bytes(from_wire(Ether(src=mac, dst=station) / packet, vsid=VSID6, src=pa)), 1)


routers_words = pytest.mark.parametrize(
    "message", [ICMPv6ND_RA(), ICMPv6ND_Redirect()], ids=["advertisement", "redirect"]
)


@routers_words
@pytest.mark.parametrize("source", [EVE_LINK_LOCAL, EVE6], ids=["link-local", "CA"])
def test_only_a_router_speaks_as_one(bench: StateBench, message: Packet, source: str) -> None:
    bench.apply()
    assert dropped(say(bench, message, src=source)) is Drop.RA_GUARD
    bench.apply(router_advertiser=True)
    seen = say(bench, message, 1, src=source)
    ((outlet, copy),) = seen.copies
    assert outlet == bench.rig.uplink
    assert Ether(copy)[GRE].key >> 8 == VSID6, "it stays in its subnet"
    assert bytes(Ether(copy)[IPv6]) == bytes(IPv6(src=source, dst=ALL_NODES, hlim=255) / message)


def test_a_router_redirects_one_neighbour(bench: StateBench) -> None:
    bench.apply(router_advertiser=True)
    assert passed(say(bench, ICMPv6ND_Redirect(), station=FAY, dst=FAY6))


@pytest.mark.parametrize(
    ("message", "fields", "reason"),
    [
        (ICMPv6ND_RA(), {"hlim": 254}, Drop.ND_MALFORMED),
        (ICMPv6ND_RA(), {"hlim": 64, "src": EVE6}, Drop.ND_MALFORMED),
        (ICMPv6ND_RA(), {"src": FAY_LINK_LOCAL}, Drop.CA_SPOOF),
        (ICMPv6ND_RA(), {"src": ROUTER_LINK_LOCAL}, Drop.CA_SPOOF),
        (ICMPv6ND_Redirect(), {"src": "fd00:6::1"}, Drop.CA_SPOOF),
        (ICMPv6ND_RA(), {"station": ROUTER}, Drop.ND_IGNORED),
        (ICMPv6ND_RA(), {"station": ROUTER, "src": EVE6}, Drop.ND_IGNORED),
        (ICMPv6EchoRequest(), {}, Drop.CA_SPOOF),
        (UDP(sport=134, dport=134), {}, Drop.CA_SPOOF),
        (IPv6ExtHdrFragment(offset=1, nh=58) / bytes(ICMPv6ND_RA()), {}, Drop.CA_SPOOF),
    ],
    ids=[
        "handed on",
        "handed on, CA",
        "a neighbour's",
        "the router's",
        "the router's own",
        "to the router",
        "to the router, CA",
        "echo",
        "datagram",
        "later fragment",
    ],
)
def test_nothing_else_comes_from_a_routers_link_local_address(
    bench: StateBench, message: Packet, fields: dict[str, Any], reason: Drop
) -> None:
    bench.apply(router_advertiser=True)
    assert dropped(say(bench, message, **fields)) is reason


@routers_words
def test_what_a_router_on_another_host_says_is_heard(bench: StateBench, message: Packet) -> None:
    bench.apply()
    seen = hear(bench, message)
    ((outlet, copy),) = seen.copies
    assert outlet == bench.rig.ports[EVE_PORT]
    heard = Ether(src=FAY, dst=ALL_NODES_MAC) / IPv6(src=FAY_LINK_LOCAL, dst=ALL_NODES, hlim=255) / message
    assert copy == bytes(heard)
    assert passed(hear(bench, message, station=EVE, dst=EVE6)), "to one of its neighbours"


@pytest.mark.parametrize(
    ("message", "fields", "reason"),
    [
        (ICMPv6ND_RA(), {"hlim": 254}, Drop.CA_SPOOF),
        (ICMPv6ND_RA(), {"mac": BOB}, Drop.CA_SPOOF),
        (ICMPv6ND_RA(), {"mac": "01:00:5e:00:00:01"}, Drop.MAC_SPOOF),
        (ICMPv6ND_RA(), {"mac": ROUTER, "src": ROUTER_LINK_LOCAL}, Drop.CA_SPOOF),
        (ICMPv6ND_RA(), {"station": ROUTER}, Drop.CA_SPOOF),
        (ICMPv6ND_RA(), {"pa": "192.168.6.66"}, Drop.PA_SPOOF),
        (ICMPv6EchoRequest(), {}, Drop.CA_SPOOF),
        (ICMPv6ND_NA(), {}, Drop.CA_SPOOF),
        (IPv6ExtHdrFragment(offset=1, nh=58) / bytes(ICMPv6ND_RA()), {}, Drop.CA_SPOOF),
    ],
    ids=[
        "handed on",
        "another's MAC",
        "multicast MAC",
        "the router's",
        "to the router",
        "a stranger",
        "echo",
        "neighbour advertisement",
        "later fragment",
    ],
)
def test_nothing_else_is_heard_from_a_link_local_address(
    bench: StateBench, message: Packet, fields: dict[str, Any], reason: Drop
) -> None:
    bench.apply(settings=SwitchSettings(external_router=True))
    assert dropped(hear(bench, message, **fields)) is reason


# -- meters


def meters(bench: StateBench, port: int) -> dict[tuple[AclDirection, MeterKind], tuple[int, int]]:
    found = {
        (count.direction, count.kind): (count.packets, count.bytes)
        for count in read_meters(bench.map(METERS))
        if count.ifindex == bench.rig.ports[port]
    }
    forget_meters(bench.map(METERS), bench.rig.ports)
    return found


def test_a_port_is_metered_by_direction_and_by_where_the_other_end_is(bench: StateBench) -> None:
    bench.apply()
    meters(bench, ALICE_PORT)
    payload = UDP(sport=5, dport=6) / bytes(58)
    assert passed(bench.send(payload))
    assert passed(bench.send(payload, dst="10.0.1.4", mac=ROUTER))
    assert passed(bench.send(payload, dst="192.168.50.10", mac=ROUTER))
    assert passed(bench.receive(payload))
    outside = Ether(src=ROUTER, dst=ALICE) / IP(src="192.168.50.10", dst="10.0.0.4") / payload
    assert passed(bench.rig.wire(bytes(from_wire(outside, src=GATEWAY_PA))))
    (outbound, inbound), (internal, gateway) = AclDirection, MeterKind
    assert meters(bench, ALICE_PORT) == {
        (outbound, internal): (2, 200),
        (outbound, gateway): (1, 100),
        (inbound, internal): (1, 100),
        (inbound, gateway): (1, 100),
    }


def test_a_flooded_frame_is_metered_once_for_its_sender_and_once_for_each_receiver(bench: StateBench) -> None:
    base = bench.base()
    away = [IPv4Address(f"192.168.6.{number}") for number in (11, 12, 13)]
    lookups = [
        LookupRecord(f"far{at}", 5001, IPv4Address(f"10.0.0.{50 + at}"), f"00:15:5d:0a:01:{at:02x}", pa)
        for at, pa in enumerate(away)
    ]
    dave = Port("dave", bench.rig.ports[5], 5001, IPv4Address("10.0.0.7"), DAVE)
    bench.rig.apply(replace(base, lookups=(*base.lookups, *lookups), ports=(*base.ports, dave)))
    meters(bench, ALICE_PORT)
    ip = IP(src="10.0.0.4", dst="10.0.0.255")
    frame = Ether(src=ALICE, dst="ff:ff:ff:ff:ff:ff") / ip / UDP(sport=5, dport=6) / bytes(58)
    seen = bench.rig.vport(bench.rig.ports[ALICE_PORT], bytes(frame), len(away) + 2)
    assert len(seen.counts) == 1 + len(away) + 2, "every copy is on its way"
    counted = read_meters(bench.map(METERS))
    outbound, inbound = AclDirection
    assert {(item.ifindex, item.direction): (item.kind, item.packets, item.bytes) for item in counted} == {
        (bench.rig.ports[ALICE_PORT], outbound): (MeterKind.INTERNAL, 1, 100),
        (bench.rig.ports[BOB_PORT], inbound): (MeterKind.INTERNAL, 1, 100),
        (bench.rig.ports[5], inbound): (MeterKind.INTERNAL, 1, 100),
    }


def test_what_is_dropped_is_not_metered(bench: StateBench) -> None:
    bench.apply()
    meters(bench, ALICE_PORT)
    assert dropped(bench.send(UDP(), dst="10.0.0.77")) is Drop.NO_RECORD
    assert dropped(bench.send(UDP(), src="10.0.0.99")) is Drop.CA_SPOOF
    assert meters(bench, ALICE_PORT) == {}


def test_a_ping_of_the_router_costs_nothing(bench: StateBench) -> None:
    bench.apply()
    meters(bench, ALICE_PORT)
    assert passed(bench.send(ICMP(id=7), dst="10.0.0.1", mac=ROUTER))
    assert meters(bench, ALICE_PORT) == {}


def test_the_meters_of_ports_that_are_gone_go(bench: StateBench) -> None:
    bench.apply()
    assert passed(bench.send(UDP(sport=5, dport=6)))
    alice = bench.rig.ports[ALICE_PORT]
    forget_meters(bench.map(METERS), set(bench.rig.ports) - {alice})
    assert {count.ifindex for count in read_meters(bench.map(METERS))} == {alice}
    forget_meters(bench.map(METERS), {alice})
    assert read_meters(bench.map(METERS)) == []


# -- shaping


def test_a_shaped_port_sends_through_the_shaping_device_and_then_on() -> None:
    with state_bench() as bench:
        device = bench.rig.ports[5]
        bench.apply(settings=SwitchSettings(qos_in=device), qos_class=0x10005)
        ip = IP(src="10.0.0.4", dst="10.0.1.4")
        frame = bytes(Ether(src=ALICE, dst=ROUTER) / ip / UDP(sport=5, dport=6))
        port, switch = bench.rig.ports[ALICE_PORT], bench.rig.switch
        run = bench.rig.namespace.call
        first = run(lambda: switch.vport.test_run(frame, SkBuff(ifindex=port)))
        assert (first.verdict, first.context.cb[0]) == (TC_ACT_REDIRECT, device)
        assert (first.context.priority, first.context.mark, first.frame) == (0x10005, port, frame)
        again = run(lambda: switch.shaped.test_run(frame, SkBuff(ifindex=device, mark=port)))
        assert (again.verdict, again.context.cb[0]) == (TC_ACT_REDIRECT, bench.rig.uplink)
        assert again.context.mark == 0


def test_what_a_shaped_router_says_to_a_neighbour_goes_on_too() -> None:
    with state_bench() as bench:
        device = bench.rig.ports[5]
        bench.apply(settings=SwitchSettings(qos_in=device), qos_class=0x10005, router_advertiser=True)
        packet = IPv6(src=EVE_LINK_LOCAL, dst=FAY6, hlim=255) / ICMPv6ND_RA()
        frame = bytes(Ether(src=EVE, dst=FAY) / packet)
        seen = bench.rig.vport(bench.rig.ports[EVE_PORT], frame)
        assert (seen.verdict, seen.ifindex) == (FORWARD, device)
        context = SkBuff(ifindex=device, mark=bench.rig.ports[EVE_PORT])
        again = bench.rig.namespace.call(lambda: bench.rig.switch.shaped.test_run(frame, context))
        assert (again.verdict, again.context.cb[0]) == (TC_ACT_REDIRECT, bench.rig.uplink)


@pytest.mark.parametrize(("qos_class", "there"), [(0, True), (0x10005, False)], ids=["port", "node"])
def test_without_class_or_device_nothing_is_shaped(bench: StateBench, qos_class: int, there: bool) -> None:
    bench.apply(settings=SwitchSettings(qos_in=bench.rig.ports[5] if there else 0), qos_class=qos_class)
    seen = bench.send(UDP(sport=5, dport=6))
    assert (seen.verdict, seen.ifindex) == (FORWARD, bench.rig.uplink)


def test_what_a_shaped_port_may_not_send_is_dropped_before(bench: StateBench) -> None:
    bench.apply(settings=SwitchSettings(qos_in=bench.rig.ports[5]), qos_class=0x10005)
    assert dropped(bench.send(UDP(), src="10.0.0.99")) is Drop.CA_SPOOF
