"""A tenant at run time: its daemons' configuration, and the watchers that follow charon and BIRD."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from urllib.parse import quote

from pyroute2.netlink.exceptions import NetlinkError

from gwnode import compartments
from gwnode.bgp.router import Observed, Router, RouterFiles, router_config
from gwnode.bgp.routes import Learned, learned
from gwnode.bgp.sessions import Session
from gwnode.desired import Tenant
from gwnode.files import write_if_changed
from gwnode.services import Service, Supervisor
from gwnode.settings import Settings
from lab.ipsec.charon import Charon
from lab.ipsec.esp import EspBackend
from lab.ipsec.state import Phase, TunnelState
from lab.ipsec.strongswan import CharonConfig, render

log = logging.getLogger(__name__)

CHARON = "charon-"
BIRD = "bird-"
KERNEL_REFUSALS = (OSError, NetlinkError, subprocess.CalledProcessError)


@dataclass(frozen=True, slots=True)
class Files:
    """Where a tenant's daemons find what they read, and where they are found."""

    vici: Path
    charon_config: Path
    charon_log: Path
    bird: RouterFiles

    @classmethod
    def of(cls, settings: Settings, tenant: str) -> Files:
        """The files of a tenant."""
        state = settings.state
        return cls(
            vici=state / f"{tenant}.vici",
            charon_log=state / f"{tenant}.charon.log",
            charon_config=state / f"{tenant}.strongswan.conf",
            bird=RouterFiles(
                config=state / f"{tenant}.bird.conf",
                socket=state / f"{tenant}.bird",
                flaps=state / f"{quote(tenant, safe='')}.flaps.log",
            ),
        )

    def remove(self) -> None:
        """Take them away."""
        for path in (self.vici, self.charon_config, self.charon_log):
            path.unlink(missing_ok=True)
        self.bird.remove()


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known of a tenant.

    Attributes:
        tenant: as desired.
        tunnels: by name; None: charon has not been looked at yet.
        sessions, routes: of BIRD; None: it has not been looked at yet.
    """

    tenant: Tenant
    tunnels: dict[str, TunnelState] | None = None
    sessions: tuple[Session, ...] | None = None
    routes: tuple[Learned, ...] | None = None


class Runtime:
    """Keeps one tenant's daemons as desired, and what they say at hand.

    Parameters:
        settings: of the node.
        supervisor: where the daemons are supervised.
        backend: who encrypts ESP.
        protected: prefixes of the hoster that no site may offer.
        changed: called, from any thread, when an observation has changed.
    """

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        backend: EspBackend,
        tenant: Tenant,
        protected: Iterable[IPv4Network],
        changed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._backend = backend
        self._changed = changed
        self._files = Files.of(settings, tenant.name)
        self._charon = Charon(self._files.vici, self._files.charon_log)
        self._router = Router(self._files.bird)
        self._lock = threading.Lock()
        self._routed: frozenset[str] | None = None
        self._observation = Observation(tenant)
        self._stop = threading.Event()
        self.apply(tenant, protected)
        self._watchers = [
            threading.Thread(target=target, name=f"{tenant.name}-{name}", daemon=True)
            for name, target in (("charon", self._watch_charon), ("bird", self._watch_bird))
        ]
        for watcher in self._watchers:
            watcher.start()

    @property
    def observation(self) -> Observation:
        """What is known now; never blocks."""
        return self._observation

    def apply(self, tenant: Tenant, protected: Iterable[IPv4Network]) -> None:
        """Have the tenant's compartment and daemons as desired.

        Raises:
            OSError, NetlinkError, CalledProcessError, BirdError: something could not be done.
        """
        compartments.ensure(self._settings, tenant)
        self._observation = replace(self._observation, tenant=tenant)
        self._apply_charon(tenant)
        self._apply_bird(tenant, protected)
        with self._lock:
            self._routed = None
        self._ensure_tunnel_routes()

    def stop(self) -> None:
        """End the watchers; the daemons go on."""
        self._stop.set()
        for watcher in self._watchers:
            watcher.join()

    def _apply_charon(self, tenant: Tenant) -> None:
        config = CharonConfig(
            vici_socket=self._files.vici,
            log=self._files.charon_log,
            backend=self._backend,
            interfaces=(compartments.FRONT_SIDE,),
            timers=self._settings.timers,
        )
        write_if_changed(self._files.charon_config, render(config))
        command = ("env", f"STRONGSWAN_CONF={self._files.charon_config}", "charon-systemd")
        self._supervisor.ensure(Service(CHARON + tenant.name, (*self._enter(tenant), *command)))
        self._charon.apply(tenant.tunnels)

    def _apply_bird(self, tenant: Tenant, protected: Iterable[IPv4Network]) -> None:
        if tenant.bgp is None:
            self._supervisor.remove(BIRD + tenant.name)
            return
        config = router_config(tenant, tenant.bgp, protected, self._settings.max_prefixes)
        self._router.apply(config, tenant.bgp)
        files = self._files.bird
        command = ("bird", "-f", "-R", "-c", str(files.config), "-s", str(files.socket))
        self._supervisor.ensure(Service(BIRD + tenant.name, (*self._enter(tenant), *command)))

    def _enter(self, tenant: Tenant) -> tuple[str, ...]:
        return ("nsenter", f"--net={compartments.namespace(self._settings, tenant.name).path}")

    def _watch_charon(self) -> None:
        self._charon.watch(self._stop, self._on_attach, self._on_look)

    def _on_attach(self) -> None:
        """charon is new, and so may be its device."""
        with self._lock:
            self._routed = None

    def _on_look(self, changed: bool) -> None:
        states = dict(self._charon.states)
        first = self._observation.tunnels is None
        self._observation = replace(self._observation, tunnels=states)
        self._ensure_tunnel_routes()
        if changed or first:
            self._changed()

    def _ensure_tunnel_routes(self) -> None:
        """Static routes of exactly the connections that are up; tried again at the next look if refused."""
        states = self._observation.tunnels
        if states is None:
            return
        connected = frozenset(name for name, state in states.items() if state.phase is Phase.CONNECTED)
        with self._lock:
            if connected == self._routed:
                return
            tenant = self._observation.tenant
            try:
                compartments.ensure_tunnel_routes(self._settings, tenant, connected)
            except KERNEL_REFUSALS as error:
                log.warning("%s: routes of the tunnels not set yet: %s", tenant.name, error)
            else:
                self._routed = connected

    def _watch_bird(self) -> None:
        while not self._stop.wait(self._settings.poll_s):
            observed = Observed()
            if self._observation.tenant.bgp is not None:
                observed = self._router.look()
            before = self._observation
            self._observation = replace(
                self._observation,
                sessions=observed.sessions,
                routes=tuple(sorted(learned(observed.routes), key=repr)),
            )
            if (before.sessions, before.routes) != (self._observation.sessions, self._observation.routes):
                self._changed()
