"""Rates of connections of every kind, as the goal state has them, through the whole agent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from lab.testing.eventually import eventually

from .guests import VM, Guest, Kind
from .many_world import ManyWorld, many_world
from .stream import Stream

pytestmark = pytest.mark.root

OUTBOUND_KBPS, INBOUND_KBPS = 5120, 8000
LIMITED = [Guest(kind, 1, OUTBOUND_KBPS, INBOUND_KBPS) for kind in Kind]
UP_S = 30
MEASURED_S = 10
TOLERANCE = 0.05
SETTLED_S = 2
"""After this long the queues are full, and TCP has found the rate."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManyWorld]:
    with many_world(tmp_path_factory.mktemp("rates"), LIMITED) as made:
        made.serve(*LIMITED)
        eventually(lambda: made.connected(LIMITED), UP_S)
        yield made


def outbound(world: ManyWorld, guest: Guest) -> Stream:
    """From a tenant's VM."""
    port = 6000 + list(Kind).index(guest.kind)
    return Stream(world.path(f"vm-{guest.name}"), world.path(guest.outside), (guest.target, port))


def inbound(world: ManyWorld, guest: Guest) -> Stream:
    """To a tenant's VM."""
    target, port = guest.published
    return Stream(world.path(guest.outside), world.path(f"vm-{guest.name}"), (target, port), (VM, 5000))


Begin = Callable[[ManyWorld, Guest], Stream]
DIRECTIONS = pytest.mark.parametrize(
    ("begin", "kbps"), [(outbound, OUTBOUND_KBPS), (inbound, INBOUND_KBPS)], ids=["outbound", "inbound"]
)


@DIRECTIONS
def test_every_kinds_rate_holds(world: ManyWorld, begin: Begin, kbps: int) -> None:
    """All kinds at the same time, for ten seconds."""
    with ExitStack() as stack:
        streams = {guest.name: stack.enter_context(begin(world, guest)) for guest in LIMITED}
        since = time.monotonic() + SETTLED_S
        told = {name: measured(stream, since, MEASURED_S) / kbps for name, stream in streams.items()}
        packed = {name: told[name] * stream.packed for name, stream in streams.items()}
    print(", ".join(f"{name} {share:.3f}" for name, share in told.items()))
    # What a limit counts lies between the two: headers of a super-packet count once (gwnode/shaping.py).
    assert max(told.values()) <= 1 + TOLERANCE, told
    assert min(packed.values()) >= 1 - TOLERANCE, packed


def test_both_directions_hold_together(world: ManyWorld) -> None:
    """All kinds, out and in at the same time. Headers and the other direction's acknowledgements count too,
    so a little less payload arrives.
    """
    with ExitStack() as stack:
        streams = {
            (guest.name, begin.__name__): (stack.enter_context(begin(world, guest)), kbps)
            for guest in LIMITED
            for begin, kbps in ((outbound, OUTBOUND_KBPS), (inbound, INBOUND_KBPS))
        }
        since = time.monotonic() + SETTLED_S
        told = {name: measured(stream, since, MEASURED_S) / kbps for name, (stream, kbps) in streams.items()}
    assert told == pytest.approx(dict.fromkeys(told, 0.95), rel=0.08)


def measured(stream: Stream, since: float, seconds: float) -> float:
    """What arrived in a time, once it has passed, in kbit/s."""
    return eventually(lambda: stream.kbps(since, seconds), seconds + 30)


@DIRECTIONS
@pytest.mark.parametrize("kind", Kind)
def test_a_rate_that_changes_resets_no_connection(
    world: ManyWorld, kind: Kind, begin: Begin, kbps: int
) -> None:
    guest = Guest(kind, 1, OUTBOUND_KBPS, INBOUND_KBPS)
    others = [other for other in LIMITED if other.kind is not kind]
    with begin(world, guest) as stream, world.quiet(*others):
        for now in (3 * kbps, kbps):
            faster = replace(guest, outbound_kbps=now)
            if begin is inbound:
                faster = replace(guest, inbound_kbps=now)
            world.serve(*others, faster)
            told = measured(stream, time.monotonic() + SETTLED_S, 2)
            assert told == pytest.approx(now, rel=0.1)
        world.connected([guest])


def test_one_tenant_at_full_blast_costs_another_nothing(world: ManyWorld) -> None:
    for loud in LIMITED:
        quiet = [other for other in LIMITED if other is not loud]
        with outbound(world, loud) as stream, world.quiet(*quiet):
            since = time.monotonic()
            measured(stream, since, 2)
