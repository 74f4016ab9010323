"""A tenant at run time: its connections and its BGP router, and the watchers that follow them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from urllib.parse import quote

from gwnode import compartments
from gwnode.bgp.router import Observed, Router, RouterFiles, router_config
from gwnode.bgp.routes import Learned, learned
from gwnode.bgp.sessions import Session
from gwnode.connections import legs
from gwnode.connections.ipsec import IpsecRuntime
from gwnode.connections.stateless import INTERFACE_GONE, StatelessRuntime
from gwnode.connections.wanted import Connection
from gwnode.desired import Tenant
from gwnode.kernel import KERNEL_REFUSALS
from gwnode.link import NO_WAY_BACK, LinkEnd
from gwnode.looking import look_every
from gwnode.services import Service, Supervisor
from gwnode.settings import Settings
from lab.ipsec.esp import EspBackend
from lab.ipsec.state import Phase
from lab.southbound import southbound_pb2 as pb

log = logging.getLogger(__name__)

BIRD = "bird-"
BIRD_AWAY_S = 20
"""So long it is believed what it said while it does not answer: the kernel keeps its routes meanwhile."""


def router_files(settings: Settings, tenant: str) -> RouterFiles:
    """Where a tenant's BIRD finds what it reads, and where it is found."""
    state = settings.state
    return RouterFiles(
        config=state / f"{tenant}.bird.conf",
        socket=state / f"{tenant}.bird",
        flaps=state / f"{quote(tenant, safe='')}.flaps.log",
    )


@dataclass(frozen=True, slots=True)
class Networks:
    """The hoster's own networks.

    Attributes:
        hidden: provider network and transit: no tenant may reach them.
        front_end: where tenants' public addresses may be, too.
    """

    hidden: tuple[IPv4Network, ...]
    front_end: tuple[IPv4Network, ...]

    @property
    def all(self) -> tuple[IPv4Network, ...]:
        """What no site may offer."""
        return (*self.hidden, *self.front_end)


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known of a tenant.

    Attributes:
        tenant: as desired.
        connections: by name, of those that have been looked at.
        sessions, routes: of BIRD; None: it has not been looked at yet.
    """

    tenant: Tenant
    connections: Mapping[str, pb.ConnectionState]
    sessions: tuple[Session, ...] | None = None
    routes: tuple[Learned, ...] | None = None


class Runtime:
    """Keeps one tenant's compartment as desired, and what its daemons say at hand.

    Parameters:
        settings: of the node.
        supervisor: where the daemons are supervised.
        backend: who encrypts ESP.
        tenant: as desired.
        changed: called, from any thread, when an observation has changed.
    """

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        backend: EspBackend,
        tenant: Tenant,
        changed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._backend = backend
        self._changed = changed
        self._files = router_files(settings, tenant.name)
        self._router = Router(self._files)
        self._lock = threading.Lock()
        self._routed: Mapping[str, tuple[bool, int]] | None = None
        self._tenant = tenant
        self._applied: tuple[Tenant, Networks] | None = None
        self._connections: dict[str, IpsecRuntime | StatelessRuntime] = {}
        self._sessions: tuple[Session, ...] | None = None
        self._routes: tuple[Learned, ...] | None = None
        self._bird_seen_s = time.monotonic()
        self._stop = threading.Event()
        self._watcher = look_every(settings.poll_s, self._look, f"{tenant.name}-bird", self._stop)

    @property
    def tenant(self) -> Tenant:
        """As it was desired last."""
        return self._tenant

    @property
    def observation(self) -> Observation:
        """What is known now."""
        return Observation(self._tenant, self._states(), self._sessions, self._routes)

    def apply(self, tenant: Tenant, networks: Networks) -> None:
        """Have the tenant's compartment and daemons as desired.

        Connections that are no more are not followed any longer; `GatewayAgent` takes away what stands.

        Raises:
            OSError, NetlinkError, CalledProcessError, BirdError: something could not be done.
        """
        self._applied = None
        compartments.ensure(self._settings, tenant, networks.hidden)
        self._tenant = tenant
        for leg in self._connections.keys() - {item.leg for item in tenant.connections.values()}:
            self._connections.pop(leg).stop(gone=True)
        for connection in tenant.connections.values():
            self._apply_connection(tenant, connection)
        self._apply_bird(tenant, networks)
        self.look_again()
        self._applied = tenant, networks

    def look_again(self) -> None:
        """Routes and rates follow the connections as they are now: a link is made after both of its sides."""
        with self._lock:
            self._routed = None
        self._ensure_routes()

    def has_applied(self, tenant: Tenant, networks: Networks) -> bool:
        """Whether exactly this was applied last, to its end."""
        return self._applied == (tenant, networks)

    def stop(self, *, gone: bool = False) -> None:
        """End the watchers; the daemons go on.

        Parameters:
            gone: the daemons are about to be taken away.
        """
        self._stop.set()
        for runtime in self._connections.values():
            runtime.stop(gone=gone)
        self._watcher.join()

    def _apply_connection(self, tenant: Tenant, connection: Connection) -> None:
        compartment = compartments.namespace(self._settings, tenant.name)
        linked = isinstance(connection.end, LinkEnd)
        if not linked:
            legs.ensure(self._settings, tenant.rdid, connection, compartment, ipv6=tenant.ipv6 is not None)
        runtime = self._connections.get(connection.leg)
        if runtime is not None:
            runtime.apply(connection)
        elif connection.has_charon:
            self._connections[connection.leg] = IpsecRuntime(
                self._settings, self._supervisor, self._backend, compartment, connection, self._on_look
            )
        else:
            missing = NO_WAY_BACK if linked else INTERFACE_GONE
            self._connections[connection.leg] = StatelessRuntime(compartment, connection, missing)

    def _states(self) -> dict[str, pb.ConnectionState]:
        looked = [item.report(self._tenant.rdid) for item in list(self._connections.values())]
        return {state.name: state for state in looked if state is not None}

    def _on_look(self, changed: bool) -> None:
        self._ensure_routes()
        if changed:
            self._changed()

    def _ensure_routes(self) -> None:
        """Static routes of the connections that are up, or are called by who goes there.

        Tried again at the next look if refused. What has not been looked at yet may be up: an agent that
        starts leaves its routes alone. A new device has lost its routes, whatever the state says.
        """
        wanted = self._tenant.connections
        standing = {
            name: (
                state.state == Phase.CONNECTED or (name in wanted and wanted[name].on_demand),
                self._generation_of(wanted.get(name)),
            )
            for name, state in self._states().items()
        }
        with self._lock:
            if standing == self._routed:
                return
            connected = {name: stands for name, (stands, _) in standing.items()}
            try:
                whole = compartments.ensure_connection_routes(self._settings, self._tenant, connected)
                compartments.ensure_rates(self._settings, self._tenant)
            except KERNEL_REFUSALS as error:
                log.warning(
                    "%s: routes or rates of the connections not set yet: %s", self._tenant.name, error
                )
            else:
                self._routed = standing if whole else None

    def _generation_of(self, connection: Connection | None) -> int:
        runtime = self._connections.get(connection.leg) if connection else None
        return runtime.generation if runtime else 0

    def _apply_bird(self, tenant: Tenant, networks: Networks) -> None:
        if tenant.bgp is None:
            self._supervisor.remove(BIRD + tenant.name)
            return
        config = router_config(tenant, tenant.bgp, networks.all, self._settings.max_prefixes)
        self._router.apply(config, tenant.bgp)
        command = ("bird", "-f", "-R", "-c", str(self._files.config), "-s", str(self._files.socket))
        self._supervisor.ensure(Service(BIRD + tenant.name, (*self._enter(tenant), *command)))

    def _enter(self, tenant: Tenant) -> tuple[str, ...]:
        return ("nsenter", f"--net={compartments.namespace(self._settings, tenant.name).path}")

    def _look(self) -> None:
        """At BIRD, and at whether the routes of connections still are as their states want them."""
        self._ensure_routes()
        observed = Observed()
        if self._tenant.bgp is not None:
            observed = self._router.look()
            if observed.answered:
                self._bird_seen_s = time.monotonic()
            elif time.monotonic() - self._bird_seen_s < BIRD_AWAY_S:
                return
        before = (self._sessions, self._routes)
        self._sessions = observed.sessions
        self._routes = tuple(sorted(learned(observed.routes), key=repr))
        if before != (self._sessions, self._routes):
            self._changed()
