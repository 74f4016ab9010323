"""A tenant at run time: its connections and its BGP router, and the watchers that follow them."""

from __future__ import annotations

import logging
import threading
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
from gwnode.services import Service, Supervisor
from gwnode.settings import Settings
from lab.ipsec.esp import EspBackend
from lab.ipsec.state import Phase
from lab.southbound import southbound_pb2 as pb

log = logging.getLogger(__name__)

BIRD = "bird-"


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
        networks: the hoster's own.
        changed: called, from any thread, when an observation has changed.
    """

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        backend: EspBackend,
        tenant: Tenant,
        networks: Networks,
        changed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._backend = backend
        self._changed = changed
        self._files = router_files(settings, tenant.name)
        self._router = Router(self._files)
        self._lock = threading.Lock()
        self._routed: Mapping[str, bool] | None = None
        self._tenant = tenant
        self._connections: dict[str, IpsecRuntime | StatelessRuntime] = {}
        self._sessions: tuple[Session, ...] | None = None
        self._routes: tuple[Learned, ...] | None = None
        self._stop = threading.Event()
        self.apply(tenant, networks)
        self._watcher = threading.Thread(target=self._watch_bird, name=f"{tenant.name}-bird", daemon=True)
        self._watcher.start()

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
        compartments.ensure(self._settings, tenant, networks.hidden)
        self._tenant = tenant
        for name in self._connections.keys() - tenant.connections.keys():
            self._connections.pop(name).stop()
        for connection in tenant.connections.values():
            self._apply_connection(tenant, connection)
        self._apply_bird(tenant, networks)
        self.look_again()

    def look_again(self) -> None:
        """Routes and rates follow the connections as they are now: a link is made after both of its sides."""
        with self._lock:
            self._routed = None
        self._ensure_routes()

    def stop(self) -> None:
        """End the watchers; the daemons go on."""
        self._stop.set()
        for runtime in self._connections.values():
            runtime.stop()
        self._watcher.join()

    def _apply_connection(self, tenant: Tenant, connection: Connection) -> None:
        compartment = compartments.namespace(self._settings, tenant.name)
        linked = isinstance(connection.end, LinkEnd)
        if not linked:
            legs.ensure(self._settings, tenant.rdid, connection, compartment)
        runtime = self._connections.get(connection.name)
        if runtime is not None:
            runtime.apply(connection)
        elif connection.has_charon:
            self._connections[connection.name] = IpsecRuntime(
                self._settings, self._supervisor, self._backend, compartment, connection, self._on_look
            )
        else:
            missing = NO_WAY_BACK if linked else INTERFACE_GONE
            self._connections[connection.name] = StatelessRuntime(compartment, connection, missing)

    def _states(self) -> dict[str, pb.ConnectionState]:
        looked = {name: item.report(self._tenant.rdid) for name, item in list(self._connections.items())}
        return {name: state for name, state in looked.items() if state is not None}

    def _on_look(self, changed: bool) -> None:
        self._ensure_routes()
        if changed:
            self._changed()

    def _ensure_routes(self) -> None:
        """Static routes of exactly the connections that are up; tried again at the next look if refused.

        What has not been looked at yet may be up: an agent that starts leaves its routes alone.
        """
        connected = {name: state.state == Phase.CONNECTED for name, state in self._states().items()}
        with self._lock:
            if connected == self._routed:
                return
            try:
                compartments.ensure_connection_routes(self._settings, self._tenant, connected)
                compartments.ensure_rates(self._settings, self._tenant)
            except KERNEL_REFUSALS as error:
                log.warning(
                    "%s: routes or rates of the connections not set yet: %s", self._tenant.name, error
                )
            else:
                self._routed = connected

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

    def _watch_bird(self) -> None:
        while not self._stop.wait(self._settings.poll_s):
            observed = Observed()
            if self._tenant.bgp is not None:
                observed = self._router.look()
            before = (self._sessions, self._routes)
            self._sessions = observed.sessions
            self._routes = tuple(sorted(learned(observed.routes), key=repr))
            if before != (self._sessions, self._routes):
                self._changed()
