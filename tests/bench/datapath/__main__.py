"""Measure the data path beside bare cables and the kernel's VXLAN, and write docs/performance.md.

Every variant stands for the whole run; rounds go through all of them for one figure after the other, forwards
and backwards in turn, so that all meet the same machine. Ratios are taken round by round.

    python -m tests.bench.datapath [--rounds 15] [--no-write]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console

from tests.bench import document
from tests.bench.statistic import Spread, machine

from . import plot
from .measure import FIGURES, Figure, Tools
from .profile import PROGRAMS, costs_ns
from .proof import prove
from .variants import VARIANTS, Place

Samples = dict[str, dict[str, list[float]]]
"""One value for each round, by figure and variant."""
Shares = dict[str, list[tuple[float, Mapping[str, float]]]]
"""What `costs_ns` says in each round, by variant."""
MANY = "NVGRE, 60,000 records"
PROFILED = ("NVGRE", "VXLAN", MANY)
IMAGE = "bench-datapath.svg"


@dataclass(frozen=True)
class Target:
    """A ratio, and what it should be; None: it is there to compare with."""

    figure: str
    variant: str
    base: str
    bound: float | None

    def met(self, ratio: float) -> bool:
        """Whether a ratio is good enough."""
        assert self.bound is not None
        return ratio >= self.bound if FIGURES[self.figure].better == "more" else ratio <= self.bound

    def row(self, samples: Samples) -> list[str]:
        """A line of the table: figure, ratio of what, target, measured, verdict."""
        by_variant = samples[self.figure]
        ratio = Spread.of_ratios(by_variant[self.variant], by_variant[self.base])
        ratio_of = f"{self.figure}: {self.variant} / {self.base}"
        if self.bound is None:
            return [ratio_of, "", ratio.text(2), ""]
        sign = "≥" if FIGURES[self.figure].better == "more" else "≤"
        verdict = "yes" if self.met(ratio.median) else "no"
        return [ratio_of, f"{sign} {self.bound:.2f}", ratio.text(2), verdict]


TARGETS = (
    Target("TCP stream", "NVGRE", "bare veth", 0.90),
    Target("TCP stream", "NVGRE", "kernel VXLAN", 1.20),
    Target("TCP stream", "bare veth", "kernel VXLAN", None),
    Target("UDP 64 octets", "NVGRE", "kernel VXLAN", 1.20),
    Target("TCP_RR", "NVGRE", "bare veth", 1.5),
    Target("TCP stream", MANY, "NVGRE", 0.95),
    Target("UDP 64 octets", MANY, "NVGRE", 0.95),
    Target("TCP_RR", MANY, "NVGRE", 1 / 0.95),
    Target("TCP stream", "VXLAN", "kernel VXLAN", 1.20),
    Target("UDP 64 octets", "VXLAN", "kernel VXLAN", 1.20),
)


def measure(rounds: int, console: Console) -> tuple[Samples, Shares]:
    """Build everything, prove that it is what it is called, measure, and take it down again.

    Raises:
        MeasureError: a tool failed, or a variant is not what its name says.
    """
    samples: Samples = {figure: {variant: [] for variant in VARIANTS} for figure in FIGURES}
    shares: Shares = {variant: [] for variant in PROFILED}
    with ExitStack() as stack:
        tools = Tools.compiled(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hnvt-bench-"))))
        places: dict[str, Place] = {}
        for variant, build in VARIANTS.items():
            places[variant] = stack.enter_context(build())
            prove(variant, places[variant])
            console.print(f"stands and is proved: {variant}")
        for number in range(rounds):
            for name, figure in FIGURES.items():
                passes = [_in_turn(figure, tools, places, number + turn) for turn in range(figure.passes)]
                for variant in VARIANTS:
                    samples[name][variant].append(median(values[variant] for values in passes))
                told = ", ".join(f"{variant} {samples[name][variant][-1]:.1f}" for variant in VARIANTS)
                console.print(f"round {number + 1}: {name} in {figure.unit}: {told}")
            for variant in PROFILED:
                shares[variant].append(costs_ns(tools, places[variant]))
    return samples, shares


def _in_turn(figure: Figure, tools: Tools, places: Mapping[str, Place], turn: int) -> dict[str, float]:
    """One value of each variant; every second turn backwards."""
    order = list(places) if turn % 2 == 0 else list(places)[::-1]
    return {variant: figure.measure(tools, places[variant]) for variant in order}


def text_of(samples: Samples, shares: Shares, rounds: int) -> str:
    """The generated section."""
    spreads = spreads_of(samples)
    digits = {"TCP stream": 2, "UDP 64 octets": 0, "TCP_RR": 1}
    figures = document.table(
        ["", *(f"{name}, {figure.unit}" for name, figure in FIGURES.items())],
        [[variant, *(spreads[name][variant].text(digits[name]) for name in FIGURES)] for variant in VARIANTS],
    )
    targets = document.table(
        ["ratio, taken round by round", "target", "measured", "met"],
        [target.row(samples) for target in TARGETS],
    )
    return "\n\n".join(
        (
            f"Median of {rounds} interleaved rounds, in brackets lowest and highest; TCP uses cubic.\n"
            f"{machine()}.",
            targets,
            figures,
            profile_of(shares),
            f"![Bars of the same figures](images/{IMAGE})",
        )
    )


def profile_of(shares: Shares) -> str:
    """What of a datagram's time the programs take."""
    rows = []
    for variant, measured in shares.items():
        whole = Spread.of([time_ns for time_ns, _ in measured])
        programs = [Spread.of([costs[name] for _, costs in measured]) for name in PROGRAMS]
        share = Spread.of([sum(costs.values()) / time_ns for time_ns, costs in measured])
        rows.append([variant, *(spread.text(0) for spread in (whole, *programs)), share.text(2)])
    head = ["64 octets, ns a packet", "in all", *(f"program `{name}`" for name in PROGRAMS), "their share"]
    return document.table(head, rows)


def spreads_of(samples: Samples) -> Mapping[str, Mapping[str, Spread]]:
    """Median and extremes by figure and variant."""
    return {
        figure: {variant: Spread.of(values) for variant, values in by_variant.items()}
        for figure, by_variant in samples.items()
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-write", action="store_true", help="leave docs/ as it is")
    options = parser.parse_args()
    console = Console(width=200, highlight=False)
    samples, shares = measure(options.rounds, console)
    text = text_of(samples, shares, options.rounds)
    console.print(text, markup=False)
    if not options.no_write:
        plot.draw(spreads_of(samples), document.IMAGES / IMAGE)
        document.write("datapath", text)


if __name__ == "__main__":
    main()
