"""Who applies a wiring: this process, as root beside the engine, else a throw-away container.

The container is the way for an ordinary user who may use Docker, and where the engine runs in a virtual
machine (Docker Desktop). It runs the same module (`lab.engine.netlink`), in the machine's PID namespace, with
the capabilities that entering namespaces and making links need, and none more.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import docker
from docker.errors import APIError

from lab.engine import netlink, owner
from lab.engine.containers import remove
from lab.engine.context import member
from lab.engine.namespaces import WiringError
from lab.engine.observe import HELPER
from lab.engine.wiring import Outcome, Wiring
from lab.errors import LabError, Problem
from lab.plan import marks

CAPABILITIES = ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "NET_RAW")
"""setns(2) and writing /proc/sys; links; opening /proc/PID/ns of a process that is not ours; raw sockets."""
REQUEST = "/request.json"
COMMAND = ("sh", "-c", f"exec python3 -m lab.engine.netlink <{REQUEST}")
TIMEOUT_S = 120


class WiringFailedError(LabError):
    """The links of the lab could not be made."""


def pids(client: docker.DockerClient, containers: Mapping[str, str]) -> Mapping[str, int]:
    """For each node the id of its container's first process; only of those that run.

    Parameters:
        containers: node -> container.
    """
    found = {node: client.api.inspect_container(name)["State"]["Pid"] for node, name in containers.items()}
    return {node: pid for node, pid in found.items() if pid}


def apply(
    client: docker.DockerClient, lab: str, image: str, wiring: Wiring, processes: Mapping[str, int]
) -> Outcome:
    """Make the lab's links be as the wiring says.

    Parameters:
        lab: name of the lab; marks the throw-away container.
        image: the fabric image.
        wiring: what shall be.
        processes: node -> process in its namespace, as the engine's machine counts processes.

    Raises:
        WiringFailedError: the kernel or the engine refused.
    """
    if not wiring.nodes():
        return Outcome()
    try:
        if can_wire_directly(processes):
            return netlink.apply(wiring, processes)
        return _in_container(client, lab, image, wiring, processes)
    except (WiringError, APIError) as error:
        raise _failed(str(error)) from error


def can_wire_directly(processes: Mapping[str, int]) -> bool:
    """Whether the processes are this machine's, and their namespaces open to us."""
    if os.geteuid() != 0:
        return False
    # On Docker Desktop a process of that id is another one, or none: a container's has a namespace of its
    # own.
    own = Path("/proc/self/ns/net").stat().st_ino
    try:
        spaces = {Path(f"/proc/{pid}/ns/net").stat().st_ino for pid in processes.values()}
    except OSError:
        return False
    return own not in spaces and len(spaces) == len(processes) and _are_containers(processes)


def _are_containers(processes: Mapping[str, int]) -> bool:
    """Docker's init is the first process of each."""
    return all(
        Path(f"/proc/{pid}/comm").read_text().strip() in {"docker-init", "tini"} for pid in processes.values()
    )


def create(
    client: docker.DockerClient, lab: str, image: str, command: Sequence[str], *, stdin: bool = False
) -> str:
    """Make the throw-away container that runs a program of ours beside the kernel; its id.

    Parameters:
        stdin: the program will be talked to.

    Raises:
        APIError: the engine refuses.
    """
    api = client.api
    made = api.create_container(
        image=image,
        command=list(command),
        stdin_open=stdin,
        labels={marks.LAB: lab, marks.KIND: HELPER, owner.LABEL: owner.mark()},
        host_config=api.create_host_config(
            pid_mode="host",
            network_mode="none",
            cap_drop=["ALL"],
            cap_add=list(CAPABILITIES),
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        ),
    )
    return str(made["Id"])


def _in_container(
    client: docker.DockerClient, lab: str, image: str, wiring: Wiring, processes: Mapping[str, int]
) -> Outcome:
    api = client.api
    made = create(client, lab, image, COMMAND)
    try:
        api.put_archive(made, "/", _request(wiring, processes))
        api.start(made)
        status = api.wait(made, timeout=TIMEOUT_S)["StatusCode"]
        answer = api.logs(made, stdout=True, stderr=False).decode()
        if status != 0:
            raise _failed(_error(answer) or api.logs(made, stdout=False, stderr=True).decode().strip())
        return Outcome(tuple(json.loads(answer)["changes"]))
    finally:
        remove(client, made)


def _request(wiring: Wiring, processes: Mapping[str, int]) -> bytes:
    content = json.dumps({"wiring": wiring.to_json(), "pids": dict(processes)}).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(member(REQUEST.lstrip("/"), len(content), 0o644), io.BytesIO(content))
    return buffer.getvalue()


def _error(answer: str) -> str:
    try:
        return str(json.loads(answer)["error"])
    except (ValueError, KeyError):
        return ""


def _failed(message: str) -> WiringFailedError:
    return WiringFailedError(Problem(code="HNV-ENG-040", message=f"the lab cannot be wired: {message}"))
