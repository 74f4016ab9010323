"""`hnvlab trace SRC DST`: follow one packet through every stage of every node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli import options, output
from lab.engine.trace_packet import Protocol
from lab.errors import ExitCode, Problem, UsageError

if TYPE_CHECKING:
    from lab.engine.trace_ends import End
    from lab.engine.trace_events import Trace


def trace(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="Who sends: a VM, a site or a server of a site.")
    ],
    destination: Annotated[
        str, typer.Argument(metavar="DST", help="Whom to: a machine of the same tenant, or any address.")
    ],
    protocol: Annotated[
        Protocol, typer.Option("--proto", help="An echo request, a SYN or a datagram.")
    ] = Protocol.ICMP,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65_535, help="Destination port of TCP or UDP.")
    ] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds to wait for what becomes of the packet.")
    ] = 3,
    lab: options.LabOption = None,
    as_json: options.Json = False,
) -> ExitCode:
    """Send one marked packet and show every stage that it passes, on every node; 1 if it does not arrive.

    The mark is the IPv4 identification or the IPv6 flow label. Hosts and gateways tell each stage of their
    switches, or the drop and its reason; in compartments, at sites and in the machine at the end the packet
    is seen at the interfaces. Inside an IPsec tunnel it cannot be seen.
    """
    from lab.cli import labs
    from lab.cli.progress import Silence
    from lab.engine.docker_engine import connect
    from lab.engine.trace import trace as follow

    if (port is None) != (protocol is Protocol.ICMP):
        raise UsageError(
            Problem(
                "HNV-CLI-007",
                "an echo request has no port" if port else f"{protocol} needs a port",
                destination,
                expected="--proto tcp --port 80, or no port",
            )
        )
    client = connect(Silence())
    model = labs.topology(labs.chosen(client, lab))
    sender = labs.end(model, source)
    receiver = labs.end(model, destination, sender.tenant)
    _refuse_other_version(sender, receiver, destination)
    result = follow(client, model, sender, receiver, protocol, port or 0, timeout_s)
    if as_json:
        output.data({"source": source, "destination": str(receiver.address), **result.to_json()})
    else:
        write(result)
    return ExitCode.OK if result.outcome.good else ExitCode.FAILED


def write(result: Trace) -> None:
    """A line for each step, with the time since the sending in microseconds, and the verdict."""
    first = result.steps[0].time_ns if result.steps else 0
    rows = [
        (step.node, step.stage, step.detail, f"{(step.time_ns - first) / 1000:.1f}") for step in result.steps
    ]
    output.table(("NODE", "STAGE", "DETAIL", "µs"), rows)
    output.text(f"{result.outcome}: {result.explanation}")


def _refuse_other_version(source: End, destination: End, place: str) -> None:
    if source.address.version != destination.address.version:
        raise UsageError(
            Problem(
                "HNV-CLI-007",
                f"{source.node} has an IPv{source.address.version} address, the destination an "
                f"IPv{destination.address.version} one",
                place,
                expected=f"an IPv{source.address.version} destination",
            )
        )
