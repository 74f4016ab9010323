"""`hnvlab show WHAT NODE`: what the switch of a host or gateway holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli import options, output
from lab.errors import LabError, Problem, UsageError

if TYPE_CHECKING:
    from lab.engine.observe import StandingNode

WITH_SWITCH = ("host", "gateway")
TIMEOUT_S = 60.0


class What(StrEnum):
    """What can be shown of a switch."""

    POLICY = "policy"
    PORTS = "ports"
    DROPS = "drops"
    FLOWS = "flows"


def show(
    what: Annotated[What, typer.Argument(metavar="policy|ports|drops|flows", help="Which tables.")],
    node: Annotated[str, typer.Argument(metavar="NODE", help="Name of a host or gateway.")],
    lab: options.LabOption = None,
    as_json: options.Json = False,
) -> None:
    """Show what a node's virtual switch holds, read from the kernel: nothing of its agent is asked.

    policy: virtual subnets, lookup records, customer routes. ports: the vports under policy. drops: packets
    by reason, direction and VSID. flows: connections that an access control list follows.
    """
    from lab.cli.labs import chosen
    from lab.cli.labs import node as find
    from lab.cli.progress import Silence
    from lab.engine import access
    from lab.engine.docker_engine import connect

    client = connect(Silence())
    standing = find(client, chosen(client, lab), node)
    _refuse_without_switch(standing)
    command = ("python3", "-m", "lab.hvhost", "show", what.value, "--json")
    done = access.run(client, standing.container, command, TIMEOUT_S)
    if done.exit_code != 0:
        words = done.stderr.strip()
        raise LabError(Problem("HNV-CLI-013", f"{node} cannot show its {what}: {words}", node))
    listing = json.loads(done.stdout)
    if as_json:
        output.data({"node": node, **listing})
    else:
        write(listing)


def write(listing: Mapping[str, list[dict[str, Any]]]) -> None:
    """Tables, each under its name and length."""
    for number, (name, rows) in enumerate(listing.items()):
        if number:
            output.text("")
        output.text(f"{name.replace('_', ' ')}: {len(rows)}")
        if rows:
            headings = [column.replace("_", " ").upper() for column in rows[0]]
            output.table(headings, [[cell(value) for value in row.values()] for row in rows])


def cell(value: Any) -> str:
    """A value as it stands in a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _refuse_without_switch(node: StandingNode) -> None:
    if node.kind not in WITH_SWITCH:
        raise UsageError(
            Problem(
                "HNV-CLI-012",
                f"{node.node} is a {node.kind}: it has no virtual switch",
                node.node,
                expected="a host or a gateway",
                hint="a VM's port is shown by its host: hnvlab show ports HOST",
            )
        )
