"""Remote access at the Network Controller: what is refused, what the gateway is told, who is seen."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lab.engine.pki import VALID_DAYS, Pki
from lab.southbound import southbound_pb2 as pb

from .controller_support import Datacenter, hybrid_cloud

BLUE, RED = "/virtualGateways/blue", "/virtualGateways/red"
RDID = "5d0c4d4a-0b1e-4000-8000-0000000000b1"
POOL = "10.99.0.0/24"


def ref(path: str) -> dict[str, str]:
    return {"resourceRef": path}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    made = Pki(tmp_path_factory.mktemp("pki"))
    made.ensure("blue", {"blue.vpn": (), "other": ()})
    return made


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Datacenter]:
    """The hybrid cloud with a pool for everything, and public addresses of the tenants' own."""
    result = Datacenter(tmp_path, hybrid_cloud())
    pool = result.get("/gatewayPools/default")
    pool["properties"]["type"] = "All"
    result.put("/gatewayPools/default", pool)
    for name, address in (("blue", "203.0.113.40"), ("red", "203.0.113.41"), ("inner", "10.1.1.1")):
        result.put(f"/publicIPAddresses/{name}", {"properties": {"ipAddress": address}})
    yield result
    result.store.close()


def configuration(pki: Pki, **changes: Any) -> dict[str, Any]:
    given = {
        "ipv4AddressPrefixes": [POOL],
        "dnsIPAddresses": ["10.0.0.53"],
        "maximumVpnConnections": "20",
        "interimAccountingPeriodSec": "60",
        "publicIPAddress": ref("/publicIPAddresses/blue"),
        "identity": "blue.vpn",
        "certificate": (pki.directory / "blue.vpn.pem").read_text(),
        "privateKey": (pki.directory / "blue.vpn.key").read_text(),
        "caCertificate": pki.ca_path.read_text(),
        "users": [user("alice", "secret-a"), user("bob", "secret-b")],
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def user(name: str, password: str | None = None) -> dict[str, Any]:
    return {"resourceId": name, "properties": {"password": password} if password else {}}


def gateway(lab: Datacenter, vpn: dict[str, Any] | None, tenant: str = BLUE) -> dict[str, Any]:
    body = copy.deepcopy(lab.get(tenant))
    body["properties"]["vpnConfiguration"] = vpn
    return body


def dial_in(lab: Datacenter) -> list[pb.Connection]:
    """Remote access in what the gateway is told, of all tenants."""
    records = lab.records("gw01", "compartment")
    return [item for record in records for item in record.connections if item.HasField("dial_in")]


def report(*clients: pb.DialInClient, state: str = "Connected") -> pb.Report:
    return pb.Report(
        connections=[pb.ConnectionState(rdid=RDID, name="dial-in", state=state, clients=clients)],
        learned_routes=[pb.LearnedRoutes(rdid=RDID)],
    )


def client(address: str, source: str = "198.51.100.2", count: int = 7) -> pb.DialInClient:
    return pb.DialInClient(
        user="alice",
        address=address,
        **{"from": source},
        since_unix_s=1_700_000_000,
        bytes_in=count,
        bytes_out=9,
    )


def test_the_gateway_is_told(lab: Datacenter, pki: Pki) -> None:
    lab.put(BLUE, gateway(lab, configuration(pki)))
    (found,) = dial_in(lab)
    assert (found.name, found.outbound_kbps, found.inbound_kbps) == ("dial-in", 5120, 5120)
    told = found.dial_in
    assert (told.public_address, told.pool, told.identity) == ("203.0.113.40", POOL, "blue.vpn")
    assert (list(told.dns_servers), told.maximum_connections) == (["10.0.0.53"], 20)
    assert told.interim_accounting_s == 60
    assert {item.name: item.password for item in told.users} == {"alice": "secret-a", "bob": "secret-b"}
    assert told.certificate == (pki.directory / "blue.vpn.pem").read_text()
    assert told.private_key == (pki.directory / "blue.vpn.key").read_text()
    assert told.ca_certificate == pki.ca_path.read_text()


def test_a_changed_public_address_reaches_the_gateway(lab: Datacenter, pki: Pki) -> None:
    lab.put(BLUE, gateway(lab, configuration(pki)))
    lab.put(BLUE, gateway(lab, configuration(pki, publicIPAddress=ref("/publicIPAddresses/red"))))
    assert [item.dial_in.public_address for item in dial_in(lab)] == ["203.0.113.41"]


def test_secrets_go_in_and_never_out_and_stay_when_they_are_not_said(lab: Datacenter, pki: Pki) -> None:
    lab.put(BLUE, gateway(lab, configuration(pki)))
    body = lab.get(BLUE)
    assert "secret-" not in str(body)
    assert "PRIVATE KEY" not in str(body)
    tag = body["etag"]
    lab.put(BLUE, body)
    assert lab.get(BLUE)["etag"] == tag
    body["properties"]["vpnConfiguration"]["users"].append(user("carol", "secret-c"))
    lab.put(BLUE, body)
    (found,) = dial_in(lab)
    assert {item.name: item.password for item in found.dial_in.users} == {
        "alice": "secret-a",
        "bob": "secret-b",
        "carol": "secret-c",
    }
    assert "PRIVATE KEY" in found.dial_in.private_key


def test_the_diagnostics_show_no_secret(lab: Datacenter, pki: Pki) -> None:
    from lab.controller.views import render_goal_state

    lab.put(BLUE, gateway(lab, configuration(pki)))
    node = lab.controller.fleet.node("gw01")
    assert node is not None
    shown = str(render_goal_state(node, lab.controller))
    assert "blue.vpn" in shown
    assert "secret-" not in shown
    assert "PRIVATE KEY" not in shown


def test_without_it_nothing_is_left(lab: Datacenter, pki: Pki) -> None:
    lab.put(BLUE, gateway(lab, configuration(pki)))
    lab.put(BLUE, gateway(lab, {}))
    assert dial_in(lab) == []
    assert "vpnConfiguration" not in lab.properties(BLUE)


Change = Callable[[Pki], dict[str, Any]]
REFUSED: list[tuple[Change, str]] = [
    (lambda _: {"ipv4AddressPrefixes": ["10.99.0.0/31"]}, "has no address for a caller"),
    (lambda _: {"ipv4AddressPrefixes": ["10.0.0.0/16"]}, "overlaps 10.0.0.0/24 of the VM network"),
    (lambda _: {"ipv4AddressPrefixes": ["10.0.2.0/29"]}, "overlaps 10.0.2.0/29 of the VM network"),
    (lambda _: {"ipv4AddressPrefixes": ["192.168.50.0/24"]}, "holds 192.168.50.1/32, which connection"),
    (lambda _: {"ipv4AddressPrefixes": []}, "IPv4AddressPrefixes"),
    (lambda _: {"users": [user("alice", "a"), user("ALICE", "b")]}, "the user 'alice' is there 2 times"),
    (lambda _: {"users": [user("dave")]}, "A user needs a password."),
    (lambda _: {"users": [], "caCertificate": None}, "nobody can call"),
    (lambda _: {"certificate": None}, "the gateway needs a certificate"),
    (lambda _: {"privateKey": None}, "the gateway needs a certificate"),
    (lambda _: {"certificate": "gibberish"}, "is no PEM"),
    (lambda _: {"caCertificate": "gibberish"}, "authority's certificate is no PEM"),
    (lambda pki: {"privateKey": (pki.directory / "other.key").read_text()}, "The key is not that of"),
    (lambda _: {"identity": "red.vpn"}, "'red.vpn' is none of the names in the certificate (blue.vpn)."),
    (lambda _: {"publicIPAddress": ref("/publicIPAddresses/inner")}, "can reach 10.1.1.1"),
    (lambda _: {"publicIPAddress": ref("/publicIPAddresses/vip")}, "is in use"),
    (lambda _: {"publicIPAddress": ref("/publicIPAddresses/nowhere")}, "does not exist"),
]


@pytest.mark.parametrize(("change", "expected"), REFUSED)
def test_refusals(lab: Datacenter, pki: Pki, change: Change, expected: str) -> None:
    told = lab.refusal(BLUE, gateway(lab, configuration(pki, **change(pki))))
    assert expected in told
    assert "secret-" not in told


def test_no_secret_is_repeated_by_a_refusal(lab: Datacenter, pki: Pki) -> None:
    told = lab.refusal(BLUE, gateway(lab, configuration(pki, users=[user("alice"), user("x/y", "s")])))
    assert "x/y" in told
    wrong_user = {"resourceId": "a", "properties": {"password": 77001}}
    for wrong in ({"privateKey": 77001}, {"users": [wrong_user]}):
        assert "77001" not in lab.refusal(BLUE, gateway(lab, configuration(pki, **wrong)))


def test_no_subnet_comes_into_the_pool_later(lab: Datacenter, pki: Pki) -> None:
    """The gateway would refuse its goal state, and with it every tenant's."""
    lab.put(BLUE, gateway(lab, configuration(pki)))
    network = lab.get("/virtualNetworks/blue")
    network["properties"]["addressSpace"]["addressPrefixes"] = ["10.0.0.0/8"]
    inside: dict[str, Any] = {"resourceId": "new", "properties": {"addressPrefix": "10.99.0.128/25"}}
    network["properties"]["subnets"].append(inside)
    told = lab.refusal("/virtualNetworks/blue", network)
    assert "'10.99.0.128/25' overlaps with 10.99.0.0/24, the address pool of /virtualGateways/blue" in told
    inside["properties"]["addressPrefix"] = "10.98.0.0/25"
    lab.put("/virtualNetworks/blue", network)


def test_a_certificate_that_ends_later_holds_nothing_else_up(
    lab: Datacenter, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands can be changed, but the certificate not for another that has ended, too."""
    lab.put(BLUE, gateway(lab, configuration(pki)))

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=VALID_DAYS + 1)

    monkeypatch.setattr("lab.controller.certificates.datetime", Later)
    lab.put(BLUE, gateway(lab, configuration(pki, maximumVpnConnections="3")))
    assert dial_in(lab)[0].dial_in.maximum_connections == 3
    other = {name: (pki.directory / f"other.{name}").read_text() for name in ("pem", "key")}
    changed = configuration(pki, certificate=other["pem"], privateKey=other["key"], identity="other")
    refused = lab.refusal(BLUE, gateway(lab, changed))
    assert "The gateway's certificate has expired" in refused
    assert "The authority's" not in refused


def test_a_pool_of_another_type_is_refused(lab: Datacenter, pki: Pki) -> None:
    pool = lab.get("/gatewayPools/default")
    pool["properties"]["type"] = "S2sIpSec"
    lab.put("/gatewayPools/default", pool)
    assert "type 'All'" in lab.refusal(BLUE, gateway(lab, configuration(pki)))


def test_its_name_is_no_connections(lab: Datacenter, pki: Pki) -> None:
    body = gateway(lab, configuration(pki))
    body["properties"]["networkConnections"][0]["resourceId"] = "Dial-In"
    body["properties"]["networkConnections"][0]["properties"]["ipSecConfiguration"]["sharedSecret"] = "s"
    assert "the virtual gateway's remote access" in lab.refusal(BLUE, body)


def test_an_address_has_one_holder_whichever_comes_first(lab: Datacenter, pki: Pki) -> None:
    """Tenants may have the same pool and the same users; the address that is called tells them apart."""
    lab.put(BLUE, gateway(lab, configuration(pki)))
    assert "is in use: /virtualGateways/blue" in lab.refusal(RED, gateway(lab, configuration(pki), RED))
    lab.put(RED, gateway(lab, configuration(pki, publicIPAddress=ref("/publicIPAddresses/red")), RED))
    assert len(dial_in(lab)) == 2
    body = gateway(lab, None, RED)
    nat = {"connectionType": "NAT", "natConfiguration": {"publicIPAddress": ref("/publicIPAddresses/blue")}}
    body["properties"]["networkConnections"].append({"resourceId": "nat", "properties": nat})
    assert "is in use: /virtualGateways/blue" in lab.refusal(RED, body)


def test_hosts_know_the_pool_while_it_can_be_called(lab: Datacenter, pki: Pki) -> None:
    def pools() -> list[tuple[str, str]]:
        return [
            (route.prefix, route.next_hop)
            for route in lab.records("hv01", "customer_route")
            if (route.rdid, route.prefix) == (RDID, POOL)
        ]

    lab.put(BLUE, gateway(lab, configuration(pki)))
    assert pools() == []
    lab.observe("gw01", report())
    assert pools() == [(POOL, "10.0.2.2")]
    (compartment,) = (item for item in lab.records("gw01", "compartment") if item.rdid == RDID)
    assert POOL not in compartment.bgp.networks, "callers are offered the VM network, and no site"
    lab.observe("gw01", report(state="Disconnected"))
    assert pools() == []


def test_who_is_connected_is_seen(lab: Datacenter, pki: Pki) -> None:
    lab.put(BLUE, gateway(lab, configuration(pki)))
    assert lab.properties(BLUE)["vpnConfiguration"]["connectionState"] == "Disconnected"
    lab.observe("gw01", report(client("10.99.0.2"), client("10.99.0.1", "198.51.100.6")))
    seen = lab.properties(BLUE)["vpnConfiguration"]
    assert seen["connectionState"] == "Connected"
    assert [(item["ipAddress"], item["sourceIPAddress"]) for item in seen["vpnClients"]] == [
        ("10.99.0.1", "198.51.100.6"),
        ("10.99.0.2", "198.51.100.2"),
    ]
    assert seen["vpnClients"][0]["userName"] == "alice"
    assert seen["vpnClients"][0]["connectedSince"] == "2023-11-14T22:13:20+00:00"
    assert seen["vpnClients"][0]["statistics"] == {"outboundBytes": 9, "inboundBytes": 7}
    lab.observe("gw01", report(client("10.99.0.2", count=8)))
    (left,) = lab.properties(BLUE)["vpnConfiguration"]["vpnClients"]
    assert left["statistics"]["inboundBytes"] == 8
    again = lab.restarted()
    assert [item.address for item in again.observations[RDID].connections["dial-in"].clients] == ["10.99.0.2"]


def test_its_bandwidth_is_the_gateways(lab: Datacenter, pki: Pki) -> None:
    before = lab.properties("/gateways/gw01")["availableCapacity"]
    rates = {"outboundKiloBitsPerSecond": 1000, "inboundKiloBitsPerSecond": "500"}
    lab.put(BLUE, gateway(lab, configuration(pki, **rates)))
    assert lab.properties("/gateways/gw01")["availableCapacity"] == before - 1500
