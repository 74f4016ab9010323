"""What the engine sees on the machine, as far as planning needs it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ObservedContainer:
    """A container that carries the lab's mark, or one of the names that the lab wants.

    Attributes:
        name: of the container.
        lab: the lab whose mark it carries; None: it is nobody's of ours.
        node: the node whose mark it carries; empty: none.
        spec_hash: the hash that it was made from; empty: unknown.
        running: False: it was made, and is not running now.
    """

    name: str
    lab: str | None
    node: str
    spec_hash: str
    running: bool


@dataclass(frozen=True, slots=True)
class ObservedNetwork:
    """A Docker network that carries the lab's mark, or the name that the lab wants."""

    name: str
    lab: str | None


@dataclass(frozen=True, slots=True)
class Observed:
    """All of it.

    Attributes:
        unwired: running nodes whose links, addresses, routes or settings are not as the lab wants them.
            Whoever cannot tell names every running node: wiring changes only what differs.
    """

    containers: tuple[ObservedContainer, ...] = ()
    networks: tuple[ObservedNetwork, ...] = ()
    unwired: frozenset[str] = frozenset()
