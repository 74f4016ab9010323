"""What an agent does whenever the interfaces of its node change."""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger(__name__)

GROUPS = 0x1 | 0x10
"""RTMGRP_LINK and RTMGRP_IPV4_IFADDR: interfaces and addresses that come and go."""
LOOK_S = 1.0
"""Seconds after which an agent looks again though nothing changed: what failed may have been repaired."""
READ_SIZE = 65536


def follow_links(stop: threading.Event, look: Callable[[], None]) -> None:
    """Look at once, after every change of an interface or address of this namespace, and now and then.

    Parameters:
        stop: ends it, within a second.
        look: puts right what is not as it should be; does nothing where all is.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as changes:
        changes.bind((0, GROUPS))
        while not stop.is_set():
            look()
            if select.select([changes], [], [], LOOK_S)[0]:
                with suppress(OSError):  # an overrun queue says the same: look again
                    changes.recv(READ_SIZE)
