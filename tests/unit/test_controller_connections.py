"""Connections of every kind: what is refused when they are PUT, what the gateway is told of the others."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.controller.connections import connection_record
from lab.controller.gateways import compartment_of
from lab.controller.models_connection import IpsecConfiguration
from lab.southbound import southbound_pb2 as pb

from .controller_support import Datacenter, hybrid_cloud

BLUE, RED = "/virtualGateways/blue", "/virtualGateways/red"
PEER = "203.0.113.60"


def ref(path: str) -> dict[str, str]:
    return {"resourceRef": path}


def network(name: str, prefix: str, vlan: int = 0) -> tuple[str, dict[str, Any]]:
    subnet = {"resourceId": name, "properties": {"addressPrefix": prefix, "vlanID": str(vlan)}}
    return f"/logicalNetworks/{name}", {"properties": {"subnets": [subnet]}}


def every_kind(directory: Path) -> Datacenter:
    """The hybrid cloud with a pool for every kind of connection."""
    result = Datacenter(directory, hybrid_cloud())
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
    return result


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Datacenter]:
    result = every_kind(tmp_path)
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
        (l3(ipAddresses=[]), "needs an IPv4 address in its VLAN"),
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
    lab.put("/gatewayPools/other", {"properties": pool["properties"]})
    body = with_connection(lab, BLUE, "new", properties)
    body["properties"]["gatewayPools"] = [ref("/gatewayPools/other")]
    assert "is for" in lab.refusal(BLUE, body)


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


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        (
            gre() | {"ipSecConfiguration": {"quickMode": {"perfectForwardSecrecy": "PFS2048"}}},
            "type GRE has no 'ipSecConfiguration'",
        ),
        (l3(greConfiguration={"greKey": 5}), "type L3 has no 'greConfiguration'"),
        (
            ipsec() | {"l3Configuration": l3()["l3Configuration"]},
            "type IPSec has no 'l3Configuration'",
        ),
        (
            gre() | {"natConfiguration": {"publicIPAddress": ref("/publicIPAddresses/vip")}},
            "type GRE has no 'natConfiguration'",
        ),
        (
            {"connectionType": "NAT", "ipSecConfiguration": {"sharedSecret": "a"}},
            "type NAT has no 'ipSecConfiguration'",
        ),
        (
            gre() | {"routes": [{"destinationPrefix": "14.2.20.1/32", "nextHop": "192.168.50.1"}]},
            "a 'nextHop' (192.168.50.1) is for type L3",
        ),
        (
            ipsec() | {"routes": [{"destinationPrefix": "14.2.20.1/32", "nextHop": "192.168.50.1"}]},
            "is for type L3",
        ),
        (l3(peerIPAddresses=["10.127.134.55"]), "is the connection's own address"),
        (l3(peerIPAddresses=["10.127.134.127"]), "is no host's address"),
        (l3(ipAddresses=[{"ipAddress": "10.127.134.0", "prefixLength": 25}]), "is no host's address in"),
    ],
)
def test_what_is_another_kinds_is_refused(lab: Datacenter, properties: dict[str, Any], says: str) -> None:
    assert says in lab.refusal(BLUE, with_connection(lab, BLUE, "new", properties))


def test_what_is_another_kinds_may_stand_empty(lab: Datacenter) -> None:
    """So do Microsoft's own samples."""
    empty: dict[str, Any] = {"ipSecConfiguration": {}, "l3Configuration": {}, "natConfiguration": {}}
    lab.put(BLUE, with_connection(lab, BLUE, "rack", gre() | empty))
    assert told(lab, "blue", "rack").WhichOneof("kind") == "gre"


def test_the_type_says_what_the_gateway_is_told(lab: Datacenter) -> None:
    """Also of what an older controller has accepted: no secret is empty, no claim goes by."""
    lab.put(BLUE, with_connection(lab, BLUE, "rack", gre()))
    found = lab.controller.inventory.at(f"{BLUE}/networkConnections/rack")
    assert found is not None
    secretless = IpsecConfiguration.model_validate({"quickMode": {"perfectForwardSecrecy": "PFS2048"}})
    properties = found[1].properties.model_copy(update={"ip_sec_configuration": secretless})
    stored = found[1].model_copy(update={"properties": properties})
    network = lab.controller.inventory.at("/virtualNetworks/blue")
    assert network is not None
    rdid = network[1].properties.routing_domain_id
    place = compartment_of(network[0], rdid, lab.controller.inventory)
    assert place is not None
    assert connection_record(stored, place).WhichOneof("kind") == "gre"


@pytest.mark.parametrize("hop", ["0.0.0.0", ""])
def test_no_next_hop_may_be_said_as_zeros(lab: Datacenter, hop: str) -> None:
    routes = [{"destinationPrefix": "14.2.20.1/32", "nextHop": hop}]
    lab.put(BLUE, with_connection(lab, BLUE, "rack", gre() | {"routes": routes}))
    assert told(lab, "blue", "rack").routes[0].next_hop == ""
    lab.put(RED, with_connection(lab, RED, "mpls", l3("red-vlan", routes=routes)))
    assert told(lab, "red", "mpls").routes[0].next_hop == "10.127.134.65"


def test_what_is_always_up_is_not_closed_for_silence(lab: Datacenter) -> None:
    """300 s are the API's default; the gateway could not call again (Add-VpnS2SInterface: -Persistent)."""
    lab.put(BLUE, with_connection(lab, BLUE, "second", ipsec()))
    assert told(lab, "blue", "second").ipsec.quick_mode.idle_disconnect_s == 0
    lab.put(
        RED, with_connection(lab, RED, "second", ipsec(persistent=False) | {"destinationIPAddress": PEER})
    )
    assert told(lab, "red", "second").ipsec.quick_mode.idle_disconnect_s == 300


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a:b", "of ASCII characters without ':'"),
        ("日本語日", "of ASCII characters without ':'"),
        ("a" * 77, "at most 80 octets"),
        ("+" * 26, "at most 80 octets"),
        ("a\u2067b", "can be seen"),
        ("a\ufeffb", "can be seen"),
        ("a\u00adb", "can be seen"),
    ],
)
def test_what_cannot_name_an_interface_or_a_socket(lab: Datacenter, name: str, says: str) -> None:
    assert says in lab.refusal(BLUE, with_connection(lab, BLUE, name, gre()))


def test_the_longest_names_that_can_be(lab: Datacenter) -> None:
    lab.put(BLUE, with_connection(lab, BLUE, "a" * 76, gre()))
    assert told(lab, "blue", "a" * 76).gre.key == 1234


def test_a_virtual_gateway_is_called_what_can_name_an_interface(lab: Datacenter) -> None:
    body = copy.deepcopy(lab.get(BLUE))
    lab.delete(BLUE)
    assert "The id 'bl:ue' names an interface" in lab.refusal("/virtualGateways/bl:ue", body)


def test_nat_leads_to_no_peer(lab: Datacenter) -> None:
    """Its default route covers every address, and its compartment lets none of them in."""
    body = copy.deepcopy(lab.get(BLUE))
    lab.put("/publicIPAddresses/blue", {"properties": {"ipAddress": "203.0.113.20"}})
    body["properties"]["networkConnections"][0]["properties"]["routes"] = []
    nat = {
        "connectionType": "NAT",
        "natConfiguration": {"publicIPAddress": ref("/publicIPAddresses/blue")},
        "routes": [{"destinationPrefix": "0.0.0.0/0"}],
    }
    body["properties"]["networkConnections"].append({"resourceId": "internet", "properties": nat})
    lab.put(BLUE, body)
    detail = lab.properties(BLUE)["configurationState"]["detailedInfo"][0]
    assert (detail["code"], "192.168.50.1" in detail["message"]) == ("PolicyConfigurationFailure", True)
