"""Route flap dampening and aggregates: the pure part, and the reading of BIRD's log."""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwnode.bgp.aggregates import standing
from gwnode.bgp.config import old_flaps
from gwnode.bgp.dampening import WITHDRAWAL_PENALTY, Dampening, History, Parameters
from gwnode.bgp.flaps import FlapLog, Withdrawals
from lab.southbound import southbound_pb2 as pb

PRODUCT = Parameters(half_life_s=600, reuse=500, suppress=2000, maximum_s=2400)
"""Example of Set-BgpRouteFlapDampening."""

thresholds = st.builds(
    lambda half, reuse, more, maximum: Parameters(half, reuse, reuse + more, maximum),
    st.integers(1, 5000),
    st.integers(1, 20_000),
    st.integers(1, 20_000),
    st.integers(1, 50_000),
)
gaps = st.lists(st.floats(0, 5000), max_size=30)


def after(parameters: Parameters, pauses_s: list[float]) -> tuple[History, float]:
    """A prefix that was withdrawn after each pause, and when that was last."""
    history, now_s = History(), 0.0
    for pause_s in pauses_s:
        now_s += pause_s
        history = history.withdrawn(now_s, parameters)
    return history, now_s


def test_three_quick_withdrawals_are_too_many_and_two_are_not() -> None:
    assert not after(PRODUCT, [0, 1])[0].damped
    history, now_s = after(PRODUCT, [0, 1, 1])
    assert history.damped
    # From nearly 3000 down to 500: log2(6) half lives.
    assert history.released_in_s(now_s, PRODUCT) == pytest.approx(600 * 2.585, abs=3)


def test_withdrawals_that_are_far_apart_are_forgiven() -> None:
    assert not after(PRODUCT, [3600.0] * 20)[0].damped


@given(thresholds, gaps)
def test_no_penalty_exceeds_what_decays_in_the_longest_suppression(
    parameters: Parameters, pauses_s: list[float]
) -> None:
    history, now_s = after(parameters, pauses_s)
    assert 0 <= history.penalty <= parameters.ceiling * (1 + 1e-9)
    assert history.released_in_s(now_s, parameters) <= parameters.maximum_s + 1e-3
    later = history.looked_at(now_s + parameters.maximum_s + 1, parameters)
    assert not later.damped


@given(thresholds, gaps, st.floats(0, 10_000), st.floats(0, 10_000))
def test_looking_changes_nothing(
    parameters: Parameters, pauses_s: list[float], one_s: float, two_s: float
) -> None:
    history, now_s = after(parameters, pauses_s)
    straight = history.looked_at(now_s + one_s + two_s, parameters)
    twice = history.looked_at(now_s + one_s, parameters).looked_at(now_s + one_s + two_s, parameters)
    assert straight.penalty == pytest.approx(twice.penalty, rel=1e-6, abs=1e-9)
    if straight.penalty != pytest.approx(parameters.reuse, rel=1e-6):
        assert straight.damped == twice.damped


@given(thresholds, gaps, st.floats(0, 10_000))
def test_a_damped_prefix_is_released_when_it_is_said_to_be(
    parameters: Parameters, pauses_s: list[float], more_s: float
) -> None:
    history, now_s = after(parameters, pauses_s)
    wait_s = history.released_in_s(now_s, parameters)
    if history.damped and wait_s > 1:
        assert history.looked_at(now_s + wait_s - 0.5, parameters).damped
    assert not history.looked_at(now_s + wait_s + 0.5 + more_s, parameters).damped


@given(thresholds, gaps, st.floats(0, 1000))
def test_one_withdrawal_more_never_helps(
    parameters: Parameters, pauses_s: list[float], pause_s: float
) -> None:
    history, now_s = after(parameters, pauses_s)
    worse = history.withdrawn(now_s + pause_s, parameters)
    assert worse.penalty >= history.looked_at(now_s + pause_s, parameters).penalty - 1e-9
    assert worse.penalty <= history.penalty + WITHDRAWAL_PENALTY + 1e-9


def test_a_clock_that_is_set_back_lets_nothing_grow() -> None:
    history, now_s = after(PRODUCT, [100, 1])
    assert history.looked_at(now_s - 1e6, PRODUCT).penalty <= history.penalty


def test_each_peer_has_its_own_history_and_what_is_past_is_forgotten() -> None:
    dampening = Dampening(PRODUCT)
    for second in range(4):
        dampening.withdrawn("peer_a", "192.168.50.0/24", second)
    dampening.withdrawn("peer_b", "192.168.50.0/24", 3)
    assert {peer: set(found) for peer, found in dampening.damped(4).items()} == {
        "peer_a": {"192.168.50.0/24"}
    }
    assert dampening.damped(4 + PRODUCT.maximum_s) == {}
    # Forgotten: two more withdrawals are two.
    dampening.withdrawn("peer_a", "192.168.50.0/24", 1e5)
    dampening.withdrawn("peer_a", "192.168.50.0/24", 1e5)
    assert dampening.damped(1e5) == {}


LOG = """\
2026-11-21 18:04:56.319 <TRACE> peer_b: State changed to up
2026-11-21 18:04:56.420 <TRACE> peer_b.ipv4 > added [best] 198.51.100.0/24 0L 4G unreachable
2026-11-21 18:04:59.442 <TRACE> peer_b.ipv4 > removed [sole] 198.51.100.0/24 0L 4G unreachable
2026-11-21 18:04:59.443 <TRACE> peer_b.ipv4 < removed 10.0.0.0/24 0L 4G unicast
2026-11-21 18:04:59.500 <TRACE> peer_c.ipv4 > removed 198.51.100.0/24 0L 4G unicast
2026-11-21 18:05:01.459 <TRACE> peer_b.ipv4 > filtered out 192.0.2.0/24 0L 4G unreachable
2026-11-21 18:05:01.459 <TRACE> peer_b.ipv4 > removed [sole] 192.0.2.0/24 0L 4G unreachable
2026-11-21 18:05:01.460 <TRACE> peer_b.ipv4 > removed [replaced] 203.0.113.0/24 0L 4G unreachable
2026-11-21 18:05:02.468 <TRACE> peer_b: State changed to stop
2026-11-21 18:05:02.469 <TRACE> peer_b.ipv4 > removed [sole] 198.18.0.0/24 0L 4G unreachable
2026-11-21 18:05:02.469 <TRACE> peer_b: State changed to flush
2026-11-21 18:05:04.238 <TRACE> peer_b: State changed to up
2026-11-21 18:05:05.000 <TRACE> peer_b.ipv4 > removed [sole] 198.18.0.0/24 0L 4G unreachable
"""


def test_only_what_the_peer_itself_takes_back_is_a_withdrawal() -> None:
    found = list(Withdrawals().feed(LOG.splitlines()))
    assert [(item.protocol, item.prefix) for item in found] == [
        ("peer_b", "198.51.100.0/24"),
        ("peer_c", "198.51.100.0/24"),
        ("peer_b", "203.0.113.0/24"),
        ("peer_b", "198.18.0.0/24"),
    ]
    assert found[0].at_s == datetime(2026, 11, 21, 18, 4, 59, 442_000).timestamp()


def test_the_log_is_read_over_its_turns(tmp_path: Path) -> None:
    path = tmp_path / "blue.flaps.log"
    log = FlapLog(path)
    assert list(log.lines()) == []
    old_flaps(path).write_text("1\n")
    path.write_text("2\n3")
    assert list(log.lines()) == ["1", "2"]
    with path.open("a") as file:
        file.write(" and more\n4\n")
        file.flush()
        path.rename(old_flaps(path))
        file.write("5\n")
    path.write_text("6\n")
    assert list(log.lines()) == ["3 and more", "4", "5", "6"]
    assert list(log.lines()) == []
    # An agent that starts anew finds what both files have.
    assert list(FlapLog(path).lines()) == ["2", "3 and more", "4", "5", "6"]


def test_an_aggregate_stands_while_a_part_is_known() -> None:
    wide, narrow = IPv4Network("192.168.0.0/16"), IPv4Network("10.0.0.0/16")
    wanted = [
        pb.BgpAggregate(prefix=str(wide), preserve_as_path=True),
        pb.BgpAggregate(prefix=str(narrow)),
    ]
    known: dict[IPv4Network | IPv6Network, tuple[int, ...]] = {
        IPv4Network("192.168.50.0/24"): (64521, 7),
        IPv4Network("192.168.60.0/24"): (64522, 7),
        wide: (1,),
        IPv4Network("10.0.0.0/24"): (),
    }
    assert standing(wanted, known) == {wide: (64521, 7, 64522), narrow: ()}
    # Of itself it is no part, nor is what lies around it.
    assert standing(wanted, {wide: (1,), IPv4Network("10.0.0.0/8"): ()}) == {}
