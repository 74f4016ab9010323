"""The exported schema and reference: equal to the types, and of one mind with the validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lab.model.document import parse
from lab.model.reference import REFERENCE_PATH, reference_text
from lab.model.schema import SCHEMA_PATH, schema_text
from lab.model.topology import Topology

HYBRID_CLOUD = Path(__file__).parents[2] / "topologies" / "hybrid-cloud.yml"
AGAIN = "run `make docs`"


@pytest.fixture
def schema() -> dict[str, Any]:
    data = parse(SCHEMA_PATH.read_text()).data  # JSON is YAML
    assert isinstance(data, dict)
    return data


def test_the_exported_schema_is_that_of_the_types() -> None:
    assert SCHEMA_PATH.read_text() == schema_text(), AGAIN


def test_the_reference_is_that_of_the_types() -> None:
    assert REFERENCE_PATH.read_text() == reference_text(), AGAIN


def test_the_schema_is_one(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", sorted(HYBRID_CLOUD.parent.glob("*.yml")), ids=lambda path: path.stem)
def test_the_schema_accepts_what_we_ship(schema: dict[str, Any], path: Path) -> None:
    jsonschema.validate(parse(path.read_text()).data, schema)


@pytest.mark.parametrize(
    "connection",
    [
        {"site": "blue-hq", "shared-secret": "keep-it-quiet"},
        {"type": "gre", "site": "blue-hq"},
        {"type": "gre", "site": "blue-hq", "key": -1},
        {"type": "gre", "site": "blue-hq", "key": 1, "shared-secret": "keep-it-quiet"},
        {"type": "l3", "site": "blue-hq", "vlan": 4095, "address": "10.127.134.55/25"},
        {"type": "nat", "site": "blue-hq", "public-address": "203.0.113.30"},
        {"type": "nat", "public-address": "203.0.113.30", "mappings": {"web": {"port": 80}}},
    ],
)
def test_the_schema_knows_each_kind_of_connection(schema: dict[str, Any], connection: object) -> None:
    data = parse(HYBRID_CLOUD.read_text()).data
    data["tenants"]["blue"]["gateway"]["connections"]["blue-hq"] = connection
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema)
    with pytest.raises(ValueError, match="validation error"):
        Topology.model_validate(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("lab",), "Not_A_Label"),
        (("fabric", "provider", "mtu"), 1541),
        (("fabric", "management", "prefix"), "172.16.0.0/33"),
        (("fabric", "front-end", "vip"), "203.0.113.256"),
        (("hosts", "hv01"), {"memory": 4}),
        (("hosts", "HV_01"), {}),
        (("tenants", "blue", "subnets", "web", "vsid"), 4095),
        (("tenants", "blue", "subnets", "web", "vsid"), 16_777_215),
        (("tenants", "blue", "gateway", "asn"), 65_535),
        (("tenants", "blue", "routing-domain"), "blue"),
        (("tenants", "blue", "vms", "blue-web", "mac"), "00-15-5D"),
    ],
)
def test_the_schema_refuses_what_the_types_refuse(
    schema: dict[str, Any], path: tuple[str, ...], value: object
) -> None:
    data = parse(HYBRID_CLOUD.read_text()).data
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema)
    with pytest.raises(ValueError, match="validation error"):
        Topology.model_validate(data)


def test_a_host_or_gateway_with_nothing_behind_its_name_is_one(schema: dict[str, Any]) -> None:
    data = parse(HYBRID_CLOUD.read_text()).data
    data["hosts"]["hv02"] = data["gateways"]["gw01"] = None
    Topology.model_validate(data)
    jsonschema.validate(data, schema)


def test_every_key_is_described(schema: dict[str, Any]) -> None:
    objects = [schema, *schema["$defs"].values()]
    bare = [
        (model["title"], key)
        for model in objects
        for key, value in model.get("properties", {}).items()
        if not value.get("description")
    ]
    assert bare == []
