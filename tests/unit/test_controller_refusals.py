"""What the northbound API refuses, and how: a real controller process, spoken to over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from lab.controller.client import (
    ControllerClient,
    InvalidResourceError,
    ResourceInUseError,
    ResourceNotFoundError,
)

from .controller_support import NETWORK, TOKEN, RunningController, error_of, hybrid_cloud, interface, running


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


def test_error_shape(http: requests.Session, controller: RunningController) -> None:
    """MS-NCNBI §3.1.5.31: the example of an address outside of the address space."""
    url = f"{controller.url}/networking/v1/virtualNetworks/bad"
    body = {"properties": {"addressSpace": {"addressPrefixes": ["2221.1.1.0/24"]}}}
    answer = http.put(url, json=body)
    error = error_of(answer.json())
    assert answer.status_code == 400
    assert error["code"] == "InvalidParameterValue"
    assert "'2221.1.1.0/24' is not a valid argument for" in error["message"]
    assert error["target"] == "properties.addressSpace.addressPrefixes.0"
    assert error["innerError"].startswith("Message: ")
    assert error["details"][0]["code"] == error["code"]


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/networking/v1/natPools", 404),
        ("GET", "/networking/v1/servers/none", 404),
        ("POST", "/networking/v1/servers/hv01", 405),
        ("PUT", "/networking/v1/servers", 405),
        ("GET", "/nowhere", 404),
        ("PUT", "/networking/v1/servers/none", 400),
    ],
)
def test_refusals_have_the_error_shape(
    http: requests.Session, controller: RunningController, verb: str, path: str, status: int
) -> None:
    answer = http.request(verb, controller.url + path, data=b"{")
    assert answer.status_code == status
    assert error_of(answer.json())["message"]


def with_subnets(*subnets: dict[str, Any]) -> dict[str, Any]:
    listed = [{"resourceId": f"s{i}", "properties": subnet} for i, subnet in enumerate(subnets)]
    return {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}, "subnets": listed}}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        (
            "/virtualNetworks/v",
            with_subnets({"addressPrefix": "10.8.0.0/24"}),
            "outside of the address space",
        ),
        (
            "/virtualNetworks/v",
            with_subnets({"addressPrefix": "10.9.0.0/24"}, {"addressPrefix": "10.9.0.128/25"}),
            "overlaps with",
        ),
        ("/virtualNetworks/v", with_subnets({"addressPrefix": "10.9.0.0/31"}), "no room"),
        ("/virtualNetworks/v", with_subnets({"addressPrefix": "10.9.0.1/24"}), "host bits"),
        (
            "/virtualNetworks/v",
            with_subnets({"addressPrefix": "10.9.0.0/24", "virtualSubnetId": 5001}),
            "5001 is already held by /virtualNetworks/blue/subnets/web",
        ),
        (
            "/virtualNetworks/v",
            with_subnets({"addressPrefix": "10.9.0.0/24", "virtualSubnetId": 4095}),
            "greater than or equal to 4096",
        ),
        (
            "/virtualNetworks/v",
            with_subnets({"addressPrefix": "10.9.0.0/24", "virtualSubnetId": 16_777_215}),
            "less than or equal to 16777214",
        ),
        (
            "/virtualNetworks/v",
            with_subnets(
                {"addressPrefix": "10.9.0.0/24", "virtualSubnetId": 7000},
                {"addressPrefix": "10.9.1.0/24", "virtualSubnetId": 7000},
            ),
            "7000 is already held by /virtualNetworks/v/subnets/s0",
        ),
        ("/networkInterfaces/x", interface("10.7.1.4"), "outside of 10.7.0.0/24"),
        ("/networkInterfaces/x", interface("10.7.0.1"), "the distributed router's"),
        ("/networkInterfaces/x", interface("10.7.0.255"), "broadcast address"),
        ("/networkInterfaces/x", interface("10.7.0.9", privateMacAddress="01005E000001"), "multicast"),
        ("/networkInterfaces/x", interface("10.7.0.9", privateMacAddress="001DD8"), "12 hexadecimal digits"),
        (
            "/networkInterfaces/x",
            interface("10.0.0.4", "/virtualNetworks/blue/subnets/web"),
            "10.0.0.4 is already held by /networkInterfaces/blue-web",
        ),
        (
            "/networkInterfaces/x",
            interface("10.0.0.9", "/virtualNetworks/blue/subnets/web", privateMacAddress="00155D0A0104"),
            "00155D0A0104 is already held by /networkInterfaces/blue-app",
        ),
        (
            "/networkInterfaces/x",
            interface("10.0.2.2", "/virtualNetworks/blue/subnets/gateway"),
            "held by the gateway compartment",
        ),
        (
            "/networkInterfaces/x",
            interface("10.7.0.9", server={"resourceRef": "/servers/none"}),
            "'/servers/none', which does not exist",
        ),
        (
            "/networkInterfaces/x",
            interface("10.7.0.9", server={"resourceRef": "/gateways/gw01"}),
            "'/gateways/gw01', which does not exist in servers",
        ),
        (
            "/logicalNetworks/second",
            {"properties": {"networkVirtualizationEnabled": True}},
            "the provider network is already held by /logicalNetworks/provider",
        ),
        ("/servers/gw01", {"properties": {}}, "node name gw01 is already held by /gateways/gw01"),
        ("/servers/hv09", {"properties": {}, "resourceId": "other"}, "not the resourceId of the path"),
    ],
)
def test_what_cannot_be_is_refused(
    api: ControllerClient, green: str, path: str, body: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidResourceError, match="HNV-NC-400") as refused:
        api.put(path, body)
    assert says in str(refused.value)
    with pytest.raises(ResourceNotFoundError):
        api.get(path)


def test_all_complaints_come_at_once(api: ControllerClient) -> None:
    body = with_subnets({"addressPrefix": "10.8.0.0/24"}, {"addressPrefix": "10.7.0.0/31"})
    with pytest.raises(InvalidResourceError) as refused:
        api.put("/virtualNetworks/v", body)
    assert len(refused.value.problems) == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"connectionType": "SSTP"}, "one of IPSec"),
        ({"connectionType": "GRE"}, "No gateway pool of this virtual gateway is for GRE connections"),
        ({"destinationIPAddress": None}, "needs the site's address"),
        ({"ipSecConfiguration": {}}, "pre-shared key"),
        ({"destinationIPAddress": "198.51.100.6"}, "/virtualGateways/red/networkConnections/red-hq"),
    ],
)
def test_connections_that_cannot_be(api: ControllerClient, change: dict[str, Any], says: str) -> None:
    properties = {
        "connectionType": "IPSec",
        "destinationIPAddress": "198.51.100.77",
        "ipSecConfiguration": {"sharedSecret": "a"},
    }
    with pytest.raises(InvalidResourceError) as refused:
        api.put("/virtualGateways/blue/networkConnections/new", {"properties": properties | change})
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("path", "referrer"),
    [
        ("/servers/hv01", "/networkInterfaces/blue-web"),
        ("/virtualNetworks/blue", "/networkInterfaces/blue-web/ipConfigurations/ip"),
        ("/virtualNetworks/blue/subnets/gateway", "/virtualGateways/blue"),
        ("/gatewayPools/default", "/gateways/gw01"),
        ("/publicIPAddresses/vip", "/gatewayPools/default"),
        ("/logicalNetworks/provider/subnets/provider/ipPools/pool", "gw01 (192.168.6.12)"),
    ],
)
def test_what_others_refer_to_stays(api: ControllerClient, path: str, referrer: str) -> None:
    before = api.get(path)
    with pytest.raises(ResourceInUseError) as refused:
        api.delete(path)
    assert error_of(refused.value.body)["code"] == "ResourceInUse"
    assert referrer in str(refused.value)
    assert api.get(path) == before


def test_a_put_that_drops_a_child_in_use_is_refused(api: ControllerClient, green: str) -> None:
    api.put("/networkInterfaces/green-1", interface("10.7.0.9"))
    body = {"properties": NETWORK["properties"] | {"subnets": []}}
    with pytest.raises(ResourceInUseError, match="green-1"):
        api.put(green, body)
    moved = [{"resourceId": "web", "properties": {"addressPrefix": "10.7.4.0/24"}}]
    with pytest.raises(ResourceInUseError, match=r"10\.7\.0\.9 is outside of 10\.7\.4\.0/24"):
        api.put(green, {"properties": NETWORK["properties"] | {"subnets": moved}})
