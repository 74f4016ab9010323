"""What a topology file says about the virtual switch: each mistake is one problem in its line, and what it
resolves to was checked by hand."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv6Interface
from pathlib import Path

import jsonschema
import pytest

from lab.errors import InvalidTopologyError, Problem
from lab.model.codes import Code
from lab.model.document import parse
from lab.model.lab import Lab, NodeKind
from lab.model.loader import parse_topology
from lab.model.resolve import resolve
from lab.model.schema import SCHEMA_PATH
from lab.model.types import PortRange

from .test_model_resolve import described

ROOT = Path(__file__).parents[2]
TOPOLOGIES = ROOT / "topologies"
VALID = (TOPOLOGIES / "virtual-switch.yml").read_text()
EXTERNAL = (TOPOLOGIES / "external-router.yml").read_text()
GOLDEN = ROOT / "tests" / "golden" / "topology_virtual-switch.txt"


def problems(text: str) -> tuple[Problem, ...]:
    """What is wrong with a topology."""
    try:
        parse_topology(text, "lab.yml", TOPOLOGIES)
    except InvalidTopologyError as error:
        return error.problems
    return ()


def lab(old: str = "", new: str = "") -> Lab:
    """The lab, with one thing changed."""
    assert old in VALID
    return resolve(parse_topology(VALID.replace(old, new, 1), "lab.yml", TOPOLOGIES))


APP_RULE = "{name: ping, action: allow, direction: inbound, protocol: icmp}"
WRONG = [
    # (what is changed, to what, the code, what is to blame, a text of expected, hint or message)
    ("mtu: 1700", "mtu: 1549", None, "", ""),
    ("mtu: 1700\n    encapsulation: nvgre", "mtu: 1549\n    encapsulation: vxlan", Code.MTU, "mtu:", "1550"),
    ("encapsulation: nvgre", "encapsulation: geneve", Code.VALUE, "encapsulation", "vxlan"),
    ("dscp: uniform", "dscp: copy\n    router: distributed", Code.VALUE, "dscp", "pipe"),
    ("dscp: uniform", "router: external", Code.EXTERNAL_ROUTER, "router:", "gw01"),
    ("uplinks: 2, team: hash", "uplinks: 3", Code.VALUE, "hv01:", "2"),
    ("uplinks: 2, team: hash", "uplinks: true", Code.VALUE, "hv01:", "integer"),
    ("uplinks: 2, team: hash", "team: hash", Code.TEAM, "hv01:", "uplinks: 2"),
    ("team: hash", "team: lacp", Code.VALUE, "hv01:", "dynamic"),
    ("last: 192.168.6.99", "last: 192.168.6.12", Code.POOL_SMALL, "pool", "4 uplinks"),
    ("dynamic, uplink-mbps: 1000", "dynamic", Code.RESERVATION, "qos: {outbound-reserved", "`uplink-mbps`"),
    ("dynamic, uplink-mbps: 1000", "dynamic, uplink-mbps: 99", Code.RESERVATION, "qos: {outbound-re", "99"),
    ("{outbound-reserved-mbps: 100}", "{outbound-reserved-mbps: 100, outbound-maximum-mbps: 99}",
     Code.RESERVATION, "qos: {outbound-reserved", "no more reserved"),
    ("storm-limit: 200", "storm-limit: 0", Code.VALUE, "storm-limit", "greater"),
    ("storm-limit: 200", "dhcp-guard: 1", Code.VALUE, "dhcp-guard", "bool"),
    ("acl: web\n", "acl: wib\n", Code.REFERENCE, "acl: wib", "`web`"),
    ("storm-limit: 200", "acl: wib", Code.REFERENCE, "acl: wib", "`web`"),
    ("storm-limit: 200", "acl: db", None, "", ""),
    ("protocol: tcp, destination-ports: 80}", "destination-ports: 80}", Code.ACL_RULE, "name: http", "tcp"),
    ("destination-ports: 80}", "destination-ports: 80-70}", Code.VALUE, "name: http", "8000-8099"),
    ("destination-ports: 80}", "destination-ports: 66000}", Code.VALUE, "name: http", "range"),
    ("destination-ports: 80}", "destination-ports: any}", Code.VALUE, "name: http", "443"),
    ("destination-ports: 80}", 'destination-ports: "80-90"}', None, "", ""),
    (APP_RULE, APP_RULE.replace("ping", "http"), Code.ACL_RULE, "name: http, action: allow, direction: "
     "inbound, protocol: icmp", "once"),
    (APP_RULE, APP_RULE.replace("icmp", "icmp, priority: 100"), Code.ACL_RULE, APP_RULE[:35], "`http`"),
    (APP_RULE, APP_RULE.replace("inbound", "outbound").replace("icmp", "icmp, priority: 100"), None, "", ""),
    (APP_RULE, APP_RULE.replace("icmp", "icmp, priority: 70000"), Code.VALUE, APP_RULE[:35], "65000"),
    (APP_RULE, APP_RULE.replace("icmp", "igmp"), Code.VALUE, APP_RULE[:35], "udp"),
    (APP_RULE, APP_RULE.replace("allow", "drop"), Code.VALUE, "action: drop", "deny"),
    (APP_RULE, APP_RULE.replace("icmp", "icmp, source: fd00::/8, destination: 10.0.0.0/8"),
     Code.FAMILY, "source: fd00::/8", "both IPv4"),
    ("routes: {10.1.2.0/24: none}", "routes: {fd00:9::/64: none}", Code.FAMILY, "routes: {fd00", "IPv6"),
    ("routes: {10.1.2.0/24: none}", "routes: {10.1.2.0/24: nine}", Code.ADDRESS, "routes: {10.1.2", "IPv6"),
    ("routes: {10.1.2.0/24: none}", "routes: {10.1.2.9/24: none}", Code.PREFIX, "routes: {10.1.2", "prefix"),
    ("routes: {10.1.2.0/24: 10.1.3.4}", "routes: {10.1.2.0/24: 10.1.3.9}", Code.NEXT_HOP, "10.1.3.9",
     "same tenant"),
    ("forwarding: true", "forwarding: false", Code.NEXT_HOP, "routes: {10.1.2.0/24: 10.1.3.4}",
     "`forwarding: true`"),
    ("storm-limit: 200", "mac: 00-15-5D-01-01-04", Code.DUPLICATE_MAC, "blue-app:\n", "VM network"),
    ("192.168.6.200\n", "192.168.6.20\n", Code.PROVIDER_ADDRESS, "192.168.6.20\n", "outside the pool"),
    ("192.168.6.200\n", "192.168.7.20\n", Code.PROVIDER_ADDRESS, "192.168.7.20", "192.168.6.0/24"),
    ("192.168.6.200\n", "192.168.6.1\n", Code.PROVIDER_ADDRESS, "192.168.6.1\n", "not"),
    ("address: 10.1.0.20\n", "address: 10.1.0.5\n", Code.DUPLICATE_ADDRESS, "address: 10.1.0.5\n", "once"),
    ("address: 10.1.0.20\n", "address: 10.1.1.5\n", Code.OUTSIDE, "address: 10.1.1.5\n", "`web`"),
    ("subnet: web\n        address: 10.1.0.20", "subnet: wib\n        address: 10.1.0.20", Code.REFERENCE,
     "subnet: wib", "`web`"),
    ("      blue-partner:\n", "      blue-fw:\n", Code.DUPLICATE_NODE, "      blue-fw:\n", "tenants / blue"),
    ("virtual-switch/nvgre.py}", "virtual-switch/none.py}", Code.MISSING_FILE, "none.py", "file"),
    ('address: "fd00:2::4"', "address: 10.1.0.9", Code.OUTSIDE, "address: 10.1.0.9", "IPv4"),
    ('address: "fd00:2::4"', 'address: "fd00:2::1"', Code.RESERVED, "green-front: {", "router's"),
    ('address: "fd00:2::4"', 'address: "fe80::4"', Code.ADDRESS, "green-front: {", "fd00"),
    ('address: "fd00:2::4"', 'address: "::ffff:10.0.0.4"', Code.ADDRESS, "green-front: {", "fd00"),
    ('address: "fd00:2::4"', 'address: "fd00:2::4%eth0"', Code.ADDRESS, "green-front: {", "fd00"),
    ('prefix: "fd00:2::/64"', 'prefix: "fd00:2::4/64"', Code.PREFIX, "front: {vsid", "fd00:2::/64"),
    ('prefix: "fd00:2::/64"', 'prefix: "fd00:2::/127"', Code.PREFIX, "front: {vsid", "/126"),
    ('prefix: "fd00:2:0:1::/64"', 'prefix: "fd00:2::/48"', Code.SUBNET_OVERLAP, "back: {vsid", "do not"),
    ("    ping: {address: 192.168.6.1, reachable: false}\n", "    policy-entries: {node: hv01, at-most: 9}\n",
     Code.CHECK, "    from: blue-web1\n    policy-entries", "no `from`"),
]  # fmt: skip


def test_the_valid_one_is_valid_in_the_schema_too() -> None:
    assert problems(VALID) == ()
    assert problems(EXTERNAL) == ()
    schema = parse(SCHEMA_PATH.read_text()).data
    for text in (VALID, EXTERNAL):
        jsonschema.validate(parse(text).data, schema)


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
    line = text.count("\n", 0, text.index(blamed)) + 1
    assert f"lab.yml:{line}" in {problem.place for problem in found}, found
    assert any(helps in f"{problem.expected} {problem.hint} {problem.message}" for problem in found), found
    assert all(problem.expected or problem.hint for problem in found)


@pytest.mark.parametrize(
    ("new", "helps"),
    [
        ("{node: hv01}", "any number"),
        ("{node: hv01, at-least: 9, at-most: 8}", "no number"),
        ("{node: tor, at-most: 9}", "host or gateway"),
    ],
)
def test_a_count_of_policy_must_be_possible_and_of_a_switch(new: str, helps: str) -> None:
    text = f"{EXTERNAL}  - name: the host knows little\n    policy-entries: {new}\n"
    (problem,) = problems(text)
    assert helps in f"{problem.message} {problem.expected}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("uplinks: 2, team: hash", "uplinks: many, team: hash"),
        ("vip: 203.0.113.10", "vip: everywhere"),
        ("host: hv02, subnet: dmz, address: 10.1.3.4", "host: hv02, subnet: dmz, address: here"),
        ("uplinks: 2, team: dynamic, uplink-mbps: 1000", "uplinks: 2, uplink-mbps: much"),
        ("priority: 200", "priority: first"),
    ],
)
def test_what_cannot_be_read_invents_nothing(old: str, new: str) -> None:
    assert old in VALID
    (problem,) = problems(VALID.replace(old, new, 1))
    assert problem.code in {Code.VALUE.code, Code.ADDRESS.code}


def test_the_virtual_switch_resolves_to_what_was_checked_by_hand() -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(described(lab()))
    assert described(lab()) == GOLDEN.read_text(), "UPDATE_GOLDEN=1 rewrites the file; then read it"


def test_two_uplinks_are_two_links_to_the_provider_bridge() -> None:
    ends = {
        (link.second.node, link.second.interface): link.first
        for link in lab().links
        if link.first.bridge == "br-pa"
    }
    assert ends["hv01", "pa0"].interface == "p-hv01"
    assert ends["hv01", "pa1"].interface == "p2-hv01"
    assert ends["blue-partner", "pa0"].interface == "p-blue-partner"
    assert all(end.node == "tor" and end.mtu == 1700 for end in ends.values())
    one = lab("uplinks: 2, team: hash, uplink-mbps: 1000", "uplink-mbps: 1000")
    assert one.nodes["hv01"].absent == ("pa1",), "a second uplink of an earlier lab goes away"
    assert one.nodes["hv02"].absent == ()


def test_only_vms_in_ipv6_subnets_speak_ipv6() -> None:
    nodes = lab().nodes
    green = nodes["green-back"]
    assert [item.address for item in green.addresses] == [IPv6Interface("fd00:2:0:1::4/64")]
    assert [(str(route.destination), str(route.via)) for route in green.routes] == [("::/0", "fd00:2:0:1::1")]
    on = [name for name, node in nodes.items() if "0" in _disabled(node.interface_sysctls)]
    assert on == ["green-front", "green-peer", "green-back"]
    assert green.interface_sysctls["net.ipv6.conf.eth0.accept_ra"] == "0"


def _disabled(sysctls: object) -> set[str]:
    assert isinstance(sysctls, dict)
    return {value for key, value in sysctls.items() if key.endswith("disable_ipv6")}


def test_a_virtual_appliance_routes_and_no_other_vm_does() -> None:
    nodes = lab().nodes
    routing = [
        name
        for name, node in nodes.items()
        if node.kind is NodeKind.VM and node.sysctls["net.ipv4.ip_forward"] == "1"
    ]
    assert routing == ["blue-fw"]
    six = lab('address: "fd00:2::5"', 'address: "fd00:2::5", forwarding: true').nodes["green-peer"]
    assert six.interface_sysctls["net.ipv6.conf.all.forwarding"] == "1"


def test_rules_without_a_priority_follow_each_other() -> None:
    (acl,) = (acl for acl in lab().tenant("blue").acls if acl.name == "db")
    assert [(rule.name, rule.priority) for rule in acl.rules] == [
        ("app", 100),
        ("trace", 110),
        ("ping", 120),
        ("rest", 130),
        ("answers-only", 200),
    ]
    assert acl.rules[1].destination_ports == PortRange(33434, 33534)
    first = lab("priority: 200", "priority: 105").tenant("blue").acls[2].rules
    assert [rule.name for rule in first][:2] == ["app", "answers-only"]


def test_default_macs_of_ipv6_addresses_that_end_alike_differ() -> None:
    macs = {str(vm.address): vm.mac for vm in lab().tenant("green").vms}
    assert macs["fd00:2::4"] != macs["fd00:2:0:1::4"]
    assert all(mac.startswith("00:15:5d:") for mac in macs.values())


def test_an_appliance_has_the_address_of_the_file_on_the_provider_network() -> None:
    resolved = lab()
    (appliance,) = resolved.tenant("blue").appliances
    assert appliance.provider_address == IPv4Address("192.168.6.200")
    (address,) = resolved.nodes["blue-partner"].addresses
    assert (address.interface, str(address.address)) == ("pa0", "192.168.6.200/24")
    assert resolved.nodes["blue-partner"].kind is NodeKind.APPLIANCE
