"""Isolation: no frame of one routing domain leaves at a port of another, whatever policies and frame.

Judged without the model, by where a frame comes out: ports bear the tag of their routing domain, and on the
wire VSID and PA tell. Frames are first what a VM or a host may send, then what an attacker makes of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.datapath.policy import Policy, Port

from .agreement import domain_of, reaches
from .model.flooding import receivers
from .model.outcome import FORWARD, Ended, Outcome
from .model.tables import Tables
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
        bench.apply(policy)
        for _ in range(FRAMES):
            fire(bench, rng, policy)


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
