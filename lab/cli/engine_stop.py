"""`hnvlab engine-stop`: end the Docker engine that `hnvlab up` started."""

from __future__ import annotations

from lab.cli import options, output


def engine_stop(as_json: options.Json = False) -> None:
    """End the Docker engine, if `hnvlab up` started it; any other is left alone."""
    from lab.engine.local_engine import LocalEngine
    from lab.engine.state import state_root

    stopped = LocalEngine(state_root() / "engine").stop()
    if as_json:
        output.data({"stopped": stopped})
    else:
        output.text(
            "the Docker engine has ended" if stopped else "no Docker engine here was started by hnvlab"
        )
