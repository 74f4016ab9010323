"""What no lab needs any more, and its removal.

Only what carries our mark, or lies in our directories, is looked at.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from lab.engine import containers, images, observe, owner
from lab.engine.state import BusyLabError, LabState, state_root
from lab.plan import marks

IN_USE = 409


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What can go.

    Attributes:
        images: that neither the current sources lead to nor any container uses; names, or ids where there
            is none.
        helpers: ids of throw-away containers that nobody waits for any more.
        states: labs of which nothing is left but their directory on this machine.
    """

    images: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    states: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The same as JSON data."""
        return asdict(self)

    def lines(self) -> list[str]:
        """A line for each."""
        return [
            *(f"image {item}" for item in self.images),
            *(f"container {item}" for item in self.helpers),
            *(f"state of the lab {item}" for item in self.states),
        ]


def leftovers(client: docker.DockerClient) -> Leftovers:
    """Look for what can go; nothing is touched."""
    helpers = client.api.containers(all=True, filters={"label": f"{marks.KIND}={observe.HELPER}"})
    standing = observe.labs(client)
    return Leftovers(
        images=images.stale(client),
        helpers=tuple(item["Id"] for item in helpers if _forsaken(item)),
        states=tuple(name for name in _known_labs() if name not in standing),
    )


def collect(client: docker.DockerClient, found: Leftovers) -> None:
    """Remove what was found; what came into use meanwhile stays.

    Raises:
        ContainerError: the engine refuses.
    """
    for helper in found.helpers:
        containers.remove(client, helper)
    for image in found.images:
        try:
            client.api.remove_image(image, force=False)
        except ImageNotFound:
            continue  # it was the parent of one that is gone
        except APIError as error:
            if error.status_code != IN_USE:
                raise
    for name in found.states:
        state = LabState.of(name)
        # An `up` may have begun since: the lock tells of one under way, a second look of one that is done.
        with contextlib.suppress(BusyLabError), state.locked():
            if not any(observe.everything(client, name)):
                state.remove()


def _forsaken(helper: Any) -> bool:
    """Whether a helper's maker is gone; where that cannot be seen, whether the helper has ended."""
    alive = owner.alive(helper["Labels"].get(owner.LABEL, ""))
    return helper["State"] != "running" if alive is None else not alive


def _known_labs() -> tuple[str, ...]:
    directory: Path = state_root() / "labs"
    return tuple(sorted(path.name for path in directory.iterdir())) if directory.is_dir() else ()
