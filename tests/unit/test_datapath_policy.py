"""What a switch accepts, and how goal-state records become it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from uuid import UUID

import pytest

from lab.datapath.errors import InvalidPolicyError
from lab.datapath.goal import GoalBook
from lab.datapath.policy import (
    AclRule,
    CustomerRoute,
    LookupRecord,
    Policy,
    Port,
    ProviderAddress,
    ProviderMember,
    Subnet,
    SwitchSettings,
    TeamMode,
    UserRoute,
)
from lab.datapath.validation import validate
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState, record

from .datapath_support import policy_of

RDID = UUID("5d0c4d4a-0b1e-4000-8000-0000000000b1")
OTHER = UUID("5d0c4d4a-0b1e-4000-8000-0000000000e1")
MAC = "00:15:5d:0a:00:04"
SUBNET = Subnet("virtual-subnet/5001", 5001, RDID, IPv4Address("10.0.0.1"), "00:15:5d:00:00:01")
RECORD = LookupRecord("lookup/5001/10.0.0.4", 5001, IPv4Address("10.0.0.4"), MAC, IPv4Address("192.168.6.10"))
ROUTE = CustomerRoute("route", RDID, IPv4Network("10.0.0.0/24"), 5001, None)
MEMBER = ProviderMember("member", RDID, IPv4Address("192.168.6.10"), False)
PORT = Port("port/web", 7, 5001, IPv4Address("10.0.0.4"), MAC, gateway=False)
USER_ROUTE = UserRoute("user", 5001, IPv4Network("0.0.0.0/0"), IPv4Address("10.0.0.4"), 5001)
OWN = ProviderAddress("provider-address/192.168.6.10", IPv4Address("192.168.6.10"), 2)
SOUND = Policy(
    (OWN,), (2,), SwitchSettings(), (SUBNET,), (RECORD,), (ROUTE,), members=(MEMBER,), ports=(PORT,)
)


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
        ({"lookups": (RECORD, replace(RECORD, key="again"))}, ("HNV-POLICY-002", "again")),
        (
            {"lookups": (replace(RECORD, customer_address=IPv6Address("fd00::4")),)},
            ("HNV-POLICY-008", RECORD.key),
        ),
        ({"routes": (replace(ROUTE, prefix=IPv6Network("fd00::/64")),)}, ("HNV-POLICY-008", ROUTE.key)),
        ({"routes": (replace(ROUTE, next_hop=IPv6Address("fd00::4")),)}, ("HNV-POLICY-008", ROUTE.key)),
        ({"ports": (replace(PORT, customer_address=IPv6Address("fd00::4")),)}, ("HNV-POLICY-008", PORT.key)),
        ({"ports": (replace(PORT, acl=(AclRule("r", True, True),) * 257),)}, ("HNV-POLICY-009", PORT.key)),
        ({"ports": (replace(PORT, provider_address=IPv4Address("1.1.1.1")),)}, ("HNV-POLICY-013", PORT.key)),
        ({"uplinks": (1, 2, 3, 4, 5)}, ("HNV-POLICY-014", "")),
        ({"provider_addresses": (OWN, replace(OWN, key="again"))}, ("HNV-POLICY-002", "again")),
        ({"user_routes": (replace(USER_ROUTE, vsid=5999),)}, ("HNV-POLICY-003", USER_ROUTE.key)),
        ({"user_routes": (replace(USER_ROUTE, next_hop_vsid=5999),)}, ("HNV-POLICY-003", USER_ROUTE.key)),
        (
            {"user_routes": (replace(USER_ROUTE, prefix=IPv6Network("::/0")),)},
            ("HNV-POLICY-008", USER_ROUTE.key),
        ),
    ],
)
def test_one_wrong_thing_is_one_problem(change: dict[str, Any], expected: tuple[str, str]) -> None:
    assert refused(replace(SOUND, **change)) == [expected]


def test_a_route_with_an_external_router_needs_no_subnet() -> None:
    validate(replace(SOUND, routes=(replace(ROUTE, vsid=0, external_router=IPv4Address("192.168.6.20")),)))


def test_a_user_route_stays_in_its_routing_domain() -> None:
    other = replace(SUBNET, key="other", vsid=6001, rdid=OTHER)
    policy = replace(SOUND, subnets=(SUBNET, other), user_routes=(replace(USER_ROUTE, next_hop_vsid=6001),))
    assert refused(policy) == [("HNV-POLICY-004", USER_ROUTE.key)]


def test_all_problems_are_told_at_once() -> None:
    policy = replace(SOUND, lookups=(replace(RECORD, mac="x"), replace(RECORD, key="other", vsid=1)))
    assert {place for _, place in refused(policy)} == {RECORD.key, "other"}


# -- records


def goal(*bodies: Any) -> GoalState:
    items = [record(body) for body in bodies]
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
    policy = policy_of(WIRE, {"web": 7}, [2])
    assert (policy.provider_addresses, policy.uplinks) == ((OWN,), (2,))
    assert policy.subnets == (SUBNET,)
    assert policy.lookups == (RECORD,)
    assert [(str(route.prefix), route.next_hop) for route in policy.routes] == [
        ("10.0.0.0/24", None),
        ("192.168.50.0/24", IPv4Address("10.0.0.4")),
    ]
    assert policy.members[0].gateway
    assert policy.ports == (PORT,), "the other port's interface is not there yet"


def test_a_user_route_has_an_external_router_or_a_next_hop() -> None:
    route = pb.UserRoute(vsid=5001, prefix="10.0.1.0/24", external_router="192.168.6.20")
    (read,) = policy_of(WIRE | goal(route), {}, []).user_routes
    assert (read.next_hop, read.external_router) == (None, IPv4Address("192.168.6.20"))
    route.next_hop, route.next_hop_vsid = "10.0.0.4", 5001
    with pytest.raises(InvalidPolicyError, match="not both"):
        policy_of(WIRE | goal(route), {}, [])


def test_a_compartments_port_is_a_gateway() -> None:
    (port,) = policy_of(WIRE, {"compartment/x": 9}, [2]).ports
    assert port.gateway


def test_a_provider_address_is_carried_by_its_home_or_by_the_first_that_lives() -> None:
    two = goal(
        pb.ProviderAddress(address="1.2.3.5", prefix_length=24, uplink=1),
        pb.ProviderAddress(address="1.2.3.4", prefix_length=24),
    )
    for uplinks, expected in (([7, 8], [7, 8]), ([7, 0], [7, 7]), ([0, 8], [8, 8]), ([0, 0], [0, 0])):
        policy = policy_of(two, {}, uplinks)
        assert [str(own.address) for own in policy.provider_addresses] == ["1.2.3.4", "1.2.3.5"]
        assert [own.uplink_ifindex for own in policy.provider_addresses] == expected
        assert policy.uplinks == tuple(filter(None, uplinks))


def test_the_next_hop_is_known_where_all_pas_are_of_one_network() -> None:
    own = pb.ProviderAddress(address="1.2.3.4", prefix_length=24, gateway="1.2.3.1")
    neighbour = pb.ProviderAddress(address="1.2.3.5", prefix_length=24, gateway="1.2.3.1", uplink=1)
    elsewhere = pb.ProviderAddress(address="1.2.4.5", prefix_length=24, gateway="1.2.4.1", uplink=1)
    for addresses, network, gateway in (
        ([own], "1.2.3.0/24", "1.2.3.1"),
        ([own, neighbour], "1.2.3.0/24", "1.2.3.1"),
        ([own, elsewhere], "None", "None"),
        ([], "None", "None"),
    ):
        switch = policy_of(goal(*addresses), {}, [7, 8]).switch
        assert (str(switch.provider), str(switch.provider_gateway)) == (network, gateway)


def test_settings_have_words() -> None:
    words = pb.SwitchSettings(
        encapsulation="vxlan", dscp="uniform", team_mode="dynamic", external_router=True
    )
    switch = policy_of(goal(words), {}, []).switch
    assert (switch.vxlan, switch.dscp_uniform, switch.external_router) == (True, True, True)
    assert switch.team is TeamMode.DYNAMIC
    plain = policy_of({}, {}, []).switch
    assert (plain.vxlan, plain.dscp_uniform, plain.external_router) == (False, False, False)
    assert plain.team is TeamMode.PORT


def test_a_ports_rules_are_its_lists_in_order() -> None:
    lists = [
        pb.AccessControlList(id=name, rules=[pb.AclRule(id=f"{name}{n}", deny=n == 1) for n in (1, 2)])
        for name in ("web", "subnet")
    ]
    port = pb.Port(interface_id="web", vsid=5001, customer_address="fd00::4", mac=MAC, forwarding=True)
    port.access_control_lists.extend(["subnet", "web"])
    (read,) = policy_of(goal(*lists, port), {"web": 7}, []).ports
    assert [rule.id for rule in read.acl] == ["subnet1", "subnet2", "web1", "web2"]
    assert [rule.deny for rule in read.acl] == [True, False, True, False]
    assert read.forwarding


def test_a_list_that_is_not_there_is_its_ports_fault() -> None:
    port = pb.Port(interface_id="web", vsid=5001, customer_address="10.0.0.4", mac=MAC)
    port.access_control_lists.append("none")
    with pytest.raises(InvalidPolicyError) as raised:
        policy_of(goal(port), {"web": 7}, [])
    assert [(p.code, p.place) for p in raised.value.problems] == [("HNV-POLICY-015", "port/web")]


@pytest.mark.parametrize(
    "body",
    [
        pb.LookupRecord(vsid=5001, customer_address="10.0.0", mac=MAC, provider_address="1.2.3.4"),
        pb.LookupRecord(vsid=5001, customer_address="10.0.0.4", mac=MAC, provider_address="fd00::1"),
        pb.SwitchSettings(encapsulation="geneve"),
        pb.SwitchSettings(dscp="some"),
        pb.SwitchSettings(team_mode="lacp"),
        pb.UserRoute(vsid=5001, prefix="10.0.0.1/24"),
        pb.AccessControlList(id="x", rules=[pb.AclRule(protocol=256)]),
        pb.AccessControlList(id="x", rules=[pb.AclRule(source_port_first=9, source_port_last=8)]),
        pb.CustomerRoute(rdid=str(RDID), prefix="10.0.0.1/24", vsid=5001),
        pb.CustomerRoute(rdid="blue", prefix="10.0.0.0/24", vsid=5001),
        pb.ProviderMember(rdid=str(RDID), provider_address=""),
    ],
)
def test_a_field_that_cannot_be_read_is_its_records_fault(body: object) -> None:
    bad = goal(body)
    with pytest.raises(InvalidPolicyError) as raised:
        policy_of(bad, {}, [])
    assert [problem.place for problem in raised.value.problems] == list(bad)


# -- changes of a goal state


def test_only_what_differs_is_read_again() -> None:
    book = GoalBook()
    book.commit(book.draft(WIRE))
    again = {key: pb.Record.FromString(item.SerializeToString()) for key, item in WIRE.items()}
    assert book.draft(again).readings == {}, "equal records in new objects, as a snapshot brings them"
    moved = pb.LookupRecord()
    moved.CopyFrom(WIRE[RECORD.key].lookup_record)
    moved.provider_address = "192.168.6.11"
    changed = WIRE | goal(moved)
    draft = book.draft(changed)
    assert (draft.removed, draft.added) == (
        [RECORD],
        [replace(RECORD, provider_address=IPv4Address("192.168.6.11"))],
    )
    assert book.draft(changed, touched={RECORD.key}) == draft
    assert draft.meaning is book.meaning


def test_a_record_that_goes_takes_what_it_meant() -> None:
    book = GoalBook()
    book.commit(book.draft(WIRE))
    book.commit(book.draft({}))
    assert (book.meaning.addresses, book.meaning.ports) == ({}, {})
    assert len(book.draft(WIRE).added) == 5
