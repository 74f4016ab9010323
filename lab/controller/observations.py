"""What the gateways' agents last reported, by routing domain.

Kept in the store, so that a restarted controller compiles the same goal state before any agent is back. A
report names every compartment that stands on the gateway in `learned_routes`; a routing domain that it does
not name has not been observed (the agent has just started), and what was known of it stays: forwarding goes
on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

from pydantic import TypeAdapter

from lab.southbound import southbound_pb2 as pb

CONNECTED = "Connected"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LearnedRoute:
    """A prefix that lies behind a connection. Lowest metric wins."""

    prefix: str
    metric: int


@dataclass(frozen=True, slots=True)
class ClientObservation:
    """A road warrior who is connected; times in Unix seconds."""

    user: str
    address: str
    source: str
    since_unix_s: int
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionObservation:
    """A connection as the gateway sees it; times in Unix seconds. Only remote access has clients."""

    state: str
    since_unix_s: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    last_error: str = ""
    clients: tuple[ClientObservation, ...] = ()


@dataclass(frozen=True, slots=True)
class PeerObservation:
    """A BGP peer as the gateway sees it; times in Unix seconds."""

    state: str
    since_unix_s: int = 0
    prefixes: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """One compartment as its gateway last reported it. Names are lower case."""

    node: str
    routes: tuple[LearnedRoute, ...] = ()
    connections: Mapping[str, ConnectionObservation] = field(default_factory=dict)
    peers: Mapping[str, PeerObservation] = field(default_factory=dict)

    @property
    def without_counters(self) -> Observation:
        """What is worth keeping: counters change with every report."""
        calm = {
            name: replace(
                c,
                bytes_in=0,
                bytes_out=0,
                clients=tuple(replace(client, bytes_in=0, bytes_out=0) for client in c.clients),
            )
            for name, c in self.connections.items()
        }
        return replace(self, connections=calm)


_STORED = TypeAdapter(Observation)


def to_json(observation: Observation) -> str:
    """As it lies in the store."""
    return _STORED.dump_json(observation.without_counters).decode()


def from_json(text: str) -> Observation:
    """Read what `to_json` wrote."""
    return _STORED.validate_json(text)


def from_report(node: str, report: pb.Report) -> dict[str, Observation]:
    """Split a report by routing domain. Agents are trusted to speak for their node only: what is no prefix is
    left out with a warning, and whether the routing domain is theirs is for the caller to decide.
    """
    return {
        learned.rdid: Observation(
            node=node,
            routes=_routes(node, learned),
            connections={
                c.name.lower(): ConnectionObservation(
                    c.state, c.since_unix_s, c.bytes_in, c.bytes_out, c.last_error, _clients(c)
                )
                for c in report.connections
                if c.rdid == learned.rdid
            },
            peers={
                p.name.lower(): PeerObservation(p.state, p.since_unix_s, p.prefixes, p.last_error)
                for p in report.bgp_peers
                if p.rdid == learned.rdid
            },
        )
        for learned in report.learned_routes
    }


def _clients(connection: pb.ConnectionState) -> tuple[ClientObservation, ...]:
    return tuple(
        ClientObservation(
            user=client.user,
            address=client.address,
            # "from" is a word of Python's.
            source=getattr(client, "from"),
            since_unix_s=client.since_unix_s,
            bytes_in=client.bytes_in,
            bytes_out=client.bytes_out,
        )
        for client in connection.clients
    )


def _routes(node: str, learned: pb.LearnedRoutes) -> tuple[LearnedRoute, ...]:
    best: dict[str, int] = {}
    for route in learned.routes:
        try:
            prefix = str(ip_network(route.prefix))
        except ValueError:
            _log.warning("%s reports '%s' for %s, which is no prefix", node, route.prefix, learned.rdid)
            continue
        best[prefix] = min(route.metric, best.get(prefix, route.metric))
    return tuple(LearnedRoute(prefix, metric) for prefix, metric in sorted(best.items()))
