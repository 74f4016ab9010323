"""A NAT connection as data: what is refused, what nftables is told, and which sessions may go on."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwnode.nat import Nat, PortMapping, disjoint, forward_rules, nat, nat_items
from gwnode.nat_front import MARK, TABLE, Leg, leg_items, leg_routes, shared_addresses
from gwnode.nat_sessions import Direction, End, Tracked, direction, follows
from gwnode.nft import transaction
from gwnode.transit import Transit
from lab.errors import LabError
from lab.model.internet import NEVER_OUTSIDE
from lab.southbound import southbound_pb2 as pb

INSIDE = (IPv4Network("10.0.0.0/24"), IPv4Network("10.0.1.0/24"))
PUBLIC = "203.0.113.20"


def transit(number: int) -> Transit:
    """Of the tenant of that number."""
    return Transit(IPv4Network(f"100.64.0.{2 * number}/31"))


def mapping(**values: Any) -> pb.NatMapping:
    fields = {"name": "web", "protocol": "tcp", "external_port": 8080, "internal_address": "10.0.0.4"}
    return pb.NatMapping(**{**fields, "internal_port": 80, **values})


def connection(*mappings: pb.NatMapping, **values: Any) -> Nat:
    wanted = pb.Nat(**{"public_address": PUBLIC, "mappings": mappings, **values})
    return nat("compartment/rd", pb.Connection(name="internet", nat=wanted), "nat0", INSIDE)


def codes(*mappings: pb.NatMapping, **values: Any) -> list[str]:
    with pytest.raises(LabError) as refusal:
        connection(*mappings, **values)
    assert all(problem.place == "compartment/rd: internet" for problem in refusal.value.problems)
    return [problem.code for problem in refusal.value.problems]


def test_what_is_not_said_is_as_in_windows() -> None:
    item = connection(mapping(protocol="TCP", internal_port=0))
    assert (item.first_port, item.last_port) == (1024, 65535)
    assert item.mappings == {
        ("tcp", 8080): PortMapping("web", "tcp", 8080, IPv4Address("10.0.0.4"), 8080),
    }


@pytest.mark.parametrize(
    ("mappings", "values", "expected"),
    [
        ([], {"public_address": "nowhere"}, ["HNV-GW-021"]),
        ([], {"public_address": "192.168.1.1"}, ["HNV-GW-021"]),
        ([], {"port_first": 50000, "port_last": 49999}, ["HNV-GW-022"]),
        ([], {"port_last": 65536}, ["HNV-GW-022"]),
        ([], {"port_last": 80}, ["HNV-GW-022"]),
        ([mapping(protocol="icmp")], {}, ["HNV-GW-023"]),
        ([mapping(external_port=0)], {}, ["HNV-GW-023"]),
        ([mapping(internal_port=65536)], {}, ["HNV-GW-023"]),
        ([mapping(internal_address="vm")], {}, ["HNV-GW-023"]),
        ([mapping(remote_prefix="198.51.100.1/24")], {}, ["HNV-GW-023"]),
        ([mapping(), mapping(name="other", internal_address="10.0.1.5")], {}, ["HNV-GW-024"]),
        ([mapping(internal_address="10.0.2.2")], {}, ["HNV-GW-025"]),
        ([mapping(protocol="gre"), mapping(internal_address="8.8.8.8")], {}, ["HNV-GW-023", "HNV-GW-025"]),
    ],
)
def test_refusals(mappings: list[pb.NatMapping], values: dict[str, Any], expected: list[str]) -> None:
    assert codes(*mappings, **values) == expected


def test_a_port_is_taken_once_for_each_protocol_and_inside_the_range_as_well() -> None:
    item = connection(mapping(external_port=5000), mapping(name="u", protocol="udp", external_port=5000))
    assert set(item.mappings) == {("tcp", 5000), ("udp", 5000)}


def named(items: list[dict[str, Any]], name: str) -> Any:
    (found,) = [
        value
        for item in items
        for value in item["add"].values()
        if value.get("name") == name and "expr" not in value
    ]
    return found.get("elem", [])


def test_a_limited_mapping_is_open_to_its_prefix_only() -> None:
    """And to the tenant's own VMs if the public address is in it, for that is what they are seen with."""
    items = nat_items(
        connection(
            mapping(),
            mapping(name="a", external_port=22, remote_prefix="198.51.100.0/24"),
            mapping(name="b", external_port=23, remote_prefix="203.0.113.0/24"),
        ),
        NEVER_OUTSIDE,
    )
    assert named(items, "nat_open") == [{"concat": ["tcp", "8080"]}]
    assert [entry["concat"][1:] for entry in named(items, "nat_limited")] == [
        ["22", {"prefix": {"addr": "198.51.100.0", "len": 24}}],
        ["23", {"prefix": {"addr": "203.0.113.0", "len": 24}}],
    ]
    assert named(items, "nat_hairpin") == [{"concat": ["tcp", "23"]}, {"concat": ["tcp", "8080"]}]
    assert transaction([*items, *forward_rules(connection())])


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=8))
def test_disjoint_prefixes_hold_the_same_addresses(pairs: list[tuple[int, int]]) -> None:
    prefixes = [IPv4Network((number, length), strict=False) for number, length in pairs]
    result = [IPv4Network(item) for item in disjoint(prefixes)]
    assert not any(a.overlaps(b) for a in result for b in result if a is not b)
    assert all(any(prefix.subnet_of(held) for held in result) for prefix in prefixes)
    assert all(any(edge in p for p in prefixes) for held in result for edge in (held[0], held[-1]))


OUT = Tracked("tcp", End("10.0.0.4", 5000), End("8.8.8.8", 443), End("8.8.8.8", 443), End(PUBLIC, 5000))
IN = Tracked("tcp", End("8.8.8.8", 999), End(PUBLIC, 8080), End("10.0.0.4", 80), End("8.8.8.8", 999))
HAIRPIN = Tracked("tcp", End("10.0.1.5", 999), End(PUBLIC, 8080), End("10.0.0.4", 80), End(PUBLIC, 1999))


def test_who_began() -> None:
    told = [direction(IPv4Address(PUBLIC), flow) for flow in (OUT, IN, HAIRPIN)]
    assert told == [Direction.OUTBOUND, Direction.INBOUND, Direction.HAIRPIN]
    assert direction(IPv4Address("203.0.113.21"), OUT) is None


@pytest.mark.parametrize(
    ("item", "kept"),
    [
        (connection(mapping()), [True, True, True]),
        (connection(mapping(), mapping(name="more", external_port=81)), [True, True, True]),
        (connection(), [True, False, False]),
        (connection(mapping(internal_port=81)), [True, False, False]),
        (connection(mapping(internal_address="10.0.0.5")), [True, False, False]),
        (connection(mapping(protocol="udp")), [True, False, False]),
        (connection(mapping(remote_prefix="8.8.8.0/24")), [True, True, False]),
        (connection(mapping(remote_prefix="203.0.113.0/24")), [True, False, True]),
        (connection(mapping(), port_first=1999, port_last=1999), [False, True, True]),
        (connection(mapping(), public_address="203.0.113.21"), [False, False, False]),
    ],
)
def test_a_change_ends_what_could_not_begin_any_more(item: Nat, kept: list[bool]) -> None:
    assert [follows(item, flow) for flow in (OUT, IN, HAIRPIN)] == kept


def legs(*publics: str) -> list[Leg]:
    return [
        Leg(
            f"t{number}",
            f"n-t{number}",
            IPv4Address(public),
            transit(number),
        )
        for number, public in enumerate(publics)
    ]


def test_each_public_address_leads_to_its_leg_and_all_legs_to_the_router() -> None:
    two = legs("203.0.113.20", "203.0.113.21")
    routes = [
        (str(r.prefix), r.device, str(r.via), r.table)
        for r in leg_routes(two, "fe0", IPv4Address("203.0.113.1"))
    ]
    assert routes == [
        ("203.0.113.20/32", "n-t0", "100.64.0.1", 254),
        ("203.0.113.21/32", "n-t1", "100.64.0.3", 254),
        ("0.0.0.0/0", "fe0", "203.0.113.1", TABLE),
    ]
    assert leg_routes([], "fe0", IPv4Address("203.0.113.1")) == []
    items = leg_items(two, "fe0", [])
    assert named(items, "nat_pairs") == [
        {"concat": ["n-t0", "203.0.113.20"]},
        {"concat": ["n-t1", "203.0.113.21"]},
    ]
    assert MARK


def test_a_public_address_is_one_tenants_alone() -> None:
    vip = IPv4Address("203.0.113.10")
    assert shared_addresses(legs("203.0.113.20", "203.0.113.21"), [vip]) == []
    told = shared_addresses(legs("203.0.113.20", "203.0.113.20", "203.0.113.10"), [vip])
    assert [(problem.code, problem.place) for problem in told] == [("HNV-GW-026", "t1"), ("HNV-GW-026", "t2")]
