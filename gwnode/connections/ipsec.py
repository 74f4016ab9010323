"""A connection that a charon serves, at run time: site-to-site and dial-in.

charon stands in a namespace of its own, its plaintext device in the compartment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pyroute2 import IPRoute

from gwnode.connections.demand import DemandWatcher
from gwnode.connections.legs import FRONT_SIDE, unit_namespace
from gwnode.connections.wanted import Connection, DialInEnd, IpsecEnd
from gwnode.dial_in import HALF_OPEN_S, PLUGINS, connection_state
from gwnode.files import write_if_changed
from gwnode.kernel import KERNEL_REFUSALS, ensure_link
from gwnode.netns import Namespace, set_sysctl
from gwnode.services import Service, Supervisor
from gwnode.settings import Settings
from lab.ipsec.accounting import Accounting
from lab.ipsec.charon import Charon
from lab.ipsec.clients import ClientState
from lab.ipsec.device import ensure_device
from lab.ipsec.esp import EspBackend
from lab.ipsec.handover import hand_over
from lab.ipsec.memory import beside
from lab.ipsec.state import TunnelState
from lab.ipsec.strongswan import CERTIFICATE_PLUGINS, CharonConfig, render
from lab.southbound import southbound_pb2 as pb

log = logging.getLogger(__name__)

CHARON = "charon-"


@dataclass(frozen=True, slots=True)
class CharonFiles:
    """Where a charon finds what it reads, and where it is found."""

    vici: Path
    config: Path
    log: Path

    @classmethod
    def of(cls, settings: Settings, unit: str) -> CharonFiles:
        """The files of a connection's charon."""
        state = settings.state
        return cls(state / f"{unit}.vici", state / f"{unit}.strongswan.conf", state / f"{unit}.charon.log")

    def remove(self) -> None:
        """Take them away."""
        for path in (self.vici, beside(self.vici), self.config, self.log):
            path.unlink(missing_ok=True)


class IpsecRuntime:
    """Keeps one connection's charon as desired, and what it says at hand.

    Parameters:
        settings: of the node.
        supervisor: where charon is supervised.
        backend: who encrypts.
        compartment: where the plaintext device belongs.
        connection: one that has a charon.
        looked: called in a thread of this connection's own, after each look at charon; True: a change.
    """

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        backend: EspBackend,
        compartment: Namespace,
        connection: Connection,
        looked: Callable[[bool], None],
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._backend = backend
        self._compartment = compartment
        self._unit = unit_namespace(settings, connection.unit)
        self._files = CharonFiles.of(settings, connection.unit)
        self._charon = Charon(self._files.vici, self._files.log)
        self._looked = looked
        self._accounting = Accounting()
        self._device_ready = False
        self._generation = 0
        self._was_seen = False
        self._demand: DemandWatcher | None = None
        self._stop = threading.Event()
        self.apply(connection)
        self._watcher = threading.Thread(target=self._watch, name=connection.unit, daemon=True)
        self._watcher.start()

    @property
    def generation(self) -> int:
        """Counts the devices that charon has made: each comes without routes."""
        return self._generation

    def report(self, rdid: str) -> pb.ConnectionState | None:
        """What is known now; None: charon has not been looked at yet. Never blocks.

        Parameters:
            rdid: routing domain of the tenant.
        """
        name = self._connection.name
        if not self._charon.seen.is_set():
            return None
        if (state := self._charon.states.get(name)) is not None:
            return tunnel_report(rdid, name, state)
        serving = self._charon.servers.get(name)
        return connection_state(rdid, name, serving) if serving is not None else None

    def apply(self, connection: Connection) -> None:
        """Have charon as desired; its leg and namespace stand.

        Raises:
            OSError, CalledProcessError: something could not be done.
        """
        end = _charons(connection)
        self._connection = connection
        if write_if_changed(self._files.config, render(self._charon_config(end))):
            # What is new there, retransmission times above all, holds for IKE_SAs to come.
            self._charon.reload()
        command = ("env", f"STRONGSWAN_CONF={self._files.config}", "charon-systemd")
        enter = ("nsenter", f"--net={self._unit.path}")
        self._supervisor.ensure(Service(CHARON + connection.unit, (*enter, *command)))
        self._follow_demand(connection.on_demand)
        self._charon.apply({connection.name: end.tunnel if isinstance(end, IpsecEnd) else end.server})

    def _charon_config(self, end: IpsecEnd | DialInEnd) -> CharonConfig:
        config = CharonConfig(
            vici_socket=self._files.vici,
            log=self._files.log,
            backend=self._backend,
            interfaces=(FRONT_SIDE,),
            timers=end.timers,
            # Always: charon loads plugins when it starts, and a connection may change to certificates.
            plugins=CERTIFICATE_PLUGINS,
        )
        if isinstance(end, DialInEnd):
            config = replace(config, plugins=PLUGINS, half_open_s=HALF_OPEN_S)
        return config

    def stop(self, *, gone: bool = False) -> None:
        """End the watchers; charon goes on.

        Parameters:
            gone: charon is about to be taken away, and with it whoever is connected.
        """
        self._stop.set()
        self._watcher.join()
        self._follow_demand(False)
        if gone:
            self._account({})

    def _watch(self) -> None:
        self._charon.watch(self._stop, self._on_attach, self._on_look)

    def _follow_demand(self, wanted: bool) -> None:
        """Whether the connection is called by what is sent into its device."""
        if wanted and self._demand is None:
            name = self._connection.name
            self._demand = DemandWatcher(
                self._compartment, self._connection.device, lambda: self._charon.dial(name)
            )
        elif not wanted and self._demand is not None:
            self._demand.stop()
            self._demand = None

    def _on_attach(self) -> None:
        """charon is new, and so may be its device: it must have gone before a CHILD_SA comes."""
        self._device_ready = False
        self._ensure_device()

    def _on_look(self, changed: bool) -> None:
        if not self._device_ready:
            self._ensure_device()
        serving = self._charon.servers.get(self._connection.name)
        self._account(serving.clients if serving else {})
        first, self._was_seen = not self._was_seen, True
        self._looked(changed or first)

    def _account(self, clients: Mapping[str, ClientState]) -> None:
        """Who calls a dial-in server, and has gone: a line of the log for each record (RFC 2866)."""
        end = self._connection.end
        interim_s = end.server.interim_s if isinstance(end, DialInEnd) else 0
        for event in self._accounting.update(clients, time.time(), interim_s):
            log.info("%s %s", self._connection.unit, event.line())

    def _ensure_device(self) -> None:
        """The plaintext device in the compartment; tried again at the next look if the kernel refuses."""
        try:
            with self._compartment.path.open() as target:
                self._unit.run(lambda: self._hand_over(target.fileno()))
            self._device_ready = self._compartment.run(self._set_up)
            self._generation += self._device_ready
        except KERNEL_REFUSALS as error:
            log.warning("%s: no device yet: %s", self._connection.unit, error)

    def _hand_over(self, target: int) -> None:
        """From charon's namespace, whether charon made it or we do for the kernel's ESP."""
        end = _charons(self._connection)
        if_id = end.tunnel.if_id if isinstance(end, IpsecEnd) else end.server.if_id
        name = self._connection.device
        with IPRoute() as kernel:
            if not if_id:
                hand_over(kernel, target, name)
            elif not self._compartment.run(lambda: _is_there(name)):
                mtu = self._settings.tunnel_mtu
                index = ensure_device(kernel, name, mtu=mtu, if_id=if_id, lower=FRONT_SIDE)
                kernel.link("set", index=index, net_ns_fd=target)

    def _set_up(self) -> bool:
        """In the compartment: MTU and state; whether the device is there."""
        name = self._connection.device
        with IPRoute() as kernel:
            if not kernel.link_lookup(ifname=name):
                return False
            for key in ("rp_filter", "send_redirects"):
                set_sysctl(f"net/ipv4/conf/{name}/{key}", "0")
            # Before it is up: its own router solicitations must not call anybody.
            with suppress(FileNotFoundError):  # a kernel without IPv6
                set_sysctl(f"net/ipv6/conf/{name}/disable_ipv6", "1")
            ensure_link(kernel, name, mtu=self._settings.tunnel_mtu)
        return True


def _charons(connection: Connection) -> IpsecEnd | DialInEnd:
    assert isinstance(connection.end, IpsecEnd | DialInEnd)
    return connection.end


def tunnel_report(rdid: str, name: str, state: TunnelState) -> pb.ConnectionState:
    """What the Network Controller is told of a connection with one far end."""
    return pb.ConnectionState(
        rdid=rdid,
        name=name,
        state=state.phase.value,
        since_unix_s=state.since_unix_s,
        bytes_in=state.bytes_in,
        bytes_out=state.bytes_out,
        last_error=state.last_error,
    )


def _is_there(name: str) -> bool:
    with IPRoute() as kernel:
        return bool(kernel.link_lookup(ifname=name))
