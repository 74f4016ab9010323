"""What becomes of a frame."""

from __future__ import annotations

from dataclasses import dataclass

from lab.datapath.abi import Direction, Drop

FORWARD, SHOT, PASS = "redirect", "drop", "pass"

Count = tuple[tuple[Drop, Direction, int], int]
"""(reason, direction, VSID) and octets of a counter that moves by one packet."""


@dataclass(frozen=True)
class Outcome:
    """What becomes of a frame.

    Attributes:
        verdict: what happens to the frame itself.
        frame: as it leaves.
        ifindex: where it leaves; 0 in the model: at any of `outlets`.
        counts: every counter that moves.
        copies: (ifindex, frame) of what else leaves: flooding; ifindex as above.
        outlets: where the model lets it leave, when the team may choose; of the copies `copy_outlets`.
    """

    verdict: str
    frame: bytes = b""
    ifindex: int = 0
    counts: tuple[Count, ...] = ()
    copies: tuple[tuple[int, bytes], ...] = ()
    outlets: frozenset[int] = frozenset()
    copy_outlets: tuple[frozenset[int], ...] = ()


@dataclass(frozen=True)
class Error:
    """An ICMP error that the router owes a sender: type and code of both versions of IP."""

    kind4: tuple[int, int]
    kind6: tuple[int, int]
    mtu: int = 0


NET_UNREACHABLE = Error((3, 0), (1, 0))
HOST_UNREACHABLE = Error((3, 1), (1, 3))
PORT_UNREACHABLE = Error((3, 3), (1, 4))
TIME_EXCEEDED = Error((11, 0), (3, 0))


def too_big(mtu: int) -> Error:
    """Fragmentation needed; packet too big."""
    return Error((3, 4), (2, 0), mtu)


class Ended(Exception):
    """The frame is dropped; `error` is what its sender is owed."""

    def __init__(self, reason: Drop, error: Error | None = None) -> None:
        super().__init__(reason.name)
        self.reason = reason
        self.error = error


@dataclass(frozen=True)
class Sent:
    """A frame that leaves: at a port, or on the wire at one of several uplinks.

    Attributes:
        copy: of a flooded frame.
        reason: why a copy does not leave; its direction is then the frame's own.
    """

    direction: Direction
    vsid: int
    outlets: frozenset[int]
    frame: bytes
    copy: bool = False
    reason: Drop = Drop.FORWARDED

    @property
    def count(self) -> Count:
        return ((self.reason, self.direction, self.vsid), len(self.frame))

    @property
    def ifindex(self) -> int:
        (only,) = self.outlets if len(self.outlets) == 1 else (0,)
        return only
