"""What is known of the callers of a dial-in server. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lab.ipsec.dial_in import DialInServer
from lab.ipsec.logtail import LogLine
from lab.ipsec.state import ChildBytes, Phase, TunnelState, observed

NO_BYTES = ChildBytes(0, 0)
MOST_CALLING = 64
"""So many of the latest calls are remembered, to name the caller of one that fails."""


@dataclass(frozen=True, slots=True)
class ClientState:
    """A caller who is connected.

    Attributes:
        user: name that he authenticated with; of a certificate, its subject.
        address: out of the pool.
        source: public address that he calls from.
        tunnel: since when, and traffic over all SAs; "in" is from the caller.
    """

    user: str
    address: str
    source: str
    tunnel: TunnelState


@dataclass(frozen=True, slots=True)
class DialInState:
    """What is known of one server.

    Attributes:
        listening: charon answers and has the connection loaded.
        clients: who is connected, by address out of the pool.
        last_error: why the latest call that failed did.
        calling: who has called of late, by charon's number of the IKE_SA.
        since_unix_s: when it began to listen; 0: it does not.
        ended: traffic of callers who are gone.
    """

    listening: bool = False
    clients: Mapping[str, ClientState] = field(default_factory=dict)
    last_error: str = ""
    calling: Mapping[str, str] = field(default_factory=dict)
    since_unix_s: int = 0
    ended: ChildBytes = NO_BYTES

    @property
    def bytes_in(self) -> int:
        """From all callers there ever were."""
        return self.ended.inbound + sum(client.tunnel.bytes_in for client in self.clients.values())

    @property
    def bytes_out(self) -> int:
        """To all callers there ever were."""
        return self.ended.outbound + sum(client.tunnel.bytes_out for client in self.clients.values())

    def heard(self, listening: bool, now_unix_s: float) -> DialInState:
        """The state after it turned out whether charon serves the connection."""
        since = (self.since_unix_s or int(now_unix_s)) if listening else 0
        error = "" if listening and not self.listening else self.last_error
        return replace(self, listening=listening, since_unix_s=since, last_error=error)


def observed_clients(before: DialInState, sas: Iterable[Mapping[str, Any]], now_unix_s: float) -> DialInState:
    """The state after a look at charon's list of SAs.

    Parameters:
        before: the state until now.
        sas: the IKE_SAs of all of the server's connections, as list-sas gives them.
        now_unix_s: the time, in seconds since 1970.
    """
    by_client: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for sa in sas:
        for address in sa.get("remote-vips", ()):
            by_client[address.decode(), user_of(sa)].append(sa)
    clients: dict[str, ClientState] = {}
    for (address, user), mine in by_client.items():
        known = before.clients.get(address)
        tunnel = observed(known.tunnel if known and known.user == user else TunnelState(), mine, now_unix_s)
        if tunnel.phase is Phase.CONNECTED:
            # While an IKE_SA is rekeyed there are two; the newest comes first.
            clients[address] = ClientState(user, address, mine[0]["remote-host"].decode(), tunnel)
    gone = [
        known.tunnel
        for address, known in before.clients.items()
        if address not in clients or clients[address].user != known.user
    ]
    ended = ChildBytes(
        before.ended.inbound + sum(tunnel.bytes_in for tunnel in gone),
        before.ended.outbound + sum(tunnel.bytes_out for tunnel in gone),
    )
    return replace(before, clients=clients, ended=ended)


def user_of(sa: Mapping[str, Any]) -> str:
    """Whom an IKE_SA authenticated; the EAP identity is listed only where it is not the IKE identity."""
    return str(sa.get("remote-eap-id", sa.get("remote-id", b"")).decode())


def unwelcome(server: DialInServer, connection: str, sa: Mapping[str, Any]) -> str:
    """Why an established IKE_SA may not stay; empty: it may.

    Parameters:
        connection: charon's name of the connection that it belongs to.
        sa: as list-sas gives it.
    """
    if sa.get("state") != b"ESTABLISHED":
        return ""
    if connection == server.name and user_of(sa) not in server.users:
        return f"{user_of(sa)} is no user any more"
    if not sa.get("remote-vips"):
        # Without one his selector is his public address, which may be anybody's in the VM network.
        return f"{user_of(sa)} did not ask for an address"
    return ""


_IDENTITY = re.compile(r"received EAP identity '(?P<who>.*)'|received end entity cert \"(?P<subject>.*)\"")
_REFUSED = ""
"""Stands for a caller whose refusal has been noted."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that charon writes when it turns a caller away, and what it means; {who} is the caller."""

    pattern: re.Pattern[str]
    meaning: str


REFUSALS: tuple[Refusal, ...] = tuple(
    Refusal(re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"no EAP key found for hosts", "unknown user {who}"),
        (r"EAP-MS-CHAPv2 verification failed", "wrong password of {who}"),
        (
            r"no trusted \S+ public key found for|no issuer certificate found for"
            r"|peer not authenticated by CA",
            "untrusted certificate of {who}",
        ),
        (r"pool '.*' is full", "{full}"),
        (
            r"traffic selectors .* unacceptable|failed to establish CHILD_SA",
            "no CHILD_SA for {who}: what he asks for is not what is offered",
        ),
        (
            r"received proposals unacceptable|no acceptable [\w -]+ found",
            "no common proposal: the transforms of {who} are none of ours",
        ),
    )
)


def noted(before: DialInState, line: LogLine, server: DialInServer) -> DialInState:
    """The state after a line of charon's log of causes."""
    if identity := _IDENTITY.search(line.text):
        calling = dict(before.calling)
        calling.pop(line.number, None)
        calling[line.number] = identity["who"] or identity["subject"]
        while len(calling) > MOST_CALLING:
            del calling[next(iter(calling))]
        return replace(before, calling=calling)
    who = before.calling.get(line.number, "a caller")
    if who == _REFUSED:
        return before
    full = f"the address pool {server.pool} is exhausted: {who} got no address"
    if server.limited:
        full = f"the maximum of {server.maximum} connections is reached: {who} was turned away"
    for refusal in REFUSALS:
        if refusal.pattern.search(line.text):
            # One refusal leaves several lines; the first names the cause best.
            error = refusal.meaning.replace("{full}", full).replace("{who}", who)
            return replace(before, calling={**before.calling, line.number: _REFUSED}, last_error=error)
    return before
