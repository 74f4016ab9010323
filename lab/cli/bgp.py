"""`hnvlab bgp NODE TENANT`: peers and routes of a tenant's BGP router."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli import options, output
from lab.errors import LabError, Problem, UsageError

if TYPE_CHECKING:
    from lab.engine.observe import StandingNode

TIMEOUT_S = 60.0


class Routes(StrEnum):
    """Which routes (Get-BgpRouteInformation -Type)."""

    ALL = "all"
    BEST = "best"
    DAMPED = "damped"


def bgp(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Name of a gateway.")],
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Name of the tenant's virtual gateway.")],
    lab: options.LabOption = None,
    routes: Annotated[Routes, typer.Option("--routes", help="Which routes.")] = Routes.ALL,
    as_json: options.Json = False,
) -> None:
    """Show a tenant's BGP router on a gateway: its peers, what went over their sessions, and the routes.

    Asked of the router itself: nothing of the gateway's agent is needed.
    """
    from lab.cli.labs import chosen
    from lab.cli.labs import node as find
    from lab.cli.progress import Silence
    from lab.engine import access
    from lab.engine.docker_engine import connect

    client = connect(Silence())
    standing = find(client, chosen(client, lab), node)
    refuse_without_routers(standing)
    command = ("python3", "-m", "gwnode", "bgp", tenant, "--routes", routes.value)
    done = access.run(client, standing.container, (*command, "--json") if as_json else command, TIMEOUT_S)
    if done.exit_code != 0:
        words = done.stderr.strip()
        raise LabError(Problem("HNV-BGP-003", f"{node} cannot show {tenant}'s BGP router: {words}", node))
    if as_json:
        output.data({"node": node, **json.loads(done.stdout)})
    else:
        output.text(done.stdout.rstrip("\n"))


def refuse_without_routers(node: StandingNode) -> None:
    """Only gateways have compartments.

    Raises:
        UsageError: it is another kind of node (HNV-BGP-004).
    """
    if node.kind != "gateway":
        raise UsageError(
            Problem(
                "HNV-BGP-004",
                f"{node.node} is a {node.kind}: it has no tenants' BGP routers",
                node.node,
                expected="a gateway",
                hint="`hnvlab status` shows the nodes and the BGP sessions",
            )
        )
