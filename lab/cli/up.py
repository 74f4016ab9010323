"""`hnvlab up FILE`: bring a lab up, or make a running one be as its file says."""

from __future__ import annotations

from typing import Annotated

import typer

from lab.cli import options, output


def up(
    file: options.File,
    as_json: options.Json = False,
    timings: options.Timings = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds to wait until the lab has converged.")
    ] = 300,
) -> None:
    """Bring a lab up, or make a running one be as its file says.

    Returns when every tunnel, every BGP session and every host's policy stands. Run twice, it changes
    nothing.
    """
    from lab.cli.progress import progress
    from lab.engine.docker_engine import connect
    from lab.engine.up import bring_up
    from lab.model.loader import load
    from lab.model.resolve import resolve

    lab = resolve(load(file))
    with progress(quiet=as_json) as events:
        client = connect(events, may_start=True)
        result = bring_up(client, lab, file.resolve(), events, timeout_s=timeout_s)
    if as_json:
        output.data(result.to_json())
        return
    if timings:
        output.table(
            ("PHASE", "SECONDS"), [(name, f"{seconds:.2f}") for name, seconds in result.phases.items()]
        )
    done = f"{result.changes} changes" if result.changes else "nothing had to be changed"
    output.text(f"{lab.name} is up: {len(lab.nodes)} nodes, {done}")
    output.note(f"next: hnvlab check {lab.name}; hnvlab status {lab.name}; the API is {result.api}")
