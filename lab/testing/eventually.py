"""Waiting by condition: the only way in which a test of the lab may wait."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

T = TypeVar("T")

PAUSE_S = 0.1
"""Between two tries: short beside any timer of the lab, long beside a command in a node."""
PATIENCE = float(os.environ.get("HNVLAB_PATIENCE", "1"))
"""How many times longer everything may take: on an emulated machine, say."""


def eventually(condition: Callable[[], T], within_s: float) -> T:
    """Call a function that asserts until it holds, and give back what it returned.

    Args:
        condition: raises AssertionError for as long as its condition is not true.
        within_s: how long to go on trying, in seconds; `HNVLAB_PATIENCE` times that, if it is set.

    Raises:
        AssertionError: the last one, with the last difference that was seen.
    """
    return Retrying(
        retry=retry_if_exception_type(AssertionError),
        stop=stop_after_delay(within_s * PATIENCE),
        wait=wait_fixed(PAUSE_S),
        reraise=True,
    )(condition)
