"""A switch on the kernel's test bench: real programs and maps, frames by BPF_PROG_TEST_RUN."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.datapath.abi import Direction, Drop
from lab.datapath.metrics import read_metrics
from lab.datapath.policy import Policy
from lab.datapath.programs import Program, SkBuff
from lab.datapath.switch import Switch

from .netns import Namespace, namespaces, pin_directory
from .switch_model import FORWARD, PASS, SHOT, Outcome
from .switch_object import compiled

VERDICTS = {0: PASS, 2: SHOT, 7: FORWARD}
PORTS = ("p1", "p2", "p3", "p4")
UPLINK = "pa0"
PORT_MTU, UPLINK_MTU = 1500, 1600


class Rig:
    """Four ports and an uplink, none of them connected to anything."""

    def __init__(self, namespace: Namespace, pins: Path) -> None:
        self.namespace = namespace
        for name in (*PORTS, UPLINK):
            namespace.ip(f"link add {name} type veth peer name {name}-far")
            namespace.ip(f"link set {name} mtu {UPLINK_MTU if name == UPLINK else PORT_MTU}")
        self.ports = [namespace.ifindex(name) for name in PORTS]
        self.uplink = namespace.ifindex(UPLINK)
        self.mtu = dict.fromkeys(self.ports, PORT_MTU) | {self.uplink: UPLINK_MTU}
        self.switch: Switch = namespace.call(lambda: Switch(pins, compiled()))

    def apply(self, policy: Policy) -> None:
        self.switch.apply(policy)

    def vport(self, ifindex: int, frame: bytes) -> Outcome:
        """A frame from the VM at a port."""
        return self._run(self.switch.vport, ifindex, frame)

    def wire(self, frame: bytes) -> Outcome:
        """A frame from the provider network."""
        return self._run(self.switch.uplink, self.uplink, frame)

    def _run(self, program: Program, ifindex: int, frame: bytes) -> Outcome:
        before = self._counters()
        run = self.namespace.call(lambda: program.test_run(frame, SkBuff(ifindex=ifindex)))
        after = self._counters()
        verdict = VERDICTS[run.verdict]
        return Outcome(
            verdict,
            b"" if verdict == SHOT else run.frame,
            run.context.cb[0] if verdict == FORWARD else 0,
            tuple(
                sorted(
                    (key, after[1][key] - before[1][key])
                    for key, packets in after[0].items()
                    for _ in range(packets - before[0][key])
                )
            ),
        )

    def _counters(self) -> tuple[Counter[tuple[Drop, Direction, int]], Counter[tuple[Drop, Direction, int]]]:
        packets: Counter[tuple[Drop, Direction, int]] = Counter()
        octets: Counter[tuple[Drop, Direction, int]] = Counter()
        for count in read_metrics(self.switch.metrics):
            key = (Drop(count.reason), count.direction, count.vsid)
            packets[key], octets[key] = count.packets, count.bytes
        return packets, octets


@contextmanager
def rig() -> Iterator[Rig]:
    """A rig of this call's own."""
    with namespaces("rig") as made, pin_directory() as pins:
        built = Rig(made["rig"], pins)
        try:
            yield built
        finally:
            made["rig"].call(built.switch.close)
