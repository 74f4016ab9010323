"""What a tenant's BGP router knows, for people and programs; asked of BIRD, not of the agent.

The shapes follow Get-BgpRouter, Get-BgpPeer, Get-BgpStatistics and Get-BgpRouteInformation.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gwnode.bgp.control import BirdError, observe
from gwnode.bgp.routes import Kind, Route, of_kind
from gwnode.bgp.sessions import Session
from lab.datapath.show import Listing, as_text
from lab.errors import LabError, Problem

NOT_SHOWN = "HNV-BGP-002"
SOCKET_SUFFIX = ".bird"


def shown(state: Path, tenant: str, kind: Kind) -> dict[str, Any]:
    """Sessions and routes of a tenant's router.

    Parameters:
        state: directory of the node's sockets.
        tenant: name of its virtual gateway.
        kind: which routes.

    Raises:
        LabError: there is no such router here, or it does not answer (HNV-BGP-002).
    """
    sockets = {path.stem: path for path in state.glob(f"*{SOCKET_SUFFIX}")}
    if tenant not in sockets:
        raise LabError(
            Problem(
                NOT_SHOWN,
                f"there is no BGP router of a tenant {tenant} on this node",
                expected=f"one of {', '.join(sorted(sockets))}" if sockets else "",
                hint="a tenant's router stands on the gateway that it is placed on",
            )
        )
    try:
        sessions, routes = observe(sockets[tenant])
    except (OSError, BirdError) as error:
        raise LabError(Problem(NOT_SHOWN, f"BIRD of tenant {tenant} does not answer: {error}")) from error
    return {
        "tenant": tenant,
        "peers": [session.to_json() for session in sessions],
        "routes": [route.to_json() for route in of_kind(with_names(routes, sessions), kind)],
    }


def with_names(routes: Iterable[Route], sessions: Iterable[Session]) -> list[Route]:
    """The routes, each of which names its peer by the address."""
    addresses = {session.protocol: session.address for session in sessions}
    return [route.from_peer(addresses.get(route.protocol, "")) for route in routes]


def text(document: dict[str, Any]) -> str:
    """The same as aligned tables."""
    tables: Listing = {
        "peers": [_peer(peer) for peer in document["peers"]],
        "statistics": [
            {"PEER": peer["address"], "FAMILY": name, **_figures(peer[field])}
            for peer in document["peers"]
            for name, field in _carried(peer)
        ],
        "routes": [_route(route) for route in document["routes"]],
    }
    return as_text(tables)


def _peer(peer: dict[str, Any]) -> dict[str, str | int | bool | None]:
    since = datetime.fromtimestamp(peer["since_unix_s"], UTC)
    return {
        "PEER": peer["address"],
        "ASN": peer["asn"],
        "STATE": str(peer["status"]),
        "SINCE": f"{since:%Y-%m-%d %H:%M:%S}Z",
        "HOLD": f"{peer['hold_time_s']} s" if peer["hold_time_s"] else None,
        "ERROR": peer["last_error"] or (f"offered more than {peer['limit']}" if peer["blocked"] else None),
    }


def _carried(peer: dict[str, Any]) -> list[tuple[str, str]]:
    """The IP versions that a session carries, and where their statistics stand."""
    return [("IPv4", "statistics"), *([("IPv6", "ipv6_statistics")] if peer["ipv6"] else [])]


def _figures(statistics: dict[str, int]) -> dict[str, int]:
    return {name.replace("_", " ").upper(): number for name, number in statistics.items()}


def _route(route: dict[str, Any]) -> dict[str, str | int | bool | None]:
    marks = {"best": "best", "damped": "damped"}
    status = " ".join(word for name, word in marks.items() if route[name])
    if not route["own"] and not route["reachable"]:
        status += " unreachable"
    return {
        "NETWORK": route["prefix"],
        "FROM": route["peer"] or route["protocol"],
        "STATUS": status.strip() or None,
        "NEXT HOP": route["next_hop"] or None,
        "LOCAL PREF": route["local_preference"],
        "MED": route["med"],
        "PATH": " ".join(map(str, route["as_path"])) or None,
        "COMMUNITIES": " ".join(route["communities"]) or None,
        "ORIGIN": route["origin"] or None,
    }
