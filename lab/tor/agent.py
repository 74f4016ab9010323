"""Keeps the tenants' ports on the front-end bridge in their VLANs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path

from lab.datapath.access_port import AccessPorts
from lab.datapath.build import FRONT_END_OBJECT
from lab.datapath.devices import find_devices
from lab.datapath.pins import ACCESS_PINS
from lab.errors import LabError
from lab.link_changes import follow_links

log = logging.getLogger(__name__)


class PortAgent:
    """The access ports of the router. They come when an edge is wired, and come anew when it is made anew."""

    def __init__(
        self, ports: Mapping[str, int], pins: Path = ACCESS_PINS, object_file: Path = FRONT_END_OBJECT
    ) -> None:
        self._wanted = ports
        self._access = AccessPorts(pins, object_file)
        self._applied: Mapping[str, int] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; the ports stay as they are."""
        try:
            follow_links(stop, self.look)
        finally:
            self._access.close()

    def look(self) -> None:
        """Make access ports of those that are there; one that goes while we look is told of at once."""
        there = {name: device.ifindex for name, device in find_devices(self._wanted).items()}
        if there == self._applied:
            return
        try:
            self._access.apply({name: self._wanted[name] for name in there})
        except LabError as error:
            log.warning("ports not set: %s", error)
            return
        self._applied = there
        log.info("access ports: %s", ", ".join(f"{name} in VLAN {self._wanted[name]}" for name in there))
