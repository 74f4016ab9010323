"""The northbound API as its clients meet it: a real controller process, spoken to over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from lab.controller.client import (
    ControllerClient,
    ControllerUnreachableError,
    NotAuthorizedError,
    ResourceNotFoundError,
    StaleResourceError,
)

from .controller_support import NETWORK, TOKEN, RunningController, hybrid_cloud, interface, running

SECRET = "blue-keeps-its-secrets"


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningController]:
    with running(tmp_path_factory.mktemp("nc")) as process:
        process.put_all(hybrid_cloud())
        yield process


@pytest.fixture
def api(controller: RunningController) -> Iterator[ControllerClient]:
    with controller.client() as client:
        yield client


@pytest.fixture
def http(controller: RunningController) -> Iterator[requests.Session]:
    """A client that has read nothing but the standard."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(controller.authority.issue("controller") / "ca.pem")
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        yield session


@pytest.fixture
def green(api: ControllerClient) -> Iterator[str]:
    """A virtual network that the test may spoil."""
    api.put("/virtualNetworks/green", NETWORK)
    yield "/virtualNetworks/green"
    for nic in api.list("/networkInterfaces"):
        if nic["resourceId"].startswith("green"):
            api.delete(nic["resourceRef"])
    api.delete("/virtualNetworks/green")


# --- conventions ---


def test_answers_carry_what_the_convention_wants(
    http: requests.Session, controller: RunningController
) -> None:
    headers = {"x-ms-client-request-id": "mine", "x-ms-return-client-request-id": "true"}
    answer = http.get(f"{controller.url}/Networking/V1/SERVERS/HV01", headers=headers)
    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["ETag"] == body["etag"]
    assert answer.headers["ETag"].startswith('W/"')
    assert answer.headers["x-ms-request-id"]
    assert answer.headers["x-ms-client-request-id"] == "mine"
    assert (body["resourceId"], body["resourceRef"]) == ("hv01", "/servers/hv01")
    assert body["properties"]["provisioningState"] == "Succeeded"


def test_discovery(http: requests.Session, controller: RunningController) -> None:
    answer = http.get(f"{controller.url}/networking/discovery").json()
    assert answer["properties"]["currentRestVersion"] == "v1"


def test_documentation_page_is_open_and_knows_every_type(controller: RunningController) -> None:
    ca = str(controller.authority.issue("controller") / "ca.pem")
    assert "swagger" in requests.get(f"{controller.url}/docs", verify=ca).text
    document = requests.get(f"{controller.url}/openapi.json", verify=ca).json()
    path = (
        "/networking/v1/virtualGateways/{virtualGatewaysId}/bgpRouters/{bgpRoutersId}/bgpPeers/{bgpPeersId}"
    )
    assert set(document["paths"][path]) == {"parameters", "get", "put", "delete"}
    reference = document["paths"][path]["put"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert reference.rsplit("/", 1)[1] in document["components"]["schemas"]


def test_wrong_token_is_refused(controller: RunningController) -> None:
    ca = controller.authority.issue("controller") / "ca.pem"
    with (
        ControllerClient(controller.url, ca, "guessed") as client,
        pytest.raises(NotAuthorizedError, match="bearer token"),
    ):
        client.list("/servers")


def test_put_creates_then_replaces(http: requests.Session, controller: RunningController) -> None:
    url = f"{controller.url}/networking/v1/credentials/one"
    body = {"properties": {"type": "usernamepassword", "userName": "me", "value": "hidden"}}
    created = http.put(url, json=body)
    assert created.status_code == 201
    body["properties"]["userName"] = "you"
    replaced = http.put(url, json=body)
    assert replaced.status_code == 200
    assert replaced.json()["instanceId"] == created.json()["instanceId"]
    assert replaced.json()["properties"]["type"] == "UsernamePassword"
    assert "hidden" not in replaced.text + http.get(url).text
    assert http.delete(url).status_code == 200
    assert http.delete(url).status_code == 204
    assert http.get(url).status_code == 404


def test_put_of_the_same_changes_nothing(api: ControllerClient) -> None:
    for path, body in hybrid_cloud():
        before = api.get(path)["etag"]
        assert api.put(path, body)["etag"] == before, path


def test_put_back_of_what_was_read_changes_nothing(api: ControllerClient) -> None:
    for path, _ in hybrid_cloud():
        before = api.get(path)
        assert api.put(path, before)["etag"] == before["etag"], path


def test_if_match(api: ControllerClient, green: str) -> None:
    old = api.get(green)["etag"]
    new = api.put(green, NETWORK | {"tags": {"a": "b"}}, if_match=old)["etag"]
    assert new != old
    with pytest.raises(StaleResourceError):
        api.put(green, NETWORK, if_match=old)
    assert api.get(green)["etag"] == new


def test_instance_ids_lead_to_resources(api: ControllerClient) -> None:
    subnet = api.get("/virtualNetworks/blue/subnets/web")
    assert api.get(f"/INTERNALRESOURCEINSTANCES/{subnet['instanceId']}") == subnet


def test_clients_may_write_as_microsofts_do(api: ControllerClient) -> None:
    body = {
        "ResourceID": "Lax",
        "etag": "",
        "instanceId": "",
        "Properties": {
            "NetworkVirtualizationEnabled": "False",
            "provisioningState": "Succeeded",
            "somethingElse": 1,
            "subnets": [
                {
                    "resourceid": "s",
                    "properties": {"addressprefix": "10.8.0.0/24", "vlanid": "7", "dnsServers": None},
                }
            ],
        },
    }
    stored = api.put("/LogicalNetworks/lax", body)["properties"]
    assert stored["subnets"][0]["properties"]["vlanID"] == 7
    assert stored["networkVirtualizationEnabled"] is False
    assert "somethingElse" not in stored
    assert api.delete("/logicalnetworks/LAX")


# --- parents and children ---


def test_children_are_in_their_parent_and_on_their_own(api: ControllerClient, green: str) -> None:
    child = api.put(f"{green}/subnets/app", {"properties": {"addressPrefix": "10.7.1.0/24"}})
    parent = api.get(green)
    assert [s["resourceId"] for s in parent["properties"]["subnets"]] == ["web", "app"]
    assert parent["properties"]["subnets"][1] == child == api.get(f"{green}/subnets/app")
    assert parent["etag"] == child["etag"]
    assert api.list(f"{green}/subnets") == parent["properties"]["subnets"]
    assert api.delete(f"{green}/subnets/app")
    assert [s["resourceId"] for s in api.get(green)["properties"]["subnets"]] == ["web"]


def test_child_of_a_missing_parent(api: ControllerClient) -> None:
    with pytest.raises(StaleResourceError, match="PUT the parent"):
        api.put("/virtualNetworks/none/subnets/web", {"properties": {"addressPrefix": "10.7.1.0/24"}})
    with pytest.raises(ResourceNotFoundError):
        api.list("/virtualNetworks/none/subnets")


def test_deep_children(api: ControllerClient) -> None:
    peer = "/virtualGateways/blue/bgpRouters/blue-router/bgpPeers/second"
    before = api.get("/virtualGateways/blue")
    body = {"properties": {"peerIPAddress": "192.168.50.2", "asNumber": "64999"}}
    assert api.put(peer, body)["properties"]["asNumber"] == 64999
    assert len(api.list("/virtualGateways/blue/bgpRouters/blue-router/bgpPeers")) == 2
    assert api.delete(peer)
    after = api.get("/virtualGateways/blue")
    assert (
        after["properties"]["bgpRouters"][0]["instanceId"]
        == before["properties"]["bgpRouters"][0]["instanceId"]
    )


def test_secrets_are_never_answered_and_never_lost(
    api: ControllerClient, controller: RunningController
) -> None:
    text = str(api.list("/virtualGateways")) + str(api.goal_state("gw01"))
    assert SECRET not in text
    connection = api.get("/virtualGateways/blue/networkConnections/blue-hq")
    connection["properties"]["outboundKiloBitsPerSecond"] = 6000
    api.put("/virtualGateways/blue/networkConnections/blue-hq", connection)
    connection["properties"]["outboundKiloBitsPerSecond"] = 5120
    api.put("/virtualGateways/blue/networkConnections/blue-hq", connection)
    assert SECRET.encode() in b"".join(p.read_bytes() for p in controller.directory.glob("controller.db*"))


def test_secrets_are_not_in_refusals(http: requests.Session, controller: RunningController) -> None:
    body = {"properties": {"type": "UsernamePassword", "value": 73313}}
    answer = http.put(f"{controller.url}/networking/v1/credentials/bad", json=body)
    assert answer.status_code == 400
    assert "73313" not in answer.text


# --- what the controller gives out ---


def test_defaults_of_a_virtual_network(api: ControllerClient, green: str) -> None:
    network = api.get(green)
    assert network["properties"]["routingDomainId"] == network["instanceId"]
    assert network["properties"]["subnets"][0]["properties"]["virtualSubnetId"] == 4096
    changed = api.put(green, NETWORK | {"tags": {"a": "b"}})
    assert changed["properties"]["routingDomainId"] == network["instanceId"]
    assert changed["properties"]["subnets"][0]["properties"]["virtualSubnetId"] == 4096


def test_dynamic_addresses(api: ControllerClient, green: str) -> None:
    first = api.put("/networkInterfaces/green-1", interface(None))
    second = api.put("/networkInterfaces/green-2", interface(None))
    given = [
        n["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"] for n in (first, second)
    ]
    assert given == ["10.7.0.2", "10.7.0.3"]
    assert first["properties"]["privateMacAddress"] != second["properties"]["privateMacAddress"]
    again = api.put("/networkInterfaces/green-1", interface(None, tags={}))
    assert again["properties"] == first["properties"]


@pytest.mark.parametrize("mac", ["00-1d-d8-b7-1c-00", "00:1D:D8:B7:1C:00", "001dd8b71c00"])
def test_mac_addresses_in_any_form(api: ControllerClient, green: str, mac: str) -> None:
    stored = api.put("/networkInterfaces/green-1", interface("10.7.0.9", privateMacAddress=mac))
    assert stored["properties"]["privateMacAddress"] == "001DD8B71C00"


def test_provider_addresses_and_pool_usage(api: ControllerClient) -> None:
    given = {name: s.provider_address for name, s in api.node_states().items()}
    assert given == {"hv01": "192.168.6.10", "hv02": "192.168.6.11", "gw01": "192.168.6.12"}
    api.put("/servers/hv00", {"properties": {}})
    assert api.node_states()["hv00"].provider_address == "192.168.6.13"
    assert api.node_states()["hv01"].provider_address == "192.168.6.10"
    pool = api.get("/logicalNetworks/provider/subnets/provider/ipPools/pool")
    assert pool["properties"]["usage"] == {"totalIPCount": 90, "currentIPCount": 4}
    assert api.delete("/servers/hv00")


def test_states_of_a_fabric_without_agents(api: ControllerClient) -> None:
    states = api.node_states()
    assert (states["hv01"].status, states["hv01"].code) == ("Failure", "HostNotConnectedToController")
    assert (states["gw01"].status, states["gw01"].code) == ("Failure", "VirtualServerUnreachable")
    gateway = api.get("/gateways/gw01")["properties"]
    assert (gateway["state"], gateway["healthState"]) == ("Active", "Unhealthy")
    assert gateway["availableCapacity"] == 1_000_000 - 2 * 2 * 5120
    assert gateway["virtualGateways"] == [
        {"resourceRef": "/virtualGateways/blue"},
        {"resourceRef": "/virtualGateways/red"},
    ]


def test_nobody_there(tmp_path: Path, controller: RunningController) -> None:
    ca = controller.authority.issue("controller") / "ca.pem"
    with (
        ControllerClient("https://127.0.0.1:1", ca, TOKEN, retry_for_s=0.1) as client,
        pytest.raises(ControllerUnreachableError, match="HNV-NC-001"),
    ):
        client.list("/servers")
