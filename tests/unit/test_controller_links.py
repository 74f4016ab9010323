"""Links between VM networks: what is refused when they are PUT, what the gateway is told, where it is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.controller.refusals import Refused
from lab.model.loader import load
from lab.model.resolve import resolve
from lab.plan.intent import intent
from lab.southbound import southbound_pb2 as pb

from .controller_support import Datacenter

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "linked.yml"
BLUE, GREEN, RED = "/virtualGateways/blue", "/virtualGateways/green", "/virtualGateways/red"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Datacenter]:
    """Blue and Green linked, Red with Blue's addresses."""
    resources = [(path, dict(body)) for path, body in intent(resolve(load(TOPOLOGY)))]
    result = Datacenter(tmp_path, resources)
    yield result
    result.store.close()


def body_of(lab: Datacenter, gateway: str, **changes: Any) -> dict[str, Any]:
    """A gateway with its link changed."""
    body = copy.deepcopy(lab.get(gateway))
    (link,) = body["properties"]["networkConnections"]
    for key, value in changes.items():
        if key in ("localPrefixes", "remoteVirtualNetwork"):
            link["properties"]["linkConfiguration"][key] = value
        else:
            link["properties"][key] = value
    return body


def refusal(lab: Datacenter, gateway: str, **changes: Any) -> str:
    with pytest.raises(Refused) as caught:
        lab.put(gateway, body_of(lab, gateway, **changes))
    return "; ".join(complaint.message for complaint in caught.value.complaints)


def routes(*prefixes: str) -> list[dict[str, Any]]:
    return [{"destinationPrefix": prefix} for prefix in prefixes]


def told(lab: Datacenter, tenant: str) -> list[pb.Connection]:
    (place,) = (item for item in lab.records("gw01", "compartment") if item.tenant == tenant)
    return list(place.connections)


def test_each_side_is_told_of_the_other_and_of_what_it_offers(lab: Datacenter) -> None:
    (blue,), (green,) = told(lab, "blue"), told(lab, "green")
    assert blue.link.peer_rdid == "5d0c4d4a-0b1e-4000-8000-0000000000a1"
    assert green.link.peer_rdid == "5d0c4d4a-0b1e-4000-8000-0000000000b1"
    assert list(blue.link.local_prefixes) == [route.prefix for route in green.routes] == ["10.0.0.0/24"]
    assert list(green.link.local_prefixes) == [route.prefix for route in blue.routes] == ["10.1.0.0/24"]


def test_hosts_get_the_prefix_while_the_link_is_connected(lab: Datacenter) -> None:
    rdid = "5d0c4d4a-0b1e-4000-8000-0000000000b1"

    def known() -> list[str]:
        found = lab.records("hv01", "customer_route")
        return [item.prefix for item in found if item.rdid == rdid and item.next_hop == "10.0.2.2"]

    def report(state: str) -> None:
        lab.controller.observe(
            "gw01",
            pb.Report(
                connections=[pb.ConnectionState(rdid=rdid, name="green", state=state)],
                learned_routes=[pb.LearnedRoutes(rdid=rdid)],
            ),
        )

    report("Disconnected")
    assert known() == []
    report("Connected")
    assert known() == ["10.1.0.0/24"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"linkConfiguration": {}}, "needs the VM network that it leads to"),
        ({"localPrefixes": []}, "needs prefixes of this VM network"),
        ({"localPrefixes": ["10.9.0.0/24"]}, "in no subnet of this virtual network"),
        ({"localPrefixes": ["10.0.2.0/29"]}, "in no subnet of this virtual network"),
        ({"localPrefixes": ["10.0.1.0/24"]}, "'10.0.1.0/24' of this virtual network overlaps"),
        ({"routes": []}, "needs routes"),
        ({"routes": routes("10.9.0.0/24")}, "in no subnet of /virtualNetworks/green"),
        ({"routes": routes("10.0.1.0/25")}, "overlaps with '10.0.1.0/24' of this virtual network"),
        ({"routes": [{"destinationPrefix": "10.1.0.0/24", "nextHop": "10.1.0.4"}]}, "is for type L3"),
        ({"greConfiguration": {"greKey": 5}}, "of type Link has no 'greConfiguration'"),
        ({"remoteVirtualNetwork": {"resourceRef": "/virtualNetworks/blue"}}, "linked to itself"),
        ({"remoteVirtualNetwork": {"resourceRef": "/virtualNetworks/none"}}, "does not exist"),
    ],
)
def test_what_cannot_be_is_refused(lab: Datacenter, changes: dict[str, Any], said: str) -> None:
    assert said in refusal(lab, BLUE, **changes)


def test_two_tenants_with_one_prefix_cannot_be_linked_by_it(lab: Datacenter) -> None:
    body = copy.deepcopy(lab.get(BLUE))
    body["properties"]["networkConnections"].append(
        {
            "resourceId": "red",
            "properties": {
                "connectionType": "Link",
                "linkConfiguration": {
                    "remoteVirtualNetwork": {"resourceRef": "/virtualNetworks/red"},
                    "localPrefixes": ["10.0.0.0/24"],
                },
                "routes": routes("10.0.0.0/24"),
            },
        }
    )
    with pytest.raises(Refused, match=r"overlaps with '10.0.0.0/24' of /virtualNetworks/red"):
        lab.put(BLUE, body)


def test_there_is_one_link_between_two_vm_networks(lab: Datacenter) -> None:
    body = copy.deepcopy(lab.get(BLUE))
    (link,) = body["properties"]["networkConnections"]
    body["properties"]["networkConnections"].append({**copy.deepcopy(link), "resourceId": "again"})
    with pytest.raises(Refused, match="is a link to /virtualNetworks/green already"):
        lab.put(BLUE, body)


def network(lab: Datacenter, name: str, *more: str, **changed: str) -> dict[str, Any]:
    """A virtual network with more subnets, and with other prefixes of those it has, by their ids."""
    body = copy.deepcopy(lab.get(f"/virtualNetworks/{name}"))
    properties = body["properties"]
    properties["addressSpace"]["addressPrefixes"] += [*more, *changed.values()]
    for subnet in properties["subnets"]:
        if prefix := changed.get(subnet["resourceId"]):
            subnet["properties"]["addressPrefix"] = prefix
    properties["subnets"] += [
        {"resourceId": f"more{number}", "properties": {"addressPrefix": prefix}}
        for number, prefix in enumerate(more)
    ]
    return body


def unlink(lab: Datacenter) -> None:
    for name in (BLUE, GREEN):
        body = body_of(lab, name)
        body["properties"]["networkConnections"] = []
        lab.put(name, body)


@pytest.mark.parametrize(
    ("more", "changed", "said"),
    [
        (["10.0.0.0/24"], {}, "overlaps with '10.0.0.0/24' of /virtualNetworks/green"),
        (["10.0.0.128/25"], {}, "overlaps with '10.0.0.128/25' of /virtualNetworks/green"),
        ([], {"db": "10.1.0.0/25"}, "'10.1.0.0/24' is in no subnet of /virtualNetworks/green"),
        ([], {"db": "10.88.0.0/24"}, "'10.1.0.0/24' is in no subnet of this virtual network"),
    ],
)
def test_linked_vm_networks_keep_the_prefixes_they_are_linked_by(
    lab: Datacenter, more: list[str], changed: dict[str, str], said: str
) -> None:
    lab.delete("/networkInterfaces/green-db")
    body = network(lab, "green", *more, **changed)
    refused = lab.refusal("/virtualNetworks/green", body)
    assert said in refused
    assert "in use by /virtualGateways/blue" in refused
    unlink(lab)
    lab.put("/virtualNetworks/green", body)


def test_a_linked_vm_network_gets_another_subnet(lab: Datacenter) -> None:
    """What overlaps with nothing of the other side changes nothing of the link."""
    before = told(lab, "blue")
    lab.put("/virtualNetworks/green", network(lab, "green", "10.77.0.0/24"))
    lab.put("/virtualNetworks/blue", network(lab, "blue", "10.78.0.0/24"))
    assert told(lab, "blue") == before
    lab.put("/virtualNetworks/green", network(lab, "green", more0="10.79.0.0/24"))


def test_a_linked_vm_network_keeps_its_routing_domain(lab: Datacenter) -> None:
    """The other compartment is told to look for it."""
    body = network(lab, "green")
    body["properties"]["routingDomainId"] = "5d0c4d4a-0b1e-4000-8000-0000000000a9"
    refused = lab.refusal("/virtualNetworks/green", body)
    assert "/virtualGateways/blue/networkConnections/green" in refused
    assert "a linked VM network keeps its routing domain" in refused
    unlink(lab)
    lab.put("/virtualNetworks/green", body)


def test_a_tenant_is_placed_beside_whom_it_is_linked_to(lab: Datacenter) -> None:
    """Best fit would put it on the fuller gateway; a link does not leave its node."""
    gateways = {"gw01": lab.get("/gateways/gw01")}
    gateways["gw02"] = copy.deepcopy(gateways["gw01"])
    gateways["gw02"]["resourceId"] = "gw02"
    server = copy.deepcopy(lab.get("/virtualServers/gw01"))
    for item in (gateways["gw02"], server):
        item.pop("instanceId", None)
    lab.put("/virtualServers/gw02", {**server, "resourceId": "gw02"})
    gateways["gw02"]["properties"]["virtualServer"] = {"resourceRef": "/virtualServers/gw02"}
    lab.put("/gateways/gw02", gateways["gw02"])
    bodies = {name: lab.get(name) for name in (BLUE, GREEN)}
    for name in bodies:
        lab.delete(name)
    heavy = copy.deepcopy(bodies[BLUE])
    lab.put(GREEN, bodies[GREEN])
    first = lab.controller.inventory.allocations["placement", GREEN.lower()]
    # The other gateway becomes the better fit for Blue: it is loaded almost to the brim.
    other = "gw02" if first == "gw01" else "gw01"
    lab.controller.inventory.allocate({("placement", RED.lower()): other})
    red = lab.get(RED)
    red["properties"]["networkConnections"] = [
        {
            "resourceId": "big",
            "properties": {
                "connectionType": "IPSec",
                "destinationIPAddress": "198.51.100.9",
                "outboundKiloBitsPerSecond": 300_000,
                "inboundKiloBitsPerSecond": 300_000,
                "ipSecConfiguration": {"sharedSecret": "a"},
            },
        }
    ]
    lab.put(RED, red)
    assert lab.controller.inventory.allocations["placement", RED.lower()] == other
    lab.put(BLUE, heavy)
    assert lab.controller.inventory.allocations["placement", BLUE.lower()] == first


def test_a_link_is_no_way_to_a_bgp_peer(lab: Datacenter) -> None:
    """It carries nothing of a compartment: whoever is at that address would never be heard."""
    body = body_of(lab, BLUE)
    peer = {"peerIpAddress": "10.1.0.4", "peerAsNumber": 64513}
    body["properties"]["bgpRouters"] = [
        {
            "resourceId": "router",
            "properties": {
                "extAsNumber": "0.64512",
                "bgpPeers": [{"resourceId": "green-db", "properties": peer}],
            },
        }
    ]
    lab.put(BLUE, body)
    (place,) = (item for item in lab.records("gw01", "compartment") if item.tenant == "blue")
    assert [route.prefix for route in place.connections[0].routes] == ["10.1.0.0/24"]
    assert place.bgp.peers[0].address == "10.1.0.4"
    state = lab.get(BLUE)["properties"]["configurationState"]
    assert state["status"] == "Failure"
    assert "Peers 10.1.0.4 do not have connectivity" in str(state["detailedInfo"])
