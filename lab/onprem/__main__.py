"""`python -m lab.onprem SERVICE`: the programs of a site's supervised services.

Each imports its own libraries: a program that only becomes another must not wait for pyroute2 first.
"""

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
from lab.model.lab import SiteConfig
from lab.onprem.config import Paths, charon_config
from lab.speaker.run import become_exabgp

log = logging.getLogger("lab.onprem")


def charon(paths: Paths) -> None:
    """Become charon."""
    backend = detect_backend()
    log.info("ESP by %s", backend.value)
    _write(paths.strongswan, render(charon_config(paths, backend)))
    os.execvpe("charon-systemd", ["charon-systemd"], os.environ | {"STRONGSWAN_CONF": str(paths.strongswan)})


def exabgp(paths: Paths) -> None:
    """Become ExaBGP; at a site without BGP, do nothing until told to end."""
    site = SiteConfig.load(paths.site)
    if not site.bgp:
        log.info("no BGP here: static routes lead to the cloud")
        signal.pause()
    command = [sys.executable, "-m", "lab.onprem", *_arguments(paths), "routes"]
    become_exabgp(site, paths.exabgp, command)


def run(paths: Paths) -> None:
    """Drive charon until told to end."""
    from lab.onprem.agent import SiteAgent

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    SiteAgent(SiteConfig.load(paths.site), paths, detect_backend()).run(stop)


def routes(paths: Paths) -> None:
    """ExaBGP's child: its lines on stdin become kernel routes."""
    from pyroute2 import IPRoute

    from lab.onprem.routes import kernel_routes
    from lab.speaker.routes import follow

    site = SiteConfig.load(paths.site)
    with IPRoute() as kernel:
        follow(sys.stdin.fileno(), kernel_routes(kernel, site))


SERVICES = {"charon": charon, "exabgp": exabgp, "run": run, "routes": routes}


def main() -> None:
    """Parse the command line and become the service that it names."""
    default = Paths()
    parser = argparse.ArgumentParser(prog="python -m lab.onprem", description=__doc__)
    parser.add_argument("--site", type=Path, default=default.site, help="the site's configuration")
    parser.add_argument("--state", type=Path, default=default.state, help="directory of sockets and files")
    parser.add_argument("service", choices=SERVICES)
    arguments = parser.parse_args()
    # stdout of ExaBGP's child is ExaBGP's command channel: logs go to stderr.
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    SERVICES[arguments.service](Paths(site=arguments.site, state=arguments.state))


def _arguments(paths: Paths) -> list[str]:
    return ["--site", str(paths.site), "--state", str(paths.state)]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    main()
