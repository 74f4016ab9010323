"""Python's garbage collector where goal states live."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 200_000
"""New objects before the collector looks for cycles; Python's own 700 suit programs that keep less."""


def collect_seldom() -> None:
    """Let the collector run seldom in this process.

    A goal state is hundreds of thousands of objects without cycles. While one arrives, the collector as
    Python sets it up walks all of them dozens of times and finds nothing; that doubles the time.
    """
    gc.set_threshold(YOUNG_OBJECTS)
