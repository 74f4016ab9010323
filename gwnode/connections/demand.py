"""What is sent into an on-demand connection: the packet that has it called."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from gwnode.looking import look_every
from gwnode.netns import Namespace

DEVICES = Path("/proc/thread-self/net/dev")
SENT = (9, 10, 11, 14)
"""Packets, errors, drops and carrier errors of the sending half: without an SA, charon's TUN counts a packet
as sent, an xfrm interface as an error or a drop."""


POLL_S = 0.1
"""A look at the counters is one read of an open file."""


class DemandWatcher:
    """Says when somebody has sent into a device.

    libipsec of strongSwan 5.9.8 has no trap policies (5.9.11 has). What comes while there is no SA is lost.

    Parameters:
        compartment: where the device is, or will be.
        device: its name.
        sent: called, in a thread of its own, some 0.1 s after a packet.
    """

    def __init__(self, compartment: Namespace, device: str, sent: Callable[[], None]) -> None:
        self._counter = PacketCounter(compartment, device)
        self._sent = sent
        self._stop = threading.Event()
        self._thread = look_every(POLL_S, self._look, f"{device}-demand", self._stop)

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join()
        self._counter.close()

    def _look(self) -> None:
        if self._counter.has_grown():
            self._sent()


class PacketCounter:
    """Packets that the compartment has tried to send by one device.

    Parameters:
        compartment: where the device is, or will be.
        device: its name.
    """

    def __init__(self, compartment: Namespace, device: str) -> None:
        # An open file of /proc/net goes on telling of the namespace that it was opened in.
        self._file: TextIO = compartment.run(lambda: DEVICES.open(encoding="ascii"))
        self._device = device
        self._last = self._read()

    def has_grown(self) -> bool:
        """Whether anything was sent since the last call.

        A device that is new has sent already, and nothing of a tenant's: solicitations, while charon had it.
        """
        before, self._last = self._last, self._read()
        return before is not None and self._last is not None and self._last > before

    def close(self) -> None:
        """Let go of the namespace."""
        self._file.close()

    def _read(self) -> int | None:
        self._file.seek(0)
        return sent_by(self._device, self._file.read())


def sent_by(device: str, table: str) -> int | None:
    """How many packets a device was given to send; None: it is not there.

    Parameters:
        table: as /proc/net/dev has it.
    """
    for line in table.splitlines():
        name, colon, numbers = line.partition(":")
        if colon and name.strip() == device:
            fields = numbers.split()
            return sum(int(fields[index]) for index in SENT)
    return None
