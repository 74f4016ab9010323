"""Remote access and road warriors in a topology file: every rule broken once, and what they resolve to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from lab.model.codes import Code
from lab.model.lab import Lab, NodeKind
from lab.model.loader import load, parse_topology
from lab.model.resolve import resolve
from lab.model.roadwarrior import RoadWarrior

from .test_model_errors import problems as problems_of

PATH = Path(__file__).parents[2] / "topologies" / "roadwarriors.yml"
# Files are looked for beside the topology, which a text is not.
VALID = "".join(line for line in PATH.read_text().splitlines(keepends=True) if "files: {" not in line)
BLUE = "public-address: 203.0.113.40"
POOL = "pool: 10.99.0.0/24"
ALICE = "users: {alice: blue-sky-over-alice}"
LAPTOP = "blue-laptop: {tenant: blue, wan: 198.51.100.2/30, user: alice, password: blue-sky-over-alice}"
WRONG = [
    # (what is changed, to what, the code, what is to blame (at ^), a text of expected, hint or message)
    (BLUE, "public-address: 203.0.113.41", Code.PUBLIC_ADDRESS,
     "^public-address: 203.0.113.41\n        pool: 10.99.0.0/24\n        dns: [10.0.0.53]\n"
     "        maximum: 20\n        users: {carol", "the remote access of blue already"),
    (BLUE, "public-address: 203.0.113.10", Code.PUBLIC_ADDRESS, "public-address: 203.0.113.10", "the VIP"),
    (BLUE, "public-address: 192.0.2.9", Code.PUBLIC_ADDRESS, "public-address: 192.0.2.9", "203.0.113.0/24"),
    (POOL, "pool: 10.0.0.0/16", Code.DIAL_IN, "pool: 10.0.0.0/16", "of subnet `web`"),
    (POOL, "pool: 10.99.0.0/31", Code.PREFIX, "pool: 10.99.0.0/31", "/30"),
    (ALICE, "users: {}", Code.DIAL_IN, "dial-in:", "certificates: true"),
    (ALICE, "users: {al ice: x}", Code.VALUE, "al ice", "pattern"),
    (ALICE, "users: {alice: 7}", Code.VALUE, "alice: 7", "string"),
    (ALICE, "user: {alice: x}", Code.UNKNOWN_KEY, "user: {alice: x}", "users"),
    ("certificates: true", "certificates: 1", Code.VALUE, "certificates: 1", "bool"),
    (LAPTOP, LAPTOP.replace("tenant: blue", "tenant: bleu"), Code.REFERENCE, "tenant: bleu", "`blue`"),
    (LAPTOP, LAPTOP.replace(", password: blue-sky-over-alice", ""), Code.DIAL_IN, "blue-laptop:", "either"),
    (LAPTOP, LAPTOP.replace("}", ", certificate: blue}"), Code.DIAL_IN, "blue-laptop:", "either"),
    ("certificate: red}\n  red-laptop", "certificate: green}\n  red-laptop", Code.REFERENCE,
     "certificate: green", "known: blue, red"),
    (LAPTOP, LAPTOP.replace("198.51.100.2/30", "198.51.100.5/30"), Code.WAN_OVERLAP, "^stranger:", "own"),
    (LAPTOP, LAPTOP.replace("198.51.100.2/30", "198.51.100.3/30"), Code.WAN, "wan: 198.51.100.3", "host"),
    (LAPTOP, LAPTOP.replace("blue-laptop", "blue-web"), Code.DUPLICATE_NODE, "      ^blue-web:", "name"),
    ("  red:\n", f"  {'r' * 41}:\n", Code.DIAL_IN, "dial-in:\n        public-address: 203.0.113.41", "40"),
    ("      dial-in:\n", "      connections: {dial-in: {type: nat, public-address: 203.0.113.50}}\n"
     "      dial-in:\n", Code.DIAL_IN, "dial-in: {type: nat", "another name"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "code", "blamed", "helps"), WRONG)
def test_one_mistake_is_one_problem(old: str, new: str, code: Code, blamed: str, helps: str) -> None:
    assert old in VALID
    text = VALID.replace(old, new, 1)
    if new.startswith("  rrr"):
        text = text.replace("tenant: red", f"tenant: {'r' * 41}").replace("ate: red", f"ate: {'r' * 41}")
    found = [problem for problem in problems_of(text) if problem.code == code.code]
    assert found, problems_of(text)
    assert any(helps in f"{item.expected} {item.hint} {item.message}" for item in found), found
    place = text.index(blamed.replace("^", "")) + max(blamed.find("^"), 0)
    line = text.count("\n", 0, place) + 1
    assert f"lab.yml:{line}" in {problem.place for problem in found}, found


def test_a_pool_is_nowhere_in_a_linked_vm_network() -> None:
    text = (PATH.parent / "linked.yml").read_text()
    blue = "      asn: 64512\n"
    access = "      dial-in: {public-address: 203.0.113.40, pool: 10.1.0.0/25, users: {alice: secret}}\n"
    assert text.count(blue) == 1
    (problem,) = problems_of(text.replace(blue, blue + access))
    assert problem.code == Code.DIAL_IN.code
    assert "subnet `db` of `green`" in problem.message


def test_the_valid_one_is_valid() -> None:
    assert problems_of(VALID) == ()


@pytest.fixture(scope="module")
def lab() -> Lab:
    return resolve(load(PATH))


def warrior(lab: Lab, name: str) -> RoadWarrior:
    found = lab.nodes[name].road_warrior
    assert found is not None
    return found


def test_a_road_warrior_is_a_node_of_the_internet(lab: Lab) -> None:
    node = lab.nodes["blue-laptop"]
    assert (node.kind, node.interfaces, node.sysctls["net.ipv4.ip_forward"]) == (
        NodeKind.ROADWARRIOR,
        ("wan0",),
        "0",
    )
    assert [str(route.via) for route in node.routes] == ["198.51.100.1"]
    (link,) = lab.links_of("blue-laptop")
    assert {(end.node, end.interface) for end in link.ends} == {
        ("internet", "s-blue-laptop"),
        ("blue-laptop", "wan0"),
    }
    internet = {str(item.address) for item in lab.nodes["internet"].addresses}
    assert {"198.51.100.1/30", "198.51.100.5/30", "198.51.100.9/30", "198.51.100.13/30"} < internet


def test_it_is_told_whom_it_calls(lab: Lab) -> None:
    found = warrior(lab, "blue-laptop")
    assert (found.server, found.server_id, found.address) == ("203.0.113.40", "blue.vpn", "198.51.100.2")
    assert (found.user, found.password, found.issuer) == ("alice", "blue-sky-over-alice", "")
    assert warrior(lab, "stranger").issuer == "red"


def test_who_is_welcome_follows_from_the_file(lab: Lab) -> None:
    names = ("blue-laptop", "red-laptop", "stranger", "red-guess")
    assert [warrior(lab, name).welcome for name in names] == [True, True, False, False]
    without = VALID.replace("        certificates: true\n", "")
    changed = resolve(parse_topology(without, "lab.yml", PATH.parent))
    assert not warrior(changed, "red-laptop").welcome


def test_remote_access_is_part_of_a_tenants_gateway(lab: Lab) -> None:
    gateway = lab.tenant("red").gateway
    assert gateway is not None
    access = gateway.dial_in
    assert access is not None
    assert (access.public_address, access.pool) == (IPv4Address("203.0.113.41"), IPv4Network("10.99.0.0/24"))
    assert (access.identity, access.maximum, access.certificates) == ("red.vpn", 20, True)
    assert "red-sun" not in repr(access)


def test_gateways_announce_the_addresses_that_are_called(lab: Lab) -> None:
    announced = {str(prefix) for prefix in lab.fabric.announced}
    assert announced == {"203.0.113.10/32", "203.0.113.40/32", "203.0.113.41/32"}


def test_no_gateway_gets_an_address_that_is_called() -> None:
    text = VALID.replace("203.0.113.40", "203.0.113.2")
    changed = resolve(parse_topology(text, "lab.yml", PATH.parent))
    assert [str(gateway.front_end) for gateway in changed.gateways] == ["203.0.113.3"]
