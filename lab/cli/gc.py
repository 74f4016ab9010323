"""`hnvlab gc`: remove what no lab needs any more."""

from __future__ import annotations

from typing import Annotated

import typer

from lab.cli import options, output


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: options.Json = False,
) -> None:
    """Remove what no lab needs any more: old images, left-over helpers, state of labs that are gone."""
    from lab.cli.progress import Silence
    from lab.engine.docker_engine import connect
    from lab.engine.gc import collect, leftovers

    client = connect(Silence())
    found = leftovers(client)
    if not dry_run:
        collect(client, found)
    if as_json:
        output.data({"removed": not dry_run, **found.to_json()})
        return
    for line in found.lines():
        output.text(line)
    output.note("nothing to remove" if not found.lines() else "would be removed" if dry_run else "removed")
