"""Rates of connections as data: class numbers, and what nftables is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gwnode.shaping import UNLIMITED_KBPS, Rate, classes, minors, priority_items

NAMES = st.sets(st.text("abcdefghij-0123456789", min_size=1, max_size=12), max_size=30)


@given(NAMES)
def test_every_connection_has_a_class_of_its_own(names: set[str]) -> None:
    given_out = minors(names)
    assert given_out.keys() == names
    numbers = {number + which for number in given_out.values() for which in range(3)}
    assert len(numbers) == 3 * len(names)
    assert all(2 <= number < 0x8000 for number in numbers)


def test_two_names_that_ask_for_one_number_get_two() -> None:
    """More names than numbers could be without a clash; each still depends on few others only."""
    many = [f"connection-{number}" for number in range(2000)]
    before, after = minors(many[:-1]), minors(many)
    assert len(set(after.values())) == len(many)
    assert sum(before[name] != after[name] for name in before) <= 5


def test_what_is_not_limited_has_no_class() -> None:
    rates = [Rate("a", "a0", 5000, 0), Rate("b", "b0", 0, 6000), Rate("c", "c0")]
    number = minors("abc")
    assert classes(rates) == {
        "a0": {0x10000 | number["a"]: 5000},
        "b0": {},
        "c0": {},
        "hnv0": {0x10000 | number["b"]: 6000},
        "hnv6": {0x10000 | number["b"]: 6000},
    }
    maps = {item["add"]["map"]["name"]: item["add"]["map"] for item in priority_items(rates)[:4]}
    assert {name: item["elem"] for name, item in maps.items()} == {
        "rates_out_acks": [["a0", f"1:{number['a'] + 1:x}"]],
        "rates_out": [["a0", f"1:{number['a'] + 2:x}"]],
        "rates_in_acks": [["b0", f"1:{number['b'] + 1:x}"]],
        "rates_in": [["b0", f"1:{number['b'] + 2:x}"]],
    }


def test_no_rate_is_beyond_what_the_kernel_holds() -> None:
    (rate,) = classes([Rate("a", "a0", 4_000_000_000)])["a0"].values()
    assert rate == UNLIMITED_KBPS
    assert rate * 125 < 2**32
