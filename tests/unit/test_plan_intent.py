"""The intent of the hybrid cloud: as checked by hand, complete, and in an order in which it can be PUT."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.controller.catalog import parse_path
from lab.model.loader import load, parse_topology
from lab.model.resolve import resolve
from lab.plan.intent import Resource, intent

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "plan_intent_hybrid-cloud.json"
HYBRID_CLOUD = intent(resolve(load(ROOT / "topologies" / "hybrid-cloud.yml")))


def references(value: Any) -> Iterator[str]:
    """Every resourceRef in a body."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "resourceRef":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resources(path: str, body: dict[str, Any]) -> Iterator[str]:
    """The paths of a resource and of the children that stand in its body."""
    yield path
    for key, value in body["properties"].items():
        for child in value if isinstance(value, list) else ():
            if isinstance(child, dict) and "resourceId" in child:
                yield from resources(f"{path}/{key}/{child['resourceId']}", child)


def test_the_intent_is_what_was_checked_by_hand() -> None:
    text = json.dumps([{"path": path, "body": body} for path, body in HYBRID_CLOUD], indent=2) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "UPDATE_GOLDEN=1 rewrites the file; then read its difference"


def test_whatever_is_referred_to_came_before() -> None:
    known: set[str] = set()
    for path, body in HYBRID_CLOUD:
        assert path.endswith(f"/{body['resourceId']}")
        known |= set(resources(path, body))
        assert set(references(body)) <= known, path


def test_the_controller_reads_every_body_whole() -> None:
    """Nothing that we send is a field that the controller does not know."""
    for path, body in HYBRID_CLOUD:
        place = parse_path(path)
        assert place is not None, path
        read = place.collection.model.model_validate(body)
        kept = read.model_dump(by_alias=True, context={"secrets": True})
        assert lost(body, kept) == [], path


def lost(sent: Any, kept: Any, place: str = "") -> list[str]:
    """Where what was sent is not in what was kept."""
    if isinstance(sent, dict):
        return [
            item
            for key, value in sent.items()
            for item in (
                lost(value, kept[key], f"{place}/{key}")
                if isinstance(kept, dict) and key in kept
                else [f"{place}/{key}"]
            )
        ]
    if isinstance(sent, list):
        if len(sent) != len(kept):
            return [place]
        return [
            item
            for number, value in enumerate(sent)
            for item in lost(value, list(kept)[number], f"{place}/{number}")
        ]
    return [] if sent == kept else [f"{place}: {sent!r} became {kept!r}"]


def test_tenants_differ_in_nothing_but_names_vsids_and_sites() -> None:
    """The point of the lab: everything that a packet carries overlaps."""

    def of(tenant: str) -> list[Resource]:
        return [(path, body) for path, body in HYBRID_CLOUD if path.split("/")[2].startswith(tenant)]

    blue, red = of("blue"), of("red")
    assert len(blue) == len(red) == 4
    macs = [
        {body["properties"]["privateMacAddress"] for path, body in side if "networkInterfaces" in path}
        for side in (blue, red)
    ]
    assert macs[0] == macs[1]


def test_a_peer_is_routed_through_its_connection() -> None:
    """Without the static /32 the product reports PolicyConfigurationFailure."""
    (gateway,) = (body["properties"] for path, body in HYBRID_CLOUD if path == "/virtualGateways/blue")
    peers = [
        peer["properties"]["peerIPAddress"] for peer in gateway["bgpRouters"][0]["properties"]["bgpPeers"]
    ]
    routes = [
        route["destinationPrefix"]
        for connection in gateway["networkConnections"]
        for route in connection["properties"]["routes"]
    ]
    assert routes == [f"{peer}/32" for peer in peers] == ["192.168.50.1/32"]


def test_a_four_byte_as_number_is_written_in_halves() -> None:
    text = (ROOT / "tests" / "golden" / "topology_small.yml").read_text()
    wide = text.replace("asn: 64512", "asn: 4200000001", 1)
    found = dict(intent(resolve(parse_topology(wide, "small.yml", Path("/nowhere")))))
    router = found["/virtualGateways/blue"]["properties"]["bgpRouters"][0]["properties"]
    assert router["extAsNumber"] == "64086.59905"
    assert 64086 << 16 | 59905 == 4200000001


def test_a_tenant_without_a_gateway_has_no_virtual_gateway() -> None:
    text = """\
lab: inner
fabric:
  management: {prefix: 172.16.0.0/24}
  provider: {prefix: 192.168.6.0/24, pool: {first: 192.168.6.10, last: 192.168.6.20}}
  front-end: {prefix: 203.0.113.0/24, vip: 203.0.113.10}
  transit: {prefix: 192.0.2.0/30}
hosts: {hv01: {}}
tenants:
  blue:
    subnets: {web: {vsid: 5001, prefix: 10.0.0.0/24}}
    vms: {blue-web: {host: hv01, subnet: web, address: 10.0.0.4}}
"""
    paths = [path for path, _ in intent(resolve(parse_topology(text, "inner.yml", Path("/nowhere"))))]
    assert [path for path in paths if "ateway" in path] == []
    assert "/networkInterfaces/blue-web" in paths
