"""An IPsec connection at run time: charon in a namespace of its own, its device in the compartment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import IPRoute

from gwnode.connections.legs import FRONT_SIDE, unit_namespace
from gwnode.connections.wanted import Connection, IpsecEnd
from gwnode.files import write_if_changed
from gwnode.kernel import KERNEL_REFUSALS, ensure_link
from gwnode.netns import Namespace, set_sysctl
from gwnode.services import Service, Supervisor
from gwnode.settings import Settings
from lab.ipsec.charon import Charon
from lab.ipsec.device import ensure_device
from lab.ipsec.esp import EspBackend
from lab.ipsec.handover import hand_over
from lab.ipsec.state import TunnelState
from lab.ipsec.strongswan import CharonConfig, render

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
        for path in (self.vici, self.config, self.log):
            path.unlink(missing_ok=True)


class IpsecRuntime:
    """Keeps one connection's charon as desired, and what it says at hand.

    Parameters:
        settings: of the node.
        supervisor: where charon is supervised.
        backend: who encrypts.
        compartment: where the plaintext device belongs.
        connection: an IPsec one.
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
        self._device_ready = False
        self._was_seen = False
        self._stop = threading.Event()
        self.apply(connection)
        self._watcher = threading.Thread(target=self._watch, name=connection.unit, daemon=True)
        self._watcher.start()

    @property
    def state(self) -> TunnelState | None:
        """What is known now; None: charon has not been looked at yet. Never blocks."""
        return self._charon.states.get(self._connection.name) if self._charon.seen.is_set() else None

    def apply(self, connection: Connection) -> None:
        """Have charon as desired; its leg and namespace stand.

        Raises:
            OSError, CalledProcessError: something could not be done.
        """
        end = connection.end
        assert isinstance(end, IpsecEnd)
        self._connection = connection
        config = CharonConfig(
            vici_socket=self._files.vici,
            log=self._files.log,
            backend=self._backend,
            interfaces=(FRONT_SIDE,),
            timers=end.timers,
        )
        write_if_changed(self._files.config, render(config))
        command = ("env", f"STRONGSWAN_CONF={self._files.config}", "charon-systemd")
        enter = ("nsenter", f"--net={self._unit.path}")
        self._supervisor.ensure(Service(CHARON + connection.unit, (*enter, *command)))
        self._charon.apply({connection.name: end.tunnel})

    def stop(self) -> None:
        """End the watcher; charon goes on."""
        self._stop.set()
        self._watcher.join()

    def _watch(self) -> None:
        self._charon.watch(self._stop, self._on_attach, self._on_look)

    def _on_attach(self) -> None:
        """charon is new, and so may be its device: it must have gone before a CHILD_SA comes."""
        self._device_ready = False
        self._ensure_device()

    def _on_look(self, changed: bool) -> None:
        if not self._device_ready:
            self._ensure_device()
        first, self._was_seen = not self._was_seen, True
        self._looked(changed or first)

    def _ensure_device(self) -> None:
        """The plaintext device in the compartment; tried again at the next look if the kernel refuses."""
        try:
            with self._compartment.path.open() as target:
                self._unit.run(lambda: self._hand_over(target.fileno()))
            self._device_ready = self._compartment.run(self._set_up)
        except KERNEL_REFUSALS as error:
            log.warning("%s: no device yet: %s", self._connection.unit, error)

    def _hand_over(self, target: int) -> None:
        """From charon's namespace, whether charon made it or we do for the kernel's ESP."""
        end = self._connection.end
        assert isinstance(end, IpsecEnd)
        name = self._connection.device
        with IPRoute() as kernel:
            if not end.tunnel.if_id:
                hand_over(kernel, target, name)
            elif not self._compartment.run(lambda: _is_there(name)):
                mtu = self._settings.tunnel_mtu
                index = ensure_device(kernel, name, mtu=mtu, if_id=end.tunnel.if_id, lower=FRONT_SIDE)
                kernel.link("set", index=index, net_ns_fd=target)

    def _set_up(self) -> bool:
        """In the compartment: MTU and state; whether the device is there."""
        name = self._connection.device
        with IPRoute() as kernel:
            if not kernel.link_lookup(ifname=name):
                return False
            ensure_link(kernel, name, mtu=self._settings.tunnel_mtu)
        for key in ("rp_filter", "send_redirects"):
            set_sysctl(f"net/ipv4/conf/{name}/{key}", "0")
        return True


def _is_there(name: str) -> bool:
    with IPRoute() as kernel:
        return bool(kernel.link_lookup(ifname=name))
