"""`hnvlab exec NODE -- COMMAND`: run a command in a node."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn, TextIO

import typer

from lab.cli import options, output
from lab.errors import Problem, UsageError


def exec_(
    node: options.Node,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The command and its arguments.")],
    lab: options.LabOption = None,
    as_json: options.Json = False,
    interactive: Annotated[
        bool,
        typer.Option("--interactive", "-i", help="Hand on stdin; on a terminal, as one, e.g. for a shell."),
    ] = False,
) -> int:
    """Run a command in a node; its exit code is ours.

    Options stand before the node: all that follows it is the command. Ctrl-C ends the command too.
    """
    from lab.cli.labs import chosen
    from lab.cli.labs import node as find
    from lab.cli.progress import Silence
    from lab.engine import access
    from lab.engine.docker_engine import connect

    command = command[1:] if command[0] == "--" else command
    if not command or command[0].startswith("-"):
        raise UsageError(
            Problem(
                "HNV-CLI-007",
                f"`{command[0]}` is no command" if command else "there is no command",
                node,
                expected="hnvlab exec [OPTIONS] NODE -- COMMAND",
                hint="options stand before the node",
            )
        )
    client = connect(Silence())
    standing = find(client, chosen(client, lab), node)
    if interactive and not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        _on_terminal(standing.container, command)
    stdin = sys.stdin.fileno() if interactive else None
    if as_json:
        done = access.run(client, standing.container, command, stdin=stdin)
        output.data({"node": node, "exit_code": done.exit_code, "stdout": done.stdout, "stderr": done.stderr})
        return done.exit_code
    return access.stream(client, standing.container, command, _to(sys.stdout), _to(sys.stderr), stdin=stdin)


def _on_terminal(container: str, command: list[str]) -> NoReturn:
    """Become docker's own exec: it knows terminals, their sizes and their signals."""
    docker = shutil.which("docker")
    if docker is None:
        raise UsageError(
            Problem(
                "HNV-CLI-007",
                "a terminal in a node needs the docker command, which is not on this machine",
                container,
                hint="install docker-cli, or leave --interactive away",
            )
        )
    os.execv(docker, ["docker", "exec", "--interactive", "--tty", container, *command])


def _to(file: TextIO) -> Callable[[bytes], None]:
    """Hand bytes on at once: who watches a command wants to see it work."""

    def write(piece: bytes) -> None:
        file.buffer.write(piece)
        file.flush()

    return write
