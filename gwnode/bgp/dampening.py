"""Route flap dampening (RFC 2439), which BIRD lacks. Pure.

Every withdrawal costs a prefix 1000 points, which decay by half in each half life. Above the suppress
threshold the prefix is damped, until it has fallen below the reuse threshold. Only what external peers offer
is damped (§4.2: inside one AS, dampening would make its routers disagree).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from lab.southbound import southbound_pb2 as pb

WITHDRAWAL_PENALTY = 1000.0
FORGET_BELOW = 0.5
"""Share of the reuse threshold below which a prefix has no history any more (RFC 2439 §4.8.6)."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Set-BgpRouteFlapDampening.

    Attributes:
        half_life_s: time in which a penalty falls to its half.
        reuse: penalty below which a damped prefix is used again.
        suppress: penalty above which a prefix is damped.
        maximum_s: so long after its last withdrawal a prefix is damped at most.
    """

    half_life_s: int
    reuse: int
    suppress: int
    maximum_s: int

    @classmethod
    def of(cls, wanted: pb.BgpDampening) -> Parameters:
        """As the Network Controller says it.

        Raises:
            ValueError: nothing would ever decay.
        """
        if not wanted.half_life_s or not wanted.reuse:
            raise ValueError("dampening needs a half life and a reuse threshold")
        return cls(wanted.half_life_s, wanted.reuse, wanted.suppress, wanted.maximum_s)

    @property
    def ceiling(self) -> float:
        """No penalty is higher: it is what decays to `reuse` in `maximum_s` (RFC 2439 §4.2)."""
        # An exponent that a float cannot hold means: no ceiling that anybody could reach.
        exponent = min(self.maximum_s / self.half_life_s, 512.0)
        return self.reuse * math.pow(2.0, exponent)


@dataclass(frozen=True, slots=True)
class History:
    """What is held against a prefix.

    Attributes:
        penalty: at the time `at_s`.
        at_s: in seconds, of any clock that only goes forward.
        damped: whether it is suppressed.
    """

    penalty: float = 0.0
    at_s: float = 0.0
    damped: bool = False

    def penalty_at(self, now_s: float, parameters: Parameters) -> float:
        """The penalty that is left; a clock that was set back lets nothing grow."""
        return self.penalty * math.pow(2.0, -max(0.0, now_s - self.at_s) / parameters.half_life_s)

    def withdrawn(self, now_s: float, parameters: Parameters) -> History:
        """After a withdrawal."""
        before = self.looked_at(now_s, parameters)
        penalty = min(before.penalty + WITHDRAWAL_PENALTY, parameters.ceiling)
        return replace(before, penalty=penalty, damped=before.damped or penalty > parameters.suppress)

    def looked_at(self, now_s: float, parameters: Parameters) -> History:
        """The same at another time: decayed, and released where it has fallen low enough."""
        penalty = self.penalty_at(now_s, parameters)
        damped = self.damped and penalty >= parameters.reuse
        return History(penalty, max(now_s, self.at_s), damped)

    def released_in_s(self, now_s: float, parameters: Parameters) -> float:
        """Seconds until it is used again, if nothing more happens; 0: it is not damped."""
        if not self.damped:
            return 0.0
        ratio = self.penalty_at(now_s, parameters) / parameters.reuse
        return max(0.0, parameters.half_life_s * math.log2(ratio)) if ratio > 0 else 0.0


class Dampening:
    """What is held against every prefix of every peer.

    Parameters:
        parameters: when is damped, and for how long.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self._histories: dict[tuple[str, str], History] = {}

    def withdrawn(self, peer: str, prefix: str, now_s: float) -> None:
        """A peer has withdrawn a prefix."""
        key = (peer, prefix)
        self._histories[key] = self._histories.get(key, History()).withdrawn(now_s, self.parameters)

    def damped(self, now_s: float) -> dict[str, dict[str, History]]:
        """Prefixes that are damped now, by peer; what is long past is forgotten."""
        result: dict[str, dict[str, History]] = {}
        for (peer, prefix), history in list(self._histories.items()):
            now = history.looked_at(now_s, self.parameters)
            if now.damped:
                result.setdefault(peer, {})[prefix] = now
            elif now.penalty < FORGET_BELOW * self.parameters.reuse:
                del self._histories[peer, prefix]
            elif history.damped:
                # What was released stays so, though its penalty may rise again.
                self._histories[peer, prefix] = now
        return result
