"""Measure the data path beside bare cables and the kernel's VXLAN, and write docs/performance.md.

Every variant stands for the whole run; rounds go through all of them for one figure after the other, every
second round backwards, so that all meet the same machine. Ratios are taken round by round.

    python -m tests.bench.datapath [--rounds 5] [--no-write]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.bench import document
from tests.bench.statistic import Spread, machine

from . import plot
from .measure import FIGURES, Tools
from .proof import prove
from .variants import VARIANTS, Place

Samples = dict[str, dict[str, list[float]]]
"""One value for each round, by figure and variant."""
IMAGE = "bench-datapath.svg"


@dataclass(frozen=True)
class Target:
    """A ratio that the issue asks for."""

    figure: str
    variant: str
    base: str
    bound: float

    def met(self, ratio: float) -> bool:
        """Whether a ratio is good enough."""
        return ratio >= self.bound if FIGURES[self.figure].better == "more" else ratio <= self.bound

    def row(self, samples: Samples) -> list[str]:
        """A line of the table: figure, ratio of what, target, measured, verdict."""
        by_variant = samples[self.figure]
        ratio = Spread.of_ratios(by_variant[self.variant], by_variant[self.base])
        sign = "≥" if FIGURES[self.figure].better == "more" else "≤"
        verdict = "yes" if self.met(ratio.median) else "no"
        ratio_of = f"{self.figure}: {self.variant} / {self.base}"
        return [ratio_of, f"{sign} {self.bound:.2f}", ratio.text(2), verdict]


MANY = "NVGRE, 60,000 records"
TARGETS = (
    Target("TCP stream", "NVGRE", "bare veth", 0.90),
    Target("TCP stream", "NVGRE", "kernel VXLAN", 1.20),
    Target("UDP 64 octets", "NVGRE", "kernel VXLAN", 1.20),
    Target("TCP_RR", "NVGRE", "bare veth", 1.5),
    Target("TCP stream", MANY, "NVGRE", 0.95),
    Target("UDP 64 octets", MANY, "NVGRE", 0.95),
    Target("TCP_RR", MANY, "NVGRE", 1 / 0.95),
    Target("TCP stream", "VXLAN", "kernel VXLAN", 1.20),
    Target("UDP 64 octets", "VXLAN", "kernel VXLAN", 1.20),
)


def measure(rounds: int, console: Console) -> Samples:
    """Build everything, prove that it is what it is called, measure, and take it down again.

    Raises:
        MeasureError: a tool failed, or a variant is not what its name says.
    """
    samples: Samples = {figure: {variant: [] for variant in VARIANTS} for figure in FIGURES}
    with ExitStack() as stack:
        tools = Tools.compiled(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hnvt-bench-"))))
        places: dict[str, Place] = {}
        for variant, build in VARIANTS.items():
            places[variant] = stack.enter_context(build())
            prove(variant, places[variant])
            console.print(f"stands and is proved: {variant}")
        for number in range(rounds):
            order = list(VARIANTS) if number % 2 == 0 else list(reversed(VARIANTS))
            for name, figure in FIGURES.items():
                for variant in order:
                    samples[name][variant].append(figure.measure(tools, places[variant]))
                told = ", ".join(f"{variant} {samples[name][variant][-1]:.1f}" for variant in VARIANTS)
                console.print(f"round {number + 1}: {name} in {figure.unit}: {told}")
    return samples


def text_of(samples: Samples, rounds: int) -> str:
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
            f"![Bars of the same figures](images/{IMAGE})",
        )
    )


def spreads_of(samples: Samples) -> Mapping[str, Mapping[str, Spread]]:
    """Median and extremes by figure and variant."""
    return {
        figure: {variant: Spread.of(values) for variant, values in by_variant.items()}
        for figure, by_variant in samples.items()
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-write", action="store_true", help="leave docs/ as it is")
    options = parser.parse_args()
    console = Console(width=200, highlight=False)
    samples = measure(options.rounds, console)
    text = text_of(samples, options.rounds)
    console.print(text, markup=False)
    if not options.no_write:
        plot.draw(spreads_of(samples), document.IMAGES / IMAGE)
        document.write("datapath", text)


if __name__ == "__main__":
    main()
