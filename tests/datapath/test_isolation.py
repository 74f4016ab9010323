"""Isolation: no frame of one routing domain leaves at a port of another, whatever policies and frame.

Judged without the model, by where a frame comes out: ports bear the tag of their routing domain, and on the
wire VSID and PA tell. Frames are first what a VM or a host may send, then what an attacker makes of that. It
holds in the midst of a change too, when an entry still names a port that is another subnet's by now.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from random import Random
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from lab.datapath.abi import Drop
from lab.datapath.entries import FLOOD_KEY, LOCAL_KEY, flood_to_port, u32
from lab.datapath.image import FLOOD, LOCALS
from lab.datapath.maps import Map
from lab.datapath.policy import Policy, Port

from .agreement import domain_of, reaches
from .model import Model
from .model.flooding import receivers
from .model.outcome import FORWARD, SHOT, Ended, Outcome
from .model.parsing import mac
from .model.tables import Tables
from .scenario import (
    ALICE,
    BOB,
    CAROL,
    COMPARTMENT,
    ROUTER,
    carol_to_alice,
    dropped,
    from_alice,
    from_wire,
    ip_from_alice,
)
from .scenario import policy as shared_policy
from .strategies import STRANGER, VSIDS, Devices, again, often, policies
from .strategies_frames import vm_frame, wire_frame
from .switch_rig import OUTWARDS, Rig, rig

pytestmark = pytest.mark.root

HISTORIES = 150
FRAMES = 8
ALL_VSIDS = [vsid for both in VSIDS.values() for vsid in both]


@pytest.fixture(scope="module")
def bench() -> Iterator[Rig]:
    with rig() as built:
        yield built


def spoiled(rng: Random, frame: bytes) -> bytes:
    """What an attacker makes of a frame: some octets changed, cut out or put in."""
    attacked = bytearray(frame)
    for _ in range(rng.choice((0, 1, 1, 2, 8))):
        at = rng.randrange(len(attacked))
        at = at if often(rng, 4) or len(attacked) < 60 else rng.randrange(60)
        action = rng.randrange(8)
        if action == 0:
            del attacked[at : at + rng.choice((1, 2, 4, 14))]
        elif action == 1:
            attacked[at:at] = rng.randbytes(rng.choice((1, 4, 8, 14)))
        elif action == 2:
            attacked[at : at + 3] = rng.choice(ALL_VSIDS).to_bytes(3, "big")
        elif action == 3:
            attacked[at : at + 4] = STRANGER.packed
        else:
            attacked[at] = rng.randrange(256)
    # The test bench itself refuses IP packets without a whole header; a namespace test sends those.
    return bytes(attacked).ljust(60, b"\0")


def vsid_of(policy: Policy, frame: bytes) -> int:
    """What a packet of the provider network says that its VSID is."""
    at = 46 if policy.switch.vxlan else 38
    return int.from_bytes(frame[at : at + 3], "big")


def copies(policy: Policy, vsid: int, sender: Port | None) -> int:
    """What a frame for many becomes, if it is one and is let through."""
    try:
        addresses, ports = receivers(Tables(policy), vsid, sender)
    except Ended:
        return 0
    return len(addresses) + len(ports)


def leaves(seen: Outcome) -> list[tuple[int, bytes]]:
    """Everything that came out."""
    return [*seen.copies, *([(seen.ifindex, seen.frame)] if seen.verdict == FORWARD else [])]


def counted_out(seen: Outcome) -> int:
    """How many frames the switch says that it sent."""
    return sum(direction in OUTWARDS for (_, direction, _), _ in seen.counts)


@settings(
    max_examples=HISTORIES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rng=st.randoms(use_true_random=True))
def test_no_frame_leaves_its_routing_domain(bench: Rig, rng: Random) -> None:
    bench.inside(lambda: attack(bench, rng))


def attack(bench: Rig, rng: Random) -> None:
    """Policies one after the other, with what flows and fragments are left from the one before."""
    devices = Devices(bench.ports, bench.uplinks)
    policy = policies(rng, devices)
    for turn in range(3):
        policy = again(rng, devices, policy) if turn else policy
        before = entries(bench, LOCALS)
        bench.apply(policy)
        now = entries(bench, LOCALS)
        stale = {key: value for key, value in before.items() if now.get(key) != value and often(rng, 2)}
        with overwritten(bench, LOCALS, stale):
            for _ in range(FRAMES):
                fire(bench, rng, policy)


def entries(bench: Rig, name: str) -> dict[bytes, bytes]:
    """What a map of the switch holds."""
    with closing(Map.pinned(bench.switch.maps / name)) as opened:
        return opened.items()


@contextmanager
def overwritten(bench: Rig, name: str, stale: dict[bytes, bytes]) -> Iterator[None]:
    """A map with some entries of another policy: what two steps of a change leave for a moment."""
    with closing(Map.pinned(bench.switch.maps / name)) as opened:
        sound = opened.items()
        opened.update(stale)
        try:
            yield
        finally:
            opened.delete(stale.keys() - sound.keys())
            opened.update({key: sound[key] for key in stale.keys() & sound.keys()})


def fire(bench: Rig, rng: Random, policy: Policy) -> None:
    """One frame; where all that comes of it goes."""
    domain: UUID | None
    if often(rng, 2):
        ifindex, frame = vm_frame(rng, policy, Devices(bench.ports, bench.uplinks))
        frame = spoiled(rng, frame)
        port = next((p for p in policy.ports if p.ifindex == ifindex), None)
        domain = domain_of(policy, port.vsid) if port else None
        seen = bench.vport(ifindex, frame, copies(policy, port.vsid, port) if port else 0)
    else:
        frame = spoiled(rng, wire_frame(rng, policy))
        domain = domain_of(policy, vsid_of(policy, frame))
        seen = bench.wire(frame, copies(policy, vsid_of(policy, frame), None))
    left = leaves(seen)
    assert len(left) == counted_out(seen), f"uncounted: {frame.hex()} {seen} {policy}"
    for outlet, out in left:
        reached = reaches(policy, bench.uplinks, outlet, out)
        assert domain is not None, f"{frame.hex()} {seen} {policy}"
        assert reached == {domain}, f"{frame.hex()} {seen} {policy}"


# -- an entry that names Red's port for a MAC of Blue's

RED_PORT = 3


@pytest.mark.parametrize(
    ("vsid", "station", "packet"),
    [
        (5001, BOB, from_alice(ip_from_alice("10.0.0.5") / UDP(sport=5, dport=6), dst=BOB)),
        (5003, COMPARTMENT, from_alice(ip_from_alice("10.0.2.2") / UDP(sport=5, dport=6))),
        (5003, COMPARTMENT, from_alice(ip_from_alice("192.168.50.10") / UDP(sport=5, dport=6), dst=ROUTER)),
        (5001, BOB, from_alice(ip_from_alice("10.0.0.5", flags="DF") / UDP() / bytes(2000), dst=BOB)),
    ],
    ids=["switched", "routed", "to a next hop", "too big for it"],
)
def test_an_entry_left_behind_leads_to_no_port_of_another_subnet(
    bench: Rig, vsid: int, station: str, packet: Packet
) -> None:
    policy = shared_policy(bench)
    bench.apply(policy)
    model = Model(policy, bench.mtu)
    model.tables.locals[vsid, mac(station)] = bench.ports[RED_PORT]
    with overwritten(bench, LOCALS, {LOCAL_KEY.pack(vsid, mac(station), 0): u32(bench.ports[RED_PORT])}):
        seen = bench.vport(bench.ports[0], bytes(packet))
    assert dropped(seen) is Drop.PORT_ABSENT
    wanted = model.vport(bench.ports[0], bytes(packet))
    assert (seen.verdict, sorted(seen.counts)) == (wanted.verdict, sorted(wanted.counts))


def test_an_entry_left_behind_lets_nothing_in_from_the_wire(bench: Rig) -> None:
    """Red's port has the very MAC and CA that the frame is for."""
    policy = shared_policy(bench)
    bench.apply(policy)
    frame = bytes(from_wire(carol_to_alice()))
    model = Model(policy, bench.mtu)
    model.tables.locals[5001, mac(ALICE)] = bench.ports[RED_PORT]
    with overwritten(bench, LOCALS, {LOCAL_KEY.pack(5001, mac(ALICE), 0): u32(bench.ports[RED_PORT])}):
        seen = bench.wire(frame)
    assert dropped(seen) is Drop.NOT_LOCAL
    assert sorted(seen.counts) == sorted(model.uplink(frame).counts)


@pytest.mark.parametrize("from_fabric", [False, True], ids=["from a VM", "from the wire"])
def test_a_receiver_left_behind_gets_no_copy(bench: Rig, from_fabric: bool) -> None:
    bench.apply(shared_policy(bench))
    everybody = ip_from_alice("10.0.0.255") / UDP(sport=5, dport=6)
    if from_fabric:
        everybody.src = "10.0.0.6"
    frame = Ether(src=CAROL if from_fabric else ALICE, dst="ff:ff:ff:ff:ff:ff") / everybody
    receivers_of_blue = sum(FLOOD_KEY.unpack(key)[0] == 5001 for key in entries(bench, FLOOD))
    stale = {FLOOD_KEY.pack(5001, receivers_of_blue): flood_to_port(bench.ports[RED_PORT])}
    with overwritten(bench, FLOOD, stale):
        if from_fabric:
            seen = bench.wire(bytes(from_wire(frame)), 3)
        else:
            seen = bench.vport(bench.ports[0], bytes(frame), 3)
    assert seen.verdict == SHOT
    assert bench.ports[RED_PORT] not in {ifindex for ifindex, _ in seen.copies}
    assert len(seen.copies) == 2, "Bob, and Alice or Carol's host"
    assert [reason for (reason, _, _), _ in seen.counts].count(Drop.PORT_ABSENT) == 1
