"""A host's agent as a process of its own, its switch in a namespace.

    python -m tests.bench.control.node JSON

The same parts as `lab.hvhost`, put together so that the controller is reached over the loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.datapath.endpoint import Endpoint
from lab.hvhost.agent import KIND, HostAgent
from lab.southbound.agent import run_agent
from lab.southbound.identity import NodeIdentity

LAB = "bench"
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Settings:
    """What an agent must know.

    Attributes:
        name: of the node.
        namespace: name of its network namespace.
        pins: directory on bpffs.
        object_file: the compiled data plane.
        tls: directory of its certificate.
        port: of the controller's southbound server, on the loopback.
    """

    name: str
    namespace: str
    pins: str
    object_file: str
    tls: str
    port: int


@contextmanager
def agent(settings: Settings) -> Iterator[None]:
    """Run an agent for as long as the context lasts."""
    command = [sys.executable, "-m", "tests.bench.control.node", json.dumps(asdict(settings))]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def _enter(namespace: str) -> None:
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(descriptor)


async def _serve(settings: Settings, identity: NodeIdentity, endpoint: Endpoint) -> None:
    host = HostAgent(endpoint)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(endpoint.watch(host.changed))
        tasks.create_task(run_agent(identity, KIND, host, tls=Path(settings.tls), port=settings.port))


def main() -> None:
    """Be an agent until ended."""
    settings = Settings(**json.loads(sys.argv[1]))
    identity = NodeIdentity(lab=LAB, node=settings.name, kind=KIND, controller="127.0.0.1")
    # Only the endpoint's threads live in the namespace; gRPC's do not.
    with ThreadPoolExecutor(1, initializer=_enter, initargs=(settings.namespace,)) as inside:
        opened = inside.submit(
            lambda: Endpoint(identity, pins=Path(settings.pins), object_file=Path(settings.object_file))
        )
        with contextlib.closing(opened.result()) as endpoint:
            asyncio.run(_serve(settings, identity, endpoint))


if __name__ == "__main__":
    main()
