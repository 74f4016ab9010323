"""The traced packet, how it is known again, and what is said of its way."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.packet import Packet

from lab.cli import labs
from lab.cli.trace import _refuse_other_version, write
from lab.datapath import abi
from lab.datapath.metrics import reason_name
from lab.engine.trace import _Ears, _followed, marked, places
from lab.engine.trace_ends import End
from lab.engine.trace_events import (
    ANSWERED,
    REASONS,
    SEEN_IN,
    SENT,
    Outcome,
    Step,
    concluded,
    step_of_event,
    step_of_sighting,
)
from lab.engine.trace_packet import Probe, Protocol
from lab.engine.trace_sender import _send
from lab.errors import UsageError
from lab.model.lab import Lab
from lab.model.loader import load
from lab.model.resolve import resolve

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "hybrid-cloud.yml"
FOUR = ip_address("10.0.0.4"), ip_address("10.0.1.4")
SIX = ip_address("fd00::4"), ip_address("fd00:0:0:1::4")


@pytest.fixture(scope="module")
def model() -> Lab:
    return resolve(load(TOPOLOGY))


def probe(protocol: Protocol, addresses: tuple[Any, Any] = FOUR, mark: int = 0xBEEF) -> Probe:
    return Probe(*addresses, protocol, 0 if protocol is Protocol.ICMP else 8080, mark)


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("addresses", [FOUR, SIX], ids=["IPv4", "IPv6"])
def test_the_packet_is_sound(protocol: Protocol, addresses: tuple[Any, Any]) -> None:
    """scapy, which is not ours, reads the same and computes the same checksums."""
    sent = probe(protocol, addresses).packet()
    packet: Packet = (IP if addresses is FOUR else IPv6)(sent)
    assert (packet.src, packet.dst) == tuple(map(str, addresses))
    assert (packet.id if addresses is FOUR else packet.fl) == 0xBEEF
    layer = packet.payload
    checksum = "cksum" if ICMPv6EchoRequest in packet else "chksum"
    right = getattr(layer, checksum)
    setattr(layer, checksum, None)
    assert packet.__class__(bytes(packet)).payload.getfieldval(checksum) == right
    if protocol is not Protocol.ICMP:
        assert packet.dport == 8080
    if protocol is Protocol.TCP:
        assert packet[TCP].flags == "S"


def test_the_packet_is_known_again_by_its_mark_and_its_ends() -> None:
    ours = probe(Protocol.UDP)
    assert ours.is_this(ours.packet())
    assert not ours.is_this(replace(ours, mark=0xBEE0).packet())
    assert not ours.is_this(replace(ours, destination=ip_address("10.0.1.5")).packet())
    routed = bytearray(ours.packet())
    routed[8] -= 1
    assert ours.is_this(bytes(routed)), "a router on its way has counted the TTL down"
    assert not ours.is_this(b"")
    assert not ours.is_this(ours.packet()[:19])
    six = probe(Protocol.ICMP, SIX, mark=0xFBEEF)
    assert six.is_this(six.packet())


def test_an_answer_is_known_as_one() -> None:
    echo = probe(Protocol.ICMP)
    reply = IP(src="10.0.1.4", dst="10.0.0.4") / ICMP(type=0, id=0xBEEF, seq=1)
    assert echo.is_answer(bytes(reply))
    assert not echo.is_answer(echo.packet())
    assert not echo.is_answer(bytes(IP(src="10.0.1.4", dst="10.0.0.4") / ICMP(type=0, id=7)))
    six = probe(Protocol.ICMP, SIX)
    assert six.is_answer(bytes(IPv6(src=str(SIX[1]), dst=str(SIX[0])) / ICMPv6EchoReply(id=0xBEEF)))
    syn = probe(Protocol.TCP)
    port = IP(syn.packet()).sport
    assert syn.is_answer(bytes(IP(src="10.0.1.4", dst="10.0.0.4") / TCP(sport=8080, dport=port, flags="SA")))
    assert not syn.is_answer(bytes(IP(src="10.0.1.4", dst="10.0.0.4") / UDP(sport=8080, dport=port)))


def test_each_trace_has_a_mark_of_its_own(model: Lab) -> None:
    ends = labs.end(model, "blue-web"), labs.end(model, "blue-app")
    marks = {marked(*ends, Protocol.ICMP, 0).mark for _ in range(50)}
    assert len(marks) > 40
    assert all(0 < mark <= 0xFFFF for mark in marks)


class Refusing:
    """Stands for a raw socket whose kernel has no route."""

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))


class Sender:
    """Stands for the program that sends; says what it is given to say."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages = list(messages)

    def overhear(self, timeout_s: float) -> dict[str, Any] | None:
        return self._messages.pop(0) if self._messages else None


def test_a_packet_that_the_kernel_does_not_take_never_left(model: Lab) -> None:
    refused = _send(cast("Any", Refusing()), probe(Protocol.ICMP))
    assert refused == {"refused": "Network is unreachable"}
    ends = labs.end(model, "blue-web"), labs.end(model, "blue-app")
    ears = _Ears(cast("Any", None), ())
    trace = _followed(cast("Any", Sender(refused)), ears, *ends, 30)
    assert trace.outcome is Outcome.LOST
    assert trace.explanation == "It never left its sender: Network is unreachable."
    assert trace.to_json()["steps"] == []


def event(time_ns: int, stage: str, **more: Any) -> dict[str, Any]:
    return {"time_ns": time_ns, "stage": stage, "vsid": 5001, "detail": 0, "pa": None, **more}


WAY = [
    step_of_event("hv02", event(70, "decap", detail=5002)),
    step_of_event("hv02", event(60, "wire-in", interface="pa0", detail=2, pa="192.168.6.10")),
    step_of_event("hv02", event(80, "vport-out", interface="v-blue-app", detail=5)),
    Step(0, "blue-web", SENT, "10.0.1.4"),
    step_of_event("hv01", event(10, "vport-in", interface="v-blue-web", detail=4)),
    step_of_event("hv01", event(20, "acl-out", detail=0)),
    step_of_event("hv01", event(30, "routed", detail=5002)),
    step_of_event("hv01", event(40, "lookup", pa="192.168.6.11")),
    step_of_event("hv01", event(50, "encap", detail=5002)),
]


def test_events_of_all_nodes_are_told_in_the_order_of_their_times() -> None:
    trace = concluded(WAY, "blue-app", "v-blue-app")
    assert [step.time_ns for step in trace.steps] == sorted(step.time_ns for step in WAY)
    assert [(step.node, step.stage, step.detail) for step in trace.steps] == [
        ("blue-web", "sent", "10.0.1.4"),
        ("hv01", "vport-in", "v-blue-web"),
        ("hv01", "acl-out", "no rule, or a known connection"),
        ("hv01", "routed", "next hop in VSID 5002"),
        ("hv01", "lookup", "lives at PA 192.168.6.11"),
        ("hv01", "encap", "VSID 5002"),
        ("hv02", "wire-in", "pa0, from PA 192.168.6.10"),
        ("hv02", "decap", "VSID 5002"),
        ("hv02", "vport-out", "v-blue-app"),
    ]
    assert trace.outcome is Outcome.DELIVERED
    assert trace.outcome.good


def test_a_drop_is_told_with_its_reason_in_words() -> None:
    steps = [*WAY[3:6], step_of_event("hv01", event(30, "drop", detail=14, reason="no-record"))]
    trace = concluded(steps, "", "")
    assert trace.outcome is Outcome.DROPPED
    assert not trace.outcome.good
    assert trace.explanation.startswith("hv01 dropped it. No lookup record")
    assert concluded([Step(1, "hv01", "drop", "", "new-one")], "").explanation.endswith("reason is new-one.")


def test_what_is_neither_delivered_nor_dropped_is_lost_and_was_last_seen_somewhere() -> None:
    trace = concluded(WAY[3:], "blue-app", "v-blue-app")
    assert trace.outcome is Outcome.LOST
    assert "last seen on hv01 (encap VSID 5002)" in trace.explanation
    assert "never left" in concluded([WAY[3]], "blue-app", "v-blue-app").explanation


def test_arrival_at_the_machine_itself_or_an_answer_counts() -> None:
    seen = {"time_ns": 9, "node": "blue-sql", "compartment": "", "interface": "eth0", "outgoing": False}
    step = step_of_sighting({**seen, "answer": False})
    assert (step.stage, step.detail) == (SEEN_IN, "eth0")
    assert concluded([step], "blue-sql").outcome is Outcome.DELIVERED
    assert concluded([step], "blue-pc").outcome is Outcome.LOST
    answer = step_of_sighting({**seen, "node": "blue-web", "answer": True})
    assert answer.stage == ANSWERED
    assert concluded([answer], "").outcome is Outcome.ANSWERED
    through = step_of_sighting(
        {**seen, "node": "gw01", "compartment": "blue", "outgoing": True, "answer": False}
    )
    assert (through.stage, through.detail) == ("leaves", "eth0 of compartment blue")


def test_every_drop_reason_has_a_sentence() -> None:
    reasons = {reason_name(reason) for reason in abi.Drop if reason is not abi.Drop.FORWARDED}
    assert set(REASONS) == reasons
    for sentence in REASONS.values():
        assert sentence[0].isupper()
        assert sentence.endswith(".")


def test_machines_are_found_by_name_and_by_address(model: Lab) -> None:
    web = labs.end(model, "blue-web")
    assert (web.node, str(web.address), web.port) == ("blue-web", "10.0.0.4", "v-blue-web")
    assert labs.end(model, "10.0.1.4", web.tenant).node == "blue-app"
    assert labs.end(model, "192.168.50.10", web.tenant).node == "blue-sql"
    assert labs.end(model, "192.168.50.10", labs.end(model, "red-pc").tenant).node == "red-sql"
    assert str(labs.end(model, "blue-hq").address) == "192.168.50.1"
    nowhere = labs.end(model, "10.0.0.99", web.tenant)
    assert (nowhere.node, nowhere.port) == ("", "")
    with pytest.raises(UsageError) as caught:
        labs.end(model, "blue-ap", web.tenant)
    assert caught.value.problems[0].hint == "did you mean blue-app?"
    with pytest.raises(UsageError, match=r"no machine of a tenant 10\.0\.0\.4"):
        labs.end(model, "10.0.0.4")


@pytest.mark.parametrize("other", ["red-web", "red-sql", "red-hq"])
def test_another_tenants_machine_is_no_destination(model: Lab, other: str) -> None:
    """Its address is blue's own machine, or nobody, in blue's network: the verdict would be of that one."""
    web = labs.end(model, "blue-web")
    with pytest.raises(UsageError, match=f"{other} is a machine of the tenant red, the sender one of blue"):
        labs.end(model, other, web.tenant)
    with pytest.raises(UsageError, match="give the address instead"):
        labs.end(model, other, web.tenant)
    assert labs.end(model, "blue-sql", web.tenant).node == "blue-sql"


def test_the_way_to_a_site_is_watched_in_the_compartment_and_at_the_site(model: Lab) -> None:
    web = labs.end(model, "blue-web")
    watched = places(model, web, labs.end(model, "blue-sql", web.tenant))
    assert {(place["node"], place["compartment"]) for place in watched} == {
        ("blue-web", ""),
        ("blue-sql", ""),
        ("blue-hq", ""),
        ("gw01", "blue"),
    }


def test_ends_of_different_ip_versions_are_refused(model: Lab) -> None:
    web = labs.end(model, "blue-web")
    _refuse_other_version(web, web, "x")
    with pytest.raises(UsageError, match="IPv4 address, the destination an IPv6 one"):
        _refuse_other_version(web, End("", SIX[0], web.tenant), "fd00::4")


def test_the_table_has_times_since_the_sending(capsys: pytest.CaptureFixture[str]) -> None:
    trace = concluded(
        [replace(step, time_ns=step.time_ns * 1000 + 5_000_000) for step in WAY], "blue-app", "v-blue-app"
    )
    write(trace)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NODE", "STAGE", "DETAIL", "µs"]
    assert lines[1].split() == ["blue-web", "sent", "10.0.1.4", "0.0"]
    assert lines[-2].split() == ["hv02", "vport-out", "v-blue-app", "80.0"]
    assert lines[-1].startswith("delivered: ")
    data = json.loads(json.dumps(trace.to_json()))
    assert data["outcome"] == "delivered"
    assert data["steps"][1]["offset_us"] == 10.0
