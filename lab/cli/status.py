"""`hnvlab status [LAB]`: the nodes of a lab, its connections, who has called, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lab.cli import options, output
from lab.errors import ExitCode, LabError, Problem

if TYPE_CHECKING:
    import docker

    from lab.engine.observe import StandingNode


CALLER = {
    "TENANT": "tenant",
    "CALLER": "user",
    "ADDRESS": "address",
    "FROM": "source",
    "SINCE": "since",
    "BYTES IN": "bytes_in",
    "BYTES OUT": "bytes_out",
}
"""Headings of the table of road warriors, and what stands below each."""


def status(name: options.LabArgument = None, as_json: options.Json = False) -> ExitCode:
    """Show the nodes of a lab, its connections and BGP sessions; 1 if something is not as it should be."""
    from lab.cli.labs import chosen
    from lab.cli.progress import Silence
    from lab.engine import observe
    from lab.engine.docker_engine import connect

    client = connect(Silence())
    lab = chosen(client, name)
    seen = _controller_view(client, lab)
    nodes = _with_absent(observe.nodes(client, lab), lab)
    healthy = seen["healthy"] and all(node.state == "running" for node in nodes)
    if as_json:
        rows = [{"node": n.node, "kind": n.kind, "state": n.state, "container": n.container} for n in nodes]
        output.data(
            {
                "lab": lab,
                "healthy": healthy,
                "nodes": rows,
                **{k: v for k, v in seen.items() if k != "healthy"},
            }
        )
        return ExitCode.OK if healthy else ExitCode.FAILED
    agents = {item["name"]: item for item in seen["agents"]}
    output.table(
        ("NODE", "KIND", "STATE", "POLICY", "PA", "REASON"),
        [(n.node, n.kind, n.state, *_policy_of(agents.get(n.node))) for n in nodes],
    )
    if seen["links"]:
        output.text("")
        output.table(
            ("TENANT", "WHAT", "NAME", "STATE", "REASON"),
            [(i["tenant"], i["what"], i["name"], i["state"], i["error"]) for i in seen["links"]],
        )
    if seen["callers"]:
        output.text("")
        output.table(tuple(CALLER), [_caller(item) for item in seen["callers"]])
    if seen["api"]:
        output.text("")
        output.table(("API", "CERTIFICATE", "TOKEN"), [tuple(seen["api"].values())])
    for problem in seen["problems"]:
        output.note(f"warning: {problem['message']}")
    return ExitCode.OK if healthy else ExitCode.FAILED


def _caller(caller: Mapping[str, object]) -> tuple[str, ...]:
    """A row of the table of road warriors."""
    return tuple(str(caller[key]) for key in CALLER.values())


def _with_absent(standing: Iterable[StandingNode], lab: str) -> list[StandingNode]:
    """The nodes that stand, and those of the topology that do not stand any more, as "gone"."""
    from lab.cli.labs import topology
    from lab.engine.observe import StandingNode
    from lab.plan.marks import container_name

    nodes = {item.node: item for item in standing}
    try:
        wanted = topology(lab).nodes.values()
    except LabError:
        return list(nodes.values())  # what is not known cannot be missed; the controller's view tells why
    for node in wanted:
        absent = StandingNode(node.name, node.kind, container_name(lab, node.name), "gone", node.image)
        nodes.setdefault(node.name, absent)
    return [nodes[name] for name in sorted(nodes)]


def _policy_of(agent: Mapping[str, str] | None) -> tuple[str, str, str]:
    """State of a node's policy, its provider address, and why it is not well; empty for nodes without any."""
    if agent is None:
        return "", "", ""
    well = agent["status"] == "Success"
    return agent["status"], agent["provider_address"], "" if well else agent["message"]


def _controller_view(client: docker.DockerClient, lab: str) -> dict[str, Any]:
    """What the Network Controller says; where it cannot be asked, why."""
    from dataclasses import asdict

    from lab.cli.labs import topology
    from lab.controller.client import ControllerClient
    from lab.engine.pki import Pki
    from lab.engine.state import LabState
    from lab.engine.up import api_url

    where: dict[str, str] = {}
    try:
        pki = Pki(LabState.of(lab).directory)
        url = api_url(client, topology(lab))
        where = {"url": url, "ca": str(pki.ca_path), "token": str(pki.token_path)}
        with ControllerClient(url, pki.ca_path, pki.token(), retry_for_s=0) as api:
            agents = [asdict(item) for item in api.node_states().values()]
            links = [{"what": "connection", **asdict(item)} for item in api.connection_states()]
            links += [{"what": "BGP peer", **asdict(item)} for item in api.peer_states()]
            callers = [asdict(item) for item in api.vpn_clients()]
    except LabError as error:
        problems: tuple[Problem, ...] = error.problems
        return {
            "healthy": False,
            "api": where,
            "agents": [],
            "links": [],
            "callers": [],
            "problems": [item.to_json() for item in problems],
        }
    healthy = all(a["status"] == "Success" for a in agents) and all(i["state"] == "Connected" for i in links)
    found = {"agents": agents, "links": links, "callers": callers}
    return {"healthy": healthy, "api": where, **found, "problems": []}
