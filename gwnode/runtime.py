"""A tenant at run time: its connections and its BGP router, and the watchers that follow them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from gwnode import compartments
from gwnode.bgp import config as bgp_config
from gwnode.bgp.control import BirdError, Learned, Session, configure, observe
from gwnode.connections import legs
from gwnode.connections.ipsec import IpsecRuntime
from gwnode.connections.stateless import StatelessRuntime
from gwnode.connections.wanted import Connection
from gwnode.desired import Tenant
from gwnode.files import write_if_changed
from gwnode.kernel import KERNEL_REFUSALS
from gwnode.services import Service, Supervisor
from gwnode.settings import Settings
from lab.ipsec.esp import EspBackend
from lab.ipsec.state import Phase
from lab.southbound import southbound_pb2 as pb

log = logging.getLogger(__name__)

BIRD = "bird-"


@dataclass(frozen=True, slots=True)
class BirdFiles:
    """Where a tenant's BIRD finds what it reads, and where it is found."""

    socket: Path
    config: Path

    @classmethod
    def of(cls, settings: Settings, tenant: str) -> BirdFiles:
        """The files of a tenant."""
        return cls(settings.state / f"{tenant}.bird", settings.state / f"{tenant}.bird.conf")

    def remove(self) -> None:
        """Take them away."""
        for path in (self.socket, self.config):
            path.unlink(missing_ok=True)


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
        self._files = BirdFiles.of(settings, tenant.name)
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
        legs.ensure(self._settings, tenant.rdid, connection, compartment)
        runtime = self._connections.get(connection.name)
        if runtime is not None:
            runtime.apply(connection)
        elif connection.has_charon:
            self._connections[connection.name] = IpsecRuntime(
                self._settings, self._supervisor, self._backend, compartment, connection, self._on_look
            )
        else:
            self._connections[connection.name] = StatelessRuntime(compartment, connection)

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
        changed = write_if_changed(self._files.config, bgp_config.render(config))
        command = ("bird", "-f", "-R", "-c", str(self._files.config), "-s", str(self._files.socket))
        self._supervisor.ensure(Service(BIRD + tenant.name, (*self._enter(tenant), *command)))
        if changed:
            configure(self._files.socket)

    def _enter(self, tenant: Tenant) -> tuple[str, ...]:
        return ("nsenter", f"--net={compartments.namespace(self._settings, tenant.name).path}")

    def _watch_bird(self) -> None:
        while not self._stop.wait(self._settings.poll_s):
            sessions: list[Session] = []
            routes: list[Learned] = []
            if self._tenant.bgp is not None:
                try:
                    sessions, routes = observe(self._files.socket)
                except (OSError, BirdError) as error:
                    log.info("%s: BIRD does not answer: %s", self._tenant.name, error)
            before = (self._sessions, self._routes)
            self._sessions = tuple(sessions)
            self._routes = tuple(sorted(routes, key=repr))
            if before != (self._sessions, self._routes):
                self._changed()


def router_config(
    tenant: Tenant, router: pb.BgpRouter, protected: Iterable[IPv4Network], max_prefixes: int
) -> bgp_config.RouterConfig:
    """What BIRD is told about a tenant. Pure."""
    return bgp_config.RouterConfig(
        address=tenant.address.ip,
        asn=router.asn,
        router_id=IPv4Address(router.router_id) if router.router_id else tenant.address.ip,
        networks=tuple(IPv4Network(network) for network in router.networks),
        refused=(
            *tenant.vm_prefixes,
            tenant.address.network,
            *(IPv4Network(peer) for peer in tenant.peers),
            *protected,
        ),
        peers=tuple(router.peers),
        max_prefixes=max_prefixes,
    )
