"""What the kernel holds for a front end: exactly the connections of the last `apply`, whoever died since."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from scapy.packet import Packet

from lab.datapath import front_end as front_end_module
from lab.datapath import front_end_abi as fe
from lab.datapath.attach import ClsactHook
from lab.datapath.build import FRONT_END_SOURCE
from lab.datapath.errors import InvalidPolicyError
from lab.datapath.front_end import ConnectionLeg, FrontEnd, GreLeg, VlanLeg
from lab.datapath.front_end_abi import FrontEndDrop
from lab.datapath.legs import MAKE_ORDER, MOST_LEGS
from lab.datapath.maps import Map
from lab.datapath.programs import Program

from .front_end_rig import (
    BLUE,
    FE,
    INNER_MAC,
    LEGS,
    LOCAL,
    RED,
    RED_KEY,
    RED_VLAN,
    REMOTE,
    SHOT,
    from_tunnel,
    front_end_rig,
    inner_packet,
    tagged,
)
from .front_end_world import front_end_world
from .netns import Namespace, namespaces, pin_directory
from .probe import ping
from .switch_object import compiled

pytestmark = pytest.mark.root

Content = dict[str, dict[bytes, bytes]]


@pytest.fixture
def place() -> Iterator[tuple[Path, Namespace]]:
    """Where a front end is pinned, and a namespace with its interfaces."""
    with namespaces("gw") as made, pin_directory() as pins:
        space = made["gw"]
        for name in (FE, *(leg.interface for leg in LEGS)):
            space.ip(f"link add {name} type veth peer name {name}-far")
        yield pins, space


@contextmanager
def opened(place: tuple[Path, Namespace]) -> Iterator[FrontEnd]:
    pins, space = place
    built = space.call(lambda: FrontEnd(FE, pins, compiled(FRONT_END_SOURCE)))
    try:
        yield built
    finally:
        space.call(built.close)


def content(place: tuple[Path, Namespace]) -> Content:
    held: Content = {}
    for name in MAKE_ORDER:
        with closing(Map.pinned(place[0] / "maps" / name)) as opened_map:
            held[name] = opened_map.items()
    return held


def attached(place: tuple[Path, Namespace]) -> set[int]:
    return {int(pin.name) for pin in (place[0] / "links").iterdir()}


def test_another_agent_takes_over_and_writes_only_what_differs(place: tuple[Path, Namespace]) -> None:
    _, space = place
    with opened(place) as first:
        assert space.call(lambda: first.apply(LEGS))
        assert space.call(lambda: first.apply(LEGS)) == []
    held = content(place)
    with opened(place) as second:
        assert space.call(lambda: second.apply(reversed(LEGS))) == []
        assert content(place) == held
        steps = space.call(lambda: second.apply(leg for leg in LEGS if leg not in BLUE))
    assert {step.map_name: len(step.removes) for step in steps} == {fe.VLANS: 1, fe.TUNNELS: 1, fe.LEGS: 2}
    gone = {space.ifindex(leg.interface) for leg in BLUE}
    assert not gone & attached(place)
    assert len(attached(place)) == 1 + len(LEGS) - len(BLUE)


def test_without_connections_only_the_front_end_is_left(place: tuple[Path, Namespace]) -> None:
    _, space = place
    with opened(place) as front_end:
        space.call(lambda: front_end.apply(LEGS))
        space.call(lambda: front_end.apply(()))
    assert content(place) == {name: {} for name in MAKE_ORDER}
    assert attached(place) == {space.ifindex(FE)}


def test_a_connection_may_go_and_come_again_at_once(place: tuple[Path, Namespace]) -> None:
    """The kernel lets go of a link some time after its pin: a program that comes back must not meet it."""
    with opened(place) as front_end:
        for legs in (LEGS, ()) * 20:
            place[1].call(partial(front_end.apply, legs))


WRONG: list[tuple[ConnectionLeg, str, str]] = [
    (VlanLeg("v-far", 0), "HNV-FE-001", "v-far"),
    (VlanLeg("v-far", 4095), "HNV-FE-001", "v-far"),
    (VlanLeg("g-far", RED_VLAN), "HNV-FE-002", "g-far"),
    (replace(RED[0], interface="g-far"), "HNV-FE-002", "g-far"),
    (VlanLeg("v-red", 7), "HNV-FE-002", "v-red"),
    (VlanLeg(FE, 7), "HNV-FE-002", FE),
    (VlanLeg("nowhere", 7), "HNV-FE-003", "nowhere"),
    (VlanLeg("much-too-long-a-name", 7), "HNV-FE-003", "much-too-long-a-name"),
    (GreLeg("g-far", "01:00:5e:00:00:01", LOCAL, REMOTE, 7), "HNV-FE-004", "g-far"),
    (GreLeg("g-far", "no mac", LOCAL, REMOTE, 7), "HNV-FE-004", "g-far"),
    (GreLeg("g-far", INNER_MAC, LOCAL, REMOTE, 2**32), "HNV-FE-005", "g-far"),
    (GreLeg("g-far", INNER_MAC, LOCAL, REMOTE, -1), "HNV-FE-005", "g-far"),
    (GreLeg("g-far", INNER_MAC, LOCAL, LOCAL, 7), "HNV-FE-005", "g-far"),
    (GreLeg("g-far", INNER_MAC, LOCAL, IPv4Address("224.0.0.5"), 7), "HNV-FE-005", "g-far"),
]


@pytest.mark.parametrize(("wrong", "code", "at"), WRONG)
def test_a_wrong_connection_is_refused_before_anything_is_touched(
    place: tuple[Path, Namespace], wrong: ConnectionLeg, code: str, at: str
) -> None:
    _, space = place
    with opened(place) as front_end:
        space.call(lambda: front_end.apply(RED))
        before = content(place), attached(place)
        with pytest.raises(InvalidPolicyError) as raised:
            space.call(lambda: front_end.apply((*RED, *BLUE, wrong)))
        assert (content(place), attached(place)) == before
    faults = {(problem.code, problem.place) for problem in raised.value.problems}
    assert (code, at) in faults
    assert {name for name, _ in faults} <= {code, "HNV-FE-003"}


def test_all_that_is_wrong_is_said_at_once(place: tuple[Path, Namespace]) -> None:
    with opened(place) as front_end, pytest.raises(InvalidPolicyError) as raised:
        place[1].call(lambda: front_end.apply([VlanLeg(f"n{n}", n) for n in range(MOST_LEGS + 1)]))
    assert {problem.code for problem in raised.value.problems} == {"HNV-FE-001", "HNV-FE-003", "HNV-FE-006"}


@pytest.mark.parametrize(
    ("table", "key", "frame", "others"),
    [
        (fe.VLANS, RED_VLAN.to_bytes(4, sys.byteorder), tagged(inner_packet(), RED_VLAN), "v-blue"),
        (fe.VLANS, RED_VLAN.to_bytes(4, sys.byteorder), tagged(inner_packet(), RED_VLAN), "g-blue"),
        (
            fe.TUNNELS,
            LOCAL.packed + REMOTE.packed + RED_KEY.to_bytes(4, "big"),
            from_tunnel(inner_packet()),
            "g-blue",
        ),
        (
            fe.TUNNELS,
            LOCAL.packed + REMOTE.packed + RED_KEY.to_bytes(4, "big"),
            from_tunnel(inner_packet()),
            "v-blue",
        ),
    ],
)
def test_a_table_that_lags_behind_gives_nobody_anothers_frames(
    table: str, key: bytes, frame: Packet, others: str
) -> None:
    """Maps change one after the other: for a moment one of them may name a leg that is another's by now."""
    with front_end_rig() as bench, closing(Map.pinned(bench.front_end_pins / "maps" / table)) as lagging:
        lagging.update({key: bench.namespace.ifindex(others).to_bytes(4, sys.byteorder)})
        seen = bench.wire(bytes(frame))
        assert (seen.verdict, seen.drops) == (SHOT, ((FE, FrontEndDrop.NO_LEG),))


def test_what_was_counted_for_a_leg_goes_with_it() -> None:
    with front_end_rig() as bench:
        bench.wire(bytes(tagged(inner_packet(), RED_VLAN)))
        assert "v-red" in bench.front_end.counters().legs
        for legs in (LEGS[2:], LEGS):
            bench.namespace.call(partial(bench.front_end.apply, legs))
        assert "v-red" not in bench.front_end.counters().legs


def test_without_tcx_the_filters_of_cls_bpf_do_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_tcx(_: Program) -> ClsactHook:
        return ClsactHook()

    monkeypatch.setattr(front_end_module, "detect_hook", no_tcx)
    with front_end_world() as net:
        for address in ("10.9.0.2", "10.8.0.2"):
            assert net.inside["red"].call(partial(ping, address)) is not None
        assert "direct-action" in net.gw.namespace.run(f"tc filter show dev {FE} ingress").stdout
        assert not list((net.gw.pins / "links").iterdir())
        net.gw.stop()
        net.gw.start()
        net.gw.apply()
        assert net.inside["red"].call(lambda: ping("10.9.0.2")) is not None
