"""Connections of every kind: what is refused when they are PUT, what the gateway is told of the others."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controller_support import Datacenter, hybrid_cloud

from lab.southbound import southbound_pb2 as pb

BLUE, RED = "/virtualGateways/blue", "/virtualGateways/red"
PEER = "203.0.113.60"


def ref(path: str) -> dict[str, str]:
    return {"resourceRef": path}


def network(name: str, prefix: str, vlan: int = 0) -> tuple[str, dict[str, Any]]:
    subnet = {"resourceId": name, "properties": {"addressPrefix": prefix, "vlanID": str(vlan)}}
    return f"/logicalNetworks/{name}", {"properties": {"subnets": [subnet]}}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Datacenter]:
    """The hybrid cloud with a pool for every kind of connection."""
    result = Datacenter(tmp_path, hybrid_cloud())
    for name, prefix, vlan in (
        ("gre", "203.0.113.64/29", 0),
        ("blue-vlan", "10.127.134.0/25", 1001),
        ("red-vlan", "10.127.134.0/25", 1002),
        ("no-vlan", "10.9.0.0/24", 0),
    ):
        result.put(*network(name, prefix, vlan))
    pool = result.get("/gatewayPools/default")
    pool["properties"]["type"] = "All"
    pool["properties"]["ipConfiguration"]["greVipSubnets"] = [ref("/logicalNetworks/gre/subnets/gre")]
    result.put("/gatewayPools/default", pool)
    yield result
    result.store.close()


def gre(key: object = 1234, peer: str = PEER) -> dict[str, Any]:
    """As the product's documentation writes it (Add a Virtual Gateway to a Tenant Virtual Network)."""
    return {
        "connectionType": "GRE",
        "outboundKiloBitsPerSecond": 10000,
        "inboundKiloBitsPerSecond": 10000,
        "greConfiguration": {"greKey": key},
        "routes": [{"destinationPrefix": "14.2.20.1/32", "metric": 10}],
        "destinationIPAddress": peer,
    }


def l3(vlan: str = "blue-vlan", **more: Any) -> dict[str, Any]:
    """The same, of an L3 connection."""
    return {
        "connectionType": "L3",
        "l3Configuration": {"vlanSubnet": ref(f"/logicalNetworks/{vlan}/subnets/{vlan}")},
        "ipAddresses": [{"ipAddress": "10.127.134.55", "prefixLength": 25}],
        "peerIPAddresses": ["10.127.134.65"],
        "routes": [{"destinationPrefix": "14.2.20.1/32", "metric": 10}],
        **more,
    }


def ipsec(**configuration: Any) -> dict[str, Any]:
    return {
        "connectionType": "IPSec",
        "destinationIPAddress": "198.51.100.77",
        "l3Configuration": {},
        "ipSecConfiguration": {"sharedSecret": "a", **configuration},
    }


def with_connection(lab: Datacenter, gateway: str, name: str, properties: dict[str, Any]) -> dict[str, Any]:
    body = copy.deepcopy(lab.get(gateway))
    body["properties"]["networkConnections"].append({"resourceId": name, "properties": properties})
    return body


def told(lab: Datacenter, tenant: str, name: str) -> pb.Connection:
    """What the gateway gets of a connection."""
    (place,) = (item for item in lab.records("gw01", "compartment") if item.tenant == tenant)
    (found,) = (item for item in place.connections if item.name == name)
    assert isinstance(found, pb.Connection)
    return found


def test_a_gre_connection_runs_between_the_gateways_address_and_the_far_end(lab: Datacenter) -> None:
    lab.put(BLUE, with_connection(lab, BLUE, "rack", gre()))
    found = told(lab, "blue", "rack")
    assert (found.gre.local, found.gre.peer, found.gre.key) == ("203.0.113.65", PEER, 1234)
    assert (found.outbound_kbps, found.routes[0].prefix, found.routes[0].metric) == (
        10000,
        "14.2.20.1/32",
        10,
    )
    lab.put(RED, with_connection(lab, RED, "rack", gre(key="1235")))
    assert told(lab, "red", "rack").gre.local == "203.0.113.65"
    assert lab.restarted().inventory.allocations["gre-vip", "gw01"] == "203.0.113.65"


def test_an_l3_connection_has_a_leg_in_its_vlan_and_its_routes_lead_to_the_peer(lab: Datacenter) -> None:
    lab.put(BLUE, with_connection(lab, BLUE, "mpls", l3()))
    lab.put(RED, with_connection(lab, RED, "mpls", l3("red-vlan")))
    for tenant, vlan in (("blue", 1001), ("red", 1002)):
        found = told(lab, tenant, "mpls")
        assert found.forwarding.vlan == vlan
        assert list(found.forwarding.addresses) == ["10.127.134.55/25"]
        assert found.routes[0].next_hop == "10.127.134.65"
    lab.put(*network("blue-vlan", "10.127.134.0/25", 1003))
    assert told(lab, "blue", "mpls").forwarding.vlan == 1003


def test_an_ipsec_connection_says_how_long_its_peer_may_be_silent(lab: Datacenter) -> None:
    local = [{"ipAddressStart": "10.0.0.0", "ipAddressEnd": "10.0.0.255"}]
    changed = ipsec(
        networkOutageSeconds="15", persistent=False, numberOfTries=3, localVpnTrafficSelector=local
    )
    lab.put(BLUE, with_connection(lab, BLUE, "second", changed))
    found = told(lab, "blue", "second").ipsec
    assert (found.network_outage_s, found.on_demand, found.tries) == (15, True, 3)
    assert list(found.local_selectors) == ["10.0.0.0/24"]
    everything = [{"ipAddressStart": "0.0.0.0", "ipAddressEnd": "255.255.255.255"}]
    lab.put(BLUE, with_connection(lab, BLUE, "second-too", gre()))
    assert not told(lab, "blue", "blue-hq").ipsec.local_selectors
    assert "of IPsec connections" in lab.refusal(
        BLUE, with_connection(lab, BLUE, "third", ipsec(remoteVpnTrafficSelector=everything))
    )


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        (gre() | {"greConfiguration": {}}, "needs a key"),
        (gre() | {"destinationIPAddress": None}, "needs its far end's address"),
        (gre(key=1 << 32), "greKey"),
        (l3() | {"l3Configuration": {}}, "needs a VLAN"),
        (l3("no-vlan", ipAddresses=[{"ipAddress": "10.9.0.5", "prefixLength": 24}]), "has no VLAN"),
        (l3(ipAddresses=[]), "needs an address in its VLAN"),
        (l3(ipAddresses=[{"ipAddress": "10.127.135.5", "prefixLength": 25}]), "outside of the VLAN"),
        (l3(peerIPAddresses=["10.127.135.1"]), "not in the connection's own network"),
        (l3(peerIPAddresses=[]), "there is none"),
        (ipsec(quickMode={"cipherTransformationConstant": "DES"}), "the nearest choice is DES3"),
        (ipsec(mainMode={"diffieHellmanGroup": "None"}), "the nearest choice is Group14"),
        (ipsec(networkOutageSeconds=10), "one of 3, 6, 9"),
        (ipsec(localVpnTrafficSelector=[{"protocolId": 6}]), "the nearest choice is protocolId 0"),
        (ipsec(localVpnTrafficSelector=[{"type": "IPv6"}]), "so are its traffic selectors"),
        (
            ipsec(localVpnTrafficSelector=[{"ipAddressStart": "10.0.1.0", "ipAddressEnd": "10.0.0.0"}]),
            "is behind",
        ),
    ],
)
def test_connections_that_cannot_be(lab: Datacenter, properties: dict[str, Any], says: str) -> None:
    version = lab.version("gw01")
    assert says in lab.refusal(BLUE, with_connection(lab, BLUE, "new", properties))
    assert lab.version("gw01") == version


def test_what_tells_tenants_apart_is_one_tenants(lab: Datacenter) -> None:
    lab.put(BLUE, with_connection(lab, BLUE, "rack", gre()))
    lab.put(BLUE, with_connection(lab, BLUE, "mpls", l3()))
    assert "destination and key" in lab.refusal(RED, with_connection(lab, RED, "rack", gre()))
    assert "VLAN of" in lab.refusal(RED, with_connection(lab, RED, "mpls", l3()))


@pytest.mark.parametrize(
    ("kind", "properties"), [("S2sIpSec", gre()), ("S2sGre", l3()), ("Forwarding", gre())]
)
def test_a_pool_is_for_its_own_kind(lab: Datacenter, kind: str, properties: dict[str, Any]) -> None:
    pool = lab.get("/gatewayPools/default")
    pool["properties"]["type"] = kind
    lab.put("/gatewayPools/default", pool)
    assert "is for" in lab.refusal(BLUE, with_connection(lab, BLUE, "new", properties))


def test_a_gateway_announces_to_the_routers_of_its_front_end(lab: Datacenter) -> None:
    assert lab.records("gw01", "front_end_router") == []
    gateway = lab.get("/gateways/gw01")
    peer = {"peerIP": "203.0.113.1", "peerExtAsNumber": "0.65000"}
    gateway["properties"]["bgpConfig"] = {"extASNumber": "0.65001", "bgpPeer": [peer]}
    lab.put("/gateways/gw01", gateway)
    (router,) = lab.records("gw01", "front_end_router")
    assert (router.asn, router.peers[0].address, router.peers[0].asn) == (65001, "203.0.113.1", 65000)
    assert lab.records("gw01", "switch_settings") == []


@pytest.mark.parametrize("persistent", [True, False])
def test_hosts_send_what_dials_an_on_demand_connection(lab: Datacenter, persistent: bool) -> None:
    """The first packet can call nobody if no host sends it; what is always up and is down leads nowhere."""
    wanted = {
        **ipsec(persistent=persistent),
        "routes": [{"destinationPrefix": "192.168.99.0/24", "metric": 10}],
    }
    lab.put(BLUE, with_connection(lab, BLUE, "second", wanted))
    (place,) = (item for item in lab.records("gw01", "compartment") if item.tenant == "blue")
    down = pb.ConnectionState(rdid=place.rdid, name="second", state="Disconnected")
    report = pb.Report(connections=[down], learned_routes=[pb.LearnedRoutes(rdid=place.rdid)])
    lab.observe("gw01", report)
    key = f"customer-route/{place.rdid}/192.168.99.0/24"
    assert (key in lab.goal_state("hv01")) == (not persistent)
