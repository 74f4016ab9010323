"""Flows: how long they live, what a changed list does to them, and how they move to another node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.packet import Packet

from lab.datapath.abi import AclDirection, Drop, FlowState
from lab.datapath.errors import InvalidPolicyError
from lab.datapath.flows import FLOWS, FlowRecord, export_flows, forget_flows, import_flows, read_flows

from .scenario import dropped
from .state_bench import ALICE_PORT, BOB_PORT, EVE_PORT, StateBench, passed, rule, state_bench

pytestmark = pytest.mark.root

SYN, SYN_ACK, ACK, FIN, RST = "S", "SA", "A", "FA", "R"


@pytest.fixture(scope="module")
def shared() -> Iterator[StateBench]:
    with state_bench() as built:
        yield built


@pytest.fixture
def bench(shared: StateBench) -> Iterator[StateBench]:
    shared.forget()
    yield shared
    shared.apply()


def request(flags: str) -> Packet:
    return TCP(sport=1000, dport=80, flags=flags)


def reply(flags: str) -> Packet:
    return TCP(sport=80, dport=1000, flags=flags)


# -- time


@pytest.mark.parametrize(
    ("sent", "received", "idle_s"),
    [
        ([request(SYN)], [], 60),
        ([request(SYN)], [reply(SYN_ACK)], 900),
        ([request(SYN), request(RST)], [reply(SYN_ACK)], 10),
        ([request(SYN), request(FIN)], [reply(SYN_ACK)], 10),
        ([request(SYN)], [reply(RST)], 10),
        ([UDP(sport=1000, dport=80)], [], 120),
        ([UDP(sport=1000, dport=80)], [UDP(sport=80, dport=1000)], 120),
        ([ICMP(id=7)], [ICMP(type=0, id=7)], 60),
    ],
    ids=["tcp new", "established", "reset", "finished", "refused", "udp", "udp answered", "echo"],
)
def test_a_flow_is_forgotten_when_it_was_idle_for_long(
    bench: StateBench, sent: list[Packet], received: list[Packet], idle_s: int
) -> None:
    bench.apply(rule("in"))
    answer = (
        received[0] if received else (reply(SYN_ACK) if sent[0].haslayer(TCP) else UDP(sport=80, dport=1000))
    )

    def play() -> None:
        bench.forget()
        assert all(passed(bench.send(packet)) for packet in sent[:1])
        assert all(passed(bench.receive(packet)) for packet in received)
        assert all(passed(bench.send(packet)) for packet in sent[1:])

    play()
    bench.age(idle_s / 2)
    assert passed(bench.receive(answer))
    play()
    bench.age(idle_s + 1)
    assert read_flows(bench.map(FLOWS)) == []
    assert dropped(bench.receive(answer)) is Drop.ACL


def test_a_packet_keeps_its_flow_alive(bench: StateBench) -> None:
    bench.apply(rule("in"))
    assert passed(bench.send(UDP(sport=1000, dport=80)))
    for _ in range(3):
        bench.age(100)
        assert passed(bench.receive(UDP(sport=80, dport=1000)))


def test_a_closed_connection_may_be_opened_again(bench: StateBench) -> None:
    bench.apply(rule("in"))
    for packet in (request(SYN), request(FIN)):
        assert passed(bench.send(packet))
    (closing,) = read_flows(bench.map(FLOWS))
    assert closing.state is FlowState.CLOSING
    assert dropped(bench.receive(TCP(sport=80, dport=1000, flags=SYN))) is Drop.ACL
    assert passed(bench.send(request(SYN)))
    (again,) = read_flows(bench.map(FLOWS))
    assert (again.state, again.packets) == (FlowState.NEW, 1)


# -- lists that change


def test_a_changed_list_keeps_what_it_still_allows(bench: StateBench) -> None:
    bench.apply(rule("in"))
    assert passed(bench.send(request(SYN)))
    bench.apply(rule("in"), rule("out", destination_ports=(81, 81)))
    assert passed(bench.receive(reply(SYN_ACK)))
    (flow,) = read_flows(bench.map(FLOWS))
    assert (flow.acl, flow.state) == (bench.vport(ALICE_PORT).acl, FlowState.ESTABLISHED)


def test_a_changed_list_cuts_what_it_denies_in_both_directions(bench: StateBench) -> None:
    bench.apply(rule("in", destination_ports=(22, 22)))
    assert passed(bench.receive(TCP(sport=1000, dport=80, flags=SYN)))
    assert passed(bench.send(TCP(sport=80, dport=1000, flags=SYN_ACK)))
    bench.apply(rule("in", destination_ports=(80, 80)))
    assert dropped(bench.receive(TCP(sport=1000, dport=80, flags=ACK))) is Drop.ACL
    # The VM's own rules would let it send this: the flow is judged, not the packet.
    assert dropped(bench.send(TCP(sport=80, dport=1000, flags=ACK))) is Drop.ACL
    assert dropped(bench.send(TCP(sport=80, dport=1000, flags=ACK))) is Drop.ACL
    bench.apply(rule("in", destination_ports=(22, 22)))
    assert passed(bench.send(TCP(sport=80, dport=1000, flags=ACK)))


def test_a_list_that_comes_takes_up_connections_that_the_vm_goes_on_with(bench: StateBench) -> None:
    bench.apply()
    assert passed(bench.send(request(SYN)))
    bench.apply(rule("in"))
    assert dropped(bench.receive(reply(ACK))) is Drop.ACL
    assert passed(bench.send(request(ACK)))
    assert passed(bench.receive(reply(ACK)))


# -- listing and moving


def test_a_flow_says_who_opened_it_and_what_it_carried(bench: StateBench) -> None:
    bench.apply(rule("out", destination_ports=(22, 22)))
    assert passed(bench.receive(TCP(sport=1000, dport=80, flags=SYN) / b"abc"))
    assert passed(bench.send(TCP(sport=80, dport=1000, flags=SYN_ACK)))
    (flow,) = read_flows(bench.map(FLOWS), {bench.rig.ports[ALICE_PORT]})
    assert (flow.local, flow.local_port) == (IPv4Address("10.0.0.4"), 80)
    assert (flow.remote, flow.remote_port) == (IPv4Address("10.0.0.6"), 1000)
    assert (flow.opener, flow.state, flow.protocol) == (AclDirection.INBOUND, FlowState.ESTABLISHED, 6)
    assert flow.packets == 2
    assert flow.idle_ns < 50e9
    assert read_flows(bench.map(FLOWS), {bench.rig.ports[BOB_PORT]}) == []


def test_flows_move_to_another_port_and_are_judged_there(bench: StateBench) -> None:
    bench.apply(rule("in"))
    alice, eve = bench.rig.ports[ALICE_PORT], bench.rig.ports[EVE_PORT]
    assert passed(bench.send(request(SYN)))
    assert passed(bench.send(UDP(sport=5, dport=6)))
    assert passed(bench.send6(request(SYN)))
    flows = bench.map(FLOWS)
    records: list[FlowRecord] = json.loads(json.dumps(export_flows(flows, alice)))
    assert len(records) == 2
    forget_flows(flows, {alice})
    assert [flow.local for flow in read_flows(flows)] == [IPv6Address("fd00:6::4")]
    assert dropped(bench.receive(reply(SYN_ACK))) is Drop.ACL
    assert import_flows(flows, alice, records) == 2
    bench.apply(rule("in"), rule("out", protocol=17))
    assert passed(bench.receive(reply(SYN_ACK)))
    assert dropped(bench.receive(UDP(sport=6, dport=5))) is Drop.ACL
    assert import_flows(flows, eve, export_flows(flows, eve)) == 1


def test_the_idle_time_moves_along(bench: StateBench) -> None:
    bench.apply(rule("in"))
    alice = bench.rig.ports[ALICE_PORT]
    assert passed(bench.send(request(SYN)))
    bench.age(40)
    flows = bench.map(FLOWS)
    records = export_flows(flows, alice)
    forget_flows(flows, {alice})
    import_flows(flows, alice, records)
    bench.age(25)
    assert dropped(bench.receive(reply(SYN_ACK))) is Drop.ACL


@pytest.mark.parametrize(
    "wrong",
    [
        {"local": "10.0.0.300"},
        {"remote": "fd00::1"},
        {"local_port": 65536},
        {"protocol": "6"},
        {"opener": "sideways"},
        {"state": "asleep"},
        {"packets": -1},
    ],
)
def test_what_is_no_flow_is_refused_and_nothing_is_written(
    bench: StateBench, wrong: dict[str, str | int]
) -> None:
    bench.apply(rule("in"))
    flows, alice = bench.map(FLOWS), bench.rig.ports[ALICE_PORT]
    assert passed(bench.send(request(SYN)))
    records = export_flows(flows, alice)
    forget_flows(flows, {alice})
    with pytest.raises(InvalidPolicyError, match="HNV-DATAPATH-021"):
        import_flows(flows, alice, [*records, {**records[0], **wrong}])
    assert flows.items() == {}
