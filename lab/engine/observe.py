"""What of ours stands on the machine, found by its marks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import docker

from lab.errors import LabError, Problem
from lab.model.lab import NodeKind
from lab.plan import marks
from lab.plan.observed import Observed, ObservedContainer, ObservedNetwork

HELPER = "helper"
"""Value of the kind label of throw-away containers (runner, capture): of a lab, but no nodes of it."""


@dataclass(frozen=True, slots=True)
class StandingNode:
    """A node's container as it stands.

    Attributes:
        node, kind: of the lab.
        container: its name.
        state: Docker's word: "running", "exited", "created", …
        image: what it was made from.
    """

    node: str
    kind: str
    container: str
    state: str
    image: str


def observe(client: docker.DockerClient, lab: str) -> Observed:
    """What planning must know: what carries the lab's mark, and what stands under the names that it wants.

    Every running node counts as unwired, for the wiring looks for itself and changes only what differs.
    """
    containers = [
        _container(item)
        for item in client.api.containers(all=True)
        if _labels(item).get(marks.KIND) != HELPER
        and (_labels(item).get(marks.LAB) == lab or _name(item).startswith(f"{lab}-"))
    ]
    return Observed(
        containers=tuple(containers),
        networks=tuple(
            ObservedNetwork(item["Name"], _labels(item).get(marks.LAB))
            for item in client.api.networks()
            if _labels(item).get(marks.LAB) == lab or item["Name"] == marks.network_name(lab)
        ),
        unwired=frozenset(item.node for item in containers if item.lab == lab and item.running),
    )


def labs(client: docker.DockerClient) -> tuple[str, ...]:
    """Names of all labs of which anything is left on this engine, in order."""
    found = client.api.containers(all=True, filters={"label": marks.LAB})
    found += client.api.networks(filters={"label": marks.LAB})
    return tuple(sorted({_labels(item)[marks.LAB] for item in found}))


def nodes(client: docker.DockerClient, lab: str) -> tuple[StandingNode, ...]:
    """The containers of a lab's nodes, running or not, by name."""
    found = client.api.containers(all=True, filters={"label": f"{marks.LAB}={lab}"})
    return tuple(
        sorted(
            (
                StandingNode(
                    node=_labels(item)[marks.NODE],
                    kind=_labels(item).get(marks.KIND, ""),
                    container=_name(item),
                    state=item["State"],
                    image=item["Image"],
                )
                for item in found
                if marks.NODE in _labels(item)
            ),
            key=lambda node: node.node,
        )
    )


def everything(client: docker.DockerClient, lab: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids of all containers, helpers included, and names of all networks that carry the lab's mark."""
    label = f"{marks.LAB}={lab}"
    return (
        tuple(item["Id"] for item in client.api.containers(all=True, filters={"label": label})),
        tuple(item["Name"] for item in client.api.networks(filters={"label": label})),
    )


def _container(item: Any) -> ObservedContainer:
    labels = _labels(item)
    return ObservedContainer(
        name=_name(item),
        lab=labels.get(marks.LAB),
        node=labels.get(marks.NODE, ""),
        spec_hash=labels.get(marks.SPEC, ""),
        running=item["State"] == "running",
    )


def _labels(item: Any) -> dict[str, str]:
    return item.get("Labels") or {}


def _name(item: Any) -> str:
    names = item.get("Names") or [""]
    return str(names[0]).lstrip("/")


def fabric_image(client: docker.DockerClient, lab: str) -> str:
    """Id of the fabric image that a lab runs on: the one of its Network Controller.

    Raises:
        LabError: the lab has none any more.
    """
    label = [f"{marks.LAB}={lab}", f"{marks.KIND}={NodeKind.CONTROLLER}"]
    for item in client.api.containers(all=True, filters={"label": label}):
        return str(item["ImageID"])
    raise LabError(
        Problem(
            code="HNV-ENG-061",
            message=f"the lab {lab} has no Network Controller any more",
            place=lab,
            hint="hnvlab up FILE makes it whole again",
        )
    )
