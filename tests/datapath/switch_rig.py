"""A switch on the kernel's test bench: real programs and maps, frames by BPF_PROG_TEST_RUN."""

from __future__ import annotations

import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.datapath.abi import Direction, Drop
from lab.datapath.metrics import read_metrics
from lab.datapath.policy import Policy
from lab.datapath.programs import Program, SkBuff
from lab.datapath.switch import Switch

from .model.outcome import FORWARD, PASS, SHOT, Outcome
from .netns import Namespace, namespaces, pin_directory
from .switch_object import compiled

VERDICTS = {0: PASS, 2: SHOT, 7: FORWARD}
PORTS = ("p1", "p2", "p3", "p4", "p5", "p6")
UPLINKS = ("pa0", "pa1")
PORT_MTU, UPLINK_MTU = 1500, 1600
COPY_WITHIN_S = 5.0
"""A copy is at the far end before the test bench returns, but for a softirq that the kernel puts off."""
ETH_P_ALL = 3

Counted = tuple[Counter[tuple[Drop, Direction, int]], Counter[tuple[Drop, Direction, int]]]


class Rig:
    """Six ports and two uplinks, with nobody at their far ends but us."""

    def __init__(self, namespace: Namespace, pins: Path) -> None:
        self.namespace = namespace
        namespace.call(lambda: Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1"))
        self._far: dict[int, socket.socket] = {}
        for name in (*PORTS, *UPLINKS):
            mtu = UPLINK_MTU if name in UPLINKS else PORT_MTU
            namespace.ip(f"link add {name} mtu {mtu} arp off type veth peer name {name}-far")
            namespace.ip(f"link set {name}-far mtu {mtu} arp off up")
            namespace.ip(f"link set {name} up")
            self._far[namespace.ifindex(name)] = namespace.call(lambda at=f"{name}-far": _listen(at))  # type: ignore[misc]
        self.ports = [namespace.ifindex(name) for name in PORTS]
        self.uplinks = [namespace.ifindex(name) for name in UPLINKS]
        self.uplink = self.uplinks[0]
        self.mtu = dict.fromkeys(self.ports, PORT_MTU) | dict.fromkeys(self.uplinks, UPLINK_MTU)
        self.switch: Switch = namespace.call(lambda: Switch(pins, compiled()))
        self._before = self._counters()

    def apply(self, policy: Policy) -> None:
        self.switch.apply(policy)

    def vport(self, ifindex: int, frame: bytes) -> Outcome:
        """A frame from the VM at a port."""
        return self._run(self.switch.vport, ifindex, frame)

    def wire(self, frame: bytes) -> Outcome:
        """A frame from the provider network."""
        return self._run(self.switch.uplink, self.uplink, frame)

    def close(self) -> None:
        """Let go of the kernel's objects."""
        for far in self._far.values():
            far.close()
        self.namespace.call(self.switch.close)

    def _run(self, program: Program, ifindex: int, frame: bytes) -> Outcome:
        run = self.namespace.call(lambda: program.test_run(frame, SkBuff(ifindex=ifindex)))
        counts = self._moved()
        verdict = VERDICTS[run.verdict]
        copies = sum(
            reason is Drop.FORWARDED and direction in (Direction.VPORT_OUT, Direction.WIRE_OUT)
            for (reason, direction, _), _ in counts
        )
        return Outcome(
            verdict,
            b"" if verdict == SHOT else run.frame,
            run.context.cb[0] if verdict == FORWARD else 0,
            counts,
            self._copies(copies - (verdict == FORWARD)),
        )

    def _copies(self, count: int) -> tuple[tuple[int, bytes], ...]:
        """What has come out at far ends."""
        found: list[tuple[int, bytes]] = []
        deadline = time.monotonic() + COPY_WITHIN_S
        owners = {far.fileno(): ifindex for ifindex, far in self._far.items()}
        while len(found) < count and (left := deadline - time.monotonic()) > 0:
            for descriptor in select.select(list(owners), [], [], left)[0]:
                far = self._far[owners[descriptor]]
                data, (_, _, kind, _, _) = far.recvfrom(65535)
                if kind != socket.PACKET_OUTGOING:
                    found.append((owners[descriptor], data))
        return tuple(sorted(found))

    def _moved(self) -> tuple[tuple[tuple[Drop, Direction, int], int], ...]:
        before, after = self._before, self._counters()
        self._before = after
        return tuple(
            sorted(
                (key, after[1][key] - before[1][key])
                for key, packets in after[0].items()
                for _ in range(packets - before[0][key])
            )
        )

    def _counters(self) -> Counted:
        packets: Counter[tuple[Drop, Direction, int]] = Counter()
        octets: Counter[tuple[Drop, Direction, int]] = Counter()
        for count in read_metrics(self.switch.metrics):
            key = (Drop(count.reason), count.direction, count.vsid)
            packets[key], octets[key] = count.packets, count.bytes
        return packets, octets


def _listen(interface: str) -> socket.socket:
    """A socket that gets whatever arrives at an interface."""
    far = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    far.bind((interface, ETH_P_ALL))
    return far


@contextmanager
def rig() -> Iterator[Rig]:
    """A rig of this call's own."""
    with namespaces("rig") as made, pin_directory() as pins:
        built = Rig(made["rig"], pins)
        try:
            yield built
        finally:
            built.close()
