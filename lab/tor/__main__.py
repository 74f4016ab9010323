"""`python -m lab.tor SERVICE`: the programs of the top-of-rack router's supervised services."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from lab.model.router import ROUTER_PATH, RouterConfig
from lab.tor.config import bird_config

DEFAULT_STATE = Path("/run/hnvlab")


def bird(config: RouterConfig, state: Path, _pins: Path | None) -> None:
    """Become BIRD; `birdc -s /run/hnvlab/bird.ctl` talks to it."""
    state.mkdir(parents=True, exist_ok=True)
    path = state / "bird.conf"
    path.write_text(bird_config(config))
    os.execvp("bird", ["bird", "-f", "-c", str(path), "-s", str(state / "bird.ctl")])


def ports(config: RouterConfig, _state: Path, pins: Path | None) -> None:
    """Keep the access ports until told to end; a router without any has nothing to load."""
    from lab.datapath.pins import ACCESS_PINS
    from lab.tor.agent import PortAgent

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if config.access_ports:
        PortAgent(config.access_ports, pins or ACCESS_PINS).run(stop)
    else:
        stop.wait()


SERVICES = {"bird": bird, "ports": ports}


def main() -> None:
    """Parse the command line and become the service that it names."""
    parser = argparse.ArgumentParser(prog="python -m lab.tor", description=__doc__)
    parser.add_argument("--config", type=Path, default=ROUTER_PATH, help="the router's configuration")
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="directory of sockets and files")
    parser.add_argument("--pins", type=Path, help="directory on bpffs of the access ports")
    parser.add_argument("service", choices=SERVICES)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    SERVICES[arguments.service](RouterConfig.load(arguments.config), arguments.state, arguments.pins)


if __name__ == "__main__":
    main()
