"""What is done to single containers and networks, in Docker's words."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import APIError, NotFound

from lab.engine.context import member
from lab.engine.pki import NodeTls
from lab.errors import LabError, Problem
from lab.plan import marks
from lab.plan.container import ContainerSpec
from lab.southbound.identity import TLS_DIRECTORY

TOKEN_PATH = Path("/etc/hnvlab/token")
LOOPBACK = "127.0.0.1"
CONFLICT = 409
LOG_LINES = 10
"""Of a container's log, in messages."""


class ContainerError(LabError):
    """The engine refused something that a lab needs."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What makes a lab's nodes trust each other.

    Attributes:
        tls: for each node that speaks TLS, its certificate.
        token: of the Network Controller's API.
    """

    tls: Mapping[str, NodeTls]
    token: str


def create(client: docker.DockerClient, spec: ContainerSpec, credentials: Credentials) -> None:
    """Make a container and put its files into it; it does not run yet.

    Raises:
        ContainerError: the engine refuses; nothing is left.
    """
    api = client.api
    try:
        made = api.create_container(
            image=spec.image,
            command=list(spec.command) if spec.command is not None else None,
            hostname=spec.node,
            name=spec.name,
            environment=dict(spec.environment),
            labels=dict(spec.labels),
            ports=[(port, "tcp") for port in spec.published_ports],
            host_config=api.create_host_config(
                init=True,
                network_mode=spec.network or "none",
                cap_add=list(spec.capabilities),
                devices=[f"{device}:{device}:rwm" for device in spec.devices],
                security_opt=list(spec.security_options),
                sysctls=dict(spec.sysctls),
                dns=list(spec.dns),
                port_bindings=dict.fromkeys(spec.published_ports, (LOOPBACK,)),
            ),
        )
        api.put_archive(made["Id"], "/", file_archive(spec, credentials))
    except APIError as error:
        remove(client, spec.name)
        raise _refused(f"the container {spec.name} cannot be made", spec.node, error) from error


def start(client: docker.DockerClient, name: str, node: str) -> None:
    """Start a container.

    Raises:
        ContainerError: the engine refuses.
    """
    try:
        client.api.start(name)
    except APIError as error:
        raise _refused(f"the container {name} does not start", node, error) from error


def remove(client: docker.DockerClient, name: str) -> None:
    """Remove a container, running or not; one that is gone, or going, is as good as removed.

    Raises:
        ContainerError: the engine refuses.
    """
    try:
        client.api.remove_container(name, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != CONFLICT:  # "removal … is already in progress"
            raise _refused(f"the container {name} cannot be removed", name, error) from error


def create_network(client: docker.DockerClient, name: str, lab: str) -> None:
    """Make the Docker network through which the Network Controller's API is published on loopback.

    Raises:
        ContainerError: the engine refuses.
    """
    try:
        client.api.create_network(name, driver="bridge", labels={marks.LAB: lab}, check_duplicate=True)
    except APIError as error:
        raise _refused(f"the network {name} cannot be made", name, error) from error


def remove_network(client: docker.DockerClient, name: str) -> None:
    """Remove a Docker network; one that is gone is as good as removed.

    Raises:
        ContainerError: the engine refuses.
    """
    try:
        client.api.remove_network(name)
    except NotFound:
        return
    except APIError as error:
        raise _refused(f"the network {name} cannot be removed", name, error) from error


def last_log(client: docker.DockerClient, name: str, lines: int) -> str:
    """The end of what a container's processes wrote; empty when there is no such container."""
    try:
        text: bytes = client.api.logs(name, stdout=True, stderr=True, tail=lines)
    except APIError:
        return ""
    return text.decode(errors="replace").rstrip()


def ended(client: docker.DockerClient, name: str, node: str) -> ContainerError:
    """The error for a container that should run and does not; with its last words."""
    try:
        state = client.api.inspect_container(name)["State"]
    except NotFound:
        return ContainerError(
            Problem(
                code="HNV-ENG-032",
                message=f"the container {name} is gone",
                place=node,
                hint="hnvlab up makes it anew",
            )
        )
    why = "out of memory" if state.get("OOMKilled") else f"exit {state['ExitCode']}"
    return ContainerError(
        Problem(
            code="HNV-ENG-031",
            message=f"the container {name} has ended ({why})",
            place=node,
            hint="its last words:\n" + last_log(client, name, LOG_LINES),
        )
    )


def file_archive(spec: ContainerSpec, credentials: Credentials) -> bytes:
    """Everything that the container is given before it starts, as a tar below `/`."""
    contents: dict[str, tuple[bytes, int]] = {
        path: (source.read_bytes(), 0o755 if source.stat().st_mode & 0o100 else 0o644)
        for path, source in spec.files.items()
    }
    contents |= {path: (text.encode(), 0o644) for path, text in spec.texts.items()}
    if spec.tls:
        tls = credentials.tls[spec.node]
        contents[str(TLS_DIRECTORY / "ca.pem")] = (tls.ca, 0o644)
        contents[str(TLS_DIRECTORY / "cert.pem")] = (tls.certificate, 0o644)
        contents[str(TLS_DIRECTORY / "key.pem")] = (tls.key, 0o600)
    if spec.token:
        contents[str(TOKEN_PATH)] = (credentials.token.encode(), 0o600)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, (content, mode) in sorted(contents.items()):
            tar.addfile(member(path.lstrip("/"), len(content), mode), io.BytesIO(content))
    return buffer.getvalue()


def _refused(what: str, place: str, error: APIError) -> ContainerError:
    return ContainerError(
        Problem(code="HNV-ENG-030", message=f"{what}: {error.explanation or error}", place=place)
    )
