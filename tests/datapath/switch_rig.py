"""A switch on the kernel's test bench: real programs and maps, frames by BPF_PROG_TEST_RUN."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from lab.datapath import abi
from lab.datapath.abi import Direction, Drop
from lab.datapath.maps import Map
from lab.datapath.pins import map_pins
from lab.datapath.policy import Policy
from lab.datapath.programs import Program, SkBuff
from lab.datapath.switch import Switch

from .model.outcome import FORWARD, PASS, SHOT, Outcome
from .netns import Namespace, namespaces, pin_directory
from .switch_object import compiled

VERDICTS = {0: PASS, 2: SHOT, 7: FORWARD}
PORTS = ("p1", "p2", "p3", "p4", "p5", "p6")
UPLINKS = ("pa0", "pa1")
UPLINK_ADDRESSES = ("192.168.6.10", "192.168.6.20")
FLOWS = ("hnv_flows_v1", "hnv_fragments_v1")
PORT_MTU, UPLINK_MTU = 1500, 1600
COPY_WITHIN_S = 5.0
"""A copy is at the far end before the test bench returns, but for a softirq that the kernel puts off."""
ETH_P_ALL = 3
OUTWARDS = (Direction.VPORT_OUT, Direction.WIRE_OUT)


class Rig:
    """Six ports and two uplinks, with nobody at their far ends but us."""

    def __init__(self, namespace: Namespace, pins: Path) -> None:
        self.namespace = namespace
        namespace.call(lambda: Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1"))
        self._far: dict[int, tuple[int, socket.socket]] = {}
        self._poll = select.poll()
        for name in (*PORTS, *UPLINKS):
            mtu = UPLINK_MTU if name in UPLINKS else PORT_MTU
            namespace.ip(f"link add {name} mtu {mtu} arp off type veth peer name {name}-far")
            namespace.ip(f"link set {name}-far mtu {mtu} arp off up")
            namespace.ip(f"link set {name} up")
            self._listen(name)
        self.ports = [namespace.ifindex(name) for name in PORTS]
        self.uplinks = [namespace.ifindex(name) for name in UPLINKS]
        self.uplink = self.uplinks[0]
        self.mtu = dict.fromkeys(self.ports, PORT_MTU) | dict.fromkeys(self.uplinks, UPLINK_MTU)
        # Copies of a flooded frame go round through its device, and on the wire by the kernel's neighbours.
        for name, address in zip(UPLINKS, UPLINK_ADDRESSES, strict=True):
            namespace.ip(f"addr add {address}/24 dev {name}")
        self._maps = map_pins(pins)
        self.switch: Switch = namespace.call(lambda: Switch(pins, compiled()))
        namespace.call(lambda: self.switch.attach(set(self.ports), set(self.uplinks)))
        self._before = self.switch.metrics.items()

    def _listen(self, name: str) -> None:
        far = self.namespace.call(lambda: _listen(f"{name}-far"))
        self._far[far.fileno()] = (self.namespace.ifindex(name), far)
        self._poll.register(far, select.POLLIN)

    def apply(self, policy: Policy) -> None:
        self.switch.apply(policy)

    def inside(self, function: Callable[[], None]) -> None:
        """Call something that drives the rig; many frames at little cost."""
        self.namespace.call(function)

    def forget_flows(self) -> None:
        """Remember no connection and no fragment, as after a boot."""
        for name in FLOWS:
            with closing(Map.pinned(self._maps / name)) as memory:
                memory.delete(memory.items())

    def vport(self, ifindex: int, frame: bytes, copies: int = 0) -> Outcome:
        """A frame from the VM at a port.

        Args:
            copies: of a frame that is flooded, whether they leave or end: these are waited for.
        """
        return self._run(self.switch.vport, ifindex, frame, copies)

    def wire(self, frame: bytes, copies: int = 0) -> Outcome:
        """A frame from the provider network."""
        return self._run(self.switch.uplink, self.uplink, frame, copies)

    def close(self) -> None:
        """Let go of the kernel's objects."""
        for _, far in self._far.values():
            far.close()
        self.namespace.call(self.switch.close)

    def _run(self, program: Program, ifindex: int, frame: bytes, copies: int) -> Outcome:
        run = self.namespace.call(lambda: program.test_run(frame, SkBuff(ifindex=ifindex)))
        verdict = VERDICTS[run.verdict]
        deadline = time.monotonic() + COPY_WITHIN_S
        counts = self._moved()
        flooded = verdict == SHOT and any(reason is Drop.FORWARDED for (reason, _, _), _ in counts)
        while flooded and len(counts) - 1 < copies and time.monotonic() < deadline:
            self._poll.poll(1)
            counts += self._moved()
        leaving = sum(
            direction in (Direction.VPORT_OUT, Direction.WIRE_OUT) for (_, direction, _), _ in counts
        )
        return Outcome(
            verdict,
            b"" if verdict == SHOT else run.frame,
            run.context.cb[0] if verdict == FORWARD else 0,
            tuple(sorted(counts)),
            self._copies(leaving - (verdict == FORWARD), deadline),
        )

    def _copies(self, count: int, deadline: float) -> tuple[tuple[int, bytes], ...]:
        """What has come out at far ends: at least so many, if they come at all."""
        found: list[tuple[int, bytes]] = []
        while True:
            left = deadline - time.monotonic() if len(found) < count else 0
            ready = self._poll.poll(max(left, 0) * 1000)
            if not ready and left <= 0:
                return tuple(sorted(found))
            for descriptor, _ in ready:
                ifindex, far = self._far[descriptor]
                data, (_, _, kind, _, _) = far.recvfrom(65535)
                if kind != socket.PACKET_OUTGOING:
                    found.append((ifindex, data))

    def _moved(self) -> tuple[tuple[tuple[Drop, Direction, int], int], ...]:
        before, after = self._before, self.switch.metrics.items()
        self._before = after
        moved = []
        for key in [key for key, values in after.items() if values != before.get(key)]:
            name = abi.MetricKey.from_buffer_copy(key)
            now, then = _sum(after[key]), _sum(before.get(key))
            packets, octets = now[0] - then[0], now[1] - then[1]
            # Copies of one frame are of one size, in each direction.
            counted = ((Drop(name.reason), Direction(name.direction), name.vsid), octets // packets)
            moved += [counted] * packets
        return tuple(moved)


def _sum(values: bytes | None) -> tuple[int, int]:
    """Packets and octets, over all CPUs."""
    counts = list(struct.iter_unpack("<QQ", values or b""))
    return sum(count[0] for count in counts), sum(count[1] for count in counts)


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
