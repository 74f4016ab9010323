"""A look that is taken again and again, whatever comes of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


def look_every(
    period_s: float, look: Callable[[], None], name: str, stop: threading.Event
) -> threading.Thread:
    """Start a thread that looks until told to stop. What goes wrong is logged: the next look may succeed.

    Parameters:
        period_s: time between two looks, in seconds.
        look: what is done.
        name: the thread's, and of what is logged.
        stop: ends it, within a period.
    """

    def watch() -> None:
        while not stop.wait(period_s):
            try:
                look()
            except Exception:
                # Whatever it was: without this thread, nobody would look any more.
                log.exception("%s: looked in vain", name)

    thread = threading.Thread(target=watch, name=name, daemon=True)
    thread.start()
    return thread
