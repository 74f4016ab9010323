"""`make test-long`: at least 100,000 frames through model and eBPF, other ones each time.

A file that pytest collects only when it is named. What fails says with which seed it fails again
(`@reproduce_failure`, and `Random(seed=...)` among the arguments).
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .agreement import History, Tally
from .switch_rig import Rig, rig

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

FRAMES = 100_000
HISTORIES = 5_500
"""Of 20 frames in the mean."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Rig]:
    with rig() as built:
        yield built


@pytest.fixture(scope="module")
def tally() -> Tally:
    return Tally()


@settings(
    max_examples=HISTORIES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(rng=st.randoms(use_true_random=True))
def test_whatever_the_policies_and_frames(bench: Rig, tally: Tally, rng: Random) -> None:
    bench.inside(History(bench, rng, tally).run)


def test_that_were_at_least_a_hundred_thousand_frames(tally: Tally) -> None:
    print()
    for reason, frames in tally.reasons.most_common():
        print(f"{frames:8} {reason}")
    assert tally.frames >= FRAMES
