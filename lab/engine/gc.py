"""What no lab needs any more, and its removal.

Only what carries our mark, or lies in our directories, is looked at.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from lab.engine import containers, images, observe
from lab.engine.state import LabState, state_root
from lab.plan import marks

IN_USE = 409


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What can go.

    Attributes:
        images: ids of images that neither the current sources lead to nor any container uses.
        helpers: ids of throw-away containers that have ended, or were never started.
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
        helpers=tuple(item["Id"] for item in helpers if item["State"] != "running"),
        states=tuple(name for name in _known_labs() if name not in standing),
    )


def collect(client: docker.DockerClient, found: Leftovers) -> None:
    """Remove what was found; what came into use meanwhile stays.

    Raises:
        BusyLabError: another process works on one of the labs.
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
        with state.locked():
            state.remove()


def _known_labs() -> tuple[str, ...]:
    directory: Path = state_root() / "labs"
    return tuple(sorted(path.name for path in directory.iterdir())) if directory.is_dir() else ()
