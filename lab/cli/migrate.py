"""`hnvlab migrate VM HOST`: move a running VM to another host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli import options, output

if TYPE_CHECKING:
    from lab.engine.migrate import Migration


def migrate(
    vm: Annotated[str, typer.Argument(metavar="VM", help="Name of a VM, as in the topology file.")],
    host: Annotated[str, typer.Argument(metavar="HOST", help="Name of the host that it goes to.")],
    lab: options.LabOption = None,
    as_json: options.Json = False,
) -> None:
    """Move a running VM to another host, and say what it noticed of it.

    The VM keeps its processes, addresses and connections; the policy of all hosts follows, so the agents of
    both hosts must be connected. Meanwhile it sends 1,000 echo requests per second to another VM of its
    tenant (or to its default gateway): what is lost of them is the blackout. The topology file is not
    changed: the next `up` moves the VM back to where the file says.
    """
    from lab.cli import labs
    from lab.cli.progress import progress
    from lab.engine.docker_engine import connect
    from lab.engine.migrate import migrate as move

    with progress(quiet=as_json) as events:
        client = connect(events)
        model = labs.topology(labs.chosen(client, lab))
        tenant, machine = labs.vm(model, vm)
        result = move(client, model, tenant, machine, labs.host(model, host), events)
    if as_json:
        output.data(result.to_json())
        return
    for line in described(result):
        output.text(line)


def described(result: Migration) -> list[str]:
    """What came of a migration, for people."""
    if result.source == result.destination and result.policy_ms is None:
        return [f"{result.vm} is on {result.destination} already"]
    lines = [f"{result.vm} has moved from {result.source} to {result.destination}"]
    if result.target is None:
        lines.append("blackout          not measured: nothing answered the probe before the move")
    else:
        blackout = f"{result.blackout_ms:.1f} ms"
        lines.append(f"blackout          {blackout}, at {result.rate_pps} packets/s to {result.target}")
        lines.append(f"packets lost      {result.lost} of {result.sent}")
    if result.move_ms is not None:
        lines.append(f"port moved in     {result.move_ms:.1f} ms")
    if result.policy_ms is not None:
        lines.append(f"policy followed   after {result.policy_ms:.1f} ms, on every connected node")
    return lines
