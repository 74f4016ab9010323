"""The Docker engine: the one that is found, or one that we install and start (root, on Debian and Ubuntu)."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass

import docker
from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.errors import DockerException

from lab.engine.events import Events
from lab.engine.local_engine import LocalEngine
from lab.engine.state import state_root
from lab.errors import Problem, UnfitEnvironmentError

REQUEST_TIMEOUT_S = 120
"""Upper bound for one answer of the engine; a busy one takes seconds to create a container."""
PROBE_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an engine is expected, and who says so.

    Attributes:
        address: e.g. `unix:///var/run/docker.sock`.
        chosen: the user named it (DOCKER_HOST, DOCKER_CONTEXT or `docker context use`); then we start no
        other.
    """

    address: str
    chosen: bool


def endpoint() -> Endpoint:
    """The engine that the docker command would use: DOCKER_HOST, else the current context, else the default
    socket.

    Raises:
        UnfitEnvironmentError: the context that DOCKER_CONTEXT names does not exist.
    """
    host = os.environ.get("DOCKER_HOST")
    if host:
        return Endpoint(host, chosen=True)
    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()
    context = ContextAPI.get_context(name)
    if context is None:
        raise UnfitEnvironmentError(
            Problem(
                code="HNV-ENG-001",
                message=f"there is no Docker context named {name}",
                hint="docker context ls; unset DOCKER_CONTEXT for the default one",
            )
        )
    return Endpoint(context.Host or "unix:///var/run/docker.sock", chosen=name != "default")


def connect(events: Events, *, may_start: bool = False) -> docker.DockerClient:
    """A client of the engine.

    Parameters:
        events: is told when an engine is installed or started.
        may_start: install and start an engine where none answers, if this is Debian or Ubuntu and we are
        root.

    Raises:
        UnfitEnvironmentError: no engine answers, and none may or can be started.
    """
    place = endpoint()
    try:
        return _client(place)
    except DockerException as error:
        reason = error
    local = LocalEngine(state_root() / "engine")
    if may_start and not place.chosen and local.can_start() and not _denied(reason):
        local.start(events, answers=lambda: _answers(place))
        return _client(place)
    raise UnfitEnvironmentError(
        Problem(
            code="HNV-ENG-002",
            message=f"no Docker engine answers at {place.address}: {_cause(reason)}",
            place=place.address,
            hint=_hint(place, reason, local),
        )
    )


def _client(place: Endpoint) -> docker.DockerClient:
    # from_env reads DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, which belong to DOCKER_HOST.
    if os.environ.get("DOCKER_HOST"):
        return docker.from_env(timeout=REQUEST_TIMEOUT_S)
    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()
    context = ContextAPI.get_context(name)
    return docker.DockerClient(
        base_url=place.address,
        tls=(context.TLSConfig or False) if context is not None else False,
        version="auto",
        timeout=REQUEST_TIMEOUT_S,
    )


def _answers(place: Endpoint) -> bool:
    try:
        client = docker.DockerClient(base_url=place.address, version="auto", timeout=PROBE_TIMEOUT_S)
        with closing(client.api):
            return bool(client.ping())
    except DockerException:
        return False


def _denied(error: DockerException) -> bool:
    return "PermissionError" in repr(error) or "Permission denied" in str(error)


def _cause(error: DockerException) -> str:
    """docker-py wraps the system's word thrice; the innermost is the one that says something."""
    if _denied(error):
        return "permission denied"
    if "FileNotFoundError" in str(error):
        return "there is no such socket"
    if "refused" in str(error):
        return "connection refused"
    return str(error)


def _hint(place: Endpoint, error: DockerException, local: LocalEngine) -> str:
    if _denied(error):
        return "let this user use Docker: sudo usermod -aG docker $USER, then log in again"
    if place.chosen:
        return "start that engine, or unset DOCKER_HOST and DOCKER_CONTEXT"
    if local.can_start():
        return "hnvlab up brings an engine by itself"
    return "install and start Docker Engine; as root on Debian or Ubuntu, hnvlab up does it"
