"""The edge's agent: keeps its tunnel, if it has one, and the way to the compartment's BGP router in place."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lab.datapath.build import FRONT_END_OBJECT
from lab.datapath.pins import FRONT_END_PINS
from lab.edge.tunnel import GreTunnel
from lab.errors import LabError
from lab.link_changes import follow_links
from lab.model.edge import EdgeConfig
from lab.speaker.routes import LINK_SCOPE

log = logging.getLogger(__name__)


class EdgeAgent:
    """One edge's router. It may start before its interfaces are there, and outlive them."""

    def __init__(
        self, config: EdgeConfig, pins: Path = FRONT_END_PINS, object_file: Path = FRONT_END_OBJECT
    ) -> None:
        self._config = config
        self._tunnel = None if config.gre_key is None else GreTunnel(config, pins, object_file)
        self._told = ""

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; tunnel and route stay."""
        try:
            follow_links(stop, self.look)
        finally:
            if self._tunnel is not None:
                self._tunnel.close()

    def look(self) -> None:
        """Put right what is not as it should be; what cannot be now is logged once, and tried again."""
        try:
            with IPRoute() as kernel:
                self._ensure_route(kernel)
            said = f"{self._config.compartment_address} is behind {self._config.gateway}"
        except (NetlinkError, LabError, OSError) as error:
            said = f"not ready: {error}"
        if said != self._told:
            log.info("%s", said)
            self._told = said

    def _ensure_route(self, kernel: IPRoute) -> None:
        """The compartment is behind the gateway, BGP router and next hop: nobody can announce the way."""
        tunnel = {} if self._tunnel is None else {"oif": self._tunnel.ensure(kernel), "scope": LINK_SCOPE}
        way: dict[str, Any] = tunnel or {"gateway": self._config.gateway}
        destination = f"{self._config.compartment_address}/32"
        kernel.route("replace", dst=destination, prefsrc=self._config.lan_router, **way)
        if end := self._config.ipv6:
            way = tunnel or {"gateway": end.gateway}
            kernel.route("replace", dst=f"{end.compartment_address}/128", prefsrc=end.lan_router, **way)
