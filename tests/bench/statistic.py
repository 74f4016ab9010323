"""What several rounds say together: medians, ratios taken round by round, and the machine that ran them."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Spread:
    """Median and extremes of one figure over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one value for each round."""
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def of_ratios(cls, values: Sequence[float], base: Sequence[float]) -> Spread:
        """Of the ratios of rounds: what the machine did to a whole round cancels out."""
        return cls.of([value / other for value, other in zip(values, base, strict=True)])

    def text(self, digits: int) -> str:
        """For a table: median, and the extremes in brackets."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}–{self.high:.{digits}f})"


def machine() -> str:
    """The machine in one line, as far as it says anything about the figures."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} CPUs ({cpu}), Linux {platform.release()}"
