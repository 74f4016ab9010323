"""What the adversary tests share: raw frames into a real switch, and who gets to see them."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from scapy.packet import Packet

from lab.datapath.abi import Drop
from lab.testing.eventually import eventually

from .netns import Namespace
from .world import World

MARK = b"\xadversary!"
"""What every frame of an adversary bears somewhere, so that it is known wherever it comes out."""
ETH_P_ALL = 3


class Adversary:
    """Raw frames from one interface, past the stack behind it.

    Args:
        host: name of the host whose switch gets the frames.
        key: direction and VSID that the switch counts them by.
    """

    def __init__(
        self, net: World, sender: Namespace, interface: str, host: str, key: tuple[str, int]
    ) -> None:
        self._net = net
        self._sender = sender
        self._interface = interface
        self._host = net.hosts[host]
        self._direction, self._vsid = key
        self._sockets = {name: vm.call(_listen) for name, vm in net.vms.items() if vm is not sender}

    def close(self) -> None:
        """Listen no more."""
        for listening in self._sockets.values():
            listening.close()

    def fire(self, frames: Iterable[Packet | bytes], counted: int | None = None) -> Counter[Drop]:
        """Send frames; why each of them ended, or FORWARDED.

        Args:
            counted: how many of them the switch takes; None: all. The last one must be among them.

        Raises:
            AssertionError: the switch has not counted all of them.
        """
        octets = [bytes(frame) for frame in frames]
        before = self._counted()
        self._sender.call(lambda: self._inject(octets))

        def all_counted() -> Counter[Drop]:
            moved = self._counted() - before
            assert moved.total() >= (len(octets) if counted is None else counted), moved
            return moved

        return eventually(all_counted, within_s=10)

    def seen_by(self) -> set[str]:
        """The VMs that have got a frame of the adversary's since the last call."""
        # What a ping between two others has crossed by now, so have the frames before it.
        self._net.ping("bw", "10.0.1.4")
        self._net.ping("ra", "10.0.0.4")
        return {name for name, listening in self._sockets.items() if _has_mark(listening)}

    def _inject(self, frames: list[bytes]) -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind((self._interface, 0))
            for frame in frames:
                raw.send(frame)

    def _counted(self) -> Counter[Drop]:
        return Counter(
            {
                Drop(reason): packets
                for (reason, direction, vsid), packets in self._host.counted().items()
                if (direction, vsid) == (self._direction, self._vsid)
            }
        )


def quiet(namespace: Namespace) -> None:
    """Let a VM's own kernel say nothing by itself: no IPv6, so no router solicitation, no MLD."""
    namespace.call(lambda: Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1"))


def _listen() -> socket.socket:
    listening = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    listening.bind(("eth0", ETH_P_ALL))
    listening.setblocking(False)
    return listening


def _has_mark(listening: socket.socket) -> bool:
    found = False
    while True:
        try:
            frame, (_, _, kind, _, _) = listening.recvfrom(65535)
        except BlockingIOError:
            return found
        found = found or (kind != socket.PACKET_OUTGOING and MARK in frame)
