"""A connection that needs no daemon, at run time.

It is connected as soon as it stands, as the product's GRE interface is.
"""

from __future__ import annotations

import time
from pathlib import Path

from gwnode.connections.ipsec import tunnel_report
from gwnode.connections.wanted import Connection
from gwnode.netns import Namespace
from lab.ipsec.state import ChildBytes, Phase, TunnelState
from lab.southbound import southbound_pb2 as pb

INTERFACE_GONE = "its interface is gone"
COUNTERS = Path("/proc/thread-self/net/dev")
_RECEIVED, _SENT = 0, 8
"""Columns of bytes."""


class StatelessRuntime:
    """What a GRE, L3, NAT or link connection carries.

    Parameters:
        compartment: where its device is.
        connection: its leg and device stand; of a link, while the other side wants it, too.
        missing: what it means that the device is not there.
    """

    generation = 0
    """Its device is made before it, and stays; a link's routes follow it as soon as it is made."""

    def __init__(self, compartment: Namespace, connection: Connection, missing: str = INTERFACE_GONE) -> None:
        self._compartment = compartment
        self._name = connection.name
        self._device = connection.device
        self._missing = missing
        self._since_unix_s = int(time.time())

    def report(self, rdid: str) -> pb.ConnectionState | None:
        """What is known now; bytes as the device has counted them.

        Parameters:
            rdid: routing domain of the tenant.
        """
        try:
            counted = self._compartment.run(self._counted)
        except OSError:
            # Its compartment is about to go.
            return None
        if counted is None:
            self._since_unix_s = int(time.time())
            state = TunnelState(last_error=self._missing)
        else:
            state = TunnelState(Phase.CONNECTED, self._since_unix_s, ended=counted)
        return tunnel_report(rdid, self._name, state)

    def apply(self, connection: Connection) -> None:
        """Take over a connection that has changed."""
        self._device = connection.device

    def stop(self, *, gone: bool = False) -> None:
        """Nothing runs, and nobody is accounted for."""

    def _counted(self) -> ChildBytes | None:
        """Out of a file, not by netlink: all tenants are asked at once, and often (proc_pid_net(5))."""
        for line in COUNTERS.read_text().splitlines():
            name, _, values = line.partition(":")
            if name.strip() == self._device:
                numbers = values.split()
                return ChildBytes(int(numbers[_RECEIVED]), int(numbers[_SENT]))
        return None
