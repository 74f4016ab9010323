"""Model and eBPF, driven with the same policies and frames, agree on verdict, octets, port and counters.

The seeded thousands of `make test`; `make test-long` (test_switch_zz_long.py) goes on where they end.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .agreement import History, Tally
from .switch_rig import Rig, rig

pytestmark = pytest.mark.root

HISTORIES = 250
"""Of up to 3 policies and 8 frames under each: some thousand frames."""
SEEDS = 150
"""Histories that a rare frame must turn up in."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Rig]:
    with rig() as built:
        yield built


@settings(
    max_examples=HISTORIES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rng=st.randoms(use_true_random=True))
def test_whatever_the_policies_and_frames(bench: Rig, rng: Random) -> None:
    bench.inside(History(bench, rng, Tally()).run)


def test_chance_meets_what_a_tenants_router_says_to_its_link(bench: Rig) -> None:
    """A rule that no frame meets is not compared: this one takes port, MAC, address and hop limit at once."""
    tally = Tally()
    for seed in range(SEEDS):
        bench.inside(History(bench, Random(seed), tally).run)
        if tally.routers_words.keys() == {"VM", "wire"}:
            return
    pytest.fail(f"in {tally.frames} frames only {dict(tally.routers_words)}")
