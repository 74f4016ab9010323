"""The tenants' intent, brought as any client of the Network Controller would, and the wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_delay,
    wait_fixed,
)

from lab.controller.client import (
    ControllerClient,
    ControllerError,
    ControllerUnreachableError,
    InvalidResourceError,
    NodeStatus,
    ResourceInUseError,
    ResourceNotFoundError,
    StaleResourceError,
)
from lab.engine.events import Events, Waiting
from lab.errors import Problem, WaitTimeoutError
from lab.model.connections import Ipsec
from lab.model.lab import Lab
from lab.plan.resources import Resource

CONFLICTS = (InvalidResourceError, ResourceInUseError, StaleResourceError)
"""Refusals that another part of the intent may cure."""
PAUSE_S = 0.1
"""Between two looks: short beside what a tunnel needs to come up, long beside what a look costs."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that is not yet as it should be.

    Attributes:
        nodes: the nodes whose logs may say why.
        text: what is missing, and what is known of the reason.
    """

    nodes: tuple[str, ...]
    text: str


def put_intent(api: ControllerClient, wanted: Sequence[Resource], before: Iterable[str]) -> int:
    """Bring the intent, and take away what an earlier one brought and this one does not name.

    A resource that stands already as it is wanted keeps its entity tag, so a second run counts nothing. What
    is refused is tried again after the rest: an address may still be held by what is to go, bandwidth
    reserved by what is to shrink.

    Parameters:
        wanted: in the order in which they refer to each other.
        before: paths of an earlier intent, in its order.

    Returns:
        How many resources were made, changed or removed.

    Raises:
        ControllerError: the controller refuses a resource; its words are in the message.
        ControllerUnreachableError: it does not answer.
    """
    paths = {path for path, _ in wanted}
    obsolete = [path for path in reversed(tuple(before)) if path not in paths]
    todo: list[Callable[[], bool]] = [partial(_bring, api, path, body) for path, body in wanted]
    todo += [partial(api.delete, path) for path in obsolete]
    changes = 0
    while todo:
        refused: list[tuple[Callable[[], bool], ControllerError]] = []
        for act in todo:
            try:
                changes += act()
            except CONFLICTS as error:
                refused.append((act, error))
        if len(refused) == len(todo):
            raise refused[0][1]
        todo = [act for act, _ in refused]
    return changes


def _bring(api: ControllerClient, path: str, body: dict[str, Any]) -> bool:
    return _etag(api, path) != str(api.put(path, body)["etag"])


def missing(api: ControllerClient, lab: Lab) -> tuple[Missing, ...]:
    """What of the lab's intent has not come true yet.

    True is: every agent has acknowledged its goal state, every connection is connected, every BGP peer is,
    each site's network, which BGP offers, has become policy of every host that carries a VM of the tenant,
    and every road warrior whom his tenant knows has called.

    Raises:
        ControllerUnreachableError: the controller does not answer.
    """
    found = [
        Missing(
            (status.name,),
            f"{status.kind} {status.name}: {_reason(status)}",
        )
        for status in api.node_states().values()
        if status.status != "Success" and not _stands_by(status, lab)
    ]
    gateways = tuple(gateway.name for gateway in lab.gateways)
    sites = {
        (t.name, connection.name): connection.site.name
        for t in lab.tenants
        if t.gateway
        for connection in t.gateway.connections
        if connection.site
    }
    on_demand = {
        (t.name, connection.name)
        for t in lab.tenants
        if t.gateway
        for connection in t.gateway.connections
        if isinstance(connection.kind, Ipsec) and not connection.kind.persistent
    }
    for kind, links in (("connection", api.connection_states()), ("BGP peer", api.peer_states())):
        for link in links:
            # One that is called on demand is as it should be while nobody demands it.
            if link.state != "Connected" and (link.tenant, link.name) not in on_demand:
                site = sites.get((link.tenant, link.name))
                nodes = (*gateways, site) if site else gateways
                reason = f" ({link.error})" if link.error else ""
                found.append(Missing(nodes, f"{kind} {link.name} of {link.tenant}: {link.state}{reason}"))
    return tuple(found) or _unlearned(api, lab) or _not_called(api, lab)


def _stands_by(node: NodeStatus, lab: Lab) -> bool:
    """A redundant gateway has nothing to do, and is as it should be."""
    redundant = lab.fabric.redundant_gateways > 0 and node.kind == "gateway"
    return redundant and node.status == "Uninitialized"


def _reason(node: NodeStatus) -> str:
    """Status, code and message; while work goes on, the code only repeats the status."""
    return " ".join(dict.fromkeys(word for word in (node.status, node.code, node.message) if word))


def _unlearned(api: ControllerClient, lab: Lab) -> tuple[Missing, ...]:
    """Sites' networks that are not yet policy of a host; they come after the BGP session does."""
    found = []
    for host in lab.hosts:
        wanted = _learned_routes(lab, host.name)
        if not wanted:
            continue
        state = api.goal_state(host.name)
        known = _customer_routes(state) if state["acknowledged"] == state["version"] else set()
        for (tenant, domain, prefix), site in wanted.items():
            if (domain, prefix) not in known:
                text = f"route of {tenant} to {prefix}: not yet policy of {host.name}"
                found.append(Missing((site, lab.fabric.controller), text))
    return tuple(found)


def _learned_routes(lab: Lab, host: str) -> dict[tuple[str, str, str], str]:
    """What a host must learn: (tenant, routing domain, prefix) -> site that offers it."""
    routes = {}
    for tenant in lab.tenants:
        if tenant.gateway is None or not any(vm.host == host for vm in tenant.vms):
            continue
        for connection in tenant.gateway.connections:
            site = connection.site
            if site is not None and site.bgp_peer_asn is None:
                for route in connection.routes:
                    routes[tenant.name, tenant.routing_domain, str(route.prefix)] = site.name
            elif site is not None:
                for prefix in (site.lan_prefix, site.ipv6_lan):
                    if prefix is not None:
                        routes[tenant.name, tenant.routing_domain, str(prefix)] = site.name
    return routes


def _not_called(api: ControllerClient, lab: Lab) -> tuple[Missing, ...]:
    """Road warriors who are not connected, and should be."""
    warriors = [node.road_warrior for node in lab.nodes.values() if node.road_warrior]
    awaited = [warrior for warrior in warriors if warrior.welcome]
    seen = {(client.tenant, client.source) for client in api.vpn_clients()} if awaited else set()
    gateways = tuple(gateway.name for gateway in lab.gateways)
    return tuple(
        Missing((warrior.name, *gateways), f"road warrior {warrior.name}: not connected to {warrior.tenant}")
        for warrior in awaited
        if (warrior.tenant, warrior.address) not in seen
    )


def _customer_routes(goal_state: dict[str, Any]) -> set[tuple[str, str]]:
    routes = (record.get("customer_route") for record in goal_state["records"])
    return {(route["rdid"], route["prefix"]) for route in routes if route}


def _etag(api: ControllerClient, path: str) -> str | None:
    try:
        return str(api.get(path)["etag"])
    except ResourceNotFoundError:
        return None


def await_reachable(api: ControllerClient, still_running: Callable[[], None], timeout_s: float) -> None:
    """Wait until the Network Controller answers.

    Parameters:
        still_running: raises when the controller's container has ended; then there is nothing to wait for.
        timeout_s: how long, in seconds.

    Raises:
        ControllerUnreachableError: it does not answer in time.
    """

    def look() -> None:
        still_running()
        api.list("/servers")

    Retrying(
        retry=retry_if_exception_type(ControllerUnreachableError),
        stop=stop_after_delay(timeout_s),
        wait=wait_fixed(PAUSE_S),
        reraise=True,
    )(look)


def await_converged(
    look: Callable[[], tuple[Missing, ...]], log_of: Callable[[str], str], events: Events, timeout_s: float
) -> None:
    """Wait until nothing is missing.

    Parameters:
        look: what is missing now; raises when it can never come true.
        log_of: the last lines of a node's log.
        events: is told what is missing, whenever that changes.
        timeout_s: how long, in seconds.

    Raises:
        WaitTimeoutError: something is still missing; a problem for each, with the last words of its nodes.
    """
    told: list[tuple[str, ...]] = []

    def look_and_tell() -> tuple[Missing, ...]:
        found = look()
        texts = tuple(item.text for item in found)
        if texts and told[-1:] != [texts]:
            told.append(texts)
            events(Waiting(texts))
        return found

    try:
        Retrying(retry=retry_if_result(bool), stop=stop_after_delay(timeout_s), wait=wait_fixed(PAUSE_S))(
            look_and_tell
        )
    except RetryError as error:
        raise WaitTimeoutError(_expired(error.last_attempt.result(), log_of, timeout_s)) from None


def _expired(left: Iterable[Missing], log_of: Callable[[str], str], timeout_s: float) -> list[Problem]:
    """A problem for each; the last words of a node stand with the first that concerns it."""
    problems = []
    told: set[str] = set()
    for item in left:
        fresh = [node for node in item.nodes if node not in told]
        told.update(fresh)
        problems.append(
            Problem(
                code="HNV-ENG-080",
                message=f"{item.text}, after {timeout_s:g} s",
                place=item.nodes[0] if item.nodes else "",
                hint="\n".join(f"last words of {node}:\n{_indented(log_of(node))}" for node in fresh),
            )
        )
    return problems


def _indented(text: str) -> str:
    return "\n".join(f"        {line}" for line in text.splitlines()) or "        (nothing)"
