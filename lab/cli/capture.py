"""`hnvlab capture NODE:INTERFACE`: see or keep the packets of an interface."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
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
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only what belongs to this tenant.")] = None,
    vm: Annotated[str | None, typer.Option("--vm", help="Only what this VM sends or is sent.")] = None,
    vsid: Annotated[
        int | None, typer.Option("--vsid", min=0, max=0xFFFFFF, help="Only this virtual subnet.")
    ] = None,
    lab: options.LabOption = None,
    as_json: options.Json = False,
) -> None:
    """Show the packets of a node's interface as text, or write them to a file, until Ctrl-C.

    Options of tcpdump stand behind `--`: hnvlab capture gw01:pa0 -- -v ip proto 47

    A tenant, VM or virtual subnet is picked out of the encapsulated packets, NVGRE or VXLAN, of a provider
    interface; the VSID on the wire is that of the subnet to which a packet goes.
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
    selection = _Selection(tenant, vm, vsid)
    words = selection.narrowed(lab_name, name, interface, list(expression or ()))
    running = Capture(client, lab_name, standing, observe.fabric_image(client, lab_name))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: running.stop())
    counter = _Counter()
    with ExitStack() as stack:
        target = _target(file, stack)
        ours = ["-w", "-"] if file is not None else ["-n", "-e", "-l"]
        if count is not None:
            ours += ["-c", str(count)]

        def out(piece: bytes) -> None:
            counter.size += len(piece)
            target.write(piece)
            target.flush()

        running.run(interface, [*ours, *words], out, _to_stderr)
    if as_json:
        output.data({"place": place, "file": str(file), "bytes": counter.size})


@dataclass(frozen=True, slots=True)
class _Selection:
    """What the options pick out of a provider interface's packets."""

    tenant: str | None
    vm: str | None
    vsid: int | None

    def narrowed(self, lab: str, node: str, interface: str, words: list[str]) -> list[str]:
        """tcpdump's words, narrowed to what was picked.

        Raises:
            UsageError: the lab has no such tenant, VM or virtual subnet, or the interface carries none.
        """
        if (self.tenant, self.vm, self.vsid) == (None, None, None):
            return words
        from lab.cli import labs
        from lab.engine import capture_filter

        model = labs.topology(lab)
        provider = (*capture_filter.provider_interfaces(model, node), "any")
        if interface not in provider:
            raise UsageError(
                Problem(
                    "HNV-CLI-011",
                    f"{node}:{interface} carries no encapsulated packets to pick a tenant's from",
                    f"{node}:{interface}",
                    expected=" or ".join(provider),
                    hint="the packets of a single VM are at its own port, as they are: no option is needed",
                )
            )
        picked = []
        if self.tenant is not None:
            picked.append(capture_filter.of_tenant(labs.tenant(model, self.tenant)))
        if self.vm is not None:
            picked.append(capture_filter.of_vm(*labs.vm(model, self.vm)))
        if self.vsid is not None:
            picked.append(capture_filter.of_vsids([labs.vsid(model, self.vsid)]))
        return capture_filter.combined(picked, words)


class _Counter:
    size = 0


def _target(file: Path | None, stack: ExitStack) -> BinaryIO:
    if file is None or str(file) == "-":
        return sys.stdout.buffer
    return stack.enter_context(file.open("wb"))


def _to_stderr(piece: bytes) -> None:
    sys.stderr.buffer.write(piece)
    sys.stderr.flush()
