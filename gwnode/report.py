"""What the gateway tells the Network Controller. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from gwnode.bgp.config import protocol_name
from gwnode.bgp.routes import Learned
from gwnode.bgp.sessions import Connectivity, Session
from gwnode.link import LinkEnd
from gwnode.runtime import Observation
from lab.southbound import southbound_pb2 as pb
from lab.southbound.agent import REFUSED


def report(observations: Iterable[Observation]) -> pb.Report:
    """The whole picture. What has not been looked at yet is left out: it is unknown, not down or empty."""
    result = pb.Report()
    for item in observations:
        result.connections.extend(item.connections.values())
        result.bgp_peers.extend(_peers(item))
        if item.routes is not None:
            result.learned_routes.append(_learned(item.tenant.rdid, item.routes))
        result.faults.extend(_faults(item))
    return result


def _learned(rdid: str, routes: Iterable[Learned]) -> pb.LearnedRoutes:
    """Each prefix once, with the best metric that it came by."""
    metrics: dict[str, int] = {}
    for route in routes:
        metrics[route.prefix] = min(route.metric, metrics.get(route.prefix, route.metric))
    return pb.LearnedRoutes(
        rdid=rdid,
        routes=[pb.LearnedRoute(prefix=prefix, metric=metrics[prefix]) for prefix in sorted(metrics)],
    )


def _peers(item: Observation) -> list[pb.BgpPeerState]:
    if item.tenant.bgp is None or item.sessions is None:
        return []
    sessions = {session.protocol: session for session in item.sessions}
    result = []
    for peer in item.tenant.bgp.peers:
        name = protocol_name(peer.address)
        session = sessions.get(name, Session(name, Connectivity.STOPPED, 0, "BIRD does not run"))
        result.append(
            pb.BgpPeerState(
                rdid=item.tenant.rdid,
                name=peer.name,
                state=session.status.value,
                since_unix_s=session.since_unix_s,
                prefixes=sum(route.protocol == name for route in item.routes or ()),
                last_error=session.last_error,
            )
        )
    return result


def _faults(item: Observation) -> list[pb.Fault]:
    """A peer that no connection leads to, in the product's words (TSG "PolicyConfigurationFailure").

    A link leads to none: it carries nothing of a compartment itself.
    """
    if item.tenant.bgp is None:
        return []
    routes = [
        way.prefix
        for connection in item.tenant.connections.values()
        if not isinstance(connection.end, LinkEnd)
        for way in connection.ways
    ]
    return [
        pb.Fault(
            record_key=item.tenant.key,
            code=REFUSED,
            message=f"BGP peer {peer.name} ({peer.address}) does not have connectivity through any"
            f" networkconnection: give one of them the static route {peer.address}/32",
        )
        for peer in item.tenant.bgp.peers
        if not any(IPv4Address(peer.address) in prefix for prefix in routes)
    ]
