"""Every way in which a topology file can be wrong, each ending in one problem at the right line."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.errors import ExitCode, InvalidTopologyError, Problem
from lab.model.codes import Code
from lab.model.document import parse
from lab.model.loader import load, parse_topology
from lab.model.names import interface_name
from lab.model.resolve import resolve

VALID = (Path(__file__).parents[1] / "golden" / "topology_small.yml").read_text()


def problems(text: str) -> tuple[Problem, ...]:
    """What is wrong with a topology."""
    try:
        parse_topology(text, "lab.yml", Path("/nowhere"))
    except InvalidTopologyError as error:
        return error.problems
    return ()


def test_the_valid_one_is_valid() -> None:
    assert problems(VALID) == ()


LAN = "lan: {prefix: 192.168.50.0/24}\n    asn: 64521\nchecks"
PC = "{address: 192.168.50.100}"
WRONG = [
    # (what is changed, to what, the code, what is to blame (at ^), a text of expected or hint)
    ("lab: small", "lab: Small_Lab", Code.NAME, "lab:", "small-lab"),
    ("lab: small", "lab: 7", Code.NAME, "lab:", "quotes"),
    ("lab: small", f"lab: {'x' * 58}", Code.LONG_NAME, "blue-web: {", "63"),
    ("  transit: {", "  tranzit: {", Code.UNKNOWN_KEY, "tranzit", "transit"),
    ("    mtu: 1700", "    mtu: 1541", Code.VALUE, "mtu", "1542"),
    ("    mtu: 1700", '    mtu: "1700"', Code.VALUE, "mtu", "integer"),
    ("prefix: 172.16.0.0/24", "prefix: 172.16.0.5/24", Code.PREFIX, "management", "172.16.0.0/24"),
    ("prefix: 172.16.0.0/24", "prefix: 172.16.0.0/31", Code.PREFIX, "management", "/30"),
    ("prefix: 172.16.0.0/24", "prefix: 224.0.0.0/24", Code.PREFIX, "management", "10.0.0.0/24"),
    ("prefix: 172.16.0.0/24", "prefix: 192.168.6.128/25", Code.FABRIC_OVERLAP, "    prefix: 192.168.6", ""),
    ("prefix: 172.16.0.0/24", "prefix: 172.16.0.0/30", Code.PREFIX_SMALL, "management", "5 of them"),
    ("0/24, vip: 203.0.113.10", "0/30, vip: 203.0.113.2", Code.PREFIX_SMALL, "front-end", "3 of"),
    ("first: 192.168.6.10", "first: 192.168.7.10", Code.POOL, "pool", "192.168.6.0/24"),
    ("first: 192.168.6.10", "first: 192.168.6.1", Code.POOL, "pool", "not its first"),
    ("last: 192.168.6.20", "last: 192.168.6.255", Code.POOL, "pool", ""),
    ("last: 192.168.6.20", "last: 192.168.6.9", Code.POOL, "pool", ""),
    ("last: 192.168.6.20", "last: 192.168.6.11", Code.POOL_SMALL, "pool", "192.168.6.12"),
    ("vip: 203.0.113.10", "vip: 203.0.114.10", Code.VIP, "vip", "203.0.113.0/24"),
    ("vip: 203.0.113.10", "vip: 203.0.113.1", Code.VIP, "vip", "not its first"),
    ("  gw01: {capacity-kbps: 1000000}", "  gw01: {}\n  gw02: {}", Code.GATEWAY_COUNT, "gw02", "one gateway"),
    ("  hv02:\n", "  hv02:\n  hv01: {}\n", Code.DUPLICATE_KEY, "  ^hv01: {}\ngateways", "line 12"),
    ("  hv02:\n", "  hv02: {memory: 4}\n", Code.UNKNOWN_KEY, "memory", "uplinks"),
    ("  hv02:\n", "  hv02:\n  tor: {}\n", Code.DUPLICATE_NODE, "tor", "fabric / router"),
    ("      blue-pc: {", "      red-web: {", Code.DUPLICATE_NODE, "      red-web: {address", "tenants / red"),
    ("host: hv01, subnet: web", "host: hv1, subnet: web", Code.REFERENCE, "blue-web: {", "`hv01`"),
    ("host: hv01, subnet: web", "host: hv01, subnet: wib", Code.REFERENCE, "blue-web: {", "`web`"),
    ("host: hv01, subnet: web", "subnet: web", Code.MISSING_KEY, "blue-web: {", "host"),
    ("vsid: 5001", "vsid: 4095", Code.VALUE, "web: {vsid: 4095", "4096"),
    ("vsid: 5001", "vsid: 16777215", Code.VALUE, "web: {vsid", "16777214"),
    ("vsid: 6001", "vsid: 5001", Code.VSID,
     "^web: {vsid: 5001, prefix: 10.0.0.0/24}\n      gateway: ", "datacenter"),
    ("10.0.1.0/24", "10.0.0.128/25", Code.SUBNET_OVERLAP, "app:", "different tenants may"),
    ("address: 10.0.0.5", "address: 10.0.9.5", Code.OUTSIDE, "blue-api", "`web`"),
    ("address: 10.0.0.5", "address: 10.0.0.1", Code.RESERVED, "blue-api", "every host routes by"),
    ("address: 10.0.0.5", "address: 10.0.0.255", Code.RESERVED, "blue-api", ""),
    ("address: 10.0.0.5", "address: 10.0.0.0", Code.RESERVED, "blue-api", ""),
    ("address: 10.0.0.5", "address: 10.0.0.4", Code.DUPLICATE_ADDRESS, "blue-api", "once"),
    ("address: 10.0.0.5", "address: 10.0.0.5/24", Code.ADDRESS, "blue-api", "prefix length"),
    ("address: 10.0.0.5", "address: 10.0.0.256", Code.ADDRESS, "blue-api", "10.0.0.4"),
    ("address: 10.0.0.5", "address: 127.0.0.5", Code.ADDRESS, "blue-api", ""),
    ("00-15-5D-0A-00-05", "00-15-5D-0A-00-04", Code.DUPLICATE_MAC, "blue-api", "once"),
    (", mac: 00-15-5D-0A-00-05", ", mac: 00-15-5D-00-00-05", None, "", ""),
    ("00-15-5D-0A-00-05", "01-15-5D-0A-00-05", Code.MAC, "blue-api", "even"),
    ("00-15-5D-0A-00-05", "00-15-5D-0A-00", Code.MAC, "blue-api", ""),
    ("web, address: 10.0.0.5", "gateway, address: 10.0.2.3", Code.GATEWAY_SUBNET, "blue-api", "own"),
    ("0000000000e1", "0000000000b1", Code.ROUTING_DOMAIN, "red:\n    ^routing-domain", "own"),
    ("0000000000e1", "0000000000", Code.GUID, "red:\n    ^routing-domain", "GUID"),
    ("asn: 64512", "asn: 64511", Code.ASN, "asn: 64511", "64512 to 65534"),
    ("asn: 64521", "asn: 64512", Code.SAME_ASN, "    asn: 64512\n    servers", "external"),
    ("site: red-hq", "site: rde-hq", Code.REFERENCE, "site: rde-hq", "`red-hq`"),
    ("secret: keep-it-quiet", "secret: short", Code.VALUE, "secret: short", "8 characters"),
    ("type: ipsec, site: blue", "type: ssh, site: blue", Code.VALUE, "type: ssh", "ipsec"),
    ("wan: 198.51.100.6/30", "wan: 198.51.100.7/30", Code.WAN, "wan: 198.51.100.7", "198.51.100.2/30"),
    ("wan: 198.51.100.6/30", "wan: 198.51.100.6/32", Code.WAN, "wan: 198.51.100.6/32", "two"),
    ("wan: 198.51.100.6/30", "wan: 198.51.100.6", Code.ADDRESS, "wan: 198.51.100.6", "prefix length"),
    ("wan: 198.51.100.6/30", "wan: 198.51.100.1/30", Code.WAN_OVERLAP, "wan: 198.51.100.1/30", "its own"),
    ("wan: 198.51.100.6/30", "wan: 203.0.113.70/30", Code.WAN_OVERLAP, "wan: 203.0.113.70/30", ""),
    ("address: 192.168.50.10}", "address: 192.168.51.10}", Code.OUTSIDE, "blue-sql", "192.168.50.0/24"),
    ("address: 192.168.50.10}", "address: 192.168.50.1}", Code.RESERVED, "blue-sql", ""),
    ("address: 192.168.50.10}", "address: 192.168.50.100}", Code.DUPLICATE_ADDRESS, "blue-pc", "once"),
    (LAN, LAN.replace("192.168.50.0/24", "10.0.0.0/23"), Code.LAN_OVERLAP, "10.0.0.0/23", "do not overlap"),
    (LAN, LAN.replace("192.168.50.0/24", "203.0.113.0/25"), Code.LAN_OVERLAP, "203.0.113.0/25", ""),
    (PC, PC.replace("}", ", files: {/a: missing}}"), Code.MISSING_FILE, "blue-pc", ""),
    (PC, PC.replace("}", ", files: {a: b}}"), Code.VALUE, "blue-pc", "absolute"),
    (PC, PC.replace("}", ", environment: {A: true}}"), Code.VALUE, "blue-pc", "quotes"),
    (PC, PC.replace("}", ", command: sleep}"), Code.VALUE, "blue-pc", "- "),
    ("from: blue-web", "from: blue-wbe", Code.REFERENCE, "from: blue-wbe", "`blue-web`"),
    ("host: hv01, tenant", "host: gw01, tenant", Code.REFERENCE, "host: gw01", "hv01"),
    ("tenant: blue, pre", "tenant: bleu, pre", Code.REFERENCE, "tenant: bleu", "`blue`"),
    ("    ping: {address: 10.0.0.5}\n", "", Code.CHECK, "- name: it pings", "exactly one"),
    ("    from: blue-web\n", "", Code.CHECK, "- name: it pings", "from"),
    ("    policy: {", "    from: hv01\n    policy: {", Code.CHECK, "from: hv01", "no `from`"),
    ("ping: {address: 10.0.0.5}", "traceroute: {address: 10.0.0.5, hops: [10.0.0.1]}", Code.CHECK,
     "traceroute", "10.0.0.5"),
    ("name: it has learned", "name: it pings", Code.DUPLICATE_CHECK, "name: it pings\n    policy", ""),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "code", "blamed", "helps"), WRONG)
def test_one_mistake_is_one_problem_in_its_line(
    old: str, new: str, code: Code | None, blamed: str, helps: str
) -> None:
    assert old in VALID
    text = VALID.replace(old, new, 1)
    found = problems(text)
    if code is None:
        assert found == ()
        return
    assert {problem.code for problem in found} == {code.code}, found
    place = text.index(blamed.replace("^", "")) + max(blamed.find("^"), 0)
    line = text.count("\n", 0, place) + 1
    assert f"lab.yml:{line}" in {problem.place for problem in found}
    assert any(helps in f"{problem.expected} {problem.hint} {problem.message}" for problem in found), found


def twins(beginning: str) -> tuple[str, str]:
    """Two long names that are cut to the same interface name."""
    seen: dict[str, str] = {}
    for number in itertools.count():
        name = f"{beginning}-{number}"
        other = seen.setdefault(interface_name("v-", name), name)
        if other != name:
            return other, name
    raise AssertionError


ONE, OTHER = twins("a-very-long-name-of-a-machine")
ADDRESSES = "subnet: web, address: 10.0.0"


@pytest.mark.parametrize(
    ("old", "new", "blamed"),
    [
        ("  hv02:\n", f"  hv02:\n  {ONE}: {{}}\n  {OTHER}: {{}}\n", f"  {OTHER}: {{}}"),
        (
            "    gateway:\n      subnet: gateway\n",
            f"      {ONE}: {{host: hv01, {ADDRESSES}.7}}\n      {OTHER}: {{host: hv01, {ADDRESSES}.8}}\n"
            "    gateway:\n      subnet: gateway\n",
            f"      {OTHER}: {{host",
        ),
        (
            "      blue-sql: {address: 192.168.50.10}\n",
            f"      {ONE}: {{address: 192.168.50.10}}\n      {OTHER}: {{address: 192.168.50.11}}\n",
            f"      {OTHER}: {{address",
        ),
    ],
)
def test_two_interfaces_of_a_node_never_get_one_name(old: str, new: str, blamed: str) -> None:
    text = VALID.replace(old, new, 1)
    (problem,) = problems(text)
    assert problem.code == Code.INTERFACE.code
    assert problem.place == f"lab.yml:{text.count(chr(10), 0, text.index(blamed)) + 1}"
    assert ONE in problem.message
    assert OTHER in problem.message
    apart = text.replace(f"{OTHER}: {{host: hv01", f"{OTHER}: {{host: hv02")
    if apart != text:
        assert problems(apart) == (), "on two hosts they may be called alike"


def test_a_connection_too_many_and_a_site_too_many() -> None:
    found = problems(VALID.replace("site: red-hq", "site: blue-hq"))
    assert [problem.code for problem in found] == [Code.SITE_TWICE.code, Code.SITE_UNUSED.code]


def test_a_tenant_with_a_gateway_needs_one_in_the_lab() -> None:
    found = problems(VALID.replace("gateways:\n  gw01: {capacity-kbps: 1000000}\n", ""))
    assert [problem.code for problem in found] == [Code.GATEWAY_COUNT.code] * 2


def test_all_problems_come_at_once_in_the_order_of_lines() -> None:
    text = (
        VALID.replace("host: hv01, subnet: web", "hots: hv01, subnet: wib", 1)
        .replace("vsid: 6001", "vsid: 5001")
        .replace("vip: 203.0.113.10", "vip: 203.0.113.1")
    )
    found = problems(text)
    assert [problem.code for problem in found] == [
        Code.VIP.code,
        Code.UNKNOWN_KEY.code,
        Code.REFERENCE.code,
        Code.VSID.code,
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("vsid: 5001", "vsid: 12"),
        ("vip: 203.0.113.10", "vip: everywhere"),
        ("prefix: 172.16.0.0/24", "prefix: 172.16.0.0"),
        ("lab: small", "lab: Small"),
        ("mtu: 1700", "mtu: 9"),
        ("address: 10.0.0.5", "address: here"),
        ("capacity-kbps: 1000000", "capacity-kbps: much"),
        ("  gw01:", "  GW01:"),
        ("ping: {address: 10.0.0.5}", "ping: {address: there}"),
        ("wan: 198.51.100.6/30", "wan: outside"),
        ("{type: ipsec, site: red-hq", "{type: smoke, site: red-hq"),
        ("host: hv02, subnet: web, address: 10.0.0.5", "host: hv02, address: 10.0.0.5"),
    ],
)
def test_what_cannot_be_read_hides_nothing_and_invents_nothing(old: str, new: str) -> None:
    """Beside one value that is no value at all, each mistake elsewhere is still found, and no other."""
    text = VALID.replace(
        "prefix: 10.0.0.0/24}\n      gateway: {vsid: 6003", "prefix: 10.0.2.0/24}\n      gateway: {vsid: 6003"
    )
    rules = [Code.OUTSIDE.code, Code.SUBNET_OVERLAP.code]
    assert sorted(problem.code for problem in problems(text)) == sorted(rules)
    assert old in text
    found = [problem.code for problem in problems(text.replace(old, new, 1))]
    (unreadable,) = set(found) - set(rules)
    assert sorted(found) == sorted([*rules, unreadable])


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document."""
    if path:
        yield path
    for key, value in (
        data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    ):
        yield from places(value, (*path, key))


PLACES = list(places(parse(VALID).data))
ODD = st.sampled_from(
    [
        None,
        [],
        {},
        "",
        "hv01",
        "blue",
        "web",
        0,
        -1,
        True,
        64512,
        5001,
        1.5,
        "10.0.0.4",
        "10.0.0.0/24",
        [1],
        {"a": 1},
    ]
) | st.text(max_size=8)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), ODD), min_size=1, max_size=3))
def test_whatever_stands_in_a_file_ends_in_a_lab_or_in_problems(
    changes: list[tuple[tuple[Any, ...], Any]],
) -> None:
    data = parse(VALID).data
    for path, value in changes:
        above = data
        for key in path[:-1]:
            above = above[key] if isinstance(above, dict) and key in above else None
        if isinstance(above, dict):
            above[path[-1]] = copy.deepcopy(value)
    text = json.dumps(data)
    try:
        topology = parse_topology(text, "lab.yml", Path("/nowhere"))
    except InvalidTopologyError as error:
        found = error.problems
    else:
        assert resolve(topology).nodes
        return
    assert found
    assert all(problem.hint and problem.place and problem.message for problem in found)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("", Code.EMPTY, 1),
        ("# nothing\n", Code.EMPTY, 1),
        ("\n\n- a list\n", Code.EMPTY, 3),
        ("lab: x\nfabric: [1, 2\nhosts: {}\n", Code.YAML, 3),
        ("lab: x\n\tfabric: 1\n", Code.YAML, 2),
        ("lab: x\n---\nlab: y\n", Code.YAML, 2),
        ("lab: *nobody\n", Code.YAML, 1),
        ('lab: "\\ud800"\n', Code.NAME, 1),
        (VALID.replace("  hv02:\n", "  12: {}\n"), Code.KEY, 13),
        ("lab: x\nfabric: &f {management: *f}\n", Code.ALIAS, 2),
    ],
)
def test_what_is_no_topology_at_all(text: str, code: Code, line: int) -> None:
    found = problems(text)
    assert (code.code, f"lab.yml:{line}") in [(problem.code, problem.place) for problem in found], found


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidTopologyError) as caught:
        load(tmp_path / "none.yml")
    assert caught.value.exit_code is ExitCode.USAGE
    assert [problem.code for problem in caught.value.problems] == [Code.FILE.code]


def test_lines_are_found_through_aliases_and_merge_keys() -> None:
    text = VALID.replace(
        "      blue-web: {host: hv01, subnet: web, address: 10.0.0.4, mac: 00-15-5D-0A-00-04}\n",
        "      blue-web: &base\n        host: hv01\n        subnet: web\n        address: 10.0.0.400\n",
    ).replace(
        "      red-web: {host: hv02, subnet: web, address: 10.0.0.4, mac: 00-15-5D-0A-00-04}\n",
        "      red-web:\n        <<: *base\n        host: hv03\n",
    )
    lines = text.splitlines()
    found = [(problem.code, int(problem.place.rpartition(":")[2])) for problem in problems(text)]
    bad_address = lines.index("        address: 10.0.0.400") + 1
    assert found == [(Code.ADDRESS.code, bad_address)], "the definition is to blame, once, for both users"
    text = text.replace("10.0.0.400", "10.0.0.4")
    (problem,) = problems(text)
    assert problem.code == Code.REFERENCE.code
    assert problem.place == f"lab.yml:{lines.index('        host: hv03') + 1}"


def test_an_alias_bomb_ends() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12))
    found = problems(f"l0: &l0 [x]\n{levels}\n")
    assert Code.ALIAS.code in {problem.code for problem in found}


def test_every_code_is_documented_once() -> None:
    codes = [code.code for code in Code]
    assert len(codes) == len(set(codes))
    text = (Path(__file__).parents[2] / "docs" / "topology.md").read_text()
    assert [code for code in codes if text.count(f"`{code}`") != 1] == []
