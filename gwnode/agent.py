"""The multitenant gateway's agent: goal states in; compartments and tunnels out; observations back."""

from __future__ import annotations

import asyncio
import logging
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface
from typing import Protocol

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from gwnode import announcer, compartments, frontend, public_addresses
from gwnode.bgp.control import BirdError
from gwnode.bgp.router import router_config
from gwnode.connections import legs, links
from gwnode.connections.ipsec import CHARON, CharonFiles
from gwnode.connections.wanted import ForwardingEnd, GreEnd, IpsecDefaults, IpsecEnd
from gwnode.desired import Tenant, tenants
from gwnode.nat_front import shared_addresses
from gwnode.netns import set_sysctl
from gwnode.nft import Json, replace_table
from gwnode.public_addresses import nat_legs
from gwnode.report import report
from gwnode.runtime import BIRD, Networks, Runtime, router_files
from gwnode.services import Supervisor
from gwnode.settings import Settings
from lab.datapath.devices import find_devices
from lab.datapath.legs import ConnectionLeg, GreLeg, VlanLeg
from lab.errors import LabError, Problem
from lab.ipsec.esp import EspBackend
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState

log = logging.getLogger(__name__)

NOT_APPLIED = "HNV-GW-005"
PARALLEL = 4
"""Tenants that are set up at the same time."""


FAILURES = (subprocess.CalledProcessError, OSError, NetlinkError, BirdError)
"""What the kernel, a tool or a daemon may answer to what is right by itself."""
_NOT_THE_SWITCHS = ("compartment/", "provider-address/", "front-end-router")
"""What a gateway has besides its switch follows from the records of these keys."""


class Endpoint(Protocol):
    """The node's WNV filter: everything of a goal state that is no compartment."""

    def apply(self, goal: GoalState, touched: Collection[str] | None = None) -> None:
        """Fill it.

        Args:
            goal: complete.
            touched: keys of all records that may differ from those of the call before; None: any may.

        Raises:
            LabError: it cannot be.
        """

    def report(self) -> pb.Report:
        """What it has counted, and what of its policy does not work; must not block."""


class FrontEnd(Protocol):
    """The node's front end: GRE tunnels and VLANs."""

    def apply(self, legs: Iterable[ConnectionLeg]) -> object:
        """Serve exactly these.

        Raises:
            LabError: it cannot be.
        """


class GatewayAgent:
    """A gateway's `lab.southbound.agent.Agent`.

    What runs belongs to the kernel and to s6: an agent that ends, however it ends, disturbs nothing, and one
    that starts finds everything by its marks.

    Parameters:
        settings: of the node.
        backend: who encrypts ESP here.
        endpoint: the node's WNV filter.
        front_end: the node's front end.
    """

    def __init__(
        self, settings: Settings, backend: EspBackend, endpoint: Endpoint, front_end: FrontEnd
    ) -> None:
        self.changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._backend = backend
        self._endpoint = endpoint
        self._front_end = front_end
        self._supervisor = Supervisor(settings.scan, settings.definitions)
        self._runtimes: dict[str, Runtime] = {}
        self._ruleset: list[Json] | None = None
        self._in_step = False
        self._public: set[str] = set()

    async def apply(self, goal: GoalState, touched: Collection[str] | None = None, /) -> None:
        """Make the node be as the goal state says.

        Args:
            goal: complete.
            touched: keys of all records that may differ from those of the call before; None: any may.

        Raises:
            LabError: refused, with nothing of it applied; or something could not be done, and the next goal
                state tries again.
        """
        try:
            # In a thread: what this does blocks, and pyroute2 cannot work inside a running event loop.
            await asyncio.to_thread(self._apply, goal, touched)
        except FAILURES as error:
            raise LabError(Problem(NOT_APPLIED, _told(error))) from error

    def report(self) -> pb.Report:
        """All that is observed now."""
        observations = [runtime.observation for runtime in list(self._runtimes.values())]
        result = report(observations)
        result.MergeFrom(self._endpoint.report())
        return result

    def _apply(self, goal: GoalState, touched: Collection[str] | None) -> None:
        """What is the switch's alone, as when a VM moves to another host, is done in milliseconds.

        All else is looked at as a whole, and so is everything after a failure.
        """
        in_step, self._in_step = self._in_step, False
        if in_step and touched is not None and not any(key.startswith(_NOT_THE_SWITCHS) for key in touched):
            self._endpoint.apply(goal, touched)
        else:
            self._apply_whole(goal, is_change=in_step and touched is not None)
        self._in_step = True

    def _apply_whole(self, goal: GoalState, *, is_change: bool) -> None:
        """All that can be refused is refused before anything is touched.

        Parameters:
            is_change: what stands is as the goal state before this one said.
        """
        transits = {leg.interface: leg.transit for leg in legs.standing(self._settings) if leg.transit}
        ipsec = IpsecDefaults(self._backend, self._settings.timers)
        wanted = tenants(goal, transits, self._settings.transit, ipsec)
        vips = {tenant.vip for tenant in wanted.values() if tenant.vip}
        if problems := shared_addresses(nat_legs(wanted.values()), vips):
            raise LabError(problems)
        self._reconcile(wanted, goal, is_change=is_change)

    def _reconcile(self, wanted: dict[str, Tenant], goal: GoalState, *, is_change: bool) -> None:
        """The front end first: it cuts off who goes before anything of theirs is taken away."""
        for tenant in wanted.values():
            if tenant.bgp is not None:
                router_config(tenant, tenant.bgp, (), self._settings.max_prefixes)
        networks = self._networks(goal)
        self._apply_front_end(list(wanted.values()), networks)
        pairs = links.pairs(wanted.values())
        problems: list[Problem] = []
        for tenant in self._maybe_linked(wanted):
            with _noted(problems, f"tenant {tenant.name}: links"):
                links.remove_stale(self._settings, pairs, tenant.name)
        problems += self._ensure_tenants(
            [
                tenant
                for name, tenant in wanted.items()
                if not is_change
                or name not in self._runtimes
                or not self._runtimes[name].has_applied(tenant, networks)
            ],
            networks,
        )
        # After all of them: a link may be new, or cut off, at a tenant of which nothing else has changed.
        for one, other in pairs:
            with _noted(problems, f"tenant {one.tenant}: link to {other.tenant}"):
                links.ensure(self._settings, one, other)
                for side in (one, other):
                    self._runtimes[side.tenant].look_again()
        public_addresses.ensure(list(wanted.values()), self._settings.front_end, _shared(wanted, goal))
        self._endpoint.apply(goal)
        for name in self._present() - wanted.keys():
            self._remove(name)
        self._remove_connections(wanted)
        served = connection_legs(wanted.values())
        if problems:
            # A tenant that could not be had may lack its legs; it is no reason to leave out the others'.
            there = find_devices({leg.interface for leg in served})
            served = [leg for leg in served if leg.interface in there]
        self._front_end.apply(served)
        self._announce(wanted, goal)
        if problems:
            raise LabError(problems)

    def _maybe_linked(self, wanted: Mapping[str, Tenant]) -> list[Tenant]:
        """Who wants a link, has wanted one, or stood before this agent did."""
        return [
            tenant
            for name, tenant in wanted.items()
            if (runtime := self._runtimes.get(name)) is None
            or links.wants(tenant)
            or links.wants(runtime.tenant)
        ]

    def _ensure_tenants(self, wanted: Iterable[Tenant], networks: Networks) -> list[Problem]:
        """Side by side: most of a tenant's time is spent waiting for tools and for the kernel.

        Returns: what could not be done. It is its tenant's alone: all others have what they want.
        """
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="tenant") as pool:
            results = {tenant.name: pool.submit(self._ensure_tenant, tenant, networks) for tenant in wanted}
        problems: list[Problem] = []
        for name, result in results.items():
            with _noted(problems, f"tenant {name}"):
                result.result()
        return problems

    def _ensure_tenant(self, tenant: Tenant, networks: Networks) -> None:
        runtime = self._runtimes.get(tenant.name)
        if runtime is not None:
            runtime.apply(tenant, networks)
            return
        runtime = Runtime(self._settings, self._supervisor, self._backend, tenant, self._note_change)
        self._runtimes[tenant.name] = runtime
        runtime.apply(tenant, networks)

    def _announce(self, wanted: dict[str, Tenant], goal: GoalState) -> None:
        """Last: whoever hears of an address may use it at once."""
        routers = [item.front_end_router for item in goal.values() if item.HasField("front_end_router")]
        announcer.ensure(
            self._settings,
            self._supervisor,
            next(iter(routers), None),
            self._own_address(),
            {*public_addresses.public_addresses(wanted.values()), *_shared(wanted, goal)},
        )

    def _own_address(self) -> IPv4Address | None:
        """The node's own on the front-end network; VIPs have no network."""
        return next((item.ip for item in self._front_end_addresses() if item.network.prefixlen < 32), None)

    def _front_end_addresses(self) -> list[IPv4Interface]:
        with IPRoute() as kernel:
            return [
                IPv4Interface(f"{item.get('address')}/{item['prefixlen']}")
                for index in kernel.link_lookup(ifname=self._settings.front_end)
                for item in kernel.get_addr(index=index, family=2)
            ]

    def _apply_front_end(self, wanted: list[Tenant], networks: Networks) -> None:
        rules = frontend.ruleset(wanted, self._settings.front_end, networks.hidden)
        if rules == self._ruleset:
            return
        replace_table(rules)
        set_sysctl("net/ipv4/ip_forward", "1")
        known = frontend.Translations.of(wanted)
        public = {str(tenant.vip) for tenant in wanted} | known.callers.keys()
        gone = frontend.forget_stale_flows(known, public | self._public, self._settings.transit)
        self._public = public
        if gone:
            log.info("%d tracked flows forgotten: their translation no longer holds", gone)
        self._ruleset = rules

    def _networks(self, goal: GoalState) -> Networks:
        """The hoster's own: provider, what lies between compartments, front end."""
        provider = [
            IPv4Interface(
                f"{record.provider_address.address}/{record.provider_address.prefix_length}"
            ).network
            for record in goal.values()
            if record.HasField("provider_address")
        ]
        front_end = tuple(item.network for item in self._front_end_addresses())
        return Networks((*provider, self._settings.transit), front_end)

    def _present(self) -> set[str]:
        """Tenants of which anything stands."""
        birds = {name.removeprefix(BIRD) for name in self._supervisor.names([BIRD])}
        return {*self._runtimes, *birds, *compartments.standing(self._settings)}

    def _remove(self, name: str) -> None:
        """Leave nothing of a tenant but its connections: daemons, interface, namespace, files."""
        log.info("%s: removed", name)
        runtime = self._runtimes.pop(name, None)
        if runtime:
            runtime.stop(gone=True)
        self._supervisor.remove(BIRD + name)
        compartments.remove(self._settings, [name])
        router_files(self._settings, name).remove()

    def _remove_connections(self, wanted: Mapping[str, Tenant]) -> None:
        """Leave nothing of connections that are no more."""
        connections = [item for tenant in wanted.values() for item in tenant.connections.values()]
        units = {item.unit for item in connections if item.has_charon}
        charons = {name.removeprefix(CHARON) for name in self._supervisor.names([CHARON])}
        for unit in charons - units:
            log.info("%s: removed", unit)
            self._supervisor.remove(CHARON + unit)
            CharonFiles.of(self._settings, unit).remove()
        known = {item.leg for item in connections}
        gone = [leg for leg in legs.standing(self._settings) if leg.interface not in known]
        legs.remove(self._settings, gone, units)

    def _note_change(self) -> None:
        self._loop.call_soon_threadsafe(self.changed.set)

    def stop(self) -> None:
        """End the watchers; all that they watch goes on."""
        for runtime in self._runtimes.values():
            runtime.stop()


def _shared(wanted: Mapping[str, Tenant], goal: GoalState) -> set[IPv4Address]:
    """The VIPs that have come here with the tenants; where gateways announce, each announces its own."""
    if not any(item.HasField("front_end_router") for item in goal.values()):
        return set()
    return {
        tenant.vip
        for tenant in wanted.values()
        if tenant.vip and any(isinstance(item.end, IpsecEnd) for item in tenant.connections.values())
    }


def connection_legs(tenants: Iterable[Tenant]) -> list[ConnectionLeg]:
    """What the front end serves: the GRE and L3 connections of all tenants. Pure."""
    found: list[ConnectionLeg] = []
    for tenant in tenants:
        for item in tenant.connections.values():
            match item.end:
                case GreEnd() as end:
                    found.append(GreLeg(item.leg, item.mac, end.local, end.remote, end.key))
                case ForwardingEnd() as end:
                    found.append(VlanLeg(item.leg, end.vlan))
    return found


@contextmanager
def _noted(problems: list[Problem], whose: str) -> Iterator[None]:
    """What fails in here is added to the problems: it must not keep from the others what they want."""
    try:
        yield
    except FAILURES as error:
        problems.append(Problem(NOT_APPLIED, f"{whose}: {_told(error)}"))


def _told(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"{error.cmd}: {error.stderr}"
    return str(error)
