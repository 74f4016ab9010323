"""`python -m lab.controller`: the Network Controller of one lab, northbound and southbound in one process."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from lab.controller.api import create_app
from lab.controller.controller import Controller
from lab.controller.southbound import create_server
from lab.controller.store import SqliteStore
from lab.southbound.identity import NORTHBOUND_PORT, SOUTHBOUND_PORT, TLS_DIRECTORY

TOKEN_PATH = Path("/etc/hnvlab/token")
DATABASE_PATH = Path("/var/lib/hnvlab/controller.db")
GRACE_S = 1
"""How long clients' and agents' connections may take to end when the controller stops."""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; each option's default can be set by HNVLAB_NC_<OPTION> in the environment."""
    parser = argparse.ArgumentParser(prog="python -m lab.controller", description=__doc__)

    def option(name: str, default: object, text: str) -> None:
        variable = "HNVLAB_NC_" + name.upper().replace("-", "_")
        kind = type(default) if not isinstance(default, Path) else Path
        value = kind(os.environ[variable]) if variable in os.environ else default  # type: ignore[call-arg]
        parser.add_argument(f"--{name}", type=kind, default=value, help=f"{text} (default: {default})")

    option("address", "0.0.0.0", "address to listen on")
    option("rest-port", NORTHBOUND_PORT, "TCP port of the REST API")
    option("southbound-port", SOUTHBOUND_PORT, "TCP port for the agents")
    option("tls", TLS_DIRECTORY, "directory of ca.pem, cert.pem and key.pem")
    option("token", TOKEN_PATH, "file that holds the bearer token")
    option("database", DATABASE_PATH, "file that keeps the state")
    option("log-level", "INFO", "level of the log on stderr")
    return parser.parse_args(argv)


async def serve(options: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT."""
    options.database.parent.mkdir(parents=True, exist_ok=True)
    store = SqliteStore(options.database)
    # What the store holds is no garbage: looking through it again and again would make a datacenter of 60,000
    # interfaces wait for seconds.
    gc.disable()
    controller = Controller(store)
    gc.freeze()
    gc.enable()
    app = create_app(controller, options.token.read_text().strip())
    southbound = create_server(controller, options.address, options.southbound_port, options.tls)
    northbound = uvicorn.Server(
        uvicorn.Config(
            app,
            host=options.address,
            port=options.rest_port,
            ssl_certfile=options.tls / "cert.pem",
            ssl_keyfile=options.tls / "key.pem",
            log_config=None,
            access_log=False,
            lifespan="off",
            # A client that keeps its connection open must not keep the controller from ending.
            timeout_graceful_shutdown=GRACE_S,
        )
    )
    # uvicorn takes the signals while it serves, and raises them again for the handlers that it found before.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
    await southbound.start()
    try:
        await northbound.serve()
    finally:
        await southbound.stop(GRACE_S)
        store.close()


def main() -> int:
    """Entry point; returns the exit code."""
    options = arguments(sys.argv[1:])
    logging.basicConfig(
        stream=sys.stderr, level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    asyncio.run(serve(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
