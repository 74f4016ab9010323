"""`python -m lab.hvhost run`: a Hyper-V host's agent. `show policy|ports|drops|flows`: what its switch holds.

`flows export|import` takes the connections of a vport along to another host, `trace` follows one packet. All
but `run` work on the kernel's pinned maps, on hosts and gateways, agent or not.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from ipaddress import ip_address
from uuid import UUID

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
    show.add_argument("what", choices=["policy", "ports", "drops", "flows"])
    show.add_argument("--json", action="store_true", help="for programs")
    _add_flows(commands.add_parser("flows", help="take the connections of a vport to another host"))
    _add_trace(commands.add_parser("trace", help="follow one packet; ends with its stdin"))
    options = parser.parse_args(arguments)
    try:
        if options.command == "run":
            _run()
        elif options.command == "flows":
            _flows(options)
        elif options.command == "trace":
            _trace(options)
        else:
            _show(options.what, as_json=options.json)
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    except KeyboardInterrupt:
        return 130
    return 0


def _add_flows(parser: argparse.ArgumentParser) -> None:
    ways = parser.add_subparsers(dest="way", required=True)
    out = ways.add_parser("export", help="to stdout")
    out.add_argument("interface", help="name of the vport")
    into = ways.add_parser("import", help="from stdin")
    into.add_argument("ifindex", type=int, help="index that the vport has here, or is going to have")


def _add_trace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rdid", type=UUID, required=True, help="routing domain")
    parser.add_argument("--mark", type=int, required=True, help="IPv4 identification or IPv6 flow label")
    parser.add_argument("--source", type=ip_address, required=True)
    parser.add_argument("--destination", type=ip_address, required=True)
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds after which it ends in any case")


def _flows(options: argparse.Namespace) -> None:
    from lab.hvhost.flows import exported, imported

    if options.way == "export":
        sys.stdout.write(exported(options.interface) + "\n")
    else:
        sys.stdout.write(json.dumps({"imported": imported(options.ifindex, sys.stdin.read())}) + "\n")


def _trace(options: argparse.Namespace) -> None:
    from lab.hvhost.trace import Followed, follow, print_line

    packet = Followed(options.rdid, options.mark, options.source, options.destination)
    follow(packet, print_line, sys.stdin.fileno(), options.timeout)


def _run() -> None:
    # Imported only here: a listing must not wait for gRPC.
    import asyncio

    from lab.hvhost.agent import serve
    from lab.southbound.identity import NodeIdentity

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(serve(NodeIdentity.load()))


def _show(what: str, *, as_json: bool) -> None:
    from lab.hvhost.flows import listing as flows

    state = PinnedState()
    listings: dict[str, Callable[[], Listing]] = {
        "policy": state.policy,
        "ports": state.ports,
        "drops": state.drops,
        "flows": flows,
    }
    listing = listings[what]()
    text = json.dumps(listing, indent=2) if as_json else as_text(listing)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
