"""BGP sessions, out of BIRD's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from gwnode.bgp.family import FAMILIES, IPV4, IPV6


class Connectivity(StrEnum):
    """ConnectivityStatus of Get-BgpPeer."""

    CONNECTED = "Connected"
    CONNECTING = "Connecting"
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True)
class Statistics:
    """Routes that went over a session since it stands (Get-BgpStatistics).

    Attributes:
        updates_received, updates_sent: routes offered by the peer, and to it.
        withdrawals_received, withdrawals_sent: and taken back.
        imported: routes of the peer's that are in the table now.
        filtered: updates of the peer's that policy did not let in.
        exported: routes that the peer is offered now.
    """

    updates_received: int = 0
    updates_sent: int = 0
    withdrawals_received: int = 0
    withdrawals_sent: int = 0
    imported: int = 0
    filtered: int = 0
    exported: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """A BGP session.

    Attributes:
        protocol: BIRD's name for it.
        status: as the product calls it.
        since_unix_s: when it took that state.
        last_error: in plain words; empty while it is established.
        address, asn: the peer's.
        hold_time_s: as negotiated; 0 while it is not established.
        limit: so many prefixes of each IP version are taken from the peer; 0: not said.
        blocked: BIRD's names of the channels on which the peer has offered more: what came when there was no
            room is forgotten.
        ipv6: whether it carries IPv6: both sides can, and will.
        statistics, ipv6_statistics: what went over it, of each IP version. Two sessions that differ in them
            alone are equal: nothing has happened.
    """

    protocol: str
    status: Connectivity
    since_unix_s: int
    last_error: str
    address: str = ""
    asn: int = 0
    hold_time_s: int = 0
    limit: int = 0
    blocked: tuple[str, ...] = ()
    ipv6: bool = False
    statistics: Statistics = field(default=Statistics(), compare=False)
    ipv6_statistics: Statistics = field(default=Statistics(), compare=False)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


SESSION = re.compile(
    r"^(?P<name>\S+)\s+BGP\s+\S+\s+(?P<state>\S+)"
    r"\s+(?P<since>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\S*\s*(?P<info>.*)$"
)
DETAIL = re.compile(r"^\s+(?P<name>[A-Z][\w ]*?):\s+(?P<value>\S.*)$")
CHANNEL = re.compile(r"^\s+Channel (?P<name>\w+)$")
COUNT = re.compile(r"(\d+) (imported|filtered|exported)")
PLAIN = {
    "BGP Error: Bad peer AS": "the peer has another AS number than it is configured with here",
    "Received: Bad peer AS": "the peer expects another AS number of this router",
    "BGP Error: Hold timer expired": "hold timer expired: nothing was heard of the peer any more",
    "Error: Hold timer expired": "hold timer expired: nothing was heard of the peer any more",
    "Received: Hold timer expired": "hold timer expired at the peer: it heard nothing any more",
    "Received: Administrative shutdown": "the peer has closed the session (cease: administrative shutdown)",
    "Received: Administrative reset": "the peer has closed the session (cease: administrative reset)",
    "Received: Peer de-configured": "the peer does not know this router any more (cease: peer de-configured)",
    "Received: Connection rejected": "the peer does not take the session (cease: connection rejected)",
    "Received: Cease": "the peer has closed the session (cease)",
    "Received: Maximum number of prefixes reached": "the peer takes no more prefixes (cease)",
    "BGP Error: Bad BGP identifier": "the peer has this router's BGP identifier",
    "BGP Error: Unacceptable hold time": "the peer wants a hold time that is too short",
    "Socket: Connection refused": "no BGP router listens at the peer's address",
    "Socket: No route to host": "there is no way to the peer: its connection is down",
    "Socket: Network is unreachable": "there is no way to the peer: its connection is down",
    "Socket: Connection timed out": "the peer does not answer",
    "Socket: Connection reset": "the peer has broken the connection off",
    "Socket: Connection closed": "the peer has closed the connection",
}
"""What BIRD says of an error, and what it means here."""


def plain(error: str) -> str:
    """An error of BIRD's in plain words; one that is not known, in BIRD's."""
    text = error.strip()
    return PLAIN.get(text, text)


def sessions(lines: Iterable[str]) -> list[Session]:
    """The BGP sessions in the answer to `show protocols all`."""
    return [_session(head, details) for head, details in _blocks(lines)]


Details = dict[str, dict[str, str]]
"""What stands below a session's line, by channel; "": of the session itself."""


def _blocks(lines: Iterable[str]) -> Iterator[tuple[re.Match[str], Details]]:
    """Each session's line, and what stands below it."""
    head: re.Match[str] | None = None
    details: Details = {"": {}}
    channel = ""
    for line in lines:
        if line and not line[0].isspace():
            if head:
                yield head, details
            head, details, channel = SESSION.match(line), {"": {}}, ""
        elif found := CHANNEL.match(line):
            channel = found["name"]
            details[channel] = {}
        elif found := DETAIL.match(line):
            details[channel][found["name"]] = found["value"].strip()
    if head:
        yield head, details


def _session(head: re.Match[str], details: Details) -> Session:
    status = _status(head["state"], head["info"])
    own = details[""]
    error = own.get("Last error") or own.get("Error") or ""
    timer = own.get("Hold timer", "")
    channels = {family.channel: details.get(family.channel, {}) for family in FAMILIES}
    limits = {name: found.get("Receive limit", "0").partition(" ") for name, found in channels.items()}
    return Session(
        protocol=head["name"],
        status=status,
        since_unix_s=int(datetime.fromisoformat(head["since"]).timestamp()),
        last_error="" if status is Connectivity.CONNECTED else plain(error),
        address=own.get("Neighbor address", "").partition("%")[0],
        asn=int(own.get("Neighbor AS", "0")),
        hold_time_s=int(timer.rpartition("/")[2] or 0) if status is Connectivity.CONNECTED else 0,
        limit=max(int(limit) for limit, _, _ in limits.values()),
        blocked=tuple(name for name, (_, _, hit) in limits.items() if "HIT" in hit),
        ipv6=channels[IPV6.channel].get("State") == "UP",
        statistics=_statistics(channels[IPV4.channel]),
        ipv6_statistics=_statistics(channels[IPV6.channel]),
    )


def _status(state: str, info: str) -> Connectivity:
    if state == "up" and info.startswith("Established"):
        return Connectivity.CONNECTED
    return Connectivity.STOPPED if state == "down" else Connectivity.CONNECTING


def _statistics(details: dict[str, str]) -> Statistics:
    """Columns of BIRD's table: received, rejected, filtered, ignored, accepted."""
    counts = {name: int(number) for number, name in COUNT.findall(details.get("Routes", ""))}

    def column(row: str, number: int) -> int:
        cells = details.get(row, "").split()
        return int(cells[number]) if len(cells) > number and cells[number].isdigit() else 0

    return Statistics(
        updates_received=column("Import updates", 0),
        updates_sent=column("Export updates", 4),
        withdrawals_received=column("Import withdraws", 0),
        withdrawals_sent=column("Export withdraws", 4),
        imported=counts.get("imported", 0),
        filtered=column("Import updates", 2),
        exported=counts.get("exported", 0),
    )
