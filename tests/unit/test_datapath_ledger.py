"""What a policy means in the kernel's maps, and that a history of changes means what its end means."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.datapath import abi, entries
from lab.datapath.errors import InvalidPolicyError
from lab.datapath.image import (
    ACL_RULES,
    ACLS,
    DOMAINS,
    FLOOD,
    LOOKUP,
    MAKE_ORDER,
    PROVIDERS,
    ROUTES,
    SETTINGS,
    SUBNETS,
    VPORTS,
    Image,
    Step,
    empty_image,
    steps_between,
)
from lab.datapath.ledger import Ledger
from lab.datapath.numbers import LAST_ACL
from lab.datapath.policy import (
    AclRule,
    CustomerRoute,
    Item,
    LookupRecord,
    Node,
    Port,
    ProviderAddress,
    ProviderMember,
    Subnet,
    SwitchSettings,
    TeamMode,
    UserRoute,
)
from lab.datapath.receivers import settled

BLUE, RED = UUID(int=0xB1), UUID(int=0xE1)
MAC = "00:15:5d:0a:00:04"
OWN, FAR, THIRD = (IPv4Address(f"192.168.6.{n}") for n in (10, 11, 12))
NODE = Node((ProviderAddress("own", OWN, 3),), (3,), SwitchSettings())
SUBNET = Subnet("s", 5001, BLUE, IPv4Address("10.0.0.1"), "00:15:5d:00:00:01")
RECORD = LookupRecord("l", 5001, IPv4Address("10.0.0.4"), MAC, FAR)
PORT = Port("p", 7, 5001, IPv4Address("10.0.0.4"), MAC)
ALLOW = AclRule("allow", inbound=True, deny=False)
DENY = AclRule("deny", inbound=False, deny=True, log=True, protocol=6, destination=IPv4Network("10.0.0.0/8"))
ROOM = dict.fromkeys(MAKE_ORDER, 100_000)


def ledger(*items: Item, node: Node = NODE, seed: Image | None = None) -> Ledger:
    made = Ledger(seed or empty_image(), ROOM)
    made.change([], items, node)
    return made


def receivers(image: Image, vsid: int = 5001) -> list[str]:
    """Who gets the broadcast of a subnet, in order; fails if the list has a gap."""
    found = {}
    for key, value in image[FLOOD].items():
        at = abi.FloodKey.from_buffer_copy(key)
        to = abi.Flood.from_buffer_copy(value)
        if at.vsid == vsid:
            found[at.index] = str(abi.address_of(to.pa) or to.ifindex)
    return [found[index] for index in range(len(found))]


# -- layouts


@pytest.mark.parametrize(
    ("layout", "structure"),
    [
        (entries.VPORT, abi.VPort),
        (entries.SUBNET, abi.Subnet),
        (entries.LOOKUP_KEY, abi.LookupKey),
        (entries.LOOKUP, abi.Lookup),
        (entries.LOCAL_KEY, abi.LocalKey),
        (entries.ROUTE_KEY, abi.RouteKey),
        (entries.ROUTE, abi.Route),
        (entries.MEMBER_KEY, abi.MemberKey),
        (entries.FLOOD_KEY, abi.FloodKey),
        (entries.FLOOD, abi.Flood),
        (entries.SETTINGS, abi.Settings),
        (entries.ACL_KEY, abi.AclKey),
        (entries.ACL_RULE, abi.AclRule),
    ],
)
def test_what_is_packed_is_what_the_switch_reads(
    layout: struct.Struct, structure: type[ctypes.Structure]
) -> None:
    assert layout.size == ctypes.sizeof(structure)


def test_a_port_in_the_maps() -> None:
    port = replace(
        PORT,
        provider_address=OWN,
        gateway=True,
        forwarding=True,
        dhcp_server=True,
        router_advertiser=True,
        storm_limit_pps=9,
        qos_class=0x10002,
        acl=(ALLOW,),
    )
    image = ledger(SUBNET, RECORD, port).image
    seen = abi.VPort.from_buffer_copy(image[VPORTS][entries.u32(7)])
    assert (seen.vsid, seen.rd, seen.flags) == (5001, 1, 15)
    assert (seen.acl, seen.storm_pps, seen.qos_class) == (1, 9, 0x10002)
    assert abi.address_of(seen.ca) == port.customer_address
    assert abi.address_of(seen.pa) == OWN
    assert abi.mac_text(seen.mac) == MAC


def test_a_port_without_a_provider_address_sends_from_the_nodes_first() -> None:
    image = ledger(SUBNET, PORT).image
    assert abi.address_of(abi.VPort.from_buffer_copy(image[VPORTS][entries.u32(7)]).pa) == OWN


def test_routes_in_the_maps() -> None:
    routes = (
        CustomerRoute("r1", BLUE, IPv4Network("10.0.0.0/24"), 5001, None),
        CustomerRoute("r2", BLUE, IPv4Network("0.0.0.0/0"), 0, None, external_router=FAR),
        UserRoute("u1", 5001, IPv4Network("10.9.0.0/16"), RECORD.customer_address, 5001),
        UserRoute("u2", 5001, IPv4Network("10.8.0.0/16"), None),
        UserRoute("u3", 5001, IPv4Network("10.7.0.0/16"), None, external_router=FAR),
    )
    image = ledger(SUBNET, *routes).image
    found = {}
    for key_bytes, value in image[ROUTES].items():
        key, route = abi.RouteKey.from_buffer_copy(key_bytes), abi.Route.from_buffer_copy(value)
        assert route.prefix_bits == key.prefix_bits
        table = int.from_bytes(key_bytes[4:8], "big")
        found[table, str(abi.address_of(key.prefix)), key.prefix_bits - 128] = (
            route.vsid,
            route.flags,
            abi.address_of(route.next_hop),
            abi.address_of(route.external_router),
        )
    user = abi.TABLE_USER | 5001
    assert found == {
        (1, "10.0.0.0", 24): (5001, 0, None, None),
        (1, "0.0.0.0", 0): (0, 0, None, FAR),
        (user, "10.9.0.0", 16): (5001, 0, RECORD.customer_address, None),
        (user, "10.8.0.0", 16): (5001, 1, None, None),
        (user, "10.7.0.0", 16): (5001, 0, None, FAR),
    }
    assert abi.Subnet.from_buffer_copy(image[SUBNETS][entries.u32(5001)]).flags == abi.SubnetFlag.USER_ROUTES


def test_an_ipv6_subnet_in_the_maps() -> None:
    subnet = replace(SUBNET, router=IPv6Address("fd00::1"))
    route = CustomerRoute("r", BLUE, IPv6Network("fd00::/64"), 5001, None)
    record = replace(RECORD, customer_address=IPv6Address("fd00::4"))
    image = ledger(subnet, route, record).image
    (key,) = image[ROUTES]
    assert abi.RouteKey.from_buffer_copy(key).prefix_bits == 32 + 64
    assert list(image[LOOKUP]) == [
        (5001).to_bytes(4, "little") + IPv6Address("fd00::4").packed,
    ]


def test_settings_and_provider_addresses_in_the_maps() -> None:
    provider, gateway = IPv4Network("192.168.4.0/22"), IPv4Address("192.168.4.1")
    switch = SwitchSettings(True, True, True, TeamMode.DYNAMIC, 5, 6, 7, provider, gateway)
    node = Node((ProviderAddress("a", OWN, 3), ProviderAddress("b", FAR, 0)), (3, 4), switch)
    image = ledger(node=node).image
    seen = abi.Settings.from_buffer_copy(image[SETTINGS][entries.u32(0)])
    assert (seen.flags, seen.team, seen.qos_in, seen.icmp_pps, seen.event_pps) == (7, 2, 7, 5, 6)
    assert (seen.uplink_count, list(seen.uplink)) == (2, [3, 4, 0, 0])
    in_network_order = [
        number.to_bytes(4, "little") for number in (seen.pa_network, seen.pa_mask, seen.pa_gateway)
    ]
    assert in_network_order == [
        IPv4Address(text).packed for text in ("192.168.4.0", "255.255.252.0", "192.168.4.1")
    ]
    assert image[PROVIDERS] == {entries.packed(OWN): entries.u32(3), entries.packed(FAR): entries.u32(0)}


# -- rules


def test_a_rule_in_the_maps() -> None:
    image = ledger(SUBNET, replace(PORT, acl=(ALLOW, DENY))).image
    rules = {key: abi.AclRule.from_buffer_copy(value) for key, value in image[ACL_RULES].items()}
    assert set(rules) == {entries.acl_key(1, abi.AclDirection.INBOUND, 0), entries.acl_key(1, 0, 0)}
    deny = rules[entries.acl_key(1, abi.AclDirection.OUTBOUND, 0)]
    assert deny.flags == abi.RuleFlag.DENY | abi.RuleFlag.LOG
    assert (deny.protocol, deny.id) == (6, 1)
    assert bytes(deny.destination) == bytes(10) + b"\xff\xff\x0a\0\0\0"
    assert bytes(deny.destination_mask) == b"\xff" * 13 + bytes(3)
    assert bytes(deny.source_mask) == bytes(16)
    assert (deny.source_port_first, deny.source_port_last) == (0, 65535)
    allow = rules[entries.acl_key(1, abi.AclDirection.INBOUND, 0)]
    assert (allow.flags, allow.id) == (abi.RuleFlag.ANY_PROTOCOL, 0)


def test_equal_rules_are_one_set() -> None:
    other = replace(PORT, key="q", ifindex=8, mac="00:15:5d:0a:00:05", acl=(replace(ALLOW, id="same"),))
    image = ledger(SUBNET, replace(PORT, acl=(ALLOW,)), other).image
    assert len(image[ACL_RULES]) == 1
    assert len(image[ACLS]) == 2, "the set, and the last number given"


def test_a_set_of_rules_never_changes_and_its_number_never_comes_back() -> None:
    first, second = replace(PORT, acl=(ALLOW,)), replace(PORT, acl=(DENY,))
    book = ledger(SUBNET, first)
    book.change([first], [second])
    assert {abi.AclKey.from_buffer_copy(key).acl for key in book.image[ACL_RULES]} == {2}
    book.change([second], [PORT])
    assert book.image[ACL_RULES] == {}
    assert book.image[ACLS] == {LAST_ACL: entries.u32(2)}
    again = ledger(SUBNET, replace(PORT, acl=(ALLOW, DENY)), seed=book.image)
    assert {abi.AclKey.from_buffer_copy(key).acl for key in again.image[ACL_RULES]} == {3}


# -- receivers of broadcast


def test_broadcast_goes_to_ports_and_once_to_each_other_node() -> None:
    records = [
        replace(RECORD, customer_address=RECORD.customer_address + n, provider_address=home)
        for n, home in enumerate((FAR, FAR, THIRD, OWN))
    ]
    book = ledger(SUBNET, PORT, *records)
    assert receivers(book.image) == ["7", str(FAR), str(THIRD)]
    book.change([records[0]], [])
    assert receivers(book.image) == ["7", str(FAR), str(THIRD)], "another CA lives there"
    book.change([records[1]], [])
    assert receivers(book.image) == ["7", str(THIRD)]
    book.change([PORT], [])
    assert receivers(book.image) == [str(THIRD)]


def test_one_receiver_too_many_is_told() -> None:
    records = [
        replace(RECORD, customer_address=RECORD.customer_address + n, provider_address=FAR + n)
        for n in range(200)
    ]
    assert len(receivers(ledger(SUBNET, *records).image)) == abi.FLOOD_MAX + 1
    assert len(receivers(ledger(SUBNET, *records[:64]).image)) == 64


LISTS = st.lists(st.sampled_from([bytes([65 + n]) for n in range(8)]), unique=True)


@given(LISTS, LISTS)
def test_no_receiver_that_stays_is_ever_left_out(before: list[bytes], now: list[bytes]) -> None:
    places = settled(before, now)
    assert sorted(places) == sorted(now)
    current = list(before)
    for index, item in enumerate(places):
        current[index : index + 1] = [item]
        assert set(before) & set(now) <= set(current)
    assert current[: len(places)] == places


# -- changes


def test_numbers_of_routing_domains_are_kept() -> None:
    red = replace(SUBNET, key="red", vsid=6001, rdid=RED)
    book = ledger(SUBNET, red)
    numbers = dict(book.image[DOMAINS])
    book.change([SUBNET], [])
    assert book.image[DOMAINS] == {RED.bytes: numbers[RED.bytes]}
    again = ledger(red, SUBNET, seed=book.image)
    assert again.image[DOMAINS][RED.bytes] == numbers[RED.bytes]


def test_a_subnet_with_dependants_does_not_go() -> None:
    book = ledger(SUBNET, RECORD, PORT)
    with pytest.raises(InvalidPolicyError) as raised:
        book.change([SUBNET], [])
    assert {problem.place for problem in raised.value.problems} == {"l", "p"}
    book.change([SUBNET, RECORD, PORT], [])


def test_a_subnet_that_moves_to_another_routing_domain_takes_its_ports_along() -> None:
    book = ledger(SUBNET, PORT)
    book.change([SUBNET], [replace(SUBNET, rdid=RED)])
    assert abi.VPort.from_buffer_copy(book.image[VPORTS][entries.u32(7)]).rd == 2


def test_a_provider_address_that_a_port_needs_does_not_go() -> None:
    book = ledger(SUBNET, replace(PORT, provider_address=OWN))
    with pytest.raises(InvalidPolicyError) as raised:
        book.change([], [], Node())
    assert [problem.code for problem in raised.value.problems] == ["HNV-POLICY-013"]
    assert book.node == NODE


def test_what_does_not_fit_is_refused() -> None:
    book = Ledger(empty_image(), ROOM | {LOOKUP: 1})
    book.change([], [SUBNET, RECORD])
    other = replace(RECORD, customer_address=RECORD.customer_address + 1)
    before = {name: dict(content) for name, content in book.image.items()}
    for removed in ([], [RECORD]):
        with pytest.raises(InvalidPolicyError, match="would need 2 entries"):
            book.change(removed, [other])
    assert book.image == before
    assert book.change([RECORD], [replace(RECORD, provider_address=THIRD)])


def test_a_change_touches_its_own_entries_only() -> None:
    records = [replace(RECORD, customer_address=RECORD.customer_address + n) for n in range(50)]
    book = ledger(SUBNET, PORT, *records)
    moved = replace(records[7], mac="00:15:5d:0a:00:99")
    (step,) = book.change([records[7]], [moved])
    assert (step.map_name, len(step.upserts), step.removes) == (LOOKUP, 1, ())


def _replayed(image: Image, steps: Sequence[Step]) -> None:
    for step in steps:
        image[step.map_name].update(step.upserts)
        for key in step.removes:
            del image[step.map_name][key]


VSIDS = (5001, 5002)
ITEMS = st.one_of(
    st.builds(
        Subnet,
        st.just("s"),
        st.sampled_from(VSIDS),
        st.sampled_from((BLUE, RED)),
        st.sampled_from((ip_address("10.0.0.1"), ip_address("fd00::1"))),
        st.just(MAC),
    ),
    st.builds(
        LookupRecord,
        st.just("l"),
        st.sampled_from(VSIDS),
        st.sampled_from([ip_address(text) for text in ("10.0.0.4", "10.0.0.5", "fd00::4")]),
        st.just(MAC),
        st.sampled_from((OWN, FAR, THIRD)),
    ),
    st.builds(
        CustomerRoute,
        st.just("r"),
        st.sampled_from((BLUE, RED)),
        st.sampled_from([ip_network(text) for text in ("10.0.0.0/24", "0.0.0.0/0", "fd00::/64")]),
        st.sampled_from(VSIDS),
        st.sampled_from((None, ip_address("10.0.0.4"))),
    ),
    st.builds(
        UserRoute,
        st.just("u"),
        st.sampled_from(VSIDS),
        st.sampled_from([ip_network(text) for text in ("10.0.0.0/8", "fd00::/8")]),
        st.sampled_from((None, ip_address("10.0.0.4"))),
        st.sampled_from(VSIDS),
    ),
    st.builds(
        ProviderMember,
        st.just("m"),
        st.sampled_from((BLUE, RED)),
        st.sampled_from((FAR, THIRD)),
        st.booleans(),
        st.booleans(),
    ),
    st.builds(
        Port,
        st.just("p"),
        st.integers(1, 3),
        st.sampled_from(VSIDS),
        st.just(ip_address("10.0.0.4")),
        st.sampled_from((MAC, "00:15:5d:0a:00:05")),
        acl=st.sampled_from(((), (ALLOW,), (ALLOW, DENY))),
    ),
)
NODES = st.builds(
    Node,
    st.sampled_from(((), NODE.provider_addresses, (ProviderAddress("far", FAR, 4),))),
    st.sampled_from(((), (3,), (3, 4))),
)


@given(st.lists(st.tuples(st.lists(ITEMS, max_size=6), NODES), max_size=8))
def test_a_history_means_what_its_end_means(history: list[tuple[list[Item], Node]]) -> None:
    """Whatever was accepted or refused on the way; numbers and places in lists may differ."""
    book = Ledger(empty_image(), ROOM)
    kernel = {name: dict(content) for name, content in book.image.items()}
    items: list[Item] = []
    for wanted, node in history:
        try:
            removed, added = book.difference([*items[: len(items) // 2], *wanted])
            _replayed(kernel, book.change(removed, added, node))
        except InvalidPolicyError:
            continue
        items = [*items[: len(items) // 2], *wanted]
    assert kernel == book.image
    fresh = ledger(*items, node=book.node, seed=book.image)
    for name in MAKE_ORDER:
        if name == FLOOD:
            for vsid in VSIDS:
                assert sorted(receivers(fresh.image, vsid)) == sorted(receivers(book.image, vsid))
        elif name != ACLS:
            assert fresh.image[name] == book.image[name], name


def test_steps_lead_from_one_content_to_the_other_and_back() -> None:
    image = ledger(SUBNET, RECORD, replace(PORT, acl=(ALLOW,)), node=NODE).image
    empty = Ledger(empty_image(), ROOM).image
    steps = steps_between(empty, image)
    names = [step.map_name for step in steps]
    assert names == sorted(names, key=MAKE_ORDER.index)
    assert steps_between(image, image) == []
    back = [step.map_name for step in steps_between(image, empty) if step.removes]
    assert back == sorted(back, key=MAKE_ORDER.index, reverse=True)
    assert back[-1] == DOMAINS
