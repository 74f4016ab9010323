"""`python -m gwnode run`: the multitenant gateway's agent, a supervised service of its node."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys

from gwnode.agent import GatewayAgent
from gwnode.settings import Settings
from lab.datapath.endpoint import Endpoint
from lab.datapath.front_end import FrontEnd
from lab.ipsec.esp import detect_backend
from lab.southbound.agent import run_agent
from lab.southbound.identity import NodeIdentity

log = logging.getLogger("gwnode")

KIND = "gateway"


async def run() -> None:
    """Serve the Network Controller until cancelled. However this ends, the node goes on as it is."""
    identity = NodeIdentity.load()
    backend = detect_backend()
    log.info("ESP by %s", backend.value)
    settings = Settings(lab=identity.lab)
    with (
        contextlib.closing(Endpoint(identity)) as endpoint,
        contextlib.closing(FrontEnd(settings.front_end)) as front_end,
    ):
        agent = GatewayAgent(settings, backend, endpoint, front_end)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(endpoint.watch(agent.changed))
            tasks.create_task(endpoint.log_events())
            tasks.create_task(run_agent(identity, KIND, agent))


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m gwnode", description=__doc__)
    parser.add_argument("command", choices=["run"])
    parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(run())


if __name__ == "__main__":
    main()
