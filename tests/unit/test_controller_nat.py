"""NAT connections at the Network Controller: their shape, what is refused, and what the gateway is told."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from lab.controller.catalog import Path, parse_path
from lab.controller.connections_nat import check_nat, nat_message, vm_prefixes
from lab.controller.inventory import Document, Inventory
from lab.controller.models_connection import NatConfiguration, NetworkConnection
from lab.controller.models_fabric import PublicIpAddress
from lab.controller.models_tenant import VirtualGateway, VirtualNetwork
from lab.controller.shapes import Resource
from lab.southbound import southbound_pb2 as pb

NETWORK = {
    "resourceId": "blue",
    "properties": {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16", "fd00::/48"]},
        "subnets": [
            {"resourceId": "web", "properties": {"addressPrefix": "10.0.0.0/24"}},
            {"resourceId": "six", "properties": {"addressPrefix": "fd00::/64"}},
            {"resourceId": "gateway", "properties": {"addressPrefix": "10.0.2.0/29"}},
        ],
    },
}
WEB = {"protocol": "tcp", "frontendPort": "8080", "backendPort": 80, "backendIPAddress": "10.0.0.4"}


def rule(name: str = "web", **changes: Any) -> dict[str, Any]:
    return {"resourceId": name, "properties": {**WEB, **changes}}


def configuration(*rules: dict[str, Any], **changes: Any) -> dict[str, Any]:
    reference = {"resourceRef": "/publicIPAddresses/blue"}
    return {"publicIPAddress": reference, "inboundNatRules": list(rules), **changes}


def gateway(*connections: dict[str, Any]) -> Resource[VirtualGateway]:
    """A virtual gateway with these connections, of type NAT where they do not say."""
    shaped = [
        Resource[NetworkConnection](
            resource_id=f"c{number}",
            properties=NetworkConnection.model_validate({"connectionType": "NAT", **item}),
        )
        for number, item in enumerate(connections)
    ]
    properties = VirtualGateway.model_validate(
        {
            "gatewayPools": [{"resourceRef": "/gatewayPools/p"}],
            "gatewaySubnets": [{"resourceRef": "/virtualNetworks/blue/subnets/gateway"}],
        }
    )
    return Resource[VirtualGateway](
        resource_id="gw", properties=properties.model_copy(update={"network_connections": tuple(shaped)})
    )


def at(ref: str) -> Path:
    path = parse_path(ref)
    assert path is not None
    return path


def inventory(*gateways: tuple[str, Resource[VirtualGateway]], address: str = "203.0.113.20") -> Inventory:
    made = Inventory()
    documents: list[tuple[str, Resource[Any]]] = [
        ("/virtualNetworks/blue", Resource[VirtualNetwork].model_validate(NETWORK)),
        (
            "/publicIPAddresses/blue",
            Resource[PublicIpAddress].model_validate(
                {"resourceId": "blue", "properties": {"ipAddress": address}}
            ),
        ),
        *gateways,
    ]
    for ref, resource in documents:
        made.replace(at(ref), Document(at(ref), "", resource))
    return made


def complaints(*connections: dict[str, Any]) -> list[tuple[str, str]]:
    made = gateway(*connections)
    stock = inventory(("/virtualGateways/gw", made))
    return [
        (item.message, item.target.partition(": ")[2])
        for connection in made.properties.network_connections
        for item in check_nat(
            at(f"/virtualGateways/gw/networkConnections/{connection.resource_id}"),
            connection.properties,
            made.properties,
            stock,
        )
    ]


def nat(*rules: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"natConfiguration": configuration(*rules, **changes)}


def test_a_configuration_becomes_a_message() -> None:
    """Numbers as text, words in any letter case, and the port of the front where none is said."""
    given = configuration(
        rule(),
        rule("dns", protocol="UDP", frontendPort=53, backendPort=None, remoteAddressPrefix="198.51.100.0/24"),
        startPort="40000",
    )
    wanted = NatConfiguration.model_validate(given)
    assert nat_message(wanted, inventory()) == pb.Nat(
        public_address="203.0.113.20",
        port_first=40000,
        port_last=65535,
        mappings=[
            pb.NatMapping(
                name="web",
                protocol="tcp",
                external_port=8080,
                internal_address="10.0.0.4",
                internal_port=80,
            ),
            pb.NatMapping(
                name="dns",
                protocol="udp",
                external_port=53,
                internal_address="10.0.0.4",
                internal_port=53,
                remote_prefix="198.51.100.0/24",
            ),
        ],
    )
    assert (
        wanted.model_dump(by_alias=True)["inboundNatRules"][0]["properties"]["backendIPAddress"] == "10.0.0.4"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"frontendPort": 0},
        {"frontendPort": 65536},
        {"backendPort": 0},
        {"protocol": "ICMP"},
        {"backendIPAddress": "fd00::4"},
        {"remoteAddressPrefix": "198.51.100.1/24"},
    ],
)
def test_what_has_not_the_shape(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NatConfiguration.model_validate(configuration(rule(**changes)))


def test_vms_live_in_the_ipv4_subnets_but_the_gateways() -> None:
    assert [str(prefix) for prefix in vm_prefixes(gateway().properties, inventory())] == ["10.0.0.0/24"]


@pytest.mark.parametrize(
    ("connections", "expected"),
    [
        ([nat(rule(), rule("other", protocol="UDP"), rule("third", frontendPort=443))], []),
        ([{}], [("A NAT connection needs its public address.", "natConfiguration")]),
        ([nat(startPort=2000, endPort=1999)], [("2000 to 1999 is no range of ports.", "startPort")]),
        (
            [nat(rule(), rule("other", remoteAddressPrefix="198.51.100.0/24"))],
            [("TCP port 8080 is taken by the rule 'web'.", "inboundNatRules/other/frontendPort")],
        ),
        (
            [nat(rule(), rule("WEB", frontendPort=81))],
            [("The id 'WEB' is given twice.", "inboundNatRules/WEB")],
        ),
        (
            [nat(rule(backendIPAddress="10.0.2.2"))],
            [
                (
                    "'10.0.2.2' is not a valid argument for 'backendIPAddress': "
                    "it is in no subnet of VMs (10.0.0.0/24).",
                    "inboundNatRules/web/backendIPAddress",
                )
            ],
        ),
    ],
)
def test_refusals(connections: list[dict[str, Any]], expected: list[tuple[str, str]]) -> None:
    assert complaints(*connections) == expected


def test_a_gateway_has_one_nat_connection_and_an_address_one_holder() -> None:
    told = [message for message, _ in complaints(nat(), nat())]
    assert told == [
        "A gateway has one NAT connection; there is c1.",
        "/publicIPAddresses/blue is in use: /virtualGateways/gw/networkConnections/c1 refers to it.",
        "A gateway has one NAT connection; there is c0.",
        "/publicIPAddresses/blue is in use: /virtualGateways/gw/networkConnections/c0 refers to it.",
    ]


def test_an_address_of_another_tenants_gateway_is_refused() -> None:
    mine, theirs = gateway(nat()), gateway(nat())
    stock = inventory(("/virtualGateways/mine", mine), ("/virtualGateways/theirs", theirs))
    (connection,) = mine.properties.network_connections
    path = at("/virtualGateways/mine/networkConnections/c0")
    (told,) = check_nat(path, connection.properties, mine.properties, stock)
    assert told.code == "ResourceInUse"
    assert "/virtualGateways/theirs/networkConnections/c0" in told.message


def test_an_address_that_nobody_can_reach_is_refused() -> None:
    mine = gateway(nat())
    stock = inventory(("/virtualGateways/gw", mine), address="10.9.9.9")
    (connection,) = mine.properties.network_connections
    path = at("/virtualGateways/gw/networkConnections/c0")
    (told,) = check_nat(path, connection.properties, mine.properties, stock)
    assert told.message == "Nobody in the internet can reach 10.9.9.9."
