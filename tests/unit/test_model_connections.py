"""Connections beyond IPsec: every rule broken once, and what a lab of all kinds resolves to."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from lab.model.codes import Code
from lab.model.connections import Connection, Forwarding, Gre, Ipsec, Nat
from lab.model.edge import EdgeConfig
from lab.model.lab import Lab, NodeKind
from lab.model.loader import parse_topology
from lab.model.resolve import resolve
from lab.model.router import RouterConfig
from lab.model.types import PortRange

from .test_model_errors import problems as problems_of
from .test_model_resolve import described

ROOT = Path(__file__).parents[2]
TOPOLOGIES = ROOT / "topologies"
VALID = (TOPOLOGIES / "connections.yml").read_text()
GOLDEN = ROOT / "tests" / "golden" / "topology_connections.txt"
# Files are looked for beside the topology, which a text is not.
WITHOUT_FILES = VALID.replace("        files: {/srv/index.html: connections/blue.html}\n", "").replace(
    "        files: {/srv/index.html: connections/red.html}\n", ""
)


def lab(*changes: tuple[str, str]) -> Lab:
    """The lab of all kinds, with things changed."""
    text = VALID
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return resolve(parse_topology(text, "connections.yml", TOPOLOGIES))


def connection(found: Lab, tenant: str, name: str) -> Connection:
    gateway = found.tenant(tenant).gateway
    assert gateway is not None
    return next(item for item in gateway.connections if item.name == name)


HQ = "hq: {type: ipsec, site: blue-hq, shared-secret: blue-keeps-its-secrets}"
MPLS = "mpls: {type: gre, site: blue-mpls, key: 1234, outbound-kbps: 50000, inbound-kbps: 50000}"
RED_NAT = """\
          vlan: 1002
          address: 10.127.134.55/25
          outbound-kbps: 100000
          inbound-kbps: 100000
        internet:
          type: nat
          ^public-address"""
BLUE_DC = """\
    lan: {prefix: 192.168.70.0/24, ipv6-prefix: "fd00:70::/64"}
    asn: 64523
    servers: {blue-db: {address: 192.168.70.100, ipv6-address: "fd00:70::100"}}
"""
DR = "    servers: {blue-pc: {address: 192.168.50.100}}\n"
WRONG = [
    # (what is changed, to what, the code, what is to blame, a text of expected, hint or message)
    ("type: gre, site: blue", "type: grey, site: blue", Code.VALUE, "type: grey", "`gre`"),
    ("type: gre, site: blue", "site: blue", Code.MISSING_KEY, "mpls: {site: blue", "nat"),
    ("key: 1234,", "kye: 1234,", Code.UNKNOWN_KEY, "kye: 1234", "`key`"),
    ("key: 1234,", "key: 4294967296,", Code.VALUE, "key: 4294967296", "4294967295"),
    ("key: 1234, ", "", Code.MISSING_KEY, "mpls: {type: gre, site: blue-mpls, outbound", "key"),
    ("key: 1234,", "key: 1234, shared-secret: no-such-thing,", Code.UNKNOWN_KEY, "no-such-thing", "metric"),
    ("    gre-vips: 203.0.113.64/28\n", "", Code.GRE_VIPS, MPLS, "gre-vips: PREFIX"),
    ("gre-vips: 203.0.113.64/28", "gre-vips: 203.0.114.64/28", Code.GRE_VIPS, "gre-vips", "203.0.113.0/24"),
    ("gre-vips: 203.0.113.64/28", "gre-vips: 203.0.113.16/28", Code.GRE_VIPS, "gre-vips", "`blue-mpls`"),
    ("gre-vips: 203.0.113.64/28", "gre-vips: 203.0.113.0/25", Code.GRE_VIPS, "gre-vips", "nothing else"),
    ("wan: 203.0.113.20/24", "wan: 203.0.113.21/24", Code.PUBLIC_ADDRESS, "red-mpls:\n    ^wan", "`blue"),
    ("wan: 203.0.113.20/24", "wan: 203.0.113.10/24", Code.PUBLIC_ADDRESS, "wan: 203.0.113.10", "the VIP"),
    ("wan: 203.0.113.20/24", "wan: 203.0.113.1/24", Code.PUBLIC_ADDRESS, "wan: 203.0.113.1/", "router"),
    ("wan: 203.0.113.20/24", "wan: 203.0.113.20/30", Code.WAN, "wan: 203.0.113.20/30", "203.0.113.20/24"),
    ("public-address: 203.0.113.31", "public-address: 203.0.113.30", Code.PUBLIC_ADDRESS, RED_NAT,
     "blue/internet"),
    ("public-address: 203.0.113.30", "public-address: 203.0.113.21", Code.PUBLIC_ADDRESS,
     "public-address: 203.0.113.21", "`red-mpls`"),
    ("public-address: 203.0.113.30", "public-address: 192.0.2.9", Code.PUBLIC_ADDRESS,
     "public-address: 192.0.2.9", "203.0.113.0/24"),
    ("vlan: 1001", "vlan: 1002", Code.VLAN, "red-dc\n          ^vlan: 1002", "blue/dc"),
    ("vlan: 1001", "vlan: 4095", Code.VALUE, "vlan: 4095", "4094"),
    ("wan: 10.127.134.50/25", "wan: 10.127.135.50/25", Code.VLAN, "wan: 10.127.135.50", "10.127.134.0/25"),
    ("wan: 10.127.134.50/25", "wan: 10.127.134.50/24", Code.VLAN, "wan: 10.127.134.50/24", "do not meet"),
    ("wan: 10.127.134.50/25", "wan: 10.127.134.55/25", Code.VLAN, "address: 10.127.134.55", "another"),
    ("wan: 10.127.134.50/25", "wan: 10.127.134.0/25", Code.VLAN, "wan: 10.127.134.0/25", "host"),
    ("address: 10.127.134.55/25", "address: 10.127.134.127/25", Code.VLAN, "address: 10.127.134.127", "host"),
    (BLUE_DC, BLUE_DC.replace("192.168.70.0/24", "10.127.134.64/26").replace("192.168.70.", "10.127.134."),
     Code.LAN_OVERLAP, "prefix: 10.127.134.64/26", "the VLAN of connection `dc`"),
    ("ports: 20000-29999", "ports: 0-29999", Code.CONNECTION, "ports: 0-29999", "1 to 65535"),
    ("port: 8022", "port: 8080", Code.CONNECTION, "support: {port: 8080", "each port once"),
    ('port: 8022, to: "10.0.0.4:80"', "port: 8022, to: 10.0.0.9", Code.CONNECTION, "to: 10.0.0.9", "VM"),
    ('port: 8022, to: "10.0.0.4:80"', 'port: 8022, to: "10.0.0.4:http"', Code.VALUE, "4:http", "10.0.0.4:80"),
    ('port: 8022, to: "10.0.0.4:80"', "port: 8022, to: web", Code.ADDRESS, "to: web", "10.0.0.4"),
    ("gw01: {capacity-kbps: 1000000}", "gw01: {capacity-kbps: 600000}", Code.CAPACITY,
     "^connections:\n        hq: {type: ipsec, site: red-hq", "left"),
    ("from: 198.51.100.0/24", 'from: "fd00::/64"', Code.FAMILY, "fd00::/64", "IPv4"),
    (MPLS, MPLS + "\n        out: {type: nat, public-address: 203.0.113.40}", Code.CONNECTION,
     "        internet:\n          ^type: nat", "one NAT"),
    (HQ, HQ.replace("}", ', routes: {"fd00::/64": 5}}'), Code.IPV6, "fd00::/64", "IPv4"),
    (HQ, HQ.replace("}", ", routes: {192.168.50.1/32: 5}}"), Code.CONNECTION, "routes: {192", "`metric`"),
    (HQ, HQ.replace("}", ", metric: 0}"), Code.VALUE, "metric: 0", "greater"),
    (HQ, HQ.replace("}", ", idle-disconnect-s: 60}"), Code.CONNECTION, "idle", "persistent: false"),
    (HQ, HQ.replace("}", ", network-outage-s: 7}"), Code.VALUE, "network-outage-s: 7", "720"),
    (HQ, HQ.replace("}", ", main-mode: {dh-group: Group5}}"), Code.VALUE, "Group5", "'Group14'"),
    (HQ, HQ.replace("}", ", quick-mode: {chiper: AES256}}"), Code.UNKNOWN_KEY, "chiper", "`cipher`"),
    ("    gateway-asn: 65001", "    gateway-asn: 65000", Code.SAME_ASN, "  ^front-end:", "gateway-asn"),
    ("prefix: 203.0.113.0/24\n    vip", "prefix: 203.0.113.0/25\n    vip", Code.WAN,
     "wan: 203.0.113.20/24", "/25"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "code", "blamed", "helps"), WRONG)
def test_one_mistake_is_one_problem_in_its_line(
    old: str, new: str, code: Code, blamed: str, helps: str
) -> None:
    one_problem(old, new, code, blamed, helps)


def one_problem(old: str, new: str, code: Code, blamed: str, helps: str) -> None:
    """What is changed, to what, has one problem with that code, in the line of what is to blame."""
    assert old in WITHOUT_FILES
    text = WITHOUT_FILES.replace(old, new, 1)
    found = problems_of(text)
    assert {problem.code for problem in found} == {code.code}, found
    place = text.index(blamed.replace("^", "")) + max(blamed.find("^"), 0)
    line = text.count("\n", 0, place) + 1
    assert f"lab.yml:{line}" in {problem.place for problem in found}
    assert any(helps in f"{problem.expected} {problem.hint} {problem.message}" for problem in found), found


def test_the_valid_one_is_valid() -> None:
    assert problems_of(WITHOUT_FILES) == ()


def test_a_front_end_too_small_says_for_whom() -> None:
    """Router, VIP, one gateway, two edges, two public addresses and 16 GRE addresses are more than 14."""
    small = WITHOUT_FILES.replace("prefix: 203.0.113.0/24\n    vip", "prefix: 203.0.113.0/28\n    vip")
    small = small.replace("203.0.113.64/28", "203.0.113.0/28")
    text = " ".join(f"{item.code} {item.expected}" for item in problems_of(small))
    assert Code.PREFIX_SMALL.code in text
    assert "edges, public addresses of tenants, GRE VIPs" in text


@pytest.mark.parametrize("broken", ["type: smoke, site: red-mpls", "type: gre, site: red-mpls, keys: 4"])
def test_what_cannot_be_read_invents_nothing(broken: str) -> None:
    """An edge whose connection is unreadable is not mistaken for a site on the internet."""
    text = WITHOUT_FILES.replace("type: gre, site: red-mpls, key: 1234", broken)
    (problem, *others) = problems_of(text)
    assert problem.code in {Code.VALUE.code, Code.UNKNOWN_KEY.code, Code.MISSING_KEY.code}
    assert {item.code for item in others} <= {Code.MISSING_KEY.code}


def test_an_unreadable_front_end_invents_nothing_about_edges() -> None:
    text = WITHOUT_FILES.replace("vip: 203.0.113.10", "vip: everywhere")
    assert [problem.code for problem in problems_of(text)] == [Code.ADDRESS.code]


def test_the_lab_resolves_to_what_was_checked_by_hand() -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(described(lab()))
    assert described(lab()) == GOLDEN.read_text(), (
        "UPDATE_GOLDEN=1 rewrites the file; then read its difference"
    )


def test_each_kind_says_what_only_it_has() -> None:
    found = lab()
    kinds = [type(connection(found, "blue", name).kind) for name in ("hq", "mpls", "dc", "internet")]
    assert kinds == [Ipsec, Gre, Forwarding, Nat]
    nat = connection(found, "red", "internet").kind
    assert isinstance(nat, Nat)
    assert (nat.public_address, nat.ports) == (IPv4Address("203.0.113.31"), PortRange(20000, 29999))
    web, support = nat.mappings
    assert (web.protocol, web.port, str(web.address), web.internal_port, web.source) == (
        "tcp", 8080, "10.0.0.4", 80, None,
    )  # fmt: skip
    assert support.source == IPv4Network("198.51.100.0/24")
    same = lab(('web: {port: 8080, to: "10.0.0.4:80"}', "web: {port: 8080, to: 10.0.0.4}"))
    kind = connection(same, "blue", "internet").kind
    assert isinstance(kind, Nat)
    assert kind.mappings[0].internal_port == 8080, "without another port it is the one that was asked for"


def test_routes_of_a_connection_begin_with_its_bgp_router_s() -> None:
    found = lab((HQ, HQ.replace("}", ", metric: 20, routes: {192.168.50.0/24: 20, 10.99.0.0/16: 7}}")))
    routes = connection(found, "blue", "hq").routes
    assert [(str(route.prefix), route.metric) for route in routes] == [
        ("192.168.50.1/32", 20),
        ("192.168.50.0/24", 20),
        ("10.99.0.0/16", 7),
    ]
    assert [str(route.prefix) for route in connection(found, "blue", "internet").routes] == ["0.0.0.0/0"]


def test_two_tenants_edges_have_the_same_address_in_different_vlans() -> None:
    found = lab()
    blue, red = found.nodes["blue-dc"], found.nodes["red-dc"]
    assert blue.kind is NodeKind.EDGE
    assert [item for item in blue.addresses if item.address.version == 4] == list(red.addresses)
    router = found.nodes["tor"].router
    assert router is not None
    ports = {"f-blue-dc": 1001, "f-red-dc": 1002, "f-blue-mpls": 0, "f-red-mpls": 0}
    assert router.access_ports == ports, "who is in no VLAN is kept off all of them"
    assert router.announced == ("203.0.113.10/32", "203.0.113.30/32", "203.0.113.31/32", "203.0.113.64/28")


def test_gateways_leave_out_what_the_file_gives_away() -> None:
    found = lab(("wan: 203.0.113.20/24", "wan: 203.0.113.2/24"), ("203.0.113.30", "203.0.113.3"))
    assert found.gateways[0].front_end == IPv4Address("203.0.113.4")


def test_an_edge_of_an_mpls_provider_stands_on_the_internet() -> None:
    found = lab(("wan: 203.0.113.20/24", "wan: 198.51.100.10/30"))
    node = found.nodes["blue-mpls"]
    assert node.kind is NodeKind.EDGE
    assert [str(route.via) for route in node.routes] == ["198.51.100.9"]
    assert "s-blue-mpls" in found.nodes["internet"].interfaces
    assert "f-blue-mpls" not in found.nodes["tor"].interfaces


def test_what_stands_on_a_node_reads_back_as_it_was(tmp_path: Path) -> None:
    found, path = lab(), tmp_path / "config.json"
    edge, router = found.nodes["red-mpls"].edge, found.nodes["tor"].router
    assert edge is not None
    assert router is not None
    path.write_text(edge.to_json())
    assert EdgeConfig.load(path) == edge
    assert (edge.gateway, edge.gre_key, edge.wan_address) == ("203.0.113.65", 1234, "203.0.113.21")
    path.write_text(router.to_json())
    assert RouterConfig.load(path) == router


def second_site(metric: str, asn: str) -> str:
    """Blue with a second site that has the first one's network."""
    twin = f"        dr: {{type: ipsec, site: blue-dr, shared-secret: keep-it-quiet{metric}}}"
    site = f"  blue-dr:\n    wan: 198.51.100.10/30\n    lan: {{prefix: 192.168.50.0/24}}\n    asn: {asn}\n"
    text = WITHOUT_FILES.replace(f"        {HQ}\n", f"        {HQ}\n{twin}\n", 1)
    return text.replace(DR, DR + site, 1)


def test_two_sites_of_a_tenant_may_have_one_network_if_the_metric_tells_them_apart() -> None:
    assert problems_of(second_site(", metric: 20", "64521")) == ()
    for metric, asn in (("", "64521"), (", metric: 20", "64530")):
        (problem,) = problems_of(second_site(metric, asn))
        assert problem.code == Code.LAN_OVERLAP.code
        assert "`metric`" in problem.expected
