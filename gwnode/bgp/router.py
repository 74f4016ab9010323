"""A tenant's BGP router: BIRD, and what it cannot do itself: aggregates and route flap dampening."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network
from pathlib import Path

from gwnode.bgp.aggregates import standing
from gwnode.bgp.config import RouterConfig, old_flaps, protocol_name, render
from gwnode.bgp.control import BirdError, configure, hear_again, observe
from gwnode.bgp.dampening import Dampening, History, Parameters
from gwnode.bgp.family import IPV6
from gwnode.bgp.flaps import FlapLog, Withdrawals
from gwnode.bgp.routes import Route
from gwnode.bgp.sessions import Connectivity, Session
from gwnode.desired import Tenant
from gwnode.files import write_if_changed
from lab.errors import LabError, Problem
from lab.prefixes import Network
from lab.southbound import southbound_pb2 as pb

log = logging.getLogger(__name__)

MALFORMED = "HNV-BGP-001"
SHOWN_PREFIXES = 3
"""So many a state names."""


@dataclass(frozen=True, slots=True)
class RouterFiles:
    """Where a router's BIRD finds what it reads, and is found.

    The path of `flaps` stands in BIRD's file, whose strings know no escapes: it holds no quotation mark.
    """

    config: Path
    socket: Path
    flaps: Path

    def remove(self) -> None:
        """Take them away."""
        for path in (self.config, self.socket, self.flaps, old_flaps(self.flaps)):
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Observed:
    """What a router says of itself.

    Attributes:
        sessions: with its peers.
        routes: of its table.
        answered: False: BIRD is away, and this says nothing.
    """

    sessions: tuple[Session, ...] = ()
    routes: tuple[Route, ...] = ()
    answered: bool = True


class Router:
    """Keeps BIRD's file as desired and as what is observed demands.

    Safe to use from several threads. BIRD itself is started by who has the compartment.

    Parameters:
        files: of this router.
        now_s: Unix time in seconds, the clock of BIRD's log.
    """

    def __init__(self, files: RouterFiles, now_s: Callable[[], float] = time.time) -> None:
        self.files = files
        self._now_s = now_s
        self._lock = threading.Lock()
        self._config: RouterConfig | None = None
        self._configured = False
        self._aggregates: tuple[pb.BgpAggregate, ...] = ()
        self._dampening: Dampening | None = None
        self._log = FlapLog(files.flaps)
        self._withdrawals = Withdrawals()
        self._routes: tuple[Route, ...] = ()

    def apply(self, config: RouterConfig, wanted: pb.BgpRouter) -> None:
        """Have it as desired. What stands already of aggregates and dampening goes on.

        Parameters:
            config: without what is observed.
            wanted: where aggregates and dampening are.

        Raises:
            BirdError, OSError: BIRD does not take the file.
        """
        with self._lock:
            self._aggregates = tuple(wanted.aggregates)
            self._ensure_dampening(wanted)
            self._config = replace(
                config,
                summarised=[ip_network(a.prefix) for a in wanted.aggregates if a.summary_only],
                flaps=self.files.flaps if self._dampening else None,
            )
            self._observe()
            self._write()

    def look(self) -> Observed:
        """What BIRD says now; what follows from it is done."""
        with self._lock:
            observed = self._observe()
            if self._config is not None:
                try:
                    self._write()
                    for session in observed.sessions:
                        if session.blocked:
                            hear_again(self.files.socket, session)
                except (OSError, BirdError) as error:
                    log.warning("%s: not followed: %s", self.files.config.name, error)
            sessions = tuple(explained(session, observed.routes) for session in observed.sessions)
            return replace(observed, sessions=sessions)

    def damped(self) -> dict[str, dict[str, History]]:
        """Prefixes that are suppressed, by BIRD's name of the session."""
        with self._lock:
            return self._dampening.damped(self._now_s()) if self._dampening else {}

    def _observe(self) -> Observed:
        try:
            sessions, routes = observe(self.files.socket)
        except (OSError, BirdError) as error:
            log.info("%s: BIRD does not answer: %s", self.files.socket.name, error)
            return Observed(answered=False)
        # A BIRD that does not answer takes nothing back of what it said before.
        self._routes = tuple(routes)
        return Observed(tuple(sessions), self._routes)

    def _ensure_dampening(self, wanted: pb.BgpRouter) -> None:
        parameters = Parameters.of(wanted.dampening) if wanted.HasField("dampening") else None
        if parameters == (self._dampening.parameters if self._dampening else None):
            return
        # With other thresholds, the same flaps are weighed again.
        self._log.close()
        self._log, self._withdrawals = FlapLog(self.files.flaps), Withdrawals()
        self._dampening = Dampening(parameters) if parameters else None
        if not parameters:
            self.files.flaps.unlink(missing_ok=True)
            old_flaps(self.files.flaps).unlink(missing_ok=True)

    def _write(self) -> None:
        assert self._config is not None
        config = replace(self._config, aggregates=self._standing(), damped=self._suppressed())
        if write_if_changed(self.files.config, render(config)) or not self._configured:
            # Who wrote the file before may have ended before BIRD read it.
            self._configured = False
            configure(self.files.socket)
            self._configured = True

    def _standing(self) -> dict[Network, tuple[int, ...]]:
        assert self._config is not None
        known: dict[Network, tuple[int, ...]] = dict.fromkeys(self._config.networks, ())
        for route in self._routes:
            if route.best and route.reachable and not route.damped and not route.own:
                known[ip_network(route.prefix)] = route.as_path
        return standing(self._aggregates, known)

    def _suppressed(self) -> dict[str, tuple[str, ...]]:
        assert self._config is not None
        if self._dampening is None:
            return {}
        for event in self._withdrawals.feed(self._log.lines()):
            self._dampening.withdrawn(event.protocol, event.prefix, event.at_s)
        damped = self._dampening.damped(self._now_s())
        return {
            peer.address: tuple(sorted(prefixes))
            for peer in self._config.peers
            if peer.asn != self._config.asn and (prefixes := damped.get(protocol_name(peer.address)))
        }


def explained(session: Session, routes: Iterable[Route]) -> Session:
    """A session that stands, with what of its peer's is not taken as its last error. Pure.

    Without it, a peer that is held back would look like any other.
    """
    if session.status is not Connectivity.CONNECTED:
        return session
    damped = sorted(route.prefix for route in routes if route.damped and route.protocol == session.protocol)
    causes = []
    if session.blocked:
        of_family = " of IPv6" if session.blocked == (IPV6.channel,) else ""
        causes.append(
            f"the peer offers more than {session.limit} prefixes{of_family}: the others are not taken"
        )
    if damped:
        shown = ", ".join(damped[:SHOWN_PREFIXES]) + (", ..." if len(damped) > SHOWN_PREFIXES else "")
        causes.append(f"damped, because they flap: {shown}")
    return replace(session, last_error="; ".join(causes))


def router_config(
    tenant: Tenant, router: pb.BgpRouter, protected: Iterable[IPv4Network], max_prefixes: int
) -> RouterConfig:
    """What BIRD is told about a tenant, but for what is observed. Pure.

    Raises:
        LabError: an address, prefix or policy is not what it should be (HNV-BGP-001). The Network Controller
            refuses these first.
    """
    try:
        config = RouterConfig(
            address=tenant.address.ip,
            asn=router.asn,
            router_id=IPv4Address(router.router_id) if router.router_id else tenant.address.ip,
            networks=tuple(ip_network(network) for network in router.networks),
            refused=(
                *tenant.vm_prefixes,
                tenant.address.network,
                *(IPv4Network(peer) for peer in tenant.peers),
                *tenant.spoken_for,
                *protected,
                *([*tenant.ipv6.vm_prefixes, tenant.ipv6.address.network] if tenant.ipv6 else []),
            ),
            peers=tuple(router.peers),
            max_prefixes=max_prefixes,
            route_reflector=router.route_reflector,
            cluster_id=IPv4Address(router.cluster_id) if router.cluster_id else None,
            ecmp=router.ecmp,
            transit=router.transit_routing,
            address6=IPv6Address(router.local_ipv6_address) if router.local_ipv6_address else None,
        )
        render(config)
        for aggregate in router.aggregates:
            ip_network(aggregate.prefix)
        if router.HasField("dampening"):
            Parameters.of(router.dampening)
    except ValueError as error:
        raise LabError(
            Problem(MALFORMED, f"tenant {tenant.name}'s BGP router: {error}", place=tenant.key)
        ) from error
    return config
