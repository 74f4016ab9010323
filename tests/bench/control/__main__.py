"""Measure the control plane, and write docs/performance.md.

python -m tests.bench.control [--rounds 10] [--no-write] [FIGURE...]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from tests.bench import document
from tests.bench.statistic import Spread, machine

from . import change, migration, push


@dataclass(frozen=True)
class Figure:
    """A time, and the longest that the issue allows its median."""

    what: str
    unit: str
    bound: float
    digits: int
    measure: Callable[[int], list[float]]

    def row(self, times: list[float]) -> list[str]:
        """A line of the table."""
        spread = Spread.of(times)
        verdict = "yes" if spread.median <= self.bound else "no"
        bound = f"≤ {self.bound:g} {self.unit}"
        return [self.what, bound, f"{spread.text(self.digits)} {self.unit}", str(len(times)), verdict]


FIGURES = {
    "change": Figure(
        "a REST PUT acknowledged → the first packet arrives on another host",
        "ms",
        50,
        1,
        change.policy_change_ms,
    ),
    "push": Figure(
        "60,000 lookup records in 4,000 virtual subnets pushed to one host, and acknowledged",
        "s",
        2,
        2,
        lambda rounds: push.push_s(rounds)[1],
    ),
    "migration": Figure(
        "blackout of a live migration, 1,000 packets per second", "ms", 50, 1, migration.blackout_ms
    ),
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--no-write", action="store_true", help="leave docs/ as it is")
    options = parser.parse_args()
    chosen = options.figures or list(FIGURES)
    console = Console(width=200, highlight=False)
    rows = []
    for name in chosen:
        times = FIGURES[name].measure(options.rounds)
        rows.append(FIGURES[name].row(times))
        console.print(f"{name}: {', '.join(f'{value:.2f}' for value in times)} {FIGURES[name].unit}")
    table = document.table(["", "target", "median (lowest–highest)", "rounds", "met"], rows)
    text = f"{machine()}.\n\n{table}"
    console.print(text, markup=False)
    if not options.no_write:
        document.write("control", text)


if __name__ == "__main__":
    main()
