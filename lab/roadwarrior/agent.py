"""The road warrior's agent: keeps the call up, and routes and name servers as the gateway says."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lab.ipsec.charon import Charon
from lab.ipsec.device import TUNNEL_MTU, ensure_device
from lab.ipsec.esp import EspBackend
from lab.ipsec.state import Phase, TunnelState
from lab.model.roadwarrior import RoadWarriorConfig
from lab.roadwarrior import resolver
from lab.roadwarrior.config import CONNECTION, DEVICE, Paths, caller

log = logging.getLogger(__name__)

RETRY_S = 4.0
"""A gateway takes five calls that have not got through from each address, and forgets them after 10 s (ours):
who calls without end with a wrong password must not block who shares his address."""
ROUTE_PROTOCOL = 201
LINK_SCOPE = 253


class RoadWarriorAgent:
    """One road warrior.

    Whoever starts charon, or stops and starts it, need do nothing else: it calls the gateway again.
    """

    def __init__(self, config: RoadWarriorConfig, paths: Paths, backend: EspBackend) -> None:
        self._config = config
        self._paths = paths
        self._caller = caller(config, backend)
        self._charon = Charon(paths.vici, paths.causes, retry_s=RETRY_S)

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; what the gateway said is taken back then."""
        self._charon.apply({CONNECTION: self._caller})
        self._charon.watch(stop, self._on_attach, self._on_look)
        self._follow(TunnelState())

    def _on_attach(self) -> None:
        """The device comes before the address that charon puts on it."""
        try:
            self._ensure_routes(())
        except NetlinkError as error:
            log.warning("%s not ready: %s", DEVICE, error)

    def _on_look(self, changed: bool) -> None:
        state = self._charon.states[CONNECTION]
        if changed:
            log.info("%s %s %s", CONNECTION, state.phase.value, state.last_error)
        self._follow(state)

    def _follow(self, state: TunnelState) -> None:
        """Have routes, name servers and the visible state as the connection says; looked at each time."""
        servers: tuple[str, ...] = ()
        if state.phase is Phase.CONNECTED and self._paths.name_servers.exists():
            servers = resolver.told(self._paths.name_servers.read_text())
        try:
            self._ensure_routes(offered(state, self._config.server))
            if resolver.put(self._paths.resolver, servers):
                log.info("name servers of the gateway: %s", ", ".join(servers) or "none")
        except (NetlinkError, OSError) as error:
            log.warning("not as the gateway says yet: %s", error)
        fresh = self._paths.report.with_suffix(".new")
        fresh.write_text(report(state, servers))
        fresh.rename(self._paths.report)

    def _ensure_routes(self, wanted: Iterable[IPv4Network]) -> None:
        with IPRoute() as kernel:
            index = ensure_device(
                kernel, DEVICE, mtu=TUNNEL_MTU, if_id=self._caller.if_id, lower=self._config.wan
            )
            if index is None:
                return
            there = {
                IPv4Network(f"{route.get('dst') or '0.0.0.0'}/{route['dst_len']}")
                for route in kernel.get_routes(family=socket.AF_INET, proto=ROUTE_PROTOCOL)
                if route.get("oif") == index
            }
            goal = set(wanted)
            for prefix in sorted(there - goal):
                kernel.route("del", dst=str(prefix), oif=index, proto=ROUTE_PROTOCOL, scope=LINK_SCOPE)
            for prefix in sorted(goal - there):
                kernel.route("replace", dst=str(prefix), oif=index, proto=ROUTE_PROTOCOL, scope=LINK_SCOPE)


def offered(state: TunnelState, server: str) -> list[IPv4Network]:
    """Prefixes that the gateway offers.

    One that holds the gateway's own public address is none for us: IKE and ESP would run in a circle.
    """
    prefixes = [IPv4Network(prefix) for prefix in state.remote if ":" not in prefix]
    return [prefix for prefix in prefixes if IPv4Address(server) not in prefix]


def report(state: TunnelState, servers: Iterable[str]) -> str:
    """What is known of the connection, as JSON."""
    return json.dumps(
        {
            "state": state.phase.value,
            "since_unix_s": state.since_unix_s,
            "addresses": list(state.addresses),
            "offered": list(state.remote),
            "name_servers": list(servers),
            "bytes_in": state.bytes_in,
            "bytes_out": state.bytes_out,
            "last_error": state.last_error,
        }
    )
