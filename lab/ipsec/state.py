"""From what charon says about its SAs to what the product says about a connection. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

INSTALLED = (b"INSTALLED", b"REKEYING", b"REKEYED")
"""States of a CHILD_SA that carries traffic."""


class Phase(StrEnum):
    """ConnectionState of Get-VpnS2SInterface."""

    CONNECTED = "Connected"
    CONNECTING = "Connecting"
    DISCONNECTED = "Disconnected"


@dataclass(frozen=True, slots=True)
class ChildBytes:
    """Traffic of one CHILD_SA, in bytes."""

    inbound: int
    outbound: int


@dataclass(frozen=True, slots=True)
class TunnelState:
    """What is known of one connection.

    Attributes:
        phase: as the product calls it.
        since_unix_s: when the connection came up last; 0: it is not up.
        children: traffic of the CHILD_SAs that stand, by their unique id.
        ended: traffic of those that are gone.
        last_error: why it does not come up, or why it fell; empty after it has come up.
        addresses: that the far end has assigned to us.
        remote: prefixes that the CHILD_SAs which stand lead to.
    """

    phase: Phase = Phase.DISCONNECTED
    since_unix_s: int = 0
    children: Mapping[str, ChildBytes] = field(default_factory=dict)
    ended: ChildBytes = ChildBytes(0, 0)
    last_error: str = ""
    addresses: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()

    @property
    def bytes_in(self) -> int:
        """Decrypted bytes over all SAs: rekeying must not turn counters back."""
        return self.ended.inbound + sum(child.inbound for child in self.children.values())

    @property
    def bytes_out(self) -> int:
        """Encrypted bytes over all SAs."""
        return self.ended.outbound + sum(child.outbound for child in self.children.values())


def observed(before: TunnelState, sas: Iterable[Mapping[str, Any]], now_unix_s: float) -> TunnelState:
    """The state after a look at charon's list of SAs.

    Parameters:
        before: the state until now.
        sas: the connection's IKE_SAs as list-sas gives them; none if charon is gone.
        now_unix_s: the time, in seconds since 1970.
    """
    sas = list(sas)
    children = [child for sa in sas for child in sa.get("child-sas", {}).values()]
    up = [child for child in children if child["state"] in INSTALLED]
    standing = {
        child["uniqueid"].decode(): ChildBytes(int(child["bytes-in"]), int(child["bytes-out"]))
        for child in children
        if "bytes-in" in child
    }
    gone = [count for unique_id, count in before.children.items() if unique_id not in standing]
    after = replace(
        before,
        children=standing,
        ended=ChildBytes(
            before.ended.inbound + sum(count.inbound for count in gone),
            before.ended.outbound + sum(count.outbound for count in gone),
        ),
    )
    if up:
        age_s = max(int(child.get("install-time", 0)) for child in up)
        since = before.since_unix_s or int(now_unix_s) - age_s
        return replace(
            after,
            phase=Phase.CONNECTED,
            since_unix_s=since,
            last_error="",
            addresses=_texts(sas, "local-vips"),
            remote=_texts(up, "remote-ts"),
        )
    phase = Phase.CONNECTING if sas else Phase.DISCONNECTED
    return replace(after, phase=phase, since_unix_s=0, addresses=(), remote=())


def _texts(entries: Iterable[Mapping[str, Any]], key: str) -> tuple[str, ...]:
    """All that a list of some entries names, once each."""
    return tuple(dict.fromkeys(item.decode() for entry in entries for item in entry.get(key, ())))


@dataclass(frozen=True, slots=True)
class LogCause:
    """A line that charon writes when a connection fails, and what it means to the reader of a state."""

    pattern: re.Pattern[str]
    meaning: str


CLOSED = "the peer closed the connection"
CLOSED_AT_ONCE = f"{CLOSED} as soon as it stood: our certificate or identity is not what it expects"
"""Who calls sees our certificate last, and says no more of what is wrong with it than good-bye."""
AT_ONCE_S = 1

LOG_CAUSES: tuple[LogCause, ...] = tuple(
    LogCause(re.compile(pattern), meaning)
    for pattern, meaning in (
        (
            r"no issuer certificate found for|constraint check failed: peer not authenticated by CA",
            "the peer's certificate is of an authority that is not trusted here",
        ),
        (
            r"subject certificate invalid",
            "the peer's certificate has expired, or is not valid yet",
        ),
        (
            r"no trusted \S+ public key found for|constraint check failed: identity"
            r"|signature validation failed",
            "the peer has no certificate, or not its key, for the name that it must have",
        ),
        (
            r"EAP-MS-CHAPv2 failed|received EAP_FAILURE",
            "the gateway refused us: no such user, or a wrong password",
        ),
        (
            r"received INTERNAL_ADDRESS_FAILURE",
            "the gateway has no address for us: its pool is exhausted, or its maximum reached",
        ),
        (r"MAC mismatched", "the pre-shared keys differ: the peer's authentication does not match ours"),
        (
            r"received AUTHENTICATION_FAILED",
            "the peer refused our authentication: our key, certificate or identity is not what it expects",
        ),
        (r"no shared key found for", "no pre-shared key for the identities that the peer presents"),
        (
            r"no matching peer config found|no IKE config found",
            "the peer's address or identity is not expected, or it expects another of us",
        ),
        (
            r"received proposals unacceptable|received NO_PROPOSAL_CHOSEN|no acceptable [\w -]+ found",
            "no common proposal: the main or quick mode transforms of the two ends differ",
        ),
        (
            r"traffic selectors .* unacceptable|received TS_UNACCEPTABLE|failed to establish CHILD_SA",
            "no CHILD_SA: the traffic selectors or the quick mode transforms of the two ends differ",
        ),
        (r"giving up after \d+ retransmits|peer not responding", "the peer does not answer"),
        (r"received DELETE for IKE_SA", CLOSED),
    )
)
"""Ordered: the first that fits names the cause."""


def cause_of(line: str) -> str:
    """What a line of charon's log says about why a connection is not up; empty: nothing."""
    return next((cause.meaning for cause in LOG_CAUSES if cause.pattern.search(line)), "")


def blamed(before: TunnelState, line: str, now_unix_s: float | None) -> TunnelState:
    """The state after a line of charon's log; nearly all lines leave it as it is.

    Parameters:
        now_unix_s: when it was written; None: nobody knows, it is older than the state.
    """
    cause = cause_of(line)
    if cause == CLOSED and now_unix_s and now_unix_s - (before.since_unix_s or now_unix_s) < AT_ONCE_S:
        cause = CLOSED_AT_ONCE
    return replace(before, last_error=cause) if cause else before
