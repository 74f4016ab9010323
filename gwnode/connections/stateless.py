"""A connection that needs no daemon, at run time.

It is connected as soon as it stands, as the product's GRE interface is.
"""

from __future__ import annotations

import time

from pyroute2 import IPRoute

from gwnode.connections.ipsec import tunnel_report
from gwnode.connections.wanted import Connection
from gwnode.netns import Namespace
from lab.ipsec.state import ChildBytes, Phase, TunnelState
from lab.southbound import southbound_pb2 as pb

INTERFACE_GONE = "its interface is gone"


class StatelessRuntime:
    """What a GRE, L3, NAT or link connection carries.

    Parameters:
        compartment: where its device is.
        connection: its leg and device stand; of a link, while the other side wants it, too.
        missing: what it means that the device is not there.
    """

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
        counted = self._compartment.run(self._counted)
        if counted is None:
            self._since_unix_s = int(time.time())
            state = TunnelState(last_error=self._missing)
        else:
            state = TunnelState(Phase.CONNECTED, self._since_unix_s, ended=counted)
        return tunnel_report(rdid, self._name, state)

    def apply(self, connection: Connection) -> None:
        """Take over a connection that has changed."""
        self._device = connection.device

    def stop(self) -> None:
        """Nothing runs."""

    def _counted(self) -> ChildBytes | None:
        with IPRoute() as kernel:
            for link in kernel.get_links():
                if link.get("ifname") == self._device:
                    stats = link.get("stats64")
                    return ChildBytes(int(stats["rx_bytes"]), int(stats["tx_bytes"]))
        return None
