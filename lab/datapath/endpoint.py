"""An HNV endpoint: a node's WNV filter filled from goal-state records. Hosts and gateways share it.

Besides the policy it does what every such node must: give the provider interface its PA, and tie vports to
their Port records as they come and go, in whatever order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from lab.datapath.build import OBJECT
from lab.datapath.interfaces import Interfaces, LinkEvents, Observed
from lab.datapath.metrics import read_metrics
from lab.datapath.records import node_address, policy_of
from lab.datapath.switch import PINS, Switch
from lab.errors import LabError
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState

log = logging.getLogger(__name__)

UPLINK = "pa0"
PORT_BLOCKED = "PortBlocked"
"""Microsoft's configuration state code of a port without policy."""

Result = TypeVar("Result")


class Endpoint:
    """The synchronous core. Every call may block for as long as the kernel takes.

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
        self._switch.attach(
            set(observed.ports.values()), {observed.uplink} if observed.uplink else set()
        )
        # Without a goal state (the agent has just started and not reached the controller) the pinned maps
        # hold the policy of the run before, and forwarding goes on by it.
        if self._goal is not None:
            self._converge(self._goal, observed)
        self._behind = False
        return True

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
        known = self._goal or {}
        return [
            pb.Fault(
                record_key=f"port/{interface_id}",
                code=PORT_BLOCKED,
                message=f"interface {ifindex} has no policy: it forwards nothing",
            )
            for interface_id, ifindex in self._observed.ports.items()
            if f"port/{interface_id}" not in known
        ]

    def _converge(self, goal: GoalState, observed: Observed) -> None:
        self._switch.apply(policy_of(goal, observed.ports, observed.uplink))
        if observed.uplink:
            self._interfaces.set_provider_address(observed.uplink, node_address(goal))


class EndpointRunner:
    """The endpoint for agents that live in an event loop: its blocking calls run in one thread of its own.

    Open it with `async with EndpointRunner(lab) as endpoint`, and keep `watch` running.

    Args:
        lab: name of the lab.
        pins: directory on bpffs of this node's maps and links.
        object_file: the compiled data plane.
        uplink: name of the provider interface.
    """

    def __init__(
        self, lab: str, *, pins: Path = PINS, object_file: Path = OBJECT, uplink: str = UPLINK
    ) -> None:
        self._lab = lab
        self._pins = pins
        self._object_file = object_file
        self._uplink = uplink
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="endpoint")
        self._events = LinkEvents()
        self._switch: Switch | None = None
        self._interfaces: Interfaces | None = None
        self._endpoint: Endpoint | None = None

    async def __aenter__(self) -> EndpointRunner:
        await self._in_thread(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._in_thread(self._close)
        self._thread.shutdown()

    async def apply(self, goal: GoalState) -> None:
        """Follow a goal state. See `Endpoint.apply`."""
        await self._in_thread(lambda: self._opened().apply(goal))

    async def watch(self, changed: asyncio.Event) -> None:
        """Keep ports under policy as interfaces come and go, until cancelled.

        Args:
            changed: set whenever `faults` or the ports changed.
        """
        with self._events:
            # What came between opening and now.
            await self._refresh(changed)
            async for _ in self._events.wait():
                await self._refresh(changed)

    def counters(self) -> list[pb.Counter]:
        """See `Endpoint.counters`."""
        return self._opened().counters()

    def faults(self) -> list[pb.Fault]:
        """See `Endpoint.faults`."""
        return self._opened().faults()

    async def _refresh(self, changed: asyncio.Event) -> None:
        try:
            if await self._in_thread(lambda: self._opened().refresh()):
                changed.set()
        except LabError as error:
            # The next event, or the next goal state, tries again; the port stays closed until then.
            log.error("interfaces changed, and the switch could not follow: %s", error)
            changed.set()

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _open(self) -> None:
        self._switch = Switch(self._pins, self._object_file)
        self._interfaces = Interfaces(self._lab, self._uplink)
        self._endpoint = Endpoint(self._switch, self._interfaces)
        self._endpoint.refresh()

    def _close(self) -> None:
        if self._interfaces is not None:
            self._interfaces.close()
        if self._switch is not None:
            self._switch.close()

    def _opened(self) -> Endpoint:
        if self._endpoint is None:
            raise RuntimeError("use the endpoint inside `async with`")
        return self._endpoint
