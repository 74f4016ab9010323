"""`hnvlab logs NODE`: what a node's daemons wrote."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lab.cli import options, output
from lab.errors import Problem, UsageError


def logs(
    node: options.Node,
    lab: options.LabOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is still to come.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", "-n", min=0, help="Only so many last lines.")] = None,
    as_json: options.Json = False,
) -> None:
    """Show what a node's daemons wrote."""
    from lab.cli.labs import chosen
    from lab.cli.labs import node as find
    from lab.cli.progress import Silence
    from lab.engine import access
    from lab.engine.docker_engine import connect

    if as_json and follow:
        raise UsageError(
            Problem(
                "HNV-CLI-007", "--json waits for the end, --follow has none", node, expected="one of them"
            )
        )
    client = connect(Silence())
    standing = find(client, chosen(client, lab), node)
    if as_json:
        text = b"".join(access.logs(client, standing.container, follow=False, tail=tail)).decode(
            errors="replace"
        )
        output.data({"node": node, "lines": text.splitlines()})
        return
    for chunk in access.logs(client, standing.container, follow=follow, tail=tail):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
