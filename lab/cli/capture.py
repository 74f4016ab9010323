"""`hnvlab capture NODE:INTERFACE`: see or keep the packets of an interface."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from lab.cli import options, output
from lab.errors import Problem, UsageError


def capture(
    place: Annotated[str, typer.Argument(metavar="NODE:INTERFACE", help="Where; `any` for all interfaces.")],
    expression: Annotated[
        list[str] | None, typer.Argument(metavar="[FILTER]...", help="Which packets, in tcpdump's words.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--write", "-w", help="Write a pcap to this file; `-` for stdout.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-c", min=1, help="End after so many packets.")
    ] = None,
    lab: options.LabOption = None,
    as_json: options.Json = False,
) -> None:
    """Show the packets of a node's interface as text, or write them to a file, until Ctrl-C.

    Options of tcpdump stand behind `--`: hnvlab capture gw01:pa0 -- -v ip proto 47
    """
    from lab.cli.labs import chosen
    from lab.cli.labs import node as find
    from lab.cli.progress import Silence
    from lab.engine import observe
    from lab.engine.capture import Capture
    from lab.engine.docker_engine import connect

    if as_json and (file is None or str(file) == "-"):
        raise UsageError(
            Problem("HNV-CLI-007", "--json tells what was written to a file", place, expected="--write FILE")
        )
    name, colon, interface = place.partition(":")
    if not colon or not interface:
        raise UsageError(
            Problem("HNV-CLI-006", "no interface is named", place, expected="NODE:INTERFACE, e.g. hv01:pa0")
        )
    client = connect(Silence())
    lab_name = chosen(client, lab)
    standing = find(client, lab_name, name)
    running = Capture(client, lab_name, standing, observe.fabric_image(client, lab_name))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: running.stop())
    counter = _Counter()
    with ExitStack() as stack:
        target = _target(file, stack)
        words = ["-w", "-"] if file is not None else ["-n", "-e", "-l"]
        if count is not None:
            words += ["-c", str(count)]

        def out(piece: bytes) -> None:
            counter.size += len(piece)
            target.write(piece)
            target.flush()

        running.run(interface, [*words, *(expression or ())], out, _to_stderr)
    if as_json:
        output.data({"place": place, "file": str(file), "bytes": counter.size})


class _Counter:
    size = 0


def _target(file: Path | None, stack: ExitStack) -> BinaryIO:
    if file is None or str(file) == "-":
        return sys.stdout.buffer
    return stack.enter_context(file.open("wb"))


def _to_stderr(piece: bytes) -> None:
    sys.stderr.buffer.write(piece)
    sys.stderr.flush()
