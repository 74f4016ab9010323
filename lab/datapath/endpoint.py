"""An HNV endpoint: a node's WNV filter filled from goal-state records. Hosts and gateways share it.

Besides the policy it does what every such node must: give the provider interface its PA, and tie vports to
their Port records as they come and go, in whatever order.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from lab.datapath.build import OBJECT
from lab.datapath.interfaces import Interfaces, LinkEvents, Observed
from lab.datapath.metrics import read_metrics
from lab.datapath.pins import PINS
from lab.datapath.records import node_address, policy_of
from lab.datapath.switch import Switch
from lab.errors import LabError
from lab.southbound import southbound_pb2 as pb
from lab.southbound.identity import NodeIdentity
from lab.southbound.keys import GoalState

log = logging.getLogger(__name__)

UPLINK = "pa0"
PORT_BLOCKED = "PortBlocked"
"""Microsoft's configuration state code of a port without policy."""


class _Filter:
    """The synchronous core, used by one thread.

    Args:
        switch: open; stays the caller's.
        interfaces: of the same network namespace; stays the caller's.
    """

    def __init__(self, switch: Switch, interfaces: Interfaces) -> None:
        self._switch = switch
        self._interfaces = interfaces
        self._goal: GoalState | None = None
        self._observed = Observed()
        self._behind = True

    def apply(self, goal: GoalState) -> None:
        """Follow a goal state.

        Raises:
            LabError: it is refused; the node follows the one before.
        """
        self.refresh()
        self._converge(goal, self._observed)
        self._goal = goal

    def refresh(self) -> bool:
        """Look at the interfaces, and bring what changed under policy.

        Returns:
            True: a vport or the uplink came or went.

        Raises:
            LabError: the kernel refused.
        """
        observed = self._interfaces.observe()
        if observed == self._observed and not self._behind:
            return False
        self._observed, self._behind = observed, True
        # Programs first: a port without policy is closed, never open.
        self._switch.attach(set(observed.ports.values()), {observed.uplink} if observed.uplink else set())
        # Without a goal state (the agent has just started and not reached the controller) the pinned maps
        # hold the policy of the run before, and forwarding goes on by it.
        if self._goal is not None:
            self._converge(self._goal, observed)
        self._behind = False
        return True

    def blocked_ports(self) -> dict[str, int]:
        """Ifindex of each vport that no Port record names, by interface id."""
        known = self._goal or {}
        return {
            interface_id: ifindex
            for interface_id, ifindex in self._observed.ports.items()
            if f"port/{interface_id}" not in known
        }

    def _converge(self, goal: GoalState, observed: Observed) -> None:
        self._switch.apply(policy_of(goal, observed.ports, observed.uplink))
        if observed.uplink:
            self._interfaces.set_provider_address(observed.uplink, node_address(goal))


class Endpoint:
    """A node's WNV filter. Its kernel work is done by one thread of its own, which lives in the network
    namespace of the thread that opens it; every method may be called from any thread.

    Args:
        identity: the node.
        pins: directory on bpffs of this node's maps and links. What stands there is taken over, and goes on
            forwarding when the endpoint is closed.
        object_file: the compiled data plane.
        uplink: name of the provider interface.

    Raises:
        NoDatapathError: the kernel cannot run it.
    """

    def __init__(
        self,
        identity: NodeIdentity,
        *,
        pins: Path = PINS,
        object_file: Path = OBJECT,
        uplink: str = UPLINK,
    ) -> None:
        # pyroute2 runs an event loop of its own and cannot be used where one runs already.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="endpoint")
        # Before the first look: what changes after it is heard.
        self._events = LinkEvents()
        try:
            self._switch, self._interfaces = self._thread.submit(
                lambda: (Switch(pins, object_file), Interfaces(identity.lab, uplink))
            ).result()
        except BaseException:
            self._events.close()
            self._thread.shutdown()
            raise
        self._filter = _Filter(self._switch, self._interfaces)
        self._thread.submit(self._filter.refresh).result()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of everything; forwarding goes on."""
        self._events.close()
        self._thread.submit(self._interfaces.close).result()
        self._thread.submit(self._switch.close).result()
        self._thread.shutdown()

    def apply(self, goal: GoalState) -> None:
        """Follow a goal state. Blocks for as long as the kernel takes.

        Args:
            goal: complete; records of other kinds than the switch's are passed over.

        Raises:
            LabError: it is refused, each problem's place the key of the record at fault; the node goes on
                following the one before.
        """
        self._thread.submit(self._filter.apply, goal).result()

    def refresh(self) -> bool:
        """Look at the interfaces now, as `watch` does after each change. Blocks.

        Returns:
            True: a vport or the uplink came or went.

        Raises:
            LabError: the kernel refused.
        """
        return self._thread.submit(self._filter.refresh).result()

    async def watch(self, changed: asyncio.Event) -> None:
        """Keep ports under policy as interfaces come and go, until cancelled.

        Args:
            changed: set whenever a vport or the uplink came or went.
        """
        loop = asyncio.get_running_loop()
        async for _ in self._events.wait():
            try:
                if await loop.run_in_executor(self._thread, self._filter.refresh):
                    changed.set()
            except LabError as error:
                # The next event, or the next goal state, tries again; the port stays closed until then.
                log.error("interfaces changed, and the switch could not follow: %s", error)
                changed.set()

    def counters(self) -> list[pb.Counter]:
        """All counters of the switch, summed over the CPUs."""
        return [
            pb.Counter(
                reason=item.reason,
                direction=item.direction.label,
                vsid=item.vsid,
                packets=item.packets,
                bytes=item.bytes,
            )
            for item in read_metrics(self._switch.metrics)
        ]

    def faults(self) -> list[pb.Fault]:
        """Vports that forward nothing because no Port record names them."""
        return [
            pb.Fault(
                record_key=f"port/{interface_id}",
                code=PORT_BLOCKED,
                message=f"interface {ifindex} has no policy: it forwards nothing",
            )
            for interface_id, ifindex in self._filter.blocked_ports().items()
        ]
