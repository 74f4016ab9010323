"""The front end's programs and the model of its rules agree on any GRE packet, sound or broken."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.datapath.front_end import GreLeg
from lab.datapath.front_end_abi import FrontEndDrop

from .front_end_model import Verdict, checksum, judge
from .front_end_rig import (
    FE,
    FE_MAC,
    LEG_MTU,
    LEGS,
    LOCAL,
    OK,
    OTHER_LOCAL,
    REDIRECT,
    REMOTE,
    SHOT,
    FrontEndRig,
    front_end_rig,
)

pytestmark = pytest.mark.root

TUNNELS = tuple(leg for leg in LEGS if isinstance(leg, GreLeg))
STATION = bytes.fromhex(FE_MAC.replace(":", ""))


def mostly(usual: int, others: st.SearchStrategy[int]) -> st.SearchStrategy[int]:
    """A field that is right far more often than not: what comes behind it is to be looked at too."""
    return st.integers(0, 9).flatmap(lambda die: others if die == 0 else st.just(usual))


@st.composite
def ip4(draw: st.DrawFn, source: bytes, destination: bytes, protocol: int, body: bytes) -> bytes:
    """A packet whose fields are wrong now and then."""
    length = draw(mostly(20 + len(body), st.integers(0, 70)))
    header = bytearray(20)
    header[0] = draw(mostly(0x45, st.integers(0, 255).filter(lambda value: value >> 4 == 4)))
    header[1] = draw(st.integers(0, 255))
    header[2:4] = length.to_bytes(2, "big")
    header[6:8] = draw(mostly(0x4000, st.integers(0, 0xFFFF))).to_bytes(2, "big")
    header[8], header[9] = 63, draw(mostly(protocol, st.integers(0, 255)))
    header[12:16], header[16:20] = source, destination
    header[10:12] = draw(mostly(checksum(bytes(header)), st.integers(0, 0xFFFF))).to_bytes(2, "big")
    return bytes(header) + body


@st.composite
def ip6(draw: st.DrawFn, body: bytes) -> bytes:
    """The same of IPv6."""
    header = bytearray(40)
    version = draw(mostly(6, st.integers(0, 15)))
    header[:4] = (version << 28 | draw(st.integers(0, 0xFFFFFFF))).to_bytes(4, "big")
    header[4:6] = draw(mostly(len(body), st.integers(0, 90))).to_bytes(2, "big")
    header[6:8] = bytes((17, 63))
    return bytes(header) + body


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """What a customer's end, or somebody who plays one, sends to the gateway."""
    payload = draw(
        st.sampled_from([0, 8, 40, LEG_MTU - 40, LEG_MTU - 39, LEG_MTU - 20, LEG_MTU - 19]).map(bytes)
    )
    usual = draw(st.sampled_from([0x0800, 0x86DD]))
    inside = (
        draw(ip4(bytes((192, 168, 50, 10)), bytes((10, 0, 0, 4)), 17, payload))
        if usual == 0x0800
        else draw(ip6(payload))
    )
    if draw(mostly(0, st.just(1))):
        inside = inside[: draw(st.integers(0, 44))]
    flags = draw(mostly(0x2000, st.integers(0, 0xFFFF)))
    protocol = draw(mostly(usual, st.sampled_from([0x6558, 0x86DD, 0x0800, 0])))
    key = draw(mostly(draw(st.sampled_from([leg.key for leg in TUNNELS])), st.integers(0, 2**32 - 1)))
    gre = flags.to_bytes(2, "big") + protocol.to_bytes(2, "big") + key.to_bytes(4, "big")
    local = draw(st.sampled_from([LOCAL, OTHER_LOCAL, IPv4Address("203.0.113.99")]))
    remote = draw(mostly(int(REMOTE), st.integers(0, 2**32 - 1)))
    packet = draw(ip4(remote.to_bytes(4, "big"), local.packed, 47, gre + inside))
    station = draw(mostly(0, st.just(1)))
    padding = draw(st.sampled_from([0, 0, 0, 6]))
    return (STATION[:-1] + bytes((station,))) + bytes(6) + b"\x08\0" + packet + bytes(padding)


@pytest.fixture(scope="module")
def bench() -> Iterator[FrontEndRig]:
    with front_end_rig() as built:
        yield built


def seen_of(bench: FrontEndRig, frame: bytes) -> Verdict:
    seen = bench.wire(frame)
    if seen.verdict == OK:
        assert (seen.frame, seen.drops, seen.crossed) == (frame, (), {})
        return Verdict(None)
    if seen.verdict == SHOT:
        ((interface, reason),) = seen.drops
        return Verdict(reason, "" if interface == FE else interface)
    assert (seen.verdict, seen.drops) == (REDIRECT, ())
    assert seen.crossed == {seen.out: (1, len(seen.frame), 0, 0)}
    return Verdict(FrontEndDrop.FORWARDED, seen.out, seen.frame)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=frames())
def test_any_gre_packet_is_judged_as_the_model_judges_it(bench: FrontEndRig, frame: bytes) -> None:
    macs = {leg.interface: bytes.fromhex(bench.mac(leg.interface).replace(":", "")) for leg in TUNNELS}
    assert seen_of(bench, frame) == judge(frame, STATION, TUNNELS, macs, LEG_MTU)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=frames())
def test_no_packet_reaches_a_leg_whose_tunnel_it_does_not_name(bench: FrontEndRig, frame: bytes) -> None:
    seen = bench.wire(frame)
    if seen.verdict == REDIRECT:
        (leg,) = (leg for leg in TUNNELS if leg.interface == seen.out)
        assert frame[26:34] == leg.remote.packed + leg.local.packed
        assert int.from_bytes(frame[38:42], "big") == leg.key
