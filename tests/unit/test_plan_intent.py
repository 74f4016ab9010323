"""The intent of our labs: as checked by hand, complete, and in an order in which it can be PUT."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.controller.catalog import parse_path
from lab.model.loader import load, parse_topology
from lab.model.resolve import resolve
from lab.plan.certificates import Identity, TenantCertificates, names_to_issue
from lab.plan.intent import intent
from lab.plan.resources import Resource

ROOT = Path(__file__).parents[2]
LABS = ("hybrid-cloud", "virtual-switch", "external-router", "private-cloud", "connections", "roadwarriors")


def of_file(name: str) -> list[Resource]:
    """The intent of one of our topologies."""
    lab = resolve(load(ROOT / "topologies" / f"{name}.yml"))
    own = Identity("CERTIFICATE", "KEY")
    return intent(
        lab,
        {
            tenant.name: TenantCertificates("AUTHORITY", dict.fromkeys(names_to_issue(lab, tenant), own))
            for tenant in lab.tenants
        },
    )


HYBRID_CLOUD = of_file("hybrid-cloud")


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


@pytest.mark.parametrize("name", ["hybrid-cloud", "virtual-switch", "connections"])
def test_the_intent_is_what_was_checked_by_hand(name: str) -> None:
    golden = ROOT / "tests" / "golden" / f"plan_intent_{name}.json"
    text = json.dumps([{"path": path, "body": body} for path, body in of_file(name)], indent=2) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text(), "UPDATE_GOLDEN=1 rewrites the file; then read its difference"


@pytest.mark.parametrize("name", LABS)
def test_whatever_is_referred_to_came_before(name: str) -> None:
    known: set[str] = set()
    for path, body in of_file(name):
        assert path.endswith(f"/{body['resourceId']}")
        known |= set(resources(path, body))
        assert set(references(body)) <= known, path


@pytest.mark.parametrize("name", LABS)
def test_the_controller_reads_every_body_whole(name: str) -> None:
    """Nothing that we send is a field that the controller does not know."""
    for path, body in of_file(name):
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


def properties(name: str, path: str, old: str = "", new: str = "") -> dict[str, Any]:
    """The properties that one resource of a topology is PUT with, after a change to the file."""
    file = ROOT / "topologies" / f"{name}.yml"
    text = file.read_text()
    assert old in text
    changed = parse_topology(text.replace(old, new, 1), file.name, file.parent)
    found: dict[str, Any] = dict(intent(resolve(changed)))[path]["properties"]
    return found


def test_how_the_virtual_networks_are_carried_is_one_resource() -> None:
    path = "/virtualNetworkManager/configuration"
    assert properties("external-router", path) == {
        "networkVirtualizationProtocol": "NVGRE",
        "dscpMode": "pipe",
        "useExternalRouter": True,
    }
    vxlan = properties("virtual-switch", path, "encapsulation: nvgre", "encapsulation: vxlan")
    assert (vxlan["networkVirtualizationProtocol"], vxlan["dscpMode"]) == ("VXLAN", "uniform")


def test_an_access_control_list_is_written_as_microsoft_does() -> None:
    rules = properties("virtual-switch", "/accessControlLists/blue.db")["aclRules"]
    assert [rule["resourceId"] for rule in rules] == ["app", "trace", "ping", "rest", "answers-only"]
    assert rules[0]["properties"] == {
        "protocol": "TCP",
        "sourceAddressPrefix": "10.1.1.0/24",
        "destinationAddressPrefix": "*",
        "sourcePortRange": "0-65535",
        "destinationPortRange": "5432",
        "action": "Allow",
        "type": "Inbound",
        "logging": "Disabled",
        "priority": 100,
    }
    assert rules[1]["properties"]["destinationPortRange"] == "33434-33534"
    denied = rules[3]["properties"]
    assert (denied["protocol"], denied["action"], denied["logging"]) == ("All", "Deny", "Enabled")
    own = properties(
        "virtual-switch", "/networkInterfaces/blue-fw", "forwarding: true", "forwarding: true, acl: db"
    )
    (configuration,) = own["ipConfigurations"]
    assert configuration["properties"]["accessControlList"] == {"resourceRef": "/accessControlLists/blue.db"}


def test_routes_of_a_subnet_are_a_route_table() -> None:
    (dropped,) = properties("virtual-switch", "/routeTables/blue.web")["routes"]
    assert dropped["properties"] == {"addressPrefix": "10.1.2.0/24", "nextHopType": "None"}
    (routed,) = properties("virtual-switch", "/routeTables/blue.app")["routes"]
    assert routed["properties"]["nextHopType"] == "VirtualAppliance"
    assert routed["properties"]["nextHopIpAddress"] == "10.1.3.4"
    subnets = properties("virtual-switch", "/virtualNetworks/blue")["subnets"]
    tables = [subnet["properties"].get("routeTable") for subnet in subnets]
    assert tables == [
        {"resourceRef": "/routeTables/blue.web"},
        {"resourceRef": "/routeTables/blue.app"},
        {"resourceRef": "/routeTables/blue.db"},
        None,
    ]


def test_a_port_says_what_it_lets_through() -> None:
    settings = properties("virtual-switch", "/networkInterfaces/blue-web1")["portSettings"]
    assert settings["stormLimit"] == 200
    assert settings["dhcpGuardEnabled"] is settings["routerGuardEnabled"] is True
    open_port = properties(
        "virtual-switch", "/networkInterfaces/blue-web1", "storm-limit: 200", "router-guard: false"
    )["portSettings"]
    assert (open_port["routerGuardEnabled"], "stormLimit" in open_port) == (False, False)
    limits = properties("virtual-switch", "/networkInterfaces/blue-db")["portSettings"]["qosSettings"]
    assert limits == {"outboundMaximumMbps": 50, "inboundMaximumMbps": 50}


def test_an_appliance_is_an_interface_on_no_server() -> None:
    found = properties("virtual-switch", "/networkInterfaces/blue-partner")
    assert found["partnerProviderAddress"] == "192.168.6.200"
    assert found["privateMacAddress"] == "00155D010014"
    assert "server" not in found


def test_a_host_says_what_its_uplinks_are() -> None:
    found = properties("virtual-switch", "/servers/hv01")
    assert (found["uplinkCount"], found["teamMode"], found["uplinkMbps"]) == (2, "hash", 1000)
    assert [item["resourceId"] for item in found["networkInterfaces"]] == ["pa0", "pa1"]
    assert "uplinkMbps" not in properties("external-router", "/servers/hv01")


def tenant_connection(
    name: str, tenant: str, connection: str, old: str = "", new: str = ""
) -> dict[str, Any]:
    """The properties of a connection, after a change to the file."""
    gateway = properties(name, f"/virtualGateways/{tenant}", old, new)
    (found,) = (item for item in gateway["networkConnections"] if item["resourceId"] == connection)
    result: dict[str, Any] = found["properties"]
    return result


def test_an_ipsec_connection_says_what_the_file_says() -> None:
    hq = "hq: {type: ipsec, site: blue-hq, "
    before = tenant_connection("connections", "blue", "hq")["ipSecConfiguration"]
    assert not {"persistent", "networkOutageSeconds", "numberOfTries"} & before.keys(), "the gateway's own"
    chosen = (
        "main-mode: {dh-group: Group14, encryption: AES128, integrity: SHA384, lifetime-s: 600}, "
        "quick-mode: {cipher: AES256, authentication: SHA256128, pfs: PFS2048, lifetime-s: 60, "
        "lifetime-kb: 2048}, persistent: false, idle-disconnect-s: 300, network-outage-s: 9, retries: 3, "
        "retry-interval-s: 5, "
    )
    found = tenant_connection("connections", "blue", "hq", hq, hq + chosen)["ipSecConfiguration"]
    assert found["mainMode"] == {
        "diffieHellmanGroup": "Group14",
        "encryptionAlgorithm": "AES128",
        "integrityAlgorithm": "SHA384",
        "saLifeTimeSeconds": 600,
    }
    assert found["quickMode"] == {
        "perfectForwardSecrecy": "PFS2048",
        "cipherTransformationConstant": "AES256",
        "authenticationTransformationConstant": "SHA256128",
        "saLifeTimeSeconds": 60,
        "saLifeTimeKiloBytes": 2048,
        "idleDisconnectSeconds": 300,
    }
    assert (found["persistent"], found["networkOutageSeconds"]) == (False, 9)
    assert (found["numberOfTries"], found["retryIntervalSeconds"]) == (3, 5)


def test_a_gateway_that_does_more_than_ipsec_speaks_bgp_with_the_router() -> None:
    assert properties("connections", "/gateways/gw01")["bgpConfig"] == {
        "extASNumber": "0.65001",
        "bgpPeer": [{"peerIP": "203.0.113.1", "peerExtAsNumber": "0.65000"}],
    }
    assert properties("connections", "/gatewayPools/gateways")["type"] == "All"
    assert "bgpConfig" not in properties("hybrid-cloud", "/gateways/gw01")


def test_two_sites_with_one_network_are_one_bgp_peer() -> None:
    """The route's metric says which of them answers at the one address."""
    text = (ROOT / "topologies" / "connections.yml").read_text()
    twin = text.replace("192.168.60.", "192.168.50.").replace("64522", "64521")
    twin = twin.replace("key: 1234", "metric: 20, key: 1234")
    found = dict(intent(resolve(parse_topology(twin, "c.yml", ROOT / "topologies"))))
    gateway = found["/virtualGateways/blue"]
    (router,) = gateway["properties"]["bgpRouters"]
    peers = [
        (peer["resourceId"], peer["properties"]["peerIPAddress"]) for peer in router["properties"]["bgpPeers"]
    ]
    assert peers == [("hq", "192.168.50.1"), ("dc", "192.168.70.1")]
    metrics = [
        route["metric"]
        for item in gateway["properties"]["networkConnections"]
        for route in item["properties"]["routes"]
        if route["destinationPrefix"] == "192.168.50.1/32"
    ]
    assert metrics == [10, 20]
