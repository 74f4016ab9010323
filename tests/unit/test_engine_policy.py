"""Bringing the intent, knowing what is missing, and waiting for it; against a controller in a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from lab.controller.client import (
    ControllerClient,
    ControllerUnreachableError,
    InvalidResourceError,
    NodeStatus,
    ResourceNotFoundError,
    TenantLink,
)
from lab.engine import policy
from lab.engine.events import Event, Waiting
from lab.engine.policy import Missing
from lab.errors import ExitCode, LabError, Problem, WaitTimeoutError
from lab.model.lab import Lab
from lab.model.loader import load
from lab.model.resolve import resolve
from lab.plan.intent import intent

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "hybrid-cloud.yml"
LINKS = (("blue", "blue-hq"), ("red", "red-hq"))


@dataclass
class Nc:
    """What a Network Controller would answer: a resource has a new entity tag when it has changed."""

    resources: dict[str, tuple[str, Any]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    nodes: dict[str, NodeStatus] = field(default_factory=dict)
    links: dict[tuple[str, str], TenantLink] = field(default_factory=dict)
    peers: dict[tuple[str, str], TenantLink] = field(default_factory=dict)
    goal_states: dict[str, dict[str, Any]] = field(default_factory=dict)
    silent_for: int = 0
    holder: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> dict[str, Any]:
        if path not in self.resources:
            raise ResourceNotFoundError(Problem("HNV-NC-404", "not there"), 404, {})
        return {"etag": self.resources[path][0]}

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if self.holder.setdefault(body.get("address", path), path) != path:
            raise InvalidResourceError(Problem("HNV-NC-400", f"{path}: held already"), 400, {})
        old = self.resources.get(path, ("", None))
        if old[1] != body:
            self.resources[path] = (f"{old[0]}+", body)
        return self.get(path)

    def delete(self, path: str) -> bool:
        self.deleted.append(path)
        self.holder = {what: owner for what, owner in self.holder.items() if owner != path}
        return self.resources.pop(path, None) is not None

    def list(self, _path: str) -> list[Any]:
        self.silent_for -= 1
        if self.silent_for >= 0:
            raise ControllerUnreachableError(Problem("HNV-NC-001", "no answer"))
        return []

    def node_states(self) -> dict[str, NodeStatus]:
        return self.nodes

    def connection_states(self) -> tuple[TenantLink, ...]:
        return tuple(self.links.values())

    def peer_states(self) -> tuple[TenantLink, ...]:
        return tuple(self.peers.values())

    def goal_state(self, node: str) -> dict[str, Any]:
        return self.goal_states[node]

    @property
    def client(self) -> ControllerClient:
        return cast(ControllerClient, self)


@pytest.fixture(scope="module")
def model() -> Lab:
    return resolve(load(TOPOLOGY))


@pytest.fixture
def nc(model: Lab) -> Nc:
    """One on which all that the lab wants has come true."""
    routes = [
        {"customer_route": {"rdid": t.routing_domain, "prefix": "192.168.50.0/24"}} for t in model.tenants
    ] + [{"port": {"interface_id": "blue-web"}}]
    state = {"version": 7, "acknowledged": 7, "records": routes}
    agents = [("hv01", "host"), ("hv02", "host"), ("gw01", "gateway")]
    return Nc(
        nodes={name: NodeStatus(name, kind, "Success", "", "", "192.168.6.10") for name, kind in agents},
        links={key: TenantLink(*key, "Connected", "") for key in LINKS},
        peers={key: TenantLink(*key, "Connected", "") for key in LINKS},
        goal_states={"hv01": state, "hv02": {**state}},
    )


def test_a_second_run_changes_nothing(model: Lab) -> None:
    nc, resources = Nc(), intent(model)
    assert policy.put_intent(nc.client, resources, ()) == len(resources)
    assert policy.put_intent(nc.client, resources, [path for path, _ in resources]) == 0
    assert nc.deleted == []


def test_what_is_changed_is_counted() -> None:
    nc = Nc()
    policy.put_intent(nc.client, [("/a/1", {"x": 1}), ("/a/2", {"x": 1})], ())
    assert policy.put_intent(nc.client, [("/a/1", {"x": 2}), ("/a/2", {"x": 1})], ()) == 1


def test_a_renamed_vm_gets_the_address_that_the_old_one_still_held() -> None:
    nc = Nc()
    policy.put_intent(nc.client, [("/networkInterfaces/old", {"address": "10.0.0.4"})], ())
    wanted = [("/networkInterfaces/new", {"address": "10.0.0.4"})]
    assert policy.put_intent(nc.client, wanted, ["/networkInterfaces/old"]) == 2
    assert [*nc.resources] == ["/networkInterfaces/new"]


def test_what_nothing_cures_is_refused_in_its_own_words() -> None:
    nc = Nc(holder={"10.0.0.4": "/networkInterfaces/somebody-elses"})
    wanted = [("/networkInterfaces/new", {"address": "10.0.0.4"}), ("/networkInterfaces/other", {})]
    with pytest.raises(InvalidResourceError, match="/networkInterfaces/new: held"):
        policy.put_intent(nc.client, wanted, ())
    assert "/networkInterfaces/other" in nc.resources


def test_what_is_no_longer_wanted_goes_and_what_refers_to_it_goes_first() -> None:
    nc = Nc()
    first: list[tuple[str, dict[str, Any]]] = [
        ("/virtualNetworks/red", {}),
        ("/networkInterfaces/red-web", {}),
        ("/servers/hv01", {}),
    ]
    policy.put_intent(nc.client, first, ())
    nc.put("/networkInterfaces/somebody-elses", {})
    assert policy.put_intent(nc.client, first[2:], [path for path, _ in first]) == 2
    assert nc.deleted == ["/networkInterfaces/red-web", "/virtualNetworks/red"]
    assert "/networkInterfaces/somebody-elses" in nc.resources


def test_nothing_is_missing_of_a_lab_that_has_converged(model: Lab, nc: Nc) -> None:
    assert policy.missing(nc.client, model) == ()


def test_a_node_without_its_policy_is_missing_with_the_reason(model: Lab, nc: Nc) -> None:
    nc.nodes["hv02"] = NodeStatus("hv02", "host", "Failure", "HostNotConnectedToController", "no agent", "")
    assert policy.missing(nc.client, model) == (
        Missing(("hv02",), "host hv02: Failure HostNotConnectedToController no agent"),
    )


@pytest.mark.parametrize("what", ["connection", "BGP peer"])
def test_a_link_that_is_down_names_both_ends(model: Lab, nc: Nc, what: str) -> None:
    links = nc.links if what == "connection" else nc.peers
    links["red", "red-hq"] = TenantLink("red", "red-hq", "Connecting", "no answer")
    assert policy.missing(nc.client, model) == (
        Missing(("gw01", "red-hq"), f"{what} red-hq of red: Connecting (no answer)"),
    )


def test_a_route_that_is_not_policy_yet_is_missing_on_each_host(model: Lab, nc: Nc) -> None:
    blue = model.tenant("blue").routing_domain
    records = nc.goal_states["hv01"]["records"]
    nc.goal_states["hv01"]["records"] = [
        r for r in records if r.get("customer_route", {}).get("rdid") != blue
    ]
    assert policy.missing(nc.client, model) == (
        Missing(("blue-hq", "nc"), "route of blue to 192.168.50.0/24: not yet policy of hv01"),
    )


def test_a_route_that_is_not_acknowledged_is_not_policy_yet(model: Lab, nc: Nc) -> None:
    nc.goal_states["hv02"]["acknowledged"] = 6
    assert {item.text[-4:] for item in policy.missing(nc.client, model)} == {"hv02"}


def test_the_wait_ends_when_nothing_is_missing_and_tells_each_change_once() -> None:
    answers = [("a", "b"), ("a", "b"), ("b",), ()]
    events: list[Event] = []
    policy.await_converged(
        lambda: tuple(Missing((), text) for text in answers.pop(0)),
        lambda _node: "",
        events.append,
        timeout_s=30,
    )
    assert events == [Waiting(("a", "b")), Waiting(("b",))]
    assert answers == []


def test_an_expired_wait_names_everything_and_gives_each_log_once() -> None:
    left = (
        Missing(("gw01", "red-hq"), "connection red-hq of red: Connecting"),
        Missing(("gw01",), "BGP peer"),
    )
    with pytest.raises(WaitTimeoutError) as caught:
        policy.await_converged(
            lambda: left, lambda node: f"AUTHENTICATION_FAILED at {node}", lambda _event: None, timeout_s=0.2
        )
    first, second = caught.value.problems
    assert first.message == "connection red-hq of red: Connecting, after 0.2 s"
    assert "AUTHENTICATION_FAILED at gw01" in first.hint
    assert "AUTHENTICATION_FAILED at red-hq" in first.hint
    assert (second.message, second.hint) == ("BGP peer, after 0.2 s", "")
    assert caught.value.exit_code is ExitCode.TIMED_OUT


def test_a_node_that_has_ended_ends_the_wait_at_once() -> None:
    def ended() -> tuple[Missing, ...]:
        raise LabError(Problem("HNV-ENG-031", "the container has ended", "nc"))

    with pytest.raises(LabError, match="has ended"):
        policy.await_converged(ended, lambda _node: "", lambda _event: None, timeout_s=30)


def test_the_controller_is_waited_for_until_it_answers() -> None:
    nc = Nc(silent_for=3)
    policy.await_reachable(nc.client, lambda: None, timeout_s=30)
    assert nc.silent_for < 0
    with pytest.raises(ControllerUnreachableError):
        policy.await_reachable(Nc(silent_for=1000).client, lambda: None, timeout_s=0.2)


def test_a_controller_that_has_ended_is_not_waited_for() -> None:
    def ended() -> None:
        raise LabError(Problem("HNV-ENG-031", "the container has ended", "nc"))

    with pytest.raises(LabError, match="has ended"):
        policy.await_reachable(Nc(silent_for=1000).client, ended, timeout_s=30)
