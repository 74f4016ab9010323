"""The site's agent: keeps charon's one connection loaded and the way to the hoster's BGP router in place."""

from __future__ import annotations

import logging
import threading

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lab.ipsec.charon import Charon
from lab.ipsec.device import TUNNEL_MTU, ensure_device
from lab.ipsec.esp import EspBackend
from lab.ipsec.state import Phase
from lab.model.lab import SiteConfig
from lab.onprem.config import CONNECTION, TUNNEL_DEVICE, WAN, Paths, tunnel
from lab.onprem.routes import kernel_routes

log = logging.getLogger(__name__)


class SiteAgent:
    """One site's VPN router.

    Whoever starts charon, or stops and starts it, need do nothing else: the connection is loaded again, the
    device and its route are put right, and charon calls the hoster.
    """

    def __init__(self, site: SiteConfig, paths: Paths, backend: EspBackend) -> None:
        self._site = site
        self._charon = Charon(paths.vici, paths.causes)
        self._tunnel = tunnel(site, backend)
        self._device_ready = False

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop."""
        self._charon.apply({CONNECTION: self._tunnel})
        self._charon.watch(stop, self._on_attach, self._on_look)

    def _on_attach(self) -> None:
        """charon is new, and so may be its device."""
        self._device_ready = False

    def _on_look(self, changed: bool) -> None:
        if changed:
            state = self._charon.states[CONNECTION]
            log.info("%s %s %s", CONNECTION, state.phase.value, state.last_error)
        try:
            if not self._device_ready:
                self._device_ready = self._ensure_route()
            if self._site.cloud:
                self._ensure_cloud()
        except NetlinkError as error:
            log.warning("%s not ready: %s", TUNNEL_DEVICE, error)

    def _ensure_cloud(self) -> None:
        """Static routes stand while the tunnel does: another way, with a worse metric, takes over."""
        up = self._device_ready and self._charon.states[CONNECTION].phase is Phase.CONNECTED
        with IPRoute() as kernel:
            kernel_routes(kernel, self._site).set(self._site.cloud if up else ())

    def _ensure_route(self) -> bool:
        """The hoster's BGP router is behind the tunnel: nobody can announce the way to the announcer.

        What is there without BGP has static routes, too.
        """
        with IPRoute() as kernel:
            index = ensure_device(kernel, TUNNEL_DEVICE, mtu=TUNNEL_MTU, if_id=self._tunnel.if_id, lower=WAN)
            if index is None:
                return False
            for prefix in (f"{self._site.compartment_address}/32", *self._site.routes):
                kernel.route("replace", dst=prefix, oif=index, scope=253, prefsrc=self._site.lan_router)
        return True
