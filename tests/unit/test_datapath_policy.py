"""What a switch accepts, and how goal-state records become it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from uuid import UUID

import pytest

from lab.datapath.errors import InvalidPolicyError
from lab.datapath.image import DOMAINS, MAKE_ORDER, domain_numbers, image_of, steps_between
from lab.datapath.policy import (
    CustomerRoute,
    LookupRecord,
    Policy,
    Port,
    ProviderMember,
    Subnet,
    validate,
)
from lab.datapath.records import NodeAddress, node_address, policy_of
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState, record

RDID = UUID("5d0c4d4a-0b1e-4000-8000-0000000000b1")
OTHER = UUID("5d0c4d4a-0b1e-4000-8000-0000000000e1")
MAC = "00:15:5d:0a:00:04"
SUBNET = Subnet("virtual-subnet/5001", 5001, RDID, IPv4Address("10.0.0.1"), "00:15:5d:00:00:01")
RECORD = LookupRecord("lookup/5001/10.0.0.4", 5001, IPv4Address("10.0.0.4"), MAC, IPv4Address("192.168.6.10"))
ROUTE = CustomerRoute("route", RDID, IPv4Network("10.0.0.0/24"), 5001, None)
MEMBER = ProviderMember("member", RDID, IPv4Address("192.168.6.10"), False)
PORT = Port("port/web", 7, 5001, IPv4Address("10.0.0.4"), MAC, gateway=False)
SOUND = Policy(IPv4Address("192.168.6.10"), 2, (SUBNET,), (RECORD,), (ROUTE,), (MEMBER,), (PORT,))


def refused(policy: Policy) -> list[tuple[str, str]]:
    with pytest.raises(InvalidPolicyError) as raised:
        validate(policy)
    return [(problem.code, problem.place) for problem in raised.value.problems]


def test_a_sound_policy_is_accepted() -> None:
    validate(SOUND)


@pytest.mark.parametrize("vsid", [0, 4095, 16_777_215])
def test_a_reserved_vsid_is_refused(vsid: int) -> None:
    assert ("HNV-POLICY-001", SUBNET.key) in refused(replace(SOUND, subnets=(replace(SUBNET, vsid=vsid),)))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"subnets": (SUBNET, replace(SUBNET, key="again"))}, ("HNV-POLICY-002", "again")),
        ({"lookups": (replace(RECORD, vsid=5999),)}, ("HNV-POLICY-003", RECORD.key)),
        ({"routes": (replace(ROUTE, vsid=5999),)}, ("HNV-POLICY-003", ROUTE.key)),
        ({"ports": (replace(PORT, vsid=5999),)}, ("HNV-POLICY-003", PORT.key)),
        ({"routes": (replace(ROUTE, rdid=OTHER),)}, ("HNV-POLICY-004", ROUTE.key)),
        ({"lookups": (replace(RECORD, customer_address=SUBNET.router),)}, ("HNV-POLICY-005", RECORD.key)),
        ({"lookups": (replace(RECORD, mac="01:00:5e:00:00:01"),)}, ("HNV-POLICY-006", RECORD.key)),
        ({"lookups": (replace(RECORD, mac="00:15:5d"),)}, ("HNV-POLICY-006", RECORD.key)),
        ({"ports": (replace(PORT, mac="zz:15:5d:0a:00:04"),)}, ("HNV-POLICY-006", PORT.key)),
        ({"subnets": (replace(SUBNET, router_mac=""),)}, ("HNV-POLICY-006", SUBNET.key)),
        ({"ports": (PORT, replace(PORT, key="twin", mac="00:15:5d:0a:00:05"))}, ("HNV-POLICY-007", "twin")),
        ({"ports": (PORT, replace(PORT, key="twin", ifindex=8))}, ("HNV-POLICY-007", "twin")),
    ],
)
def test_one_wrong_thing_is_one_problem(change: dict[str, object], expected: tuple[str, str]) -> None:
    assert refused(replace(SOUND, **change)) == [expected]  # type: ignore[arg-type]


def test_all_problems_are_told_at_once() -> None:
    policy = replace(SOUND, lookups=(replace(RECORD, mac="x"), replace(RECORD, key="other", vsid=1)))
    assert {place for _, place in refused(policy)} == {RECORD.key, "other"}


# -- records


def goal(*bodies: object) -> GoalState:
    items = [record(body) for body in bodies]  # type: ignore[arg-type]
    return {item.key: item for item in items}


WIRE = goal(
    pb.ProviderAddress(address="192.168.6.10", prefix_length=24, gateway="192.168.6.1"),
    pb.VirtualSubnet(
        vsid=5001,
        rdid=str(RDID),
        prefix="10.0.0.0/24",
        router_address="10.0.0.1",
        router_mac="00:15:5d:00:00:01",
    ),
    pb.LookupRecord(vsid=5001, customer_address="10.0.0.4", mac=MAC, provider_address="192.168.6.10"),
    pb.CustomerRoute(rdid=str(RDID), prefix="10.0.0.0/24", vsid=5001),
    pb.CustomerRoute(rdid=str(RDID), prefix="192.168.50.0/24", vsid=5001, next_hop="10.0.0.4"),
    pb.ProviderMember(rdid=str(RDID), provider_address="192.168.6.20", gateway=True),
    pb.Port(interface_id="web", vsid=5001, customer_address="10.0.0.4", mac=MAC),
    pb.Port(interface_id="compartment/x", vsid=5001, customer_address="10.0.0.5", mac=MAC),
    pb.Compartment(rdid=str(RDID), tenant="blue"),
)


def test_records_become_policy() -> None:
    policy = policy_of(WIRE, {"web": 7}, uplink=2)
    assert (policy.provider_address, policy.uplink) == (IPv4Address("192.168.6.10"), 2)
    assert policy.subnets == (SUBNET,)
    assert policy.lookups == (RECORD,)
    assert [(str(route.prefix), route.next_hop) for route in policy.routes] == [
        ("10.0.0.0/24", None),
        ("192.168.50.0/24", IPv4Address("10.0.0.4")),
    ]
    assert policy.members[0].gateway
    assert policy.ports == (PORT,), "the other port's interface is not there yet"


def test_a_compartments_port_is_a_gateway() -> None:
    (port,) = policy_of(WIRE, {"compartment/x": 9}, uplink=2).ports
    assert port.gateway


def test_the_nodes_own_address() -> None:
    assert node_address(WIRE) == NodeAddress(IPv4Address("192.168.6.10"), 24, IPv4Address("192.168.6.1"))
    assert node_address({}) is None


def test_two_provider_addresses_are_refused() -> None:
    two = goal(pb.ProviderAddress(address="1.2.3.4"), pb.ProviderAddress(address="1.2.3.5"))
    with pytest.raises(InvalidPolicyError) as raised:
        node_address(two)
    assert raised.value.problems[0].place == "provider-address/1.2.3.5"


@pytest.mark.parametrize(
    "body",
    [
        pb.LookupRecord(vsid=5001, customer_address="10.0.0", mac=MAC, provider_address="1.2.3.4"),
        pb.LookupRecord(vsid=5001, customer_address="fd00::1", mac=MAC, provider_address="1.2.3.4"),
        pb.CustomerRoute(rdid=str(RDID), prefix="10.0.0.1/24", vsid=5001),
        pb.CustomerRoute(rdid="blue", prefix="10.0.0.0/24", vsid=5001),
        pb.ProviderMember(rdid=str(RDID), provider_address=""),
    ],
)
def test_a_field_that_cannot_be_read_is_its_records_fault(body: object) -> None:
    bad = goal(body)
    with pytest.raises(InvalidPolicyError) as raised:
        policy_of(bad, {}, uplink=0)
    assert [problem.place for problem in raised.value.problems] == list(bad)


# -- content of the maps


def test_numbers_of_routing_domains_are_kept_and_the_smallest_is_free() -> None:
    current = {RDID.bytes: (3).to_bytes(4, "little"), UUID(int=9).bytes: (1).to_bytes(4, "little")}
    assert domain_numbers(current, {RDID, OTHER}) == {RDID: 3, OTHER: 2}, "1 is still in use"
    assert domain_numbers({}, {RDID, OTHER}) == {RDID: 1, OTHER: 2}


def test_steps_lead_from_one_content_to_the_other() -> None:
    empty = {name: {} for name in MAKE_ORDER}
    image = image_of(SOUND, {RDID: 1})
    steps = steps_between(empty, image)
    assert [step.map_name for step in steps] == list(MAKE_ORDER)
    assert steps_between(image, image) == []
    back = [step.map_name for step in steps_between(image, empty)]
    assert back == list(reversed(MAKE_ORDER))
    assert back[-1] == DOMAINS
