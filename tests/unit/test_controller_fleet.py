"""What a node is sent, and what its answers mean."""

from __future__ import annotations

import timeit

import pytest

from lab.controller.fleet import Fleet, Node
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState, patched, record


def subnet(vsid: int, prefix: str = "10.0.0.0/24") -> pb.Record:
    return record(pb.VirtualSubnet(vsid=vsid, prefix=prefix))


class Datapath:
    """A node and the policy that the controller wants for it, as the controller would drive them."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.fleet.resize({"hv01": "host"})
        self.goal: GoalState = {}
        self.held: GoalState = {}
        self._base: GoalState = {}

    @property
    def node(self) -> Node:
        node = self.fleet.node("hv01")
        assert node is not None
        return node

    def connect(self, instance: str = "a") -> None:
        self._base = {}
        self.node.connect(instance, lambda: None)

    def change(self, *records: pb.Record, remove: tuple[str, ...] = (), resource: str = "/r") -> None:
        changes: dict[str, pb.Record | None] = {item.key: item for item in records}
        changes |= dict.fromkeys(remove)
        self.goal = {k: v for k, v in (self.goal | changes).items() if v is not None}
        self.fleet.publish({"hv01": changes}, resource)

    def send(self) -> pb.GoalStateDelta | None:
        delta = self.node.next_delta(lambda: self.goal)
        if delta is not None:
            self._base = patched(self._base, delta)
        return delta

    def ack(self) -> None:
        delta = self.send()
        assert delta is not None
        self.held = self._base
        self.node.ack(delta.version)

    def nack(self, key: str = "") -> None:
        delta = self.send()
        assert delta is not None
        self.node.nack(delta.version, [pb.Fault(record_key=key, code="Bad", message="no")])


@pytest.fixture
def hv01() -> Datapath:
    return Datapath()


def test_a_stream_begins_with_a_snapshot(hv01: Datapath) -> None:
    hv01.change(subnet(5001))
    hv01.connect()
    delta = hv01.send()
    assert delta is not None
    assert delta.snapshot
    assert [item.key for item in delta.upserts] == ["virtual-subnet/5001"]


def test_an_agent_without_a_resource_waits_for_its_snapshot() -> None:
    fleet = Fleet()
    node = fleet.admit("hv09", "host")
    node.connect("a", lambda: None)
    assert node.next_delta(dict) is None
    fleet.resize({"hv09": "host"})
    delta = node.next_delta(dict)
    assert delta is not None
    assert delta.snapshot


def test_an_agent_and_its_resource_may_differ_in_letter_case() -> None:
    """Ids are compared without regard to it; the resource's spelling is the one that policy is kept by."""
    fleet = Fleet()
    node = fleet.admit("hv09", "host")
    node.connect("a", lambda: None)
    fleet.resize({"HV09": "host"})
    assert (fleet.names, node.name, fleet.node("hV09")) == (("HV09",), "HV09", node)
    assert node.next_delta(dict) is not None
    node.ack(node.version)
    fleet.publish({"HV09": {"virtual-subnet/5001": subnet(5001)}}, "")
    assert node.next_delta(dict) is not None


def test_changes_wait_for_the_version_in_flight_and_then_go_together(hv01: Datapath) -> None:
    hv01.connect()
    first = hv01.send()
    hv01.change(subnet(5001))
    hv01.change(subnet(5002))
    assert hv01.send() is None
    assert first is not None
    hv01.node.ack(first.version)
    second = hv01.send()
    assert second is not None
    assert not second.snapshot
    assert {item.key for item in second.upserts} == {"virtual-subnet/5001", "virtual-subnet/5002"}


def test_state_and_provisioning_follow_the_answers(hv01: Datapath) -> None:
    assert hv01.node.state.details[0].code == "HostNotConnectedToController"
    hv01.connect()
    assert hv01.node.state.status == "InProgress"
    hv01.ack()
    hv01.connect("again")
    assert hv01.node.state.status == "InProgress"
    hv01.ack()
    assert hv01.node.state.status == "Success"
    hv01.change(subnet(5001), resource="/virtualnetworks/blue")
    assert hv01.node.state.status == "InProgress"
    assert hv01.fleet.provisioning("/virtualnetworks/blue") == ("Updating", "")
    hv01.ack()
    assert hv01.node.state.status == "Success"
    assert hv01.fleet.provisioning("/virtualnetworks/blue") == ("Succeeded", "")


def test_a_refused_record_does_not_hold_up_the_others(hv01: Datapath) -> None:
    hv01.connect()
    hv01.ack()
    hv01.change(subnet(5001), resource="/good")
    hv01.change(subnet(5002), resource="/bad")
    hv01.nack("virtual-subnet/5002")
    assert hv01.fleet.provisioning("/bad") == ("Failed", "hv01: no")
    hv01.ack()
    assert set(hv01.held) == {"virtual-subnet/5001"}
    assert hv01.fleet.provisioning("/good") == ("Succeeded", "")
    assert hv01.fleet.provisioning("/bad")[0] == "Failed"
    assert hv01.node.state.status == "Failure"


def test_a_refused_record_goes_back_to_what_was_acknowledged(hv01: Datapath) -> None:
    hv01.change(subnet(5001, "10.0.0.0/24"))
    hv01.connect()
    hv01.ack()
    hv01.change(subnet(5001, "10.9.0.0/24"))
    hv01.nack("virtual-subnet/5001")
    hv01.ack()
    assert hv01.held["virtual-subnet/5001"].virtual_subnet.prefix == "10.0.0.0/24"
    hv01.change(subnet(5001, "10.1.0.0/24"))
    hv01.ack()
    assert hv01.held == hv01.goal
    assert hv01.node.state.status == "Success"


def test_a_version_refused_without_a_record_is_made_good_by_the_next(hv01: Datapath) -> None:
    hv01.connect()
    hv01.ack()
    hv01.change(subnet(5001), resource="/r")
    hv01.nack()
    assert hv01.send() is None
    assert hv01.node.state.status == "Failure"
    assert hv01.fleet.provisioning("/r") == ("Failed", "hv01: no")
    hv01.change(subnet(5002), resource="/other")
    hv01.ack()
    assert hv01.held == hv01.goal
    assert hv01.fleet.provisioning("/r") == ("Succeeded", "")


def test_an_agent_that_refuses_the_same_record_for_ever_is_not_asked_for_ever(hv01: Datapath) -> None:
    hv01.change(subnet(5001))
    hv01.connect()
    hv01.nack("virtual-subnet/5001")
    hv01.nack("virtual-subnet/5001")
    assert hv01.send() is None


def test_an_agent_that_refuses_what_it_acknowledged_is_not_asked_for_ever(hv01: Datapath) -> None:
    hv01.change(subnet(5001))
    hv01.connect()
    hv01.ack()
    hv01.change(subnet(5001, "10.9.0.0/24"))
    hv01.nack("virtual-subnet/5001")
    hv01.nack("virtual-subnet/5001")
    assert hv01.send() is None


def test_a_new_stream_takes_the_place_of_an_old_one(hv01: Datapath) -> None:
    hv01.connect("old")
    hv01.connect("new")
    hv01.node.disconnect("old")
    assert hv01.node.connected
    hv01.node.disconnect("new")
    assert not hv01.node.connected


def test_a_change_does_not_wait_for_a_node_that_is_gone(hv01: Datapath) -> None:
    hv01.connect()
    hv01.ack()
    hv01.change(subnet(5001), resource="/r")
    hv01.node.disconnect("a")
    assert hv01.fleet.provisioning("/r") == ("Succeeded", "")


def test_an_agent_that_does_not_answer_makes_nobody_else_wait(hv01: Datapath) -> None:
    """Every answer of the API asks for a provisioningState; listing thousands must not take their square."""
    hv01.connect()

    def look() -> float:
        return min(timeit.repeat(lambda: hv01.fleet.provisioning("/none"), number=20, repeat=5))

    few = look()
    for i in range(20_000):
        hv01.change(subnet(5001), resource=f"/r{i}")
    assert hv01.fleet.provisioning("/r9") == ("Updating", "")
    assert look() < 100 * few


def test_an_answer_to_nothing_is_no_answer(hv01: Datapath) -> None:
    hv01.connect()
    hv01.ack()
    applied = hv01.node.acknowledged
    hv01.node.ack(0)
    hv01.node.nack(0, [])
    assert (hv01.node.acknowledged, hv01.node.state.status) == (applied, "Success")


def test_a_node_whose_resource_goes_loses_its_policy(hv01: Datapath) -> None:
    hv01.change(subnet(5001))
    hv01.connect()
    hv01.ack()
    hv01.fleet.resize({})
    hv01.change(remove=("virtual-subnet/5001",))
    hv01.ack()
    assert hv01.held == {}
