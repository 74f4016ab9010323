"""What a hostile or careless client may send: each answer has the error shape, and nothing breaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from lab.controller import openapi
from lab.controller.api import MAX_BODY_BYTES, create_app

from .controller_support import Datacenter, error_of, hybrid_cloud

HEADERS = {"Authorization": "Bearer token"}
U32 = 0xFFFFFFFF


class Api:
    """The API of a controller inside this process, without a network in between."""

    def __init__(self, directory: Path) -> None:
        self.datacenter = Datacenter(directory, hybrid_cloud())
        self._app: Any = create_app(self.datacenter.controller, "token")

    def ask(self, verb: str, path: str, content: bytes | str = b"", **headers: str) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="https://nc") as client:
                return await client.request(
                    verb, f"/networking/v1{path}", content=content, headers=HEADERS | headers
                )

        return asyncio.run(send())

    def put(self, path: str, body: Any) -> httpx.Response:
        return self.ask("PUT", path, json.dumps(body))


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    result = Api(tmp_path)
    yield result
    result.datacenter.store.close()


DEEP = "[" * 100_000 + "]" * 100_000
BODIES = {
    "not a number": '{"tags": {"a": NaN}, "properties": {}}',
    "infinite": '{"tags": {"a": 1e999}, "properties": {}}',
    "too deep": f'{{"tags": {{"a": {DEEP}}}, "properties": {{}}}}',
    "deep": f'{{"tags": {{"a": {"[" * 150}{"]" * 150}}}, "properties": {{}}}}',
    "deeper": f'{{"tags": {{"a": {"[" * 190}{"]" * 190}}}, "properties": {{}}}}',
    "half a character": '{"tags": {"a": "\\ud800"}, "properties": {}}',
    "half a character in a field": '{"properties": {"vendor": "\\ud800"}}',
    "not UTF-8": b'{"tags": {"a": "\xff"}, "properties": {}}',
    "many digits": '{"tags": {"a": ' + "9" * 10_000 + '}, "properties": {}}',
    "a list": "[]",
    "nothing": "",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_odd_json_is_refused_or_kept_but_breaks_nothing(api: Api, body: str | bytes) -> None:
    answer = api.ask("PUT", "/servers/odd", body)
    assert answer.status_code in (201, 400), answer.text
    if answer.status_code == 400:
        assert error_of(answer.json())["message"]
    assert api.ask("GET", "/servers").status_code == 200
    api.datacenter.restarted()


def test_a_body_has_a_limit(api: Api) -> None:
    answer = api.ask("PUT", "/servers/big", b" " * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413
    assert error_of(answer.json())["code"] == "RequestEntityTooLarge"
    assert api.ask("GET", "/servers/big").status_code == 404


@pytest.mark.parametrize(
    ("where", "field"),
    [
        ("mainMode", "saLifeTimeSeconds"),
        ("quickMode", "saLifeTimeSeconds"),
        ("quickMode", "saLifeTimeKiloBytes"),
        ("quickMode", "idleDisconnectSeconds"),
        ("", "outboundKiloBitsPerSecond"),
        ("", "inboundKiloBitsPerSecond"),
    ],
)
def test_numbers_that_no_goal_state_can_hold_are_refused(api: Api, where: str, field: str) -> None:
    """One that was stored and cannot be compiled would keep the controller from ever starting again."""
    path = "/virtualGateways/blue/networkConnections/blue-hq"
    body = api.ask("GET", path).json()
    place = body["properties"]
    if where:
        place = place["ipSecConfiguration"][where]
    place[field] = U32 + 1
    answer = api.put(path, body)
    assert answer.status_code == 400
    assert error_of(answer.json())["target"].endswith(field)
    api.datacenter.restarted()


@pytest.mark.parametrize(
    ("subnet", "status"),
    [
        ("/logicalNetworks/provider/subnets/provider", 201),
        ("/virtualNetworks/blue", 400),
        ("/servers/hv01", 400),
        ("/virtualNetworks", 400),
        ("/virtualNetworks/blue/subnets", 400),
        ("nonsense", 400),
        ("", 400),
    ],
)
@pytest.mark.parametrize("method", ["Static", "Dynamic"])
def test_interfaces_on_anything(api: Api, subnet: str, status: int, method: str) -> None:
    properties = {
        "subnet": {"resourceRef": subnet},
        "privateIPAddress": "192.168.6.200",
        "privateIPAllocationMethod": method,
    }
    body = {"properties": {"ipConfigurations": [{"resourceId": "ip", "properties": properties}]}}
    answer = api.put("/networkInterfaces/odd", body)
    assert answer.status_code == status, answer.text
    assert api.ask("GET", "/networkInterfaces").status_code == 200


@pytest.mark.parametrize("name", ["%00", "a%1bb", "%2e", "%2e%2e", "a%7fb", "%c2%85"])
def test_ids_that_no_client_could_name_are_refused(api: Api, name: str) -> None:
    """Control characters would reach logs; "." and ".." are taken out of a path by every client."""
    answer = api.put(f"/servers/{name}", {"properties": {}})
    assert answer.status_code in (400, 404, 405), answer.text
    assert len(api.ask("GET", "/servers").json()["value"]) == 2


def test_if_match_may_name_several(api: Api) -> None:
    body = {"properties": {}, "tags": {"a": 1}}
    etag = api.ask("GET", "/servers/hv01").headers["ETag"]
    answer = api.ask("PUT", "/servers/hv01", json.dumps(body), **{"If-Match": f'W/"other", {etag}'})
    assert answer.status_code == 200
    assert api.ask("DELETE", "/servers/hv01", **{"If-Match": etag}).status_code == 412


def test_the_scheme_of_the_token_in_any_letter_case(api: Api) -> None:
    """RFC 9110 §11.1."""
    assert api.ask("GET", "/servers", Authorization="bearer token").status_code == 200
    for wrong in ("Bearer", "Bearer ", "token", "Basic token", "Bearer token x", ""):
        assert api.ask("GET", "/servers", Authorization=wrong).status_code == 401


def test_an_empty_token_opens_nothing(api: Api) -> None:
    with pytest.raises(ValueError, match="token"):
        create_app(api.datacenter.controller, "")


@pytest.mark.parametrize(
    "path",
    [
        "/servers",
        "/virtualGateways/blue/networkConnections/blue-hq",
        "/diagnostics/goalStates/gw01",
        "/internalResourceInstances/x",
        "/discovery",
        "//docs",
    ],
)
@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_nothing_is_open_but_the_documentation(api: Api, verb: str, path: str) -> None:
    answer = api.ask(verb, path, Authorization="Bearer guessed")
    assert answer.status_code == 401


def test_overlapping_subnets_are_found_among_thousands(api: Api) -> None:
    subnets = [
        {"resourceId": f"s{i}", "properties": {"addressPrefix": f"10.{i // 256}.{i % 256}.0/24"}}
        for i in range(4000)
    ]
    subnets.append({"resourceId": "twice", "properties": {"addressPrefix": "10.3.7.128/25"}})
    body = {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}, "subnets": subnets}}
    complaints = error_of(api.put("/virtualNetworks/wide", body).json())["details"]
    assert [c["target"] for c in complaints] == ["/virtualNetworks/wide/subnets/twice"]
    assert "overlaps with '10.3.7.0/24'" in complaints[0]["message"]


def test_the_documentation_holds_valid_schemas() -> None:
    for schema in openapi.document("1")["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_a_reference_may_be_given_twice(api: Api) -> None:
    body = api.ask("GET", "/gatewayPools/default").json()
    body["properties"]["ipConfiguration"]["publicIPAddresses"] *= 2
    for tag in ("a", "b"):
        assert api.put("/gatewayPools/default", body | {"tags": {tag: 1}}).status_code == 200
    assert api.ask("DELETE", "/publicIPAddresses/vip").status_code == 409
