"""An HNV endpoint: a node's WNV filter filled from goal-state records. Hosts and gateways share it.

Besides the policy it does what every such node must: keep the PAs on living uplinks, shape what ports send,
and tie vports to their Port records as they come and go, in whatever order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from lab.datapath.build import OBJECT
from lab.datapath.event_log import log_events
from lab.datapath.goal import Draft, GoalBook, Meaning, carried, node_of, ports_of
from lab.datapath.interfaces import Interfaces, LinkEvents, Observed
from lab.datapath.meters import read_meters
from lab.datapath.metrics import read_metrics
from lab.datapath.pins import PINS
from lab.datapath.policy import Item, Port, ProviderAddress
from lab.datapath.shaping import Plan, Shaper, plan
from lab.datapath.switch import Switch
from lab.datapath.team import Team
from lab.errors import LabError
from lab.southbound import southbound_pb2 as pb
from lab.southbound.identity import NodeIdentity
from lab.southbound.keys import GoalState

log = logging.getLogger(__name__)

PORT_BLOCKED = "PortBlocked"
"""Microsoft's configuration state code of a port without policy."""
PA_FAILURE = "PAAddressConfigurationFailure"
"""The same, of a PA that is not on a working interface."""


class _Filter:
    """The synchronous core, used by one thread.

    Args:
        switch: open; stays the caller's.
        interfaces: of the same network namespace; stays the caller's.
        team: the same.
        shaper: the same.
    """

    def __init__(self, switch: Switch, interfaces: Interfaces, team: Team, shaper: Shaper) -> None:
        self._switch = switch
        self._interfaces = interfaces
        self._team = team
        self._shaper = shaper
        self._book = GoalBook()
        self._has_goal = False
        self._unread: set[str] | None = None
        self._observed = Observed()
        self._behind = True
        self._gone: set[int] = set()
        self._placed: tuple[object, ...] | None = None
        self._ports: dict[str, Port] = {}
        self._classes: dict[str, int] = {}

    def apply(self, goal: GoalState, touched: Collection[str] | None) -> None:
        """Follow a goal state.

        Raises:
            LabError: it is refused; the node follows the one before.
        """
        # What a refused version touched is still to be read.
        if touched is None or self._unread is None:
            self._unread = None
        else:
            self._unread |= set(touched)
        if self._behind:
            self._look(self._interfaces.observe())
        draft = self._book.draft(goal, self._unread)
        if self._has_goal and not self._behind and draft.meaning is self._book.meaning:
            # Neither ports nor addresses: nothing to look at but the items themselves.
            self._switch.change(draft.removed, draft.added)
            self._commit(draft)
            return
        shaping = self._change(draft.removed, draft.added, draft.meaning)
        self._commit(draft)
        self._follow(shaping)

    def refresh(self) -> bool:
        """Look at the interfaces, and bring what changed under policy.

        Returns:
            True: a vport or an uplink came, went, died or came to life.

        Raises:
            LabError: the kernel refused.
        """
        observed = self._interfaces.observe()
        if observed == self._observed and not self._behind:
            return False
        self._look(observed)
        # Without a goal state (the agent has just started and not reached the controller) the pinned maps
        # hold the policy of the run before, and forwarding goes on by it.
        if self._has_goal:
            self._follow(self._change([], [], self._book.meaning))
        self._behind = False
        return True

    def _look(self, observed: Observed) -> None:
        """Take in which interfaces there are; the policy does not follow yet."""
        # Under the agent before this one the switch knew the ports that it has policy for.
        self._gone |= set(self._observed.ports.values() or self._switch.port_classes())
        self._observed, self._behind = observed, True
        self._gone -= set(observed.ports.values())
        self._attach()
        self._switch.forget(self._gone)
        self._gone.clear()

    def blocked_ports(self) -> dict[str, int]:
        """Ifindex of each vport that no Port record names, by interface id."""
        known = self._book.meaning.ports
        return {
            interface_id: ifindex
            for interface_id, ifindex in self._observed.ports.items()
            if interface_id not in known
        }

    def stranded(self) -> list[ProviderAddress]:
        """The PAs that no living uplink carries."""
        addresses = list(self._book.meaning.addresses.values())
        return [own for own in carried(addresses, self._observed.live) if not own.uplink_ifindex]

    def interface_ids(self) -> dict[int, str]:
        """The interface id of each vport that is there, by ifindex."""
        return {ifindex: interface_id for interface_id, ifindex in self._observed.ports.items()}

    def name(self, ifindex: int) -> str:
        """Of a vport its interface id, of an uplink its name."""
        uplinks = {uplink.ifindex: uplink.name for uplink in self._observed.uplinks.values()}
        return self.interface_ids().get(ifindex) or uplinks.get(ifindex) or f"interface {ifindex}"

    def _commit(self, draft: Draft) -> None:
        self._book.commit(draft)
        self._has_goal, self._unread = True, set()

    def _attach(self) -> None:
        """Programs first: a port without policy is closed, never open."""
        _, shaped = self._shaper.devices()
        self._switch.attach(
            set(self._observed.ports.values()),
            {uplink.ifindex for uplink in self._observed.uplinks.values()},
            {shaped} - {0},
        )

    def _change(self, removed: list[Item], added: list[Item], meaning: Meaning) -> Plan:
        """Change the switch's policy; what it sends to is there before."""
        present = {name: i for name, i in self._observed.ports.items() if name in meaning.ports}
        given = self._classes or self._classes_before(present)
        shaping = plan({name: meaning.ports[name] for name in present}, meaning.settings.uplink_kbps, given)
        ports = ports_of(meaning, present, shaping.classes)
        qos_in = self._shaper.prepare(shaping)
        if qos_in:
            self._attach()
        removed = removed + [old for name, old in self._ports.items() if ports.get(name) != old]
        added = added + [new for name, new in ports.items() if self._ports.get(name) != new]
        self._switch.change(removed, added, node_of(meaning, self._observed.live, qos_in))
        self._ports, self._classes = ports, shaping.classes
        return shaping

    def _classes_before(self, present: Mapping[str, int]) -> dict[str, int]:
        """The classes that ports had under the agent before this one."""
        standing = self._switch.port_classes()
        return {name: standing[ifindex] for name, ifindex in present.items() if standing.get(ifindex)}

    def _follow(self, shaping: Plan) -> None:
        """Addresses and queues as the policy says that holds now; tried again if it fails."""
        self._behind = True
        addresses = list(self._book.meaning.addresses.values())
        carriers = {own.address: own.uplink_ifindex for own in carried(addresses, self._observed.live)}
        place = (self._observed.uplinks, addresses, carriers)
        # Ports come and go often, and each time counts: netlink is slow beside a change of the maps.
        if place != self._placed:
            self._placed = None
            self._team.place(*place)
            self._placed = place
        self._shaper.finish(shaping, self._observed.ports)
        self._behind = False


class Endpoint:
    """A node's WNV filter. Its kernel work is done by one thread of its own, which lives in the network
    namespace of the thread that opens it; every method may be called from any thread.

    Args:
        identity: the node.
        pins: directory on bpffs of this node's maps and links. What stands there is taken over, and goes on
            forwarding when the endpoint is closed.
        object_file: the compiled data plane.

    Raises:
        NoDatapathError: the kernel cannot run it.
    """

    def __init__(self, identity: NodeIdentity, *, pins: Path = PINS, object_file: Path = OBJECT) -> None:
        # pyroute2 runs an event loop of its own and cannot be used where one runs already.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="endpoint")
        # Before the first look: what changes after it is heard.
        self._events = LinkEvents()
        try:
            self._switch, self._interfaces, self._team, self._shaper = self._thread.submit(
                lambda: (Switch(pins, object_file), Interfaces(identity.lab), Team(), Shaper())
            ).result()
        except BaseException:
            self._events.close()
            self._thread.shutdown()
            raise
        self._filter = _Filter(self._switch, self._interfaces, self._team, self._shaper)
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
        for part in (self._shaper, self._team, self._interfaces, self._switch):
            self._thread.submit(part.close).result()
        self._thread.shutdown()

    def apply(self, goal: GoalState, touched: Collection[str] | None = None) -> None:
        """Follow a goal state. Blocks for as long as the kernel takes.

        Args:
            goal: complete; records of other kinds than the switch's are passed over.
            touched: keys of all records that may differ from those of the call before, whether that one was
                refused or not; None: any may.

        Raises:
            LabError: it is refused, each problem's place the key of the record at fault; the node goes on
                following the one before.
        """
        self._thread.submit(self._filter.apply, goal, touched).result()

    def refresh(self) -> bool:
        """Look at the interfaces now, as `watch` does after each change. Blocks.

        Returns:
            True: a vport or an uplink came, went, died or came to life.

        Raises:
            LabError: the kernel refused.
        """
        return self._thread.submit(self._filter.refresh).result()

    async def watch(self, changed: asyncio.Event) -> None:
        """Keep ports under policy as interfaces come and go, until cancelled.

        Args:
            changed: set whenever a vport or an uplink came, went, died or came to life.
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

    async def log_events(self) -> None:
        """Log drops, and what rules that log decide, until cancelled.

        Raises:
            DatapathError: the events cannot be read.
        """
        await log_events(self._switch.maps, self._filter.name)

    def report(self) -> pb.Report:
        """Counters, meters of the ports that are there; ports without policy, and PAs without an uplink."""
        return pb.Report(counters=self._counters(), meters=self._meters(), faults=self._faults())

    def _counters(self) -> list[pb.Counter]:
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

    def _meters(self) -> list[pb.Meter]:
        interface_ids = self._filter.interface_ids()
        return [
            pb.Meter(
                interface_id=interface_ids[item.ifindex],
                direction=item.direction.name.lower(),
                kind=item.kind.name.lower(),
                packets=item.packets,
                bytes=item.bytes,
            )
            for item in read_meters(self._switch.meters)
            if item.ifindex in interface_ids
        ]

    def _faults(self) -> list[pb.Fault]:
        blocked = [
            pb.Fault(
                record_key=f"port/{interface_id}",
                code=PORT_BLOCKED,
                message=f"interface {ifindex} has no policy: it forwards nothing",
            )
            for interface_id, ifindex in self._filter.blocked_ports().items()
        ]
        stranded = [
            pb.Fault(record_key=own.key, code=PA_FAILURE, message=f"no living uplink carries {own.address}")
            for own in self._filter.stranded()
        ]
        return blocked + stranded
