"""`python -m gwnode run`: the multitenant gateway's agent, a supervised service of its node.

`bgp TENANT` shows what a tenant's BGP router knows, agent or not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import sys

from lab.errors import LabError

log = logging.getLogger("gwnode")

KIND = "gateway"


def run() -> None:
    """Serve the Network Controller until interrupted. However this ends, the node goes on as it is."""
    # Imported only here: what is only shown must not wait for gRPC.
    from gwnode.agent import GatewayAgent
    from gwnode.settings import Settings
    from lab.datapath.endpoint import Endpoint
    from lab.datapath.front_end import FrontEnd
    from lab.ipsec.esp import detect_backend
    from lab.southbound.agent import run_agent
    from lab.southbound.identity import NodeIdentity

    identity = NodeIdentity.load()
    backend = detect_backend()
    log.info("ESP by %s", backend.value)
    settings = Settings(lab=identity.lab)

    async def serve(front_end: FrontEnd) -> None:
        with contextlib.closing(Endpoint(identity)) as endpoint:
            agent = GatewayAgent(settings, backend, endpoint, front_end)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(endpoint.watch(agent.changed))
                tasks.create_task(endpoint.log_events())
                tasks.create_task(run_agent(identity, KIND, agent))

    # Not inside of the loop: where the kernel has no TCX, the front end speaks netlink, which has its own.
    with contextlib.closing(FrontEnd(settings.front_end)) as front_end:
        asyncio.run(serve(front_end))


def _show_bgp(tenant: str, kind: str, *, as_json: bool) -> None:
    from gwnode.bgp.routes import Kind
    from gwnode.bgp.show import shown, text
    from gwnode.settings import Settings

    document = shown(Settings(lab="").state, tenant, Kind(kind))
    sys.stdout.write((json.dumps(document, indent=2) if as_json else text(document)) + "\n")


def main(arguments: list[str]) -> int:
    """Carry out the command line; listings go to stdout, everything else to stderr.

    Returns:
        The process's exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m gwnode", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="the agent; ends only when it is told to")
    bgp = commands.add_parser("bgp", help="peers and routes of a tenant's BGP router")
    bgp.add_argument("tenant")
    bgp.add_argument("--routes", choices=["all", "best", "damped"], default="all")
    bgp.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    if options.command == "bgp":
        try:
            _show_bgp(options.tenant, options.routes, as_json=options.json)
        except LabError as error:
            sys.stderr.write(f"{error}\n")
            return int(error.exit_code)
        return 0
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
