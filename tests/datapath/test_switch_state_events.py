"""What the switch tells about single frames: logged decisions, drops, traces."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from lab.datapath import abi
from lab.datapath.abi import Direction, Drop, EventKind, Stage
from lab.datapath.errors import DatapathError
from lab.datapath.event_log import headers_of, log_events
from lab.datapath.events import TRACE_EVENTS, EventReader, SwitchEvent, event_of
from lab.datapath.policy import SwitchSettings

from .scenario import ALICE, CAROL, FAR, ROUTER, dropped, from_wire
from .state_bench import ALICE_PORT, StateBench, passed, rule, state_bench

pytestmark = pytest.mark.root

LOUD = SwitchSettings(event_pps=1000)
TRACED_ID = 0x4242


@pytest.fixture(scope="module")
def shared() -> Iterator[StateBench]:
    with state_bench() as built:
        yield built


@pytest.fixture
def bench(shared: StateBench) -> Iterator[StateBench]:
    shared.forget()
    yield shared
    shared.apply()


@pytest.fixture
def events(bench: StateBench) -> Iterator[EventReader]:
    with EventReader(bench.maps) as reader:
        reader.read()
        yield reader


# -- logged decisions


def test_a_rule_that_logs_says_what_it_denied(bench: StateBench, events: EventReader) -> None:
    bench.apply(rule("out", "allow", destination_ports=(1, 1)), rule("out", protocol=6, log=True))
    assert dropped(bench.send(TCP(sport=1000, dport=80) / bytes(200))) is Drop.ACL
    (event,) = events.read()
    assert (event.kind, event.stage, event.direction) == (
        EventKind.ACL_LOG,
        Stage.ACL_OUT,
        Direction.VPORT_IN,
    )
    assert (event.reason, event.reason_name) == (Drop.ACL, "acl")
    assert (event.ifindex, event.vsid, event.detail) == (bench.rig.ports[ALICE_PORT], 5001, 1)
    frame = Ether(event.frame)
    assert (event.length, len(event.frame)) == (14 + 20 + 20 + 200, abi.EVENT_CAPTURE)
    assert (frame.src, frame[IP].dst, frame[TCP].dport) == (ALICE, "10.0.0.6", 80)
    assert abs(time.monotonic_ns() - event.time_ns) < 60e9


def test_a_rule_that_logs_says_what_it_allowed_once_for_each_flow(
    bench: StateBench, events: EventReader
) -> None:
    bench.apply(rule("in", "allow", log=True))
    for _ in range(3):
        assert passed(bench.receive(UDP(sport=5, dport=6)))
    (event,) = events.read()
    assert (event.kind, event.stage, event.reason) == (EventKind.ACL_LOG, Stage.ACL_IN, Drop.FORWARDED)
    assert (event.ifindex, event.direction) == (bench.rig.ports[ALICE_PORT], Direction.WIRE_IN)
    assert event.provider_address == IPv4Address(FAR)
    assert Ether(event.frame).src == CAROL


def test_a_rule_without_log_says_nothing(bench: StateBench, events: EventReader) -> None:
    bench.apply(rule("out"))
    assert dropped(bench.send(UDP())) is Drop.ACL
    assert events.read() == []


# -- drops


def test_a_drop_is_told_with_the_head_of_the_frame(bench: StateBench, events: EventReader) -> None:
    bench.apply(settings=LOUD)
    assert dropped(bench.send(UDP(), src="10.0.0.99")) is Drop.CA_SPOOF
    (event,) = events.read()
    assert (event.kind, event.stage, event.reason) == (EventKind.DROP, Stage.DROP, Drop.CA_SPOOF)
    assert (event.ifindex, event.vsid, event.trace) == (bench.rig.ports[ALICE_PORT], 5001, 0)
    assert event.provider_address is None
    assert Ether(event.frame)[IP].src == "10.0.0.99"
    assert event.length == len(event.frame) == 42


def test_a_drop_on_the_wire_tells_the_inner_frame_and_the_outer_source(
    bench: StateBench, events: EventReader
) -> None:
    bench.apply(settings=LOUD)
    assert dropped(bench.receive(UDP(), src="10.0.0.99")) is Drop.CA_SPOOF
    (event,) = events.read()
    assert (event.direction, event.ifindex) == (Direction.WIRE_IN, bench.rig.uplink)
    assert event.provider_address == IPv4Address(FAR)
    assert (Ether(event.frame).src, Ether(event.frame)[IP].src) == (CAROL, "10.0.0.99")


def test_a_frame_that_is_answered_by_an_error_is_told_as_it_was(
    bench: StateBench, events: EventReader
) -> None:
    bench.apply(settings=LOUD)
    assert passed(bench.send(UDP(sport=5, dport=6), dst="10.0.1.4", mac=ROUTER, ttl=1))
    (event,) = events.read()
    assert event.reason == Drop.TTL_EXCEEDED
    assert Ether(event.frame)[UDP].dport == 6


def test_drops_are_told_so_many_a_second_for_each_reason(bench: StateBench, events: EventReader) -> None:
    bench.apply(settings=SwitchSettings(event_pps=2))
    started = time.monotonic()
    for _ in range(20):
        assert dropped(bench.send(UDP(), src="10.0.0.99")) is Drop.CA_SPOOF
    assert dropped(bench.send(UDP(), dst="10.0.0.77")) is Drop.NO_RECORD
    elapsed = time.monotonic() - started
    told = [event.reason for event in events.read()]
    assert told[-1] == Drop.NO_RECORD
    assert 2 <= told.count(Drop.CA_SPOOF) <= 2 + 2 * elapsed


def test_no_drop_is_told_unless_asked_for(bench: StateBench, events: EventReader) -> None:
    bench.apply()
    assert dropped(bench.send(UDP(), src="10.0.0.99")) is Drop.CA_SPOOF
    assert events.read() == []


# -- the reader


def test_the_reader_wakes_up_when_something_is_there(bench: StateBench, events: EventReader) -> None:
    bench.apply(settings=LOUD)
    with selectors.DefaultSelector() as selector:
        selector.register(events.fileno(), selectors.EVENT_READ)
        assert selector.select(0) == []
        bench.send(UDP(), src="10.0.0.99")
        assert selector.select(30)
    assert len(events.read(30)) == 1


def test_the_next_reader_goes_on_where_the_last_one_stopped(bench: StateBench, events: EventReader) -> None:
    bench.apply(settings=LOUD)
    events.close()
    bench.send(UDP(), src="10.0.0.99")
    with EventReader(bench.maps) as reader:
        assert len(reader.read()) == 1
    with EventReader(bench.maps) as reader:
        assert reader.read() == []


def test_without_a_switch_the_error_says_so(bench: StateBench) -> None:
    with pytest.raises(DatapathError, match="HNV-DATAPATH-020"):
        EventReader(bench.maps / "nowhere")


def test_an_event_of_another_version_is_refused() -> None:
    event = abi.Event(version=abi.EVENT_VERSION + 1)
    with pytest.raises(ValueError, match="version"):
        event_of(bytes(event))
    with pytest.raises(ValueError, match="3 octets"):
        event_of(b"\1\1\1")


# -- the log


def test_the_log_says_in_one_line_what_happened(bench: StateBench, caplog: pytest.LogCaptureFixture) -> None:
    bench.apply(rule("out", protocol=6, log=True), settings=LOUD)

    async def watch() -> None:
        logging = asyncio.create_task(log_events(bench.maps, lambda ifindex: f"if{ifindex}"))
        await asyncio.to_thread(bench.send, UDP(sport=5, dport=6), src="10.0.0.99")
        await asyncio.to_thread(bench.send, TCP(sport=1000, dport=80))
        await asyncio.to_thread(bench.receive, ICMP(), src="10.0.0.98")
        async with asyncio.timeout(30):
            while len(caplog.messages) < 4:
                await asyncio.sleep(0.01)
        logging.cancel()

    with EventReader(bench.maps) as earlier:
        earlier.read()
    with caplog.at_level("INFO", logger="lab.datapath.event_log"):
        asyncio.run(watch())
    alice, uplink = bench.rig.ports[ALICE_PORT], bench.rig.uplink
    assert caplog.messages == [
        f"if{alice}: dropped, ca-spoof: 10.0.0.99 > 10.0.0.6 udp 5 > 6, 42 octets, VSID 5001",
        f"if{alice}: rule 0 denied outbound 10.0.0.4 > 10.0.0.6 tcp 1000 > 80, 54 octets, VSID 5001",
        f"if{alice}: dropped, acl: 10.0.0.4 > 10.0.0.6 tcp 1000 > 80, 54 octets, VSID 5001",
        f"if{uplink}: dropped, ca-spoof: 10.0.0.98 > 10.0.0.4 icmp, 42 octets, VSID 5001 from {FAR}",
    ]


@pytest.mark.parametrize(
    ("packet", "said"),
    [
        (IP(src="1.2.3.4", dst="5.6.7.8") / UDP(sport=1, dport=2), "1.2.3.4 > 5.6.7.8 udp 1 > 2"),
        (IP(src="1.2.3.4", dst="5.6.7.8", frag=1, proto=17) / b"abcdefgh", "1.2.3.4 > 5.6.7.8 udp"),
        (IP(src="1.2.3.4", dst="5.6.7.8", proto=47), "1.2.3.4 > 5.6.7.8 47"),
        (IPv6(src="fd00::1", dst="fd00::2") / TCP(sport=1, dport=2), "fd00::1 > fd00::2 tcp 1 > 2"),
        (ARP(), "None"),
    ],
)
def test_the_head_of_a_frame_is_read(packet: Packet, said: str) -> None:
    assert str(headers_of(bytes(Ether(dst=ALICE, src=CAROL) / packet))) == said


# -- traces


@pytest.fixture
def traces(bench: StateBench) -> Iterator[EventReader]:
    """A bench that follows Alice's and Carol's packet of one identification."""
    bench.apply()
    bench.trace(
        TRACED_ID, {("10.0.0.4", "10.0.0.6"): 71, ("10.0.0.4", "10.0.1.4"): 72, ("10.0.0.6", "10.0.0.4"): 73}
    )
    with EventReader(bench.maps, (TRACE_EVENTS,)) as reader:
        reader.read()
        yield reader


def stages(events: list[SwitchEvent], trace: int) -> list[tuple[Stage, int]]:
    assert {event.kind for event in events} <= {EventKind.TRACE}
    assert {event.trace for event in events} <= {trace}
    assert [event.time_ns for event in events] == sorted(event.time_ns for event in events)
    return [(event.stage, event.detail) for event in events]


def test_a_followed_packet_tells_every_stage_on_its_way_out(bench: StateBench, traces: EventReader) -> None:
    assert passed(bench.send(UDP(), id=TRACED_ID))
    seen = traces.read()
    assert stages(seen, 71) == [
        (Stage.VPORT_IN, bench.rig.ports[ALICE_PORT]),
        (Stage.ACL_OUT, 0),
        (Stage.SWITCHED, 0),
        (Stage.LOOKUP, 0),
        (Stage.ENCAP, 5001),
        (Stage.WIRE_OUT, bench.rig.uplink),
    ]
    assert {event.provider_address for event in seen[3:]} == {IPv4Address(FAR)}
    assert {Ether(event.frame)[IP].id for event in seen} == {TRACED_ID}


def test_a_followed_packet_tells_how_it_is_routed(bench: StateBench, traces: EventReader) -> None:
    assert passed(bench.send(UDP(), dst="10.0.1.4", mac=ROUTER, id=TRACED_ID))
    assert stages(traces.read(), 72)[2:5] == [(Stage.ROUTED, 5002), (Stage.LOOKUP, 0), (Stage.ENCAP, 5002)]


def test_a_followed_packet_tells_every_stage_on_its_way_in(bench: StateBench, traces: EventReader) -> None:
    assert passed(bench.receive(UDP(), id=TRACED_ID))
    seen = traces.read()
    assert stages(seen, 73) == [
        (Stage.WIRE_IN, bench.rig.uplink),
        (Stage.DECAP, 5001),
        (Stage.ACL_IN, 0),
        (Stage.VPORT_OUT, bench.rig.ports[ALICE_PORT]),
    ]
    assert seen[0].provider_address == IPv4Address(FAR)


def test_a_followed_packet_tells_the_rule_and_the_drop(bench: StateBench, traces: EventReader) -> None:
    bench.apply(rule("out", "allow", protocol=6), rule("out"))
    bench.trace(TRACED_ID, {("10.0.0.4", "10.0.0.6"): 71})
    assert dropped(bench.send(UDP(), id=TRACED_ID)) is Drop.ACL
    seen = traces.read()
    assert [event.stage for event in seen] == [Stage.VPORT_IN, Stage.ACL_OUT, Stage.DROP]
    assert seen[1].detail == 2
    assert seen[2].reason == Drop.ACL


def test_others_are_not_followed(bench: StateBench, traces: EventReader) -> None:
    assert passed(bench.send(UDP(), id=TRACED_ID + 1))
    assert passed(bench.receive(UDP(), id=TRACED_ID + 1))
    frame = Ether(src=CAROL, dst=ALICE) / IP(src="10.0.0.6", dst="10.0.0.4", id=TRACED_ID) / UDP()
    assert passed(bench.rig.wire(bytes(from_wire(frame))))
    assert len(traces.read()) == 4
