"""`python -m lab.hvhost run`: the Hyper-V host's agent. `show policy|ports|drops`: what its switch holds.

`show` reads the kernel's pinned maps and works on hosts and gateways, agent or not.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable

from lab.datapath.show import Listing, PinnedState, as_text
from lab.errors import LabError


def main(arguments: list[str]) -> int:
    """Carry out the command line; listings go to stdout, everything else to stderr.

    Returns:
        The process's exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m lab.hvhost", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="the agent; ends only when it is told to")
    show = commands.add_parser("show", help="what the switch of this node holds")
    show.add_argument("what", choices=["policy", "ports", "drops"])
    show.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    try:
        if options.command == "run":
            _run()
        else:
            _show(options.what, as_json=options.json)
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    except KeyboardInterrupt:
        return 130
    return 0


def _run() -> None:
    # Imported only here: a listing must not wait for gRPC.
    import asyncio

    from lab.hvhost.agent import serve
    from lab.southbound.identity import NodeIdentity

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(serve(NodeIdentity.load()))


def _show(what: str, *, as_json: bool) -> None:
    state = PinnedState()
    listings: dict[str, Callable[[], Listing]] = {
        "policy": state.policy,
        "ports": state.ports,
        "drops": state.drops,
    }
    listing = listings[what]()
    text = json.dumps(listing, indent=2) if as_json else as_text(listing)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
