"""`python -m lab.edge SERVICE`: the programs of an edge's supervised services."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from lab.model.edge import EDGE_PATH, EdgeConfig

log = logging.getLogger("lab.edge")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where an edge's services find things.

    Attributes:
        config: the edge's configuration, left there by the engine.
        state: rendered configuration files.
        pins: directory on bpffs of the front end; None: the usual one.
    """

    config: Path
    state: Path
    pins: Path | None


def run(paths: Paths) -> None:
    """Keep the way to the gateway until told to end."""
    from lab.datapath.pins import FRONT_END_PINS
    from lab.edge.agent import EdgeAgent

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    EdgeAgent(EdgeConfig.load(paths.config), paths.pins or FRONT_END_PINS).run(stop)


def exabgp(paths: Paths) -> None:
    """Become ExaBGP."""
    from lab.speaker.run import become_exabgp

    arguments = ["--config", str(paths.config), "--state", str(paths.state)]
    command = [sys.executable, "-m", "lab.edge", *arguments, "routes"]
    become_exabgp(EdgeConfig.load(paths.config), paths.state / "exabgp.conf", command)


def routes(paths: Paths) -> None:
    """ExaBGP's child: its lines on stdin become kernel routes."""
    from pyroute2 import IPRoute

    from lab.edge.tunnel import DEVICE
    from lab.speaker.routes import KernelRoutes, follow

    config = EdgeConfig.load(paths.config)
    tunnelled = config.gre_key is not None
    with IPRoute() as kernel:
        known = KernelRoutes(
            kernel,
            DEVICE if tunnelled else config.wan,
            config.lan_router,
            None if tunnelled else config.gateway,
            config.ipv6,
        )
        follow(sys.stdin.fileno(), known)


SERVICES = {"run": run, "exabgp": exabgp, "routes": routes}


def main() -> None:
    """Parse the command line and become the service that it names."""
    parser = argparse.ArgumentParser(prog="python -m lab.edge", description=__doc__)
    parser.add_argument("--config", type=Path, default=EDGE_PATH, help="the edge's configuration")
    parser.add_argument("--state", type=Path, default=Path("/run/hnvlab"), help="directory of files")
    parser.add_argument("--pins", type=Path, help="directory on bpffs of the front end")
    parser.add_argument("service", choices=SERVICES)
    arguments = parser.parse_args()
    # stdout of ExaBGP's child is ExaBGP's command channel: logs go to stderr.
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    SERVICES[arguments.service](Paths(arguments.config, arguments.state, arguments.pins))


if __name__ == "__main__":
    main()
