"""Access control lists: what the rules say, and what is remembered of what they said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from lab.datapath import switch
from lab.datapath.abi import AclKey, Drop
from lab.datapath.flows import FLOWS
from lab.datapath.image import ACL_RULES
from lab.datapath.maps import wait_for_programs

from . import state_bench as protocol
from .scenario import ALICE, BOB, ROUTER, dropped, ip_from_alice
from .state_bench import ALICE_PORT, BOB_PORT, EVE6, FAY6, StateBench, passed, rule, state_bench

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


def request(flags: str = SYN, sport: int = 1000, dport: int = 80) -> Packet:
    return TCP(sport=sport, dport=dport, flags=flags)


def reply(flags: str = SYN_ACK, sport: int = 80, dport: int = 1000) -> Packet:
    return TCP(sport=sport, dport=dport, flags=flags)


# -- rules


def test_without_a_list_everything_passes_and_nothing_is_remembered(bench: StateBench) -> None:
    bench.apply()
    assert passed(bench.send(request()))
    assert passed(bench.receive(reply()))
    assert bench.map(FLOWS).items() == {}


def test_no_match_allows(bench: StateBench) -> None:
    bench.apply(rule("in", source="10.9.0.0/16"), rule("out", destination="10.9.0.0/16"))
    assert passed(bench.send(request()))
    assert passed(bench.receive(UDP(sport=1, dport=2)))


@pytest.mark.parametrize(
    ("fields", "denied", "allowed"),
    [
        ({"protocol": protocol.TCP}, request(), UDP(sport=1000, dport=80)),
        ({"protocol": protocol.UDP}, UDP(sport=1, dport=2), request()),
        ({"protocol": protocol.ICMP}, ICMP(id=7), request()),
        ({"destination_ports": (80, 90)}, request(dport=80), request(dport=79)),
        ({"destination_ports": (80, 90)}, request(dport=90), request(dport=91)),
        ({"source_ports": (1000, 1000)}, request(sport=1000), request(sport=1001)),
        ({"destination_ports": (0, 0)}, ICMP(id=7), request()),
        ({"destination_ports": (7, 7)}, UDP(dport=7), ICMP(id=7)),
    ],
)
def test_a_rule_matches_by_protocol_and_ports(
    bench: StateBench, fields: dict[str, Any], denied: Packet, allowed: Packet
) -> None:
    bench.apply(rule("out", **fields))
    assert dropped(bench.send(denied)) is Drop.ACL
    assert passed(bench.send(allowed))


def test_a_rule_matches_by_prefix_of_source_and_destination(bench: StateBench) -> None:
    bench.apply(
        rule("out", destination="10.0.0.4/30"), rule("in", source="10.0.0.6/32", destination="10.0.0.4/32")
    )
    assert dropped(bench.send(request())) is Drop.ACL
    assert passed(bench.send(request(), dst="10.0.1.4", mac=ROUTER))
    assert dropped(bench.receive(UDP(sport=5, dport=6))) is Drop.ACL


def test_the_first_match_decides(bench: StateBench) -> None:
    bench.apply(
        rule("out", "allow", protocol=protocol.TCP, destination_ports=(80, 80)),
        rule("out", protocol=protocol.TCP),
        rule("out", "allow"),
    )
    assert passed(bench.send(request(dport=80)))
    assert dropped(bench.send(request(dport=81))) is Drop.ACL
    assert passed(bench.send(UDP(sport=1, dport=2)))


def test_the_last_of_256_rules_still_decides(bench: StateBench) -> None:
    others = [rule("out", destination=f"10.200.{n}.0/24") for n in range(255)]
    bench.apply(*others, rule("out", destination="10.0.0.6/32"))
    assert dropped(bench.send(request())) is Drop.ACL
    assert passed(bench.send(request(), dst="10.0.0.5", mac=BOB))


def test_both_ports_of_one_host_are_judged(bench: StateBench) -> None:
    """Alice and Bob without a wire between them."""
    bench.apply(rule("in"))
    to_alice = Ether(src=BOB, dst=ALICE) / IP(src="10.0.0.5", dst="10.0.0.4")
    from_bob = bench.rig.vport(bench.rig.ports[BOB_PORT], bytes(to_alice / UDP(sport=5, dport=6)))
    assert dropped(from_bob) is Drop.ACL
    assert passed(bench.send(UDP(sport=6, dport=5), dst="10.0.0.5", mac=BOB))
    answered = bench.rig.vport(bench.rig.ports[BOB_PORT], bytes(to_alice / UDP(sport=5, dport=6)))
    assert (passed(answered), answered.ifindex) == (True, bench.rig.ports[ALICE_PORT])


def test_the_rules_of_an_old_list_go_when_no_packet_can_be_on_its_way_through_them(
    bench: StateBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one would find their end early, which allows."""
    bench.apply(rule("out"))
    before, rules = bench.vport(ALICE_PORT).acl, bench.map(ACL_RULES)
    seen = []

    def wait() -> None:
        seen.append(
            (bench.vport(ALICE_PORT).acl, {AclKey.from_buffer_copy(key).acl for key in rules.items()})
        )
        wait_for_programs()

    monkeypatch.setattr(switch, "wait_for_programs", wait)
    bench.apply(rule("out", destination="10.0.0.6/32"))
    after = bench.vport(ALICE_PORT).acl
    assert seen == [(after, {before, after})]
    assert {AclKey.from_buffer_copy(key).acl for key in rules.items()} == {after}
    bench.apply(rule("out", destination="10.0.0.6/32"))
    assert len(seen) == 1, "nothing went, nothing to wait for"


# -- flows


def test_the_reply_of_an_allowed_flow_passes_and_nothing_else(bench: StateBench) -> None:
    bench.apply(rule("in"))
    assert dropped(bench.receive(reply())) is Drop.ACL
    assert passed(bench.send(request()))
    assert passed(bench.receive(reply()))
    for stranger in (reply(sport=81), reply(dport=1001), UDP(sport=80, dport=1000)):
        assert dropped(bench.receive(stranger)) is Drop.ACL


def test_the_reply_to_an_allowed_stranger_leaves(bench: StateBench) -> None:
    bench.apply(
        rule("in", "allow", protocol=protocol.TCP, destination_ports=(80, 80)), rule("in"), rule("out")
    )
    assert passed(bench.receive(TCP(sport=1000, dport=80, flags=SYN)))
    assert passed(bench.send(TCP(sport=80, dport=1000, flags=SYN_ACK)))
    assert dropped(bench.send(TCP(sport=81, dport=1000, flags=SYN_ACK))) is Drop.ACL


def test_a_denied_packet_makes_no_flow(bench: StateBench) -> None:
    bench.apply(rule("out"), rule("in", "allow"))
    assert dropped(bench.send(request())) is Drop.ACL
    assert bench.map(FLOWS).items() == {}


def test_an_echo_belongs_to_its_identifier(bench: StateBench) -> None:
    bench.apply(rule("in"))
    assert dropped(bench.receive(ICMP(type=0, id=7))) is Drop.ACL
    assert passed(bench.send(ICMP(id=7)))
    assert passed(bench.receive(ICMP(type=0, id=7)))
    assert dropped(bench.receive(ICMP(type=0, id=8))) is Drop.ACL


def test_other_icmp_has_no_flow(bench: StateBench) -> None:
    bench.apply(rule("in"))
    assert passed(bench.send(ICMP(type=13, id=7)))
    assert dropped(bench.receive(ICMP(type=14, id=7))) is Drop.ACL
    assert bench.map(FLOWS).items() == {}


def test_an_ipv6_flow_is_like_any_other(bench: StateBench) -> None:
    bench.apply(rule("in"))
    assert dropped(bench.receive6(reply())) is Drop.ACL
    assert passed(bench.send6(request()))
    assert passed(bench.receive6(reply()))
    assert dropped(bench.receive6(ICMPv6EchoReply(id=9))) is Drop.ACL
    assert passed(bench.send6(ICMPv6EchoRequest(id=9)))
    assert passed(bench.receive6(ICMPv6EchoReply(id=9)))


def test_neighbour_discovery_is_not_judged(bench: StateBench) -> None:
    bench.apply(rule("in"), rule("out"))
    asked = Ether(src=protocol.EVE, dst="33:33:ff:00:00:06") / IPv6(src=EVE6, dst="ff02::1:ff00:6", hlim=255)
    frame = asked / ICMPv6ND_NS(tgt=FAY6)
    seen = bench.rig.vport(bench.rig.ports[protocol.EVE_PORT], bytes(frame))
    assert (passed(seen), seen.ifindex) == (True, bench.rig.ports[protocol.EVE_PORT])


def test_a_frame_for_many_is_judged_by_the_rules_alone_and_makes_no_flow(bench: StateBench) -> None:
    many = {"dst": "10.0.0.255", "mac": "ff:ff:ff:ff:ff:ff"}
    bench.apply(rule("in"), rule("out", destination_ports=(6, 6)))
    assert dropped(bench.send(UDP(sport=5, dport=6), **many)) is Drop.ACL
    counted = {reason for (reason, _, _), _ in bench.send(UDP(sport=5, dport=7), **many).counts}
    assert counted == {Drop.FORWARDED}
    assert bench.map(FLOWS).items() == {}


def test_a_router_advertises_whatever_its_list_says(bench: StateBench) -> None:
    bench.apply(rule("in"), rule("out"), router_advertiser=True)
    frame = Ether(src=protocol.EVE, dst="33:33:00:00:00:01") / IPv6(src=EVE6, dst="ff02::1", hlim=255)
    seen = bench.rig.vport(bench.rig.ports[protocol.EVE_PORT], bytes(frame / ICMPv6ND_RA()))
    assert {reason for (reason, _, _), _ in seen.counts} == {Drop.FORWARDED}
    others = bench.rig.vport(bench.rig.ports[protocol.EVE_PORT], bytes(frame / UDP()))
    assert dropped(others) is Drop.ACL


# -- ICMP errors


def quoting(packet: Packet, octets: int = 28) -> Packet:
    return ICMP(type=3, code=1) / Raw(bytes(packet)[:octets])


def test_an_error_passes_for_a_known_flow_only(bench: StateBench) -> None:
    bench.apply(rule("in"))
    known, unknown = (ip_from_alice("10.0.0.6") / request(sport=port) for port in (1000, 1001))
    assert passed(bench.send(request(sport=1000)))
    # It may come from anybody on the way.
    assert passed(bench.receive(quoting(known)))
    assert dropped(bench.receive(quoting(unknown))) is Drop.ACL
    assert dropped(bench.receive(quoting(known, octets=22))) is Drop.ACL


def test_an_error_about_an_echo_passes_by_its_identifier(bench: StateBench) -> None:
    bench.apply(rule("in"))
    assert passed(bench.send(ICMP(id=7)))
    assert passed(bench.receive(quoting(ip_from_alice("10.0.0.6") / ICMP(id=7))))
    assert dropped(bench.receive(quoting(ip_from_alice("10.0.0.6") / ICMP(id=8)))) is Drop.ACL


def test_the_vm_may_send_an_error_about_what_it_was_sent(bench: StateBench) -> None:
    bench.apply(rule("out"))
    received = IP(src="10.0.0.6", dst="10.0.0.4") / UDP(sport=5, dport=6)
    assert dropped(bench.send(quoting(received))) is Drop.ACL
    assert passed(bench.receive(UDP(sport=5, dport=6)))
    assert passed(bench.send(quoting(received)))


def test_an_ipv6_error_passes_for_a_known_flow_only(bench: StateBench) -> None:
    bench.apply(rule("in"))
    assert passed(bench.send6(request()))
    for port, expected in ((1000, True), (1001, False)):
        quoted = bytes(IPv6(src=EVE6, dst=FAY6) / request(sport=port))
        assert passed(bench.receive6(ICMPv6DestUnreach(code=4) / Raw(quoted))) is expected


def quoting6(packet: Packet) -> Packet:
    return ICMPv6DestUnreach(code=4) / Raw(bytes(packet))


def test_the_vm_tells_errors_to_nobody_but_the_sender_of_what_they_quote(bench: StateBench) -> None:
    """Or whom a list keeps silent could tell everybody everything, for one packet that it was sent."""
    bench.apply(rule("out"))
    assert passed(bench.receive(UDP(sport=5, dport=6)))
    error = quoting(IP(src="10.0.0.6", dst="10.0.0.4") / UDP(sport=5, dport=6))
    assert passed(bench.send(error))
    assert dropped(bench.send(error, dst="10.0.0.5", mac=BOB)) is Drop.ACL
    assert dropped(bench.send(error, dst="10.0.1.4", mac=ROUTER)) is Drop.ACL
    assert passed(bench.receive6(UDP(sport=5, dport=6)))
    error6 = quoting6(IPv6(src=FAY6, dst=EVE6) / UDP(sport=5, dport=6))
    assert passed(bench.send6(error6))
    assert dropped(bench.send6(error6, dst="fd00:6::7")) is Drop.ACL


def test_an_error_reaches_nobody_behind_the_vm_but_the_sender_of_what_it_quotes(bench: StateBench) -> None:
    """A forwarding port is given what is for others."""
    bench.apply(rule("in"), forwarding=True)
    assert passed(bench.send(request()))
    error = quoting(ip_from_alice("10.0.0.6") / request())
    assert passed(bench.receive(error))
    assert dropped(bench.receive(error, dst="192.168.50.10")) is Drop.ACL
    assert passed(bench.send6(request()))
    error6 = quoting6(IPv6(src=EVE6, dst=FAY6) / request())
    assert passed(bench.receive6(error6))
    assert dropped(bench.receive6(error6, dst="fd00:50::10")) is Drop.ACL


# -- fragments


def test_later_fragments_go_with_their_first_one(bench: StateBench) -> None:
    bench.apply(rule("out", protocol=protocol.UDP, destination_ports=(53, 53)))
    later = Raw(bytes(16))
    unseen = bench.send(later, id=1, frag=10, proto=protocol.UDP)
    assert dropped(unseen) is Drop.FRAGMENT
    assert passed(bench.send(UDP(dport=54) / bytes(72), id=1, flags="MF"))
    assert passed(bench.send(later, id=1, frag=10, proto=protocol.UDP))
    assert dropped(bench.send(later, id=2, frag=10, proto=protocol.UDP)) is Drop.FRAGMENT
    assert dropped(bench.send(UDP(dport=53) / bytes(72), id=3, flags="MF")) is Drop.ACL
    assert dropped(bench.send(later, id=3, frag=10, proto=protocol.UDP)) is Drop.ACL


def test_fragments_of_an_answer_pass(bench: StateBench) -> None:
    bench.apply(rule("in"))
    assert passed(bench.send(UDP(sport=1000, dport=53)))
    assert passed(bench.receive(UDP(sport=53, dport=1000) / bytes(72), id=9, flags="MF"))
    assert passed(bench.receive(Raw(bytes(16)), id=9, frag=10, proto=protocol.UDP))
    assert dropped(bench.send(Raw(bytes(16)), id=9, frag=10, proto=protocol.UDP)) is Drop.FRAGMENT


def test_fragments_are_forgotten(bench: StateBench) -> None:
    bench.apply(rule("in"))
    assert passed(bench.send(UDP(dport=54) / bytes(72), id=1, flags="MF"))
    bench.age(20)
    assert passed(bench.send(Raw(bytes(16)), id=1, frag=10, flags="MF", proto=protocol.UDP))
    bench.age(20)
    assert passed(bench.send(Raw(bytes(16)), id=1, frag=12, proto=protocol.UDP))
    bench.age(31)
    assert dropped(bench.send(Raw(bytes(16)), id=1, frag=12, proto=protocol.UDP)) is Drop.FRAGMENT


def test_ipv6_fragments_go_with_their_first_one(bench: StateBench) -> None:
    bench.apply(rule("out", protocol=protocol.UDP, destination_ports=(53, 53)))

    def fragment(ident: int, offset: int, more: int, payload: Packet) -> Packet:
        return IPv6ExtHdrFragment(nh=protocol.UDP, id=ident, offset=offset, m=more) / payload

    later = Raw(bytes(16))
    assert dropped(bench.send6(fragment(1, 10, 0, later))) is Drop.FRAGMENT
    assert passed(bench.send6(fragment(1, 0, 1, UDP(dport=54) / bytes(72))))
    assert passed(bench.send6(fragment(1, 10, 0, later)))
    assert dropped(bench.send6(fragment(2, 0, 1, UDP(dport=53) / bytes(72)))) is Drop.ACL
    assert dropped(bench.send6(fragment(2, 10, 0, later))) is Drop.ACL
