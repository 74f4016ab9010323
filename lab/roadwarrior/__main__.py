"""`python -m lab.roadwarrior SERVICE`: the programs of a road warrior's services, and its state."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from lab.ipsec.esp import detect_backend
from lab.ipsec.strongswan import render
from lab.model.roadwarrior import RoadWarriorConfig
from lab.roadwarrior.config import Paths, charon_config

log = logging.getLogger("lab.roadwarrior")


def charon(paths: Paths) -> None:
    """Become charon."""
    backend = detect_backend()
    log.info("ESP by %s", backend.value)
    paths.state.mkdir(parents=True, exist_ok=True)
    # What a charon that was killed has left is nobody's word any more.
    paths.name_servers.unlink(missing_ok=True)
    paths.strongswan.write_text(render(charon_config(RoadWarriorConfig.load(paths.config), paths, backend)))
    os.execvpe("charon-systemd", ["charon-systemd"], os.environ | {"STRONGSWAN_CONF": str(paths.strongswan)})


def run(paths: Paths) -> None:
    """Drive charon until told to end."""
    from lab.roadwarrior.agent import RoadWarriorAgent

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    paths.state.mkdir(parents=True, exist_ok=True)
    RoadWarriorAgent(RoadWarriorConfig.load(paths.config), paths, detect_backend()).run(stop)


def state(paths: Paths) -> None:
    """Print what is known of the connection, as JSON."""
    sys.stdout.write(paths.report.read_text() + "\n")


SERVICES = {"charon": charon, "run": run, "state": state}


def main() -> None:
    """Parse the command line and become the service that it names."""
    default = Paths()
    parser = argparse.ArgumentParser(prog="python -m lab.roadwarrior", description=__doc__)
    parser.add_argument(
        "--config", type=Path, default=default.config, help="the road warrior's configuration"
    )
    parser.add_argument("--state", type=Path, default=default.state, help="directory of sockets and files")
    parser.add_argument("--resolver", type=Path, default=default.resolver, help="resolv.conf")
    parser.add_argument("service", choices=SERVICES)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    SERVICES[arguments.service](
        Paths(config=arguments.config, state=arguments.state, resolver=arguments.resolver)
    )


if __name__ == "__main__":
    main()
