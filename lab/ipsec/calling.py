"""Calls by hand, as it were: of connections that charon does not call by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from lab.ipsec.dialling import Calls, Series, Silence
from lab.ipsec.state import Phase, TunnelState
from lab.ipsec.tunnel import Tunnel

GIVEN_UP = "; given up after {tries} calls"


class Dialler:
    """Follows one connection: says when it is to be called, and when to be closed.

    Parameters:
        clock: seconds, by a clock that only goes on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._series = Series()
        self._silence: Silence | None = None

    def ask(self) -> None:
        """Somebody wants the connection up."""
        self._series = self._series.asked()

    def look(self, tunnel: Tunnel, state: TunnelState) -> TunnelState:
        """Take over what was seen.

        Returns: the state, with a word about calls that have been given up.
        """
        now, calls = self._clock(), tunnel.calls or Calls()
        exists, up = state.phase is not Phase.DISCONNECTED, state.phase is Phase.CONNECTED
        if tunnel.initiator and not tunnel.on_demand and not self._series.given_up:
            self._series = self._series.asked()
        gave_up = self._series.given_up
        self._series = self._series.seen(calls, exists=exists, up=up, now_s=now)
        carried = state.bytes_in + state.bytes_out
        if not up:
            self._silence = None
        else:
            self._silence = (self._silence or Silence(carried, now)).seen(carried, now)
        if self._series.given_up and not gave_up:
            why = state.last_error or "the peer does not answer"
            return replace(state, last_error=why + GIVEN_UP.format(tries=calls.tries))
        return state

    def take_call(self, tunnel: Tunnel) -> bool:
        """Whether to call now; who asks does it."""
        due = self._series.due(tunnel.calls or Calls(), self._clock())
        if due:
            self._series = self._series.called()
        return due

    def is_idle(self, tunnel: Tunnel) -> bool:
        """Whether the connection is to be closed, because it has carried nothing for so long."""
        silence = self._silence
        return bool(
            tunnel.on_demand and tunnel.idle_s and silence and silence.lasts_s(self._clock()) >= tunnel.idle_s
        )


def followed(desired: Mapping[str, object]) -> dict[str, Tunnel]:
    """The connections that charon does not call by itself, though somebody may."""
    return {
        name: item
        for name, item in desired.items()
        if isinstance(item, Tunnel) and (item.on_demand or (item.initiator and item.calls is not None))
    }
