"""Accounting of remote access: who was connected, how long, with how much traffic (RFC 2866). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lab.ipsec.clients import ClientState


class AccountingKind(StrEnum):
    """Acct-Status-Type of RFC 2866 §5.1."""

    START = "Start"
    INTERIM = "Interim-Update"
    STOP = "Stop"


@dataclass(frozen=True, slots=True)
class AccountingEvent:
    """One record.

    Attributes:
        kind: what it tells.
        user, address, source: whose it is, out of the pool, and from where he calls.
        at_unix_s: when.
        session_s: how long the caller has been connected.
        bytes_in, bytes_out: from and to him in that time.
    """

    kind: AccountingKind
    user: str
    address: str
    source: str
    at_unix_s: int
    session_s: int
    bytes_in: int
    bytes_out: int

    def line(self) -> str:
        """The record as one line of a log, fields by name."""
        return (
            f"accounting {self.kind.value} user={self.user!r} address={self.address} from={self.source}"
            f" session_s={self.session_s} bytes_in={self.bytes_in} bytes_out={self.bytes_out}"
        )


class Accounting:
    """Turns what is seen of callers into records."""

    def __init__(self) -> None:
        self._known: dict[str, ClientState] = {}
        self._told_at: dict[str, float] = {}

    def update(
        self, clients: Mapping[str, ClientState], now_unix_s: float, interim_s: int = 0
    ) -> list[AccountingEvent]:
        """The records that follow from a look at the callers.

        A stop tells the traffic of the last look before it.

        Parameters:
            clients: who is connected, by address out of the pool.
            now_unix_s: the time, in seconds since 1970.
            interim_s: InterimAccountingPeriodSec of Set-RemoteAccessRoutingDomain: between two records of a
                caller who stays; 0: none.
        """
        events: list[AccountingEvent] = []
        for address, before in self._known.items():
            after = clients.get(address)
            if after is None or _session(after) != _session(before):
                events.append(_event(AccountingKind.STOP, before, now_unix_s))
        for address, client in clients.items():
            known = self._known.get(address)
            if known is None or _session(known) != _session(client):
                events.append(_event(AccountingKind.START, client, now_unix_s))
            elif interim_s and now_unix_s - self._told_at[address] >= interim_s:
                events.append(_event(AccountingKind.INTERIM, client, now_unix_s))
            else:
                continue
            self._told_at[address] = now_unix_s
        self._known = dict(clients)
        return events


def _session(client: ClientState) -> tuple[str, int]:
    return client.user, client.tunnel.since_unix_s


def _event(kind: AccountingKind, client: ClientState, now_unix_s: float) -> AccountingEvent:
    tunnel = client.tunnel
    return AccountingEvent(
        kind=kind,
        user=client.user,
        address=client.address,
        source=client.source,
        at_unix_s=int(now_unix_s),
        session_s=max(0, int(now_unix_s) - tunnel.since_unix_s),
        bytes_in=tunnel.bytes_in,
        bytes_out=tunnel.bytes_out,
    )
