"""Certificates of machines: one authority for each tenant, and where what it issues is carried."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509

from lab.controller.client import ControllerClient, VpnClient
from lab.engine import policy
from lab.engine.certificates import certificates
from lab.model.lab import Lab
from lab.model.loader import load
from lab.model.resolve import resolve
from lab.plan.certificates import TenantCertificates
from lab.plan.container import Materials, container_spec
from lab.plan.intent import intent

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "roadwarriors.yml"
CONFIG = "/etc/hnvlab/roadwarrior.json"
Certificates = dict[str, TenantCertificates]


@pytest.fixture(scope="module")
def lab() -> Lab:
    return resolve(load(TOPOLOGY))


@pytest.fixture(scope="module")
def made(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(lab, tmp_path_factory.mktemp("state"))


def parsed(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def test_each_tenant_has_an_authority_of_its_own(made: Certificates) -> None:
    """Else Red's machines could call Blue."""
    blue, red = (parsed(made[tenant].authority) for tenant in ("blue", "red"))
    assert blue.public_key() != red.public_key()
    assert blue.subject != red.subject
    parsed(made["blue"].issued["blue.vpn"].certificate).verify_directly_issued_by(blue)
    parsed(made["red"].issued["red.vpn"].certificate).verify_directly_issued_by(red)
    stranger = parsed(made["red"].issued["stranger"].certificate)
    stranger.verify_directly_issued_by(red)
    with pytest.raises(ValueError, match="Issuer"):
        stranger.verify_directly_issued_by(blue)
    assert set(made["red"].issued) == {"red.vpn", "stranger", "red-laptop"}
    assert set(made["blue"].issued) == {"blue.vpn"}


def test_a_second_up_makes_none_anew(lab: Lab, tmp_path: Path) -> None:
    assert certificates(lab, tmp_path) == certificates(lab, tmp_path)


def test_a_road_warriors_container_holds_what_it_calls_with(lab: Lab, made: Certificates) -> None:
    materials = Materials(certificates=made)
    node = lab.nodes["red-laptop"]
    spec = container_spec(lab, node, materials)
    told = json.loads(spec.texts[CONFIG])
    assert (told["server"], told["server_id"]) == ("203.0.113.41", "red.vpn")
    assert told["authority"] == made["red"].authority
    assert told["certificate"] == made["red"].issued["red-laptop"].certificate
    assert told["key"] == made["red"].issued["red-laptop"].key
    stranger = json.loads(container_spec(lab, lab.nodes["stranger"], materials).texts[CONFIG])
    assert stranger["authority"] == made["blue"].authority
    laptop = json.loads(container_spec(lab, lab.nodes["blue-laptop"], materials).texts[CONFIG])
    assert (laptop["user"], laptop["certificate"]) == ("alice", "")
    other = {**made, "red": replace(made["red"], authority="ANOTHER")}
    assert container_spec(lab, node, Materials(certificates=other)).spec_hash != spec.spec_hash
    assert CONFIG not in container_spec(lab, lab.nodes["tor"], materials).texts


def test_the_intent_carries_the_gateways(lab: Lab, made: Certificates) -> None:
    found = dict(intent(lab, made))
    red = found["/virtualGateways/red"]["properties"]["vpnConfiguration"]
    assert red["IPv4AddressPrefixes"] == ["10.99.0.0/24"]
    assert red["publicIPAddress"] == {"resourceRef": "/publicIPAddresses/red.dial-in"}
    assert found["/publicIPAddresses/red.dial-in"]["properties"]["ipAddress"] == "203.0.113.41"
    assert red["privateKey"] == made["red"].issued["red.vpn"].key
    assert red["caCertificate"] == made["red"].authority
    assert red["users"] == [{"resourceId": "carol", "properties": {"password": "red-sun-over-carol"}}]
    blue = found["/virtualGateways/blue"]["properties"]["vpnConfiguration"]
    assert "caCertificate" not in blue, "Blue takes no certificates"
    with pytest.raises(KeyError):
        intent(lab)


class Nc:
    """A Network Controller on which all but the calls has come true."""

    def __init__(self, *clients: tuple[str, str]) -> None:
        self._clients = clients

    def vpn_clients(self) -> tuple[VpnClient, ...]:
        return tuple(
            VpnClient(tenant, "u", "10.99.0.1", source, "", 0, 0) for tenant, source in self._clients
        )

    def node_states(self) -> dict[str, object]:
        return {}

    def connection_states(self) -> list[object]:
        return []

    def peer_states(self) -> list[object]:
        return []


@pytest.mark.parametrize(
    ("clients", "absent"),
    [
        ((("blue", "198.51.100.2"), ("red", "198.51.100.10")), []),
        ((("blue", "198.51.100.2"),), ["red-laptop"]),
        ((("red", "198.51.100.2"), ("red", "198.51.100.10")), ["blue-laptop"]),
    ],
)
def test_up_waits_for_who_is_welcome(
    lab: Lab, clients: tuple[tuple[str, str], ...], absent: list[str]
) -> None:
    """Who is refused is not waited for."""
    found = policy.missing(cast(ControllerClient, Nc(*clients)), lab)
    assert [item.nodes[0] for item in found] == absent
