"""Sites without BGP, and lines between the sites of one corporation."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.engine.certificates import certificates
from lab.errors import InvalidTopologyError, Problem
from lab.model.codes import Code
from lab.model.lab import Lab
from lab.model.loader import parse_topology
from lab.model.resolve import resolve
from lab.plan.intent import intent
from lab.speaker.config import exabgp_config

ROOT = Path(__file__).parents[2] / "topologies"
METRIC = (ROOT / "two-sites.yml").read_text()
BGP = (ROOT / "two-sites-bgp.yml").read_text()
LINE = "line: {to: blue-hq, prefix: 172.31.0.0/30}"
HQ_ROUTES = "          routes: {192.168.50.0/24: 10, 192.168.51.0/24: 20}\n"


def problems_of(text: str) -> tuple[Problem, ...]:
    try:
        parse_topology(text, "two.yml", ROOT)
    except InvalidTopologyError as error:
        return tuple(error.problems)
    return ()


def lab(text: str) -> Lab:
    return resolve(parse_topology(text, "two.yml", ROOT))


def routes(found: Lab, node: str) -> set[tuple[str, str, int]]:
    return {(str(r.destination), str(r.via), r.metric) for r in found.nodes[node].routes}


def test_a_line_makes_each_site_the_others_way_to_the_cloud() -> None:
    found = lab(METRIC)
    assert routes(found, "blue-hq") == {
        ("0.0.0.0/0", "198.51.100.1", 0),
        ("192.168.51.0/24", "172.31.0.2", 0),
        ("10.0.0.0/24", "172.31.0.2", 1000),
    }
    assert ("10.0.0.0/24", "172.31.0.1", 1000) in routes(found, "blue-branch")
    ends = [
        (end.node, end.interface)
        for link in found.links
        for end in link.ends
        if end.interface.startswith("x-")
    ]
    assert ends == [("blue-branch", "x-blue-hq"), ("blue-hq", "x-blue-branch")]


def test_a_site_without_bgp_has_static_routes_at_both_ends_and_no_peer(tmp_path: Path) -> None:
    found = lab(METRIC)
    site = found.nodes["blue-hq"].site
    assert site is not None
    assert (site.cloud, site.carried, site.calls) == (("10.0.0.0/24",), {}, True)
    gateway = dict(intent(found, certificates(found, tmp_path)))["/virtualGateways/blue"]["properties"]
    assert gateway["bgpRouters"][0]["properties"]["bgpPeers"] == []
    assert gateway["networkConnections"][0]["properties"]["routes"] == [
        {"destinationPrefix": "192.168.50.0/24", "metric": 10},
        {"destinationPrefix": "192.168.51.0/24", "metric": 20},
    ]


def test_with_bgp_each_site_offers_the_others_network_by_the_longer_path() -> None:
    site = lab(BGP).nodes["blue-branch"].site
    assert site is not None
    assert (site.cloud, site.carried) == ((), {"192.168.50.0/24": 64521})
    assert "route 192.168.50.0/24 next-hop self as-path [ 64522 64521 ];" in exabgp_config(site, ["true"])


def test_a_site_that_is_called_on_demand_waits() -> None:
    text = METRIC.replace(
        "          network-outage-s: 9\n" + HQ_ROUTES, "          persistent: false\n" + HQ_ROUTES
    )
    site = lab(text).nodes["blue-hq"].site
    assert site is not None
    assert (site.calls, site.on_demand) == (False, True)


def test_a_line_between_the_sites_of_two_gateway_vms_is_refused() -> None:
    text = (ROOT / "gateway-2012.yml").read_text()
    other = "  red-hq:\n    wan"
    assert other in text
    line = "  red-hq:\n    line: {to: blue-hq, prefix: 172.31.0.0/30}\n    wan"
    (problem,) = problems_of(text.replace(other, line))
    assert problem.code == Code.LINE.code
    assert "sites of two tenants" in problem.message


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        (HQ_ROUTES, "", "routes: {192.168.50.0/24: 10}"),
        (LINE, "line: {to: blue-web, prefix: 172.31.0.0/30}", "no other site"),
        (LINE, "line: {to: blue-branch, prefix: 172.31.0.0/30}", "no other site"),
        (LINE, "line: {to: blue-hq, prefix: 192.168.50.0/30}", "overlaps 192.168.50.0/24"),
        (
            "lan: {prefix: 192.168.50.0/24}\n",
            "lan: {prefix: 192.168.50.0/24}\n    line: {to: blue-branch, prefix: 172.31.1.0/30}\n",
            "already",
        ),
    ],
)
def test_lines_and_routes_that_cannot_be(old: str, new: str, word: str) -> None:
    assert old in METRIC
    (problem,) = problems_of(METRIC.replace(old, new))
    assert problem.code == Code.LINE.code
    assert word in f"{problem.message} {problem.hint}"
