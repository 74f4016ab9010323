"""Node images: which are made from what, under which name they stand, and how they are built.

An image's tag is a hash of everything that goes into it, so that an image is built when an input has changed
and only then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from lab.engine import base_image
from lab.engine.context import ContextFile, archive, digest, files_below
from lab.engine.events import Events, LogLine, phase
from lab.engine.wheelhouse import Wheelhouse, requirements_of
from lab.errors import LabError, Problem

LABEL = "hnvlab.image"
"""Marks an image as ours; the value is its key."""
BUILD_TIMEOUT_S = 1800
"""For one answer of the engine during a build: a step that says nothing for long, e.g.

Unpacking on a slow disk.
"""
NOT_IN_NODES = ("cli", "testing")
"""Packages of `lab` that no node runs; left out, so that changing them rebuilds nothing."""
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class ImageBuildError(LabError):
    """An image could not be built."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an image is made from.

    Attributes:
        parent: key of the image that it is made from.
        carries_code: whether our own code and its wheels are in the context (`src/`, `wheels/`).
    """

    parent: str
    carries_code: bool = False


RECIPES: Mapping[str, Recipe] = {
    "fabric": Recipe(parent="base", carries_code=True),
    "vm": Recipe(parent="base"),
    "server": Recipe(parent="vm"),
}
"""Every image that we build, beside the base; its Dockerfile is images/KEY/Dockerfile."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the inputs of the images are: the project's checkout.

    Attributes:
        root: holds `images/`, `lab/`, `gwnode/` and, if there is one, `constraints.txt`.
    """

    root: Path

    @classmethod
    def of_this_installation(cls) -> Sources:
        """The checkout that this module belongs to."""
        return cls(Path(__file__).resolve().parents[2])

    def constraints(self) -> str:
        """Content of the constraints file; empty: there is none."""
        path = self.root / "constraints.txt"
        return path.read_text() if path.exists() else ""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """An image before it is built.

    Attributes:
        key: "fabric", "vm", "server".
        reference: repository and tag; the tag is the hash of the inputs.
        parent: reference of the image it is made from.
        files: the build context, without wheels.
        wheelhouse: the wheels; None: the image has none.
    """

    key: str
    reference: str
    parent: str
    files: tuple[ContextFile, ...]
    wheelhouse: Wheelhouse | None


def blueprints(sources: Sources, architecture: str) -> Mapping[str, Blueprint]:
    """What every image is to be made from. Reads the files, touches no engine.

    Parameters:
        sources: the project's checkout.
        architecture: of the engine, as Docker calls it.
    """
    found: dict[str, Blueprint] = {}
    for key, recipe in RECIPES.items():
        parent = base_image.REFERENCE if recipe.parent == "base" else found[recipe.parent].reference
        files = list(files_below(sources.root / "images" / key))
        wheelhouse = None
        if recipe.carries_code:
            files += files_below(sources.root / "lab", "src/lab", without=NOT_IN_NODES)
            files += files_below(sources.root / "gwnode", "src/gwnode", without=("tests",))
            wheelhouse = Wheelhouse(requirements_of("hnvlab", ("node",)), sources.constraints(), architecture)
        tag = digest(files, parent, architecture, wheelhouse.key if wheelhouse else "")
        found[key] = Blueprint(key, f"hnvlab/{key}:{tag}", parent, tuple(files), wheelhouse)
    return found


def references(images: Iterable[str], built: Mapping[str, Blueprint]) -> Mapping[str, str]:
    """The Docker reference of each image that a topology names: one of our keys, or a reference already."""
    return {image: built[image].reference if image in built else image for image in images}


def ensure(
    client: docker.DockerClient, wanted: Iterable[str], events: Events, sources: Sources | None = None
) -> Mapping[str, str]:
    """Have every image that is wanted; those that are there are left alone.

    Independent ones are built side by side.

    Parameters:
        client: of the engine.
        wanted: keys of our images, or Docker references (those are pulled where missing).
        events: is told what is built, and what the builds say.
        sources: the project's checkout; None: the one this module belongs to.

    Returns:
        The Docker reference for each that is wanted.

    Raises:
        ImageBuildError: an image cannot be built or pulled; with the last lines of the build.
        UnfitEnvironmentError: no base image, or no wheels.
    """
    plans = blueprints(sources or Sources.of_this_installation(), client.version()["Arch"])
    named = references(wanted, plans)
    missing = {image for image, reference in named.items() if not _exists(client, reference)}
    with phase(events, "images") as current:
        if not missing:
            return named
        ours = _with_parents(missing & RECIPES.keys())
        jobs: dict[str, Callable[[], bool]] = {
            image: partial(_pull, client, image, events) for image in missing - RECIPES.keys()
        }
        if ours:
            current.changes += base_image.ensure(client, events)
        for key in ours:
            jobs[key] = partial(_build, client, plans[key], events)
        current.changes += _run_in_order(jobs)
    return named


def _with_parents(keys: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(keys)
    while waiting:
        key = waiting.pop()
        if key in RECIPES:
            found.add(key)
            waiting.append(RECIPES[key].parent)
    return found


def _run_in_order(jobs: Mapping[str, Callable[[], bool]]) -> int:
    """Run all jobs side by side, each after its parent; how many of them changed something."""
    with ThreadPoolExecutor(max(1, len(jobs)), thread_name_prefix="image") as pool:
        futures: dict[str, Future[bool]] = {}

        def after_parent(key: str) -> bool:
            recipe = RECIPES.get(key)
            if recipe is not None and recipe.parent in futures:
                futures[recipe.parent].result()
            return jobs[key]()

        for key in [*(k for k in RECIPES if k in jobs), *(k for k in jobs if k not in RECIPES)]:
            futures[key] = pool.submit(after_parent, key)
        return sum(future.result() for future in futures.values())


def _exists(client: docker.DockerClient, reference: str) -> bool:
    try:
        client.images.get(reference)
    except ImageNotFound:
        return False
    return True


def _pull(client: docker.DockerClient, reference: str, events: Events) -> bool:
    events(LogLine("pull", reference))
    try:
        client.images.pull(*_repository_and_tag(reference))
    except APIError as error:
        raise ImageBuildError(
            Problem(
                code="HNV-ENG-024",
                message=f"the image {reference} is not here and cannot be pulled: {error.explanation}",
                place=reference,
                hint=f"docker pull {reference}; or one of hnvlab's own images: {', '.join(RECIPES)}",
            )
        ) from error
    return True


def _repository_and_tag(reference: str) -> tuple[str, str | None]:
    if "@" in reference:
        return reference, None
    head, _, last = reference.rpartition("/")
    name, _, tag = last.partition(":")
    return (f"{head}/{name}" if head else name), tag or "latest"


def _build(client: docker.DockerClient, plan: Blueprint, events: Events) -> bool:
    if _exists(client, plan.reference):  # a parent that was wanted for its child only
        return False
    context = list(plan.files)
    if plan.wheelhouse is not None:
        context += files_below(plan.wheelhouse.ensure(events), "wheels")
    try:
        lines = client.api.build(
            fileobj=BytesIO(archive(context)),
            custom_context=True,
            tag=plan.reference,
            buildargs={"BASE": plan.parent} | _proxy_settings(),
            labels={LABEL: plan.key},
            network_mode="host",
            rm=True,
            forcerm=True,
            decode=True,
            timeout=BUILD_TIMEOUT_S,
        )
        _follow(plan, lines, events)
    except APIError as error:
        raise ImageBuildError(
            Problem(
                code="HNV-ENG-025",
                message=f"the engine refuses to build the image {plan.key}: {error.explanation}",
                place=f"images/{plan.key}/Dockerfile",
            )
        ) from error
    return True


def _follow(plan: Blueprint, lines: Iterable[Mapping[str, Any]], events: Events) -> None:
    """Hand on what the build says; its failure becomes an error with the last lines."""
    said: list[str] = []
    for item in lines:
        for line in str(item.get("stream", "")).splitlines():
            if line.strip():
                said.append(line)
                events(LogLine(plan.key, line))
        if "error" in item:
            raise ImageBuildError(
                Problem(
                    code="HNV-ENG-025",
                    message=f"the image {plan.key} cannot be built: {item['error']}",
                    place=f"images/{plan.key}/Dockerfile",
                    hint="the build's last words:\n" + "\n".join(said[-20:]),
                )
            )


def _proxy_settings() -> dict[str, str]:
    """Docker knows these build arguments without any ARG; they are no part of the image."""
    return {name: os.environ[name] for name in PROXY_VARIABLES if name in os.environ}


def stale(client: docker.DockerClient, sources: Sources | None = None) -> tuple[str, ...]:
    """Images of ours that current inputs no longer lead to and that no container uses.

    By name, so that one which somebody gave another name too stays under that; by id where it has none.
    """
    plans = blueprints(sources or Sources.of_this_installation(), client.version()["Arch"])
    current = {plan.reference for plan in plans.values()} | {base_image.REFERENCE}
    used = {item["ImageID"] for item in client.api.containers(all=True)}
    found: list[str] = []
    for image in client.images.list(filters={"label": LABEL}):
        names = [tag for tag in image.tags if tag.startswith("hnvlab/")]
        if image.id not in used:
            found += [name for name in names if name not in current] if image.tags else [image.id]
    return tuple(found)
