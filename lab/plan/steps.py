"""What can be done to the machine: a frozen dataclass for each thing, an executor in `lab/engine` for each.

Neighbouring steps of one type are independent of each other and may run in parallel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.plan.container import ContainerSpec


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Remove a container, running or not. Its interfaces go with it, and with them the peers' ends."""

    name: str
    node: str


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    """Remove a Docker network that nobody uses any more."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateNetwork:
    """Make the lab's Docker network."""

    name: str
    lab: str


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """Make a container, put its files into it; it does not run yet."""

    spec: ContainerSpec


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Start a container that is there."""

    name: str
    node: str


@dataclass(frozen=True, slots=True)
class Wire:
    """Give running nodes their interfaces, addresses, routes and settings, wherever one differs.

    Attributes:
        nodes: all nodes of which something may be missing, and the far ends of their links.
    """

    nodes: frozenset[str]


Step = RemoveContainer | RemoveNetwork | CreateNetwork | CreateContainer | StartContainer | Wire


def waves(steps: Sequence[Step]) -> tuple[Sequence[Step], Sequence[Step]]:
    """The steps up to the first wiring, which stand up what the rest of the work waits for; and all others.

    Where there is one wiring only, everything belongs to the first wave.
    """
    wirings = [index for index, step in enumerate(steps) if isinstance(step, Wire)]
    end = wirings[0] + 1 if len(wirings) > 1 else len(steps)
    return steps[:end], steps[end:]
