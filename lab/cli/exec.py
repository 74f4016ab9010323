"""`hnvlab exec NODE -- COMMAND`: run a command in a node."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, TextIO

import typer

from lab.cli import options, output


def exec_(
    node: options.Node,
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="The command and its arguments.")
    ],
    lab: options.LabOption = None,
    as_json: options.Json = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="On a terminal of your own, e.g. for a shell.")
    ] = False,
) -> int:
    """Run a command in a node; its exit code is ours."""
    from lab.cli.labs import chosen
    from lab.cli.labs import node as find
    from lab.cli.progress import Silence
    from lab.engine import access
    from lab.engine.docker_engine import connect

    command = command[1:] if command[0] == "--" else command
    client = connect(Silence())
    standing = find(client, chosen(client, lab), node)
    if interactive:
        sys.stdout.flush()
        os.execvp("docker", ["docker", "exec", "--interactive", "--tty", standing.container, *command])
    if as_json:
        done = access.run(client, standing.container, command)
        output.data({"node": node, "exit_code": done.exit_code, "stdout": done.stdout, "stderr": done.stderr})
        return done.exit_code
    return access.stream(client, standing.container, command, _to(sys.stdout), _to(sys.stderr))


def _to(file: TextIO) -> Callable[[bytes], None]:
    """Hand bytes on at once: who watches a command wants to see it work."""

    def write(piece: bytes) -> None:
        file.buffer.write(piece)
        file.flush()

    return write
