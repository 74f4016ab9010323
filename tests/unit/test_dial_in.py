"""Remote access: what charon is told, what its answers mean, and what is made of them. No root."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from gwnode.dial_in import HALF_OPEN_S, PLUGINS, connection_state, server, source_rules
from lab.errors import LabError
from lab.ipsec.accounting import Accounting, AccountingKind
from lab.ipsec.clients import ClientState, DialInState, noted, observed_clients, unwelcome
from lab.ipsec.dial_in import Caller, DialInServer
from lab.ipsec.esp import EspBackend
from lab.ipsec.handover import selector_addresses
from lab.ipsec.logtail import parse
from lab.ipsec.state import ChildBytes, Phase, TunnelState, cause_of
from lab.ipsec.strongswan import CharonConfig, render
from lab.model.roadwarrior import RoadWarriorConfig
from lab.roadwarrior.agent import offered
from lab.roadwarrior.config import Paths, caller, charon_config
from lab.roadwarrior.resolver import put, told, with_servers
from lab.southbound import southbound_pb2 as pb

SERVER = DialInServer(
    name="dial-in",
    local="100.64.0.1",
    identity="vpn.blue",
    certificate="CERTIFICATE",
    key="KEY",
    pool=IPv4Network("10.99.0.0/24"),
    subnets=(IPv4Network("10.0.0.0/24"), IPv4Network("10.0.1.0/24")),
    backend=EspBackend.LIBIPSEC,
    users={"alice": "a"},
    authority="AUTHORITY",
    dns=(IPv4Address("10.0.0.53"),),
)
CONFIG = RoadWarriorConfig("alice-pc", "203.0.113.21", "vpn.blue", "AUTHORITY", user="alice", password="a")


def settings(item: DialInServer | Caller, name: str) -> dict[str, Any]:
    return dict(item.load().connections[name])


def test_passwords_and_certificates_are_two_connections_of_charon() -> None:
    assert settings(SERVER, "dial-in")["remote"] == {"auth": "eap-mschapv2", "eap_id": "%any"}
    assert settings(SERVER, "dial-in-certificate")["remote"] == {"auth": "pubkey", "cacerts": ["AUTHORITY"]}
    assert replace(SERVER, authority="").connections == ("dial-in",)
    assert replace(SERVER, users={}).connections == ("dial-in-certificate",)


def test_a_caller_gets_one_address_and_the_vm_network_only() -> None:
    child = settings(SERVER, "dial-in")["children"]["dial-in"]
    assert child["remote_ts"] == ["dynamic"]
    assert child["local_ts"] == ["10.0.0.0/24", "10.0.1.0/24"]


@pytest.mark.parametrize(
    ("maximum", "addresses"),
    [(0, "10.99.0.1-10.99.0.254"), (2, "10.99.0.1-10.99.0.2"), (999, "10.99.0.1-10.99.0.254")],
)
def test_the_pool_is_as_large_as_the_maximum(maximum: int, addresses: str) -> None:
    pool = replace(SERVER, maximum=maximum).load().pools["dial-in"]
    assert pool == {"addrs": addresses, "dns": ["10.0.0.53"]}


def test_users_are_no_part_of_the_connection() -> None:
    one, two = SERVER.load(), replace(SERVER, users={"alice": "a", "bob": "b"}).load()
    assert two.users["dial-in/bob"] == {
        "id": "dial-in/bob",
        "type": "EAP",
        "data": "b",
        "owners": ["bob"],
    }
    assert (one.connections, one.pools, one.secrets) == (two.connections, two.pools, two.secrets)


def test_secrets_do_not_stand_in_logs() -> None:
    secret = replace(SERVER, users={"alice": "hush"}, key="hush")
    assert "hush" not in repr(secret)
    assert "hush" not in repr(replace(CONFIG, password="hush", key="hush"))
    assert "hush" not in repr(caller(replace(CONFIG, password="hush", key="hush"), EspBackend.LIBIPSEC))


def test_a_caller_by_certificate_has_no_secret() -> None:
    load = caller(replace(CONFIG, certificate="C", key="K"), EspBackend.KERNEL).load()
    assert load.secrets == {}
    assert load.keys == ("K",)
    vpn: Any = load.connections["vpn"]
    assert vpn["local"] == {"auth": "pubkey", "certs": ["C"]}
    assert vpn["children"]["vpn"]["if_id_in"] == "1"


def test_a_callers_charon_takes_address_and_name_servers_only_where_they_belong() -> None:
    text = render(charon_config(CONFIG, Paths(), EspBackend.LIBIPSEC))
    assert "  install_virtual_ip = yes\n" in text
    assert "  install_virtual_ip_on = ipsec0\n" in text
    assert "      file = /run/hnvlab/name-servers.conf\n" in text
    (line,) = [line.split() for line in text.splitlines() if line.strip().startswith("load =")]
    # A provider before who needs it, and openssl's legacy MD4 for the password.
    assert line.index("openssl") < line.index("eap-mschapv2") < line.index("kernel-libipsec")
    assert "revocation" not in line


def test_a_servers_charon_gives_addresses_and_takes_none() -> None:
    config = CharonConfig(Path("/v"), Path("/l"), EspBackend.KERNEL, plugins=PLUGINS, half_open_s=HALF_OPEN_S)
    text = render(config)
    assert "  install_virtual_ip = no\n" in text
    assert "  half_open_timeout = 10\n" in text
    assert "resolve" not in text


# -- from the goal state, and back ---


def record(**values: Any) -> pb.Compartment:
    common: dict[str, Any] = {
        "pool": "10.99.0.0/24",
        "users": [pb.DialInUser(name="alice", password="a")],
        "certificate": "CERTIFICATE",
        "private_key": "KEY",
        "identity": "vpn.blue",
        "ca_certificate": "AUTHORITY",
        "dns_servers": ["10.0.0.53"],
    }
    connection = pb.Connection(name="dial-in", dial_in=pb.DialIn(**(common | values)))
    return pb.Compartment(vm_prefixes=["10.0.0.0/24", "10.0.1.0/24"], connections=[connection])


def from_record(item: pb.Compartment) -> DialInServer:
    local = IPv4Address("100.64.0.1")
    return server("key", item, item.connections[0], local, EspBackend.LIBIPSEC, dpd_delay_s=2, if_id=0)


def test_a_record_becomes_a_server() -> None:
    assert from_record(record()) == SERVER


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"pool": "10.99.0.0/31"}, "HNV-VPN-010"),
        ({"pool": "10.99.0.1/24"}, "HNV-VPN-010"),
        ({"pool": "10.0.0.0/23"}, "HNV-VPN-010"),
        ({"users": [pb.DialInUser(name="a"), pb.DialInUser(name="a")]}, "HNV-VPN-011"),
        ({"users": [pb.DialInUser(password="a")]}, "HNV-VPN-011"),
        ({"certificate": ""}, "HNV-VPN-012"),
        ({"users": [], "ca_certificate": ""}, "HNV-VPN-012"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], code: str) -> None:
    with pytest.raises(LabError) as refused:
        from_record(record(**values))
    assert {problem.code for problem in refused.value.problems} == {code}
    assert {problem.place for problem in refused.value.problems} == {"key"}


def test_the_report_names_callers() -> None:
    tunnel = TunnelState(Phase.CONNECTED, 100, {"1": ChildBytes(10, 20)})
    client = ClientState("alice", "10.99.0.1", "198.51.100.2", tunnel)
    state = DialInState(True, {"10.99.0.1": client}, "wrong password of bob", ended=ChildBytes(1, 2))
    told = connection_state("r", "dial-in", state)
    assert (told.state, told.bytes_in, told.bytes_out) == ("Connected", 11, 22)
    assert told.last_error == "wrong password of bob"
    assert [(c.user, c.address, getattr(c, "from"), c.since_unix_s) for c in told.clients] == [
        ("alice", "10.99.0.1", "198.51.100.2", 100)
    ]


def test_sources_outside_the_pool_are_dropped() -> None:
    (drop,) = source_rules("forward", "vpn0", SERVER.pool)
    assert {"drop": None} in drop["add"]["rule"]["expr"]


# -- what charon says ---


def sa(user: str, address: str, unique_id: str = "1", inbound: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "uniqueid": unique_id.encode(),
        "state": b"ESTABLISHED",
        "remote-host": b"198.51.100.2",
        "remote-id": user.encode(),
        "remote-vips": [address.encode()] if address else [],
        "child-sas": {
            "x": {
                "state": b"INSTALLED",
                "uniqueid": unique_id.encode(),
                "bytes-in": str(inbound).encode(),
                "bytes-out": b"0",
                "install-time": b"0",
                "remote-ts": [b"10.99.0.1/32"],
            }
        },
        **more,
    }


def test_callers_come_and_go_and_the_sum_never_falls() -> None:
    state = observed_clients(DialInState(), [sa("alice", "10.99.0.1", inbound=5)], 100)
    assert state.clients["10.99.0.1"].user == "alice"
    assert state.bytes_in == 5
    # Rekeyed, while the old SA is still listed.
    both = [sa("alice", "10.99.0.1", "2", 3), sa("alice", "10.99.0.1", "1", 6)]
    state = observed_clients(state, both, 101)
    assert state.bytes_in == 9
    assert state.clients["10.99.0.1"].tunnel.since_unix_s == 100
    # The address goes to another.
    state = observed_clients(state, [sa("bob", "10.99.0.1", "3", 1)], 102)
    assert state.clients["10.99.0.1"].tunnel.bytes_in == 1
    assert state.bytes_in == 10
    state = observed_clients(state, [], 103)
    assert state.clients == {}
    assert state.bytes_in == 10


def test_who_may_not_stay() -> None:
    assert unwelcome(SERVER, "dial-in", sa("alice", "10.99.0.1")) == ""
    assert "no user any more" in unwelcome(SERVER, "dial-in", sa("bob", "10.99.0.1"))
    assert unwelcome(SERVER, "dial-in", sa("x", "10.99.0.1") | {"remote-eap-id": b"alice"}) == ""
    assert unwelcome(SERVER, "dial-in-certificate", sa("CN=laptop", "10.99.0.1")) == ""
    assert "did not ask" in unwelcome(SERVER, "dial-in-certificate", sa("CN=laptop", ""))
    assert unwelcome(SERVER, "dial-in", sa("bob", "") | {"state": b"CONNECTING"}) == ""


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("<dial-in|1> no EAP key found for hosts 'vpn.blue' - 'alice'", "unknown user alice"),
        ("<dial-in|1> EAP-MS-CHAPv2 verification failed, retry (1)", "wrong password of alice"),
        ('<dial-in|1> no issuer certificate found for "CN=x"', "untrusted certificate of alice"),
        ("<dial-in|1> pool 'dial-in' is full, unable to assign address", "pool 10.99.0.0/24 is exhausted"),
        ("<dial-in|1> IKE_SA dial-in[1] established between a...b", ""),
        ("<dial-in|1> constraint check failed: EAP identity '%any' required ", ""),
    ],
)
def test_refusals_name_cause_and_caller(line: str, error: str) -> None:
    state = noted(DialInState(), parse("1[IKE] <dial-in|1> received EAP identity 'alice'"), SERVER)
    state = noted(state, parse(f"1[IKE] {line}"), SERVER)
    assert error in state.last_error
    assert bool(error) == bool(state.last_error)


def test_the_first_line_of_a_refusal_is_its_cause() -> None:
    state = DialInState()
    for text in (
        "received EAP identity 'eve'",
        "no EAP key found for hosts 'vpn.blue' - 'eve'",
        "EAP-MS-CHAPv2 verification failed, retry (1)",
    ):
        state = noted(state, parse(f"1[IKE] <dial-in|7> {text}"), SERVER)
    assert state.last_error == "unknown user eve"


def test_a_maximum_below_the_pool_is_named_as_such() -> None:
    limited = replace(SERVER, maximum=1)
    state = noted(DialInState(), parse("1[IKE] <dial-in|1> received EAP identity 'alice'"), limited)
    state = noted(state, parse("1[CFG] <dial-in|1> pool 'dial-in' is full, unable to assign"), limited)
    assert state.last_error == "the maximum of 1 connections is reached: alice was turned away"


def test_calls_that_never_get_through_are_not_remembered_without_end() -> None:
    state = DialInState()
    for number in range(1000):
        state = noted(state, parse(f"1[IKE] <dial-in|{number}> received EAP identity 'u'"), SERVER)
        state = noted(state, parse(f"1[IKE] <dial-in|{number}> EAP-MS-CHAPv2 verification failed"), SERVER)
    assert len(state.calling) <= 64


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("no trusted ECDSA public key found for 'vpn.blue'", "for the name that it must have"),
        ("EAP-MS-CHAPv2 failed with error ERROR_AUTHENTICATION_FAILURE: '(null)'", "wrong password"),
        ("received INTERNAL_ADDRESS_FAILURE notify, no CHILD_SA built", "no address for us"),
    ],
)
def test_a_caller_is_told_why(line: str, word: str) -> None:
    assert word in cause_of(line)


# -- accounting ---


def client(since: int, inbound: int = 0, user: str = "alice") -> dict[str, ClientState]:
    tunnel = TunnelState(Phase.CONNECTED, since, {"1": ChildBytes(inbound, 0)})
    return {"10.99.0.1": ClientState(user, "10.99.0.1", "198.51.100.2", tunnel)}


def test_accounting_starts_continues_and_stops() -> None:
    books = Accounting()
    (start,) = books.update(client(100), 100)
    assert (start.kind, start.session_s) == (AccountingKind.START, 0)
    assert books.update(client(100, 5), 105, 10) == []
    (interim,) = books.update(client(100, 7), 110, 10)
    assert (interim.kind, interim.bytes_in, interim.session_s) == (AccountingKind.INTERIM, 7, 10)
    assert books.update(client(100, 8), 115, 10) == []
    (stop,) = books.update({}, 116)
    assert (stop.kind, stop.bytes_in, stop.session_s) == (AccountingKind.STOP, 8, 16)
    assert stop.line() == (
        "accounting Stop user='alice' address=10.99.0.1 from=198.51.100.2 session_s=16 bytes_in=8 bytes_out=0"
    )


def test_who_calls_again_between_two_looks_has_two_sessions() -> None:
    books = Accounting()
    books.update(client(100), 100)
    assert [event.kind for event in books.update(client(150), 150)] == [
        AccountingKind.STOP,
        AccountingKind.START,
    ]
    assert [event.user for event in books.update(client(150, user="bob"), 151)] == ["alice", "bob"]
    assert books.update(client(150, user="bob"), 10_000) == []


def test_how_often_is_told_may_change_while_he_is_connected() -> None:
    books = Accounting()
    books.update(client(100), 100, 300)
    assert books.update(client(100), 150, 300) == []
    assert [event.kind for event in books.update(client(100), 150, 50)] == [AccountingKind.INTERIM]
    assert books.update(client(100), 10_000, 0) == []


# -- the road warrior ---


def test_his_configuration_survives_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(CONFIG.to_json())
    assert RoadWarriorConfig.load(tmp_path / "config.json") == CONFIG


def test_the_gateways_name_servers_come_first_and_go_again(tmp_path: Path) -> None:
    own = "search example.net\nnameserver 198.51.100.53\n"
    path = tmp_path / "resolv.conf"
    path.write_text(own)
    inode = path.stat().st_ino
    assert put(path, ["10.0.0.53", "10.0.0.54"])
    assert told(path.read_text()) == ("10.0.0.53", "10.0.0.54", "198.51.100.53")
    assert not put(path, ["10.0.0.53", "10.0.0.54"])
    assert put(path, [])
    assert path.read_text() == own
    assert path.stat().st_ino == inode
    assert not put(tmp_path / "none", [])
    assert with_servers("", ["10.0.0.53"]) == "# by hnvlab\nnameserver 10.0.0.53\n"


def test_no_route_may_swallow_the_way_to_the_gateway() -> None:
    state = TunnelState(Phase.CONNECTED, remote=("10.0.0.0/24", "0.0.0.0/0", "203.0.113.0/24"))
    assert offered(state, "203.0.113.21") == [IPv4Network("10.0.0.0/24")]


def test_charon_has_an_address_in_every_selector() -> None:
    assert selector_addresses(SERVER.subnets) == ["10.0.0.0/32", "10.0.1.0/32"]
    assert selector_addresses([IPv4Network("0.0.0.0/0")]) == []
