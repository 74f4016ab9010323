"""When a connection calls its peer, and when it hangs up: on-demand connections and retries. Pure.

Add-VpnS2SInterface: a connection that is not `-Persistent` is dialled by the first packet for one of its
routes; `-NumberOfTries` and `-RetryInterval` say how often and in which intervals; `-IdleDisconnectSec` after
how long a silence it is closed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Calls:
    """How a peer that does not answer is called.

    Attributes:
        tries: calls of a series; 0: without end.
        interval_s: pause between the end of a call and the next, in seconds.
    """

    tries: int = 0
    interval_s: float = RETRY_S


@dataclass(frozen=True, slots=True)
class Series:
    """The calls that have been made since the connection was last up.

    Attributes:
        wanted: somebody wants the connection up.
        made: calls of this series.
        under_way: the last one has not ended yet.
        ended_at_s: when it ended, by any clock that only goes on.
        given_up: as many as allowed were made in vain.
    """

    wanted: bool = False
    made: int = 0
    under_way: bool = False
    ended_at_s: float = -math.inf
    given_up: bool = False

    def asked(self) -> Series:
        """Somebody wants the connection: a series begins, if none goes on. The pause is kept nevertheless."""
        return self if self.wanted else replace(self, wanted=True, made=0, given_up=False)

    def seen(self, calls: Calls, *, exists: bool, up: bool, now_s: float) -> Series:
        """After a look at the connection.

        Parameters:
            exists: there is an IKE_SA, whatever its state.
            up: it carries traffic.
            now_s: by the clock of `ended_at_s`.
        """
        if up:
            return Series()
        if exists:
            return replace(self, under_way=True)
        after = replace(self, under_way=False, ended_at_s=now_s) if self.under_way else self
        if after.wanted and calls.tries and after.made >= calls.tries:
            return replace(after, wanted=False, given_up=True)
        return after

    def due(self, calls: Calls, now_s: float) -> bool:
        """Whether the next call is to be made now."""
        return self.wanted and not self.under_way and now_s - self.ended_at_s >= calls.interval_s

    def called(self) -> Series:
        """A call has been made."""
        return replace(self, made=self.made + 1, under_way=True)


@dataclass(frozen=True, slots=True)
class Silence:
    """Since when a connection has carried nothing.

    Attributes:
        carried: bytes of both directions.
        since_s: when that number was first seen.
    """

    carried: int
    since_s: float

    def seen(self, carried: int, now_s: float) -> Silence:
        """After a look at the counters."""
        return self if carried == self.carried else Silence(carried, now_s)

    def lasts_s(self, now_s: float) -> float:
        """How long it has lasted."""
        return now_s - self.since_s
