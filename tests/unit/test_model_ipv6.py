"""IPv6 beside a gateway: every rule broken once, and what Blue, who has it, resolves to."""

from __future__ import annotations

from ipaddress import IPv6Interface
from typing import Any

import pytest

from lab.engine.policy import _learned_routes
from lab.model.codes import Code
from lab.model.edge import Ipv6End
from lab.model.lab import Lab
from lab.plan.intent_gateways import tenant_gateway

from .test_model_connections import BLUE_DC, HQ, MPLS, WITHOUT_FILES, connection, lab, one_problem
from .test_model_errors import problems

GATEWAY = "      ipv6-subnet: gateway6\n"
MPLS_LAN = 'lan: {prefix: 192.168.60.0/24, ipv6-prefix: "fd00:60::/64"}'
BRANCH = 'ipv6-address: "fd00:60::100"'
HQ_SITE = """\
    lan: {prefix: 192.168.50.0/24}
    asn: 64521
    servers: {blue-pc: {address: 192.168.50.100}}
"""
WITH_IPV6 = HQ_SITE.replace("}", ', ipv6-prefix: "fd00:50::/64"}', 1)
LEG, FAR = "          ipv6-address: fd00:134::55/64\n", "    ipv6-wan: fd00:134::50/64\n"
ROUTE = ', routes: {"%s": 5}}'
WRONG = [
    # (what is changed, to what, the code, what is to blame, a text of expected, hint or message)
    ("      subnet: gateway\n", "      subnet: gateway6\n", Code.FAMILY, "subnet: gateway6", "an IPv4"),
    ("ipv6-subnet: gateway6", "ipv6-subnet: gateway", Code.FAMILY, "ipv6-subnet: gateway", "an IPv6 subnet"),
    ("ipv6-subnet: gateway6", "ipv6-subnet: gatway6", Code.REFERENCE, "ipv6-subnet: gatway6", "`gateway6`"),
    ("subnet: web6\n        address: \"fd00:1::4", "subnet: gateway6\n        address: \"fd00:2::4",
     Code.GATEWAY_SUBNET, "subnet: gateway6\n        address", "nothing else"),
    (HQ_SITE, WITH_IPV6, Code.IPV6, "lan: {prefix: 192.168.50.0/24, ipv6", "`ipsec` carries IPv4 alone"),
    (MPLS_LAN, MPLS_LAN.replace("fd00:60::/64", "fd00:60::1/64"), Code.PREFIX, "fd00:60::1/64", "host bits"),
    (MPLS_LAN, MPLS_LAN.replace("fd00:60::/64", "10.9.0.0/24"), Code.FAMILY, "10.9.0.0/24", "is IPv4"),
    (MPLS_LAN, MPLS_LAN.replace("fd00:60::/64", "fd00:60::"), Code.PREFIX, '"fd00:60::"', "/126"),
    (BRANCH, 'ipv6-address: "fd00:61::100"', Code.OUTSIDE, "fd00:61::100", "is not in fd00:60::/64"),
    (BRANCH, 'ipv6-address: "fd00:60::1"', Code.RESERVED, '"fd00:60::1"', "router"),
    (BRANCH, "ipv6-address: 192.168.60.101", Code.FAMILY, "192.168.60.101", "without `ipv6-`"),
    ("{red-branch: {address: 192.168.60.100}}",
     '{red-branch: {address: 192.168.60.100, ipv6-address: "fd00:60::100"}}', Code.IPV6,
     "{red-branch: {address", "`ipv6-prefix: PREFIX`"),
    (f"{{blue-branch: {{address: 192.168.60.100, {BRANCH}}}}}",
     f"{{blue-branch: {{address: 192.168.60.100, {BRANCH}}}, b2: {{address: 192.168.60.101, {BRANCH}}}}}",
     Code.DUPLICATE_ADDRESS, "b2: {", "`blue-branch` has"),
    (BLUE_DC, BLUE_DC.replace("fd00:70:", "fd00:60:"), Code.LAN_OVERLAP,
     'lan: {prefix: 192.168.70.0/24, ipv6-prefix: "fd00:60', "site `blue-mpls`"),
    (BLUE_DC, BLUE_DC.replace("fd00:70:", "fd00:1:"), Code.LAN_OVERLAP,
     'lan: {prefix: 192.168.70.0/24, ipv6-prefix: "fd00:1:', "subnet `web6`"),
    (BLUE_DC, BLUE_DC.replace("fd00:70:", "fd00:134:"), Code.LAN_OVERLAP,
     'lan: {prefix: 192.168.70.0/24, ipv6-prefix: "fd00:134:', "the VLAN of connection `dc`"),
    (FAR, FAR.replace("50/64", "55/64"), Code.VLAN, "ipv6-wan: fd00:134::55/64", "do not meet"),
    (FAR, FAR.replace("50/64", "50/56"), Code.VLAN, "ipv6-wan: fd00:134::50/56", "do not meet"),
    (FAR, FAR.replace("134::50/64", "134::/64"), Code.VLAN, "ipv6-wan: fd00:134::/64", "anycast"),
    (FAR, FAR.replace("/64", ""), Code.ADDRESS, "ipv6-wan: fd00:134::50", "prefix length"),
    (FAR, FAR.replace("fd00:134::50/64", "fe80::50/64"), Code.ADDRESS, "ipv6-wan: fe80", "host"),
    (FAR, FAR.replace("fd00:134::50/64", "10.1.1.1/24"), Code.FAMILY, "ipv6-wan: 10.1", "IPv4"),
    (FAR, "", Code.IPV6, LEG.strip(), "`ipv6-wan` of the site"),
    ("    wan: 203.0.113.20/24\n", "    wan: 203.0.113.20/24\n    ipv6-wan: fd00:20::1/64\n", Code.IPV6,
     "ipv6-wan: fd00:20::1", "L3 edges only"),
    (HQ, HQ.replace("}", ROUTE % "fd00::/64"), Code.IPV6, "fd00::/64", "IPv4 alone"),
    (MPLS, MPLS.replace("}", ROUTE % "fd00:60::1/128"), Code.CONNECTION, "fd00:60::1/128", "`metric`"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "code", "blamed", "helps"), WRONG)
def test_one_mistake_is_one_problem_in_its_line(
    old: str, new: str, code: Code, blamed: str, helps: str
) -> None:
    one_problem(old, new, code, blamed, helps)


def test_without_an_ipv6_gateway_subnet_nothing_of_ipv6_has_a_way() -> None:
    assert GATEWAY in WITHOUT_FILES
    found = problems(WITHOUT_FILES.replace(GATEWAY, ""))
    assert {problem.code for problem in found} == {Code.IPV6.code}
    assert all("the gateway of `blue` has no IPv6 subnet" in problem.message for problem in found)
    assert len(found) == 3, "two sites, and an address in the VLAN"


def test_without_an_address_in_the_vlan_nor_has_it_there() -> None:
    found = problems(WITHOUT_FILES.replace(LEG, ""))
    assert {problem.code for problem in found} == {Code.IPV6.code}


def test_ipv6_subnets_of_a_tenant_whose_gateway_has_none_stay_inside() -> None:
    """What VMs say to each other passes no gateway."""
    inside = '      six: {vsid: 6003, prefix: "fd00:1::/64"}\n'
    place = "      gateway: {vsid: 6002, prefix: 10.0.2.0/29}\n"
    assert place in WITHOUT_FILES
    assert problems(WITHOUT_FILES.replace(place, place + inside)) == ()
    (gateway,) = virtual_gateway(lab((place, place + inside)), "red")
    assert "IPv6Routing" not in str(gateway)


def virtual_gateway(found: Lab, tenant: str) -> list[dict[str, Any]]:
    """The virtual gateway that the API is sent."""
    of = found.tenant(tenant)
    assert of.gateway is not None
    return [dict(body) for path, body in tenant_gateway(of, of.gateway) if path.startswith("/virtualG")]


def test_a_compartment_has_the_second_address_and_its_router_carries_ipv6() -> None:
    (gateway,) = virtual_gateway(lab(), "blue")
    subnets = [item["resourceRef"] for item in gateway["properties"]["gatewaySubnets"]]
    assert subnets == ["/virtualNetworks/blue/subnets/gateway", "/virtualNetworks/blue/subnets/gateway6"]
    (router,) = gateway["properties"]["bgpRouters"]
    assert router["properties"]["IPv6Routing"] == "Enabled"
    assert router["properties"]["localIPv6Address"] == "fd00:2::2"
    leg = next(item for item in gateway["properties"]["networkConnections"] if item["resourceId"] == "dc")
    assert leg["properties"]["ipAddresses"][1] == {"ipAddress": "fd00:134::55", "prefixLength": 64}
    assert leg["properties"]["peerIPAddresses"] == ["10.127.134.50", "fd00:134::50"]


def test_a_connection_has_a_route_to_each_next_hop_of_its_site() -> None:
    found = lab((MPLS, MPLS.replace("}", ', metric: 7, routes: {"fd00:99::/64": 5}}')))
    routes = [(str(route.prefix), route.metric) for route in connection(found, "blue", "mpls").routes]
    assert routes == [("192.168.60.1/32", 7), ("fd00:60::1/128", 7), ("fd00:99::/64", 5)]


def test_edges_and_servers_have_ipv6_where_they_have_an_address_and_nowhere_else() -> None:
    found = lab()
    mpls, dc, branch = (found.nodes[name] for name in ("blue-mpls", "blue-dc", "blue-branch"))
    assert mpls.edge is not None
    assert mpls.edge.ipv6 == Ipv6End("fd00:60::/64", "fd00:60::1", "fd00:2::2")
    assert dc.edge is not None
    assert dc.edge.ipv6 == Ipv6End("fd00:70::/64", "fd00:70::1", "fd00:2::2", "fd00:134::55")
    on = {"lan0": "net.ipv6.conf.lan0.disable_ipv6", "wan0": "net.ipv6.conf.wan0.disable_ipv6"}
    assert (mpls.interface_sysctls[on["lan0"]], mpls.interface_sysctls.get(on["wan0"])) == ("0", None)
    assert (dc.interface_sysctls[on["lan0"]], dc.interface_sysctls[on["wan0"]]) == ("0", "0")
    for edge in (mpls, dc):
        keys = list(edge.interface_sysctls)
        assert keys.index("net.ipv6.conf.all.disable_ipv6") < keys.index(on["lan0"]), "all, then one"
        assert edge.interface_sysctls["net.ipv6.conf.all.forwarding"] == "1"
    assert [item.address for item in branch.addresses][1:] == [IPv6Interface("fd00:60::100/64")]
    assert [(str(route.destination), str(route.via)) for route in branch.routes][1:] == [
        ("::/0", "fd00:60::1")
    ]
    assert branch.interface_sysctls["net.ipv6.conf.eth0.disable_ipv6"] == "0"
    red = found.nodes["red-branch"]
    assert red.interface_sysctls["net.ipv6.conf.eth0.disable_ipv6"] == "1", "also where it was on before"
    edge = found.nodes["red-mpls"]
    assert edge.edge is not None
    assert edge.edge.ipv6 is None
    assert set(edge.interface_sysctls) & set(on.values()) == set()


def test_a_lab_has_converged_when_the_hosts_know_the_ipv6_networks_too() -> None:
    learned = {
        prefix: site
        for (tenant, _, prefix), site in _learned_routes(lab(), "hv02").items()
        if tenant == "blue"
    }
    assert (learned["fd00:60::/64"], learned["fd00:70::/64"]) == ("blue-mpls", "blue-dc")
