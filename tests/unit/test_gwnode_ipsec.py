"""charon's configuration, its connections, and what its answers mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.ipsec.authentication import NOT_ONE_WAY, MachineCertificate, PreSharedKey, authentication
from lab.ipsec.esp import KERNEL_PROBES, EspBackend, detect_backend
from lab.ipsec.logtail import MAX_BYTES, LogLine, LogTail, parse
from lab.ipsec.state import CLOSED, Phase, TunnelState, blamed, cause_of, observed
from lab.ipsec.strongswan import CharonConfig, render
from lab.ipsec.tunnel import Tunnel

GOLDEN = Path(__file__).parent.parent / "golden" / "gateway"


@pytest.mark.parametrize("backend", list(EspBackend))
def test_strongswan_conf(backend: EspBackend) -> None:
    text = render(CharonConfig(Path("/run/x.vici"), Path("/run/x.log"), backend, ("fe0",)))
    assert text == (GOLDEN / f"strongswan-{backend.value}.conf").read_text()


def test_the_kernel_encrypts_if_it_has_all_that_is_needed() -> None:
    assert detect_backend(lambda _: True) is EspBackend.KERNEL


@pytest.mark.parametrize("missing", KERNEL_PROBES)
def test_the_kernel_does_not_encrypt_if_anything_is_missing(missing: tuple[str, ...]) -> None:
    assert detect_backend(lambda probe: probe != missing) is EspBackend.LIBIPSEC


def tunnel(**values: Any) -> Tunnel:
    common: dict[str, Any] = {
        "name": "hq",
        "local": "100.64.0.1",
        "remote": "198.51.100.2",
        "local_id": "203.0.113.10",
        "remote_id": "198.51.100.2",
        "authentication": PreSharedKey("s"),
        "ike_proposals": ("a",),
        "esp_proposals": ("b",),
        "backend": EspBackend.LIBIPSEC,
    }
    return Tunnel(**(common | values))


def settings(item: Tunnel) -> dict[str, Any]:
    return dict(item.load().connections["hq"])


def child(item: Tunnel) -> dict[str, Any]:
    return dict(settings(item)["children"]["hq"])


def test_a_gateway_waits_and_a_site_calls() -> None:
    waiting, calling = tunnel(), tunnel(initiator=True)
    assert child(waiting)["start_action"] == "none"
    assert child(waiting)["dpd_action"] == "clear"
    assert child(calling)["start_action"] == "start"
    assert child(calling)["dpd_action"] == "restart"
    assert child(calling)["close_action"] == "start"
    assert settings(calling)["keyingtries"] == "0"


def test_the_secret_belongs_to_both_identities() -> None:
    assert tunnel().load().secrets["hq"]["owners"] == ["203.0.113.10", "198.51.100.2"]


MACHINE = MachineCertificate("CERTIFICATE", "KEY", "AUTHORITY")


def test_certificates_go_with_the_names_that_must_be_in_them() -> None:
    item = tunnel(authentication=MACHINE, local_id="blue.gateway", remote_id="blue-hq.site")
    assert item.load().secrets == {}
    assert item.load().keys == ("KEY",)
    assert settings(item)["local"] == {"auth": "pubkey", "certs": ["CERTIFICATE"], "id": "blue.gateway"}
    assert settings(item)["remote"] == {"auth": "pubkey", "cacerts": ["AUTHORITY"], "id": "blue-hq.site"}
    assert settings(item)["send_cert"] == "always"
    assert "KEY" not in repr(item)
    assert "hush" not in repr(tunnel(authentication=PreSharedKey("hush")))


NAMES = ("blue.gateway", "blue-hq.site")


@pytest.mark.parametrize(
    ("secret", "machine", "names", "words"),
    [
        ("", None, NAMES, ["needs a pre-shared key or machine certificates"]),
        ("s", MACHINE, NAMES, ["has a pre-shared key and machine certificates"]),
        ("", replace(MACHINE, certificate=""), NAMES, ["without the gateway's certificate"]),
        (
            "",
            replace(MACHINE, key="", authority=""),
            NAMES,
            ["its private key", "the authority's"],
        ),
        ("", MACHINE, ("", ""), ["without the gateway's identity", "without the site's identity"]),
        ("", MACHINE, ("blue.gateway", "%any"), ["'%any' is not one machine's name"]),
        ("", MACHINE, ("blue.gateway", "*.site"), ["'*.site' is not one machine's name"]),
        ("", MACHINE, ("CN=*", "0.0.0.0"), ["'CN=*' is not", "'0.0.0.0' is not"]),
        ("", MACHINE, ("blue.gateway", "10.0.0.0-10.0.0.9"), ["is not one machine's name"]),
        ("", MACHINE, ("blue.gateway", "10.0.0.0/24"), ["is not one machine's name"]),
        ("", MACHINE, ("blue.gateway", "fqdn:*"), ["is not one machine's name"]),
    ],
)
def test_an_end_authenticates_in_one_way_and_as_one(
    secret: str, machine: MachineCertificate | None, names: tuple[str, str], words: list[str]
) -> None:
    with pytest.raises(LabError) as refused:
        authentication(secret, machine, names, "compartment/rd")
    assert [problem.code for problem in refused.value.problems] == [NOT_ONE_WAY] * len(words)
    for problem, word in zip(refused.value.problems, words, strict=True):
        assert word in problem.message
        assert problem.place == "compartment/rd"


@pytest.mark.parametrize("name", ["blue-hq.site", "HQ", "a_b.example.com", "198.51.100.2", "x1"])
def test_names_and_addresses_are_identities(name: str) -> None:
    assert authentication("", MACHINE, ("blue.gateway", name), "x") is MACHINE


def test_lifetimes_are_hard_limits_and_rekeying_comes_before() -> None:
    item = tunnel(ike_life_s=1000, child_life_s=600, child_life_kb=100)
    assert int(settings(item)["rekey_time"][:-1]) + int(settings(item)["over_time"][:-1]) == 1000
    assert child(item)["life_time"] == "600s"
    assert child(item)["rekey_time"] == "540s"
    assert child(item)["life_bytes"] == "102400"


def test_the_kernels_sas_are_tied_to_their_interface() -> None:
    item = tunnel(backend=EspBackend.KERNEL, if_id=1)
    assert child(item)["if_id_in"] == child(item)["if_id_out"] == "1"
    assert settings(item)["encap"] == "no"


def sa(unique_id: str, inbound: int, outbound: int, state: bytes = b"INSTALLED") -> dict[str, Any]:
    return {
        "state": b"ESTABLISHED",
        "child-sas": {
            f"hq-{unique_id}": {
                "state": state,
                "uniqueid": unique_id.encode(),
                "bytes-in": str(inbound).encode(),
                "bytes-out": str(outbound).encode(),
                "install-time": b"5",
            }
        },
    }


def test_a_connection_goes_up_and_down() -> None:
    state = observed(TunnelState(last_error="no"), [{"state": b"CONNECTING"}], 100)
    assert (state.phase, state.last_error) == (Phase.CONNECTING, "no")
    state = observed(state, [sa("1", 10, 20)], 105)
    assert (state.phase, state.since_unix_s, state.last_error) == (Phase.CONNECTED, 100, "")
    state = observed(state, [sa("1", 10, 20)], 200)
    assert state.since_unix_s == 100
    assert observed(state, [], 300).phase is Phase.DISCONNECTED
    assert observed(state, [], 300).since_unix_s == 0


def test_rekeying_never_turns_counters_back() -> None:
    state = observed(TunnelState(), [sa("1", 10, 20)], 1)
    both = sa("1", 12, 22)
    both["child-sas"] |= sa("2", 1, 2)["child-sas"]
    state = observed(state, [both], 2)
    assert (state.bytes_in, state.bytes_out) == (13, 24)
    state = observed(state, [sa("2", 5, 6)], 3)
    assert (state.bytes_in, state.bytes_out) == (17, 28)
    state = observed(state, [], 4)
    assert (state.bytes_in, state.bytes_out) == (17, 28)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (
            "tried 1 shared key for '203.0.113.10' - '198.51.100.2', but MAC mismatched",
            "pre-shared keys differ",
        ),
        ("received AUTHENTICATION_FAILED notify error", "refused our authentication"),
        ("no shared key found for '203.0.113.10' - '198.51.100.2'", "no pre-shared key"),
        ("no matching peer config found", "not expected"),
        ("no IKE config found for 100.64.0.1...198.51.100.9, sending NO_PROPOSAL_CHOSEN", "not expected"),
        ("received proposals unacceptable", "no common proposal"),
        ("no acceptable proposal found", "no common proposal"),
        ("received NO_PROPOSAL_CHOSEN notify error", "no common proposal"),
        ("traffic selectors 1.0.0.0/8 === 2.0.0.0/8 unacceptable", "traffic selectors"),
        ("giving up after 3 retransmits", "does not answer"),
        ("received DELETE for IKE_SA hq[3]", "closed the connection"),
        ('no issuer certificate found for "CN=blue-hq"', "of an authority that is not trusted"),
        ("constraint check failed: peer not authenticated by CA 'CN=red'", "of an authority that is not"),
        ("subject certificate invalid (valid from Jun 04 2024 to Sep 07 2026)", "has expired"),
        ("no trusted ECDSA public key found for 'blue-hq.site'", "for the name that it must have"),
        ("constraint check failed: identity 'blue-hq.site' required", "for the name that it must have"),
        ("signature validation failed, looking for another key", "for the name that it must have"),
        ("IKE_SA hq[3] established", ""),
        ("sending DPD request", ""),
    ],
)
def test_log_lines_name_causes(line: str, word: str) -> None:
    assert word in cause_of(line)
    assert bool(cause_of(line)) == bool(word)


def test_who_hangs_up_at_once_does_not_take_our_certificate() -> None:
    """Unless nobody knows when that was: the line is from before we looked."""
    bye = "received DELETE for IKE_SA hq[3]"
    up = TunnelState(Phase.CONNECTED, since_unix_s=100)
    assert "as soon as it stood" in blamed(up, bye, 100.9).last_error
    assert "as soon as it stood" in blamed(TunnelState(), bye, 100.9).last_error
    assert blamed(up, bye, 160).last_error == CLOSED
    assert blamed(up, bye, None).last_error == CLOSED
    assert blamed(up, "sending DPD request", 100.9) is up


def test_log_lines_name_their_connection() -> None:
    assert parse("13[IKE] <blue-hq|2> giving up") == LogLine("blue-hq", "giving up", "2")
    assert parse("13[IKE] <3> giving up") == LogLine("", "giving up", "3")
    assert parse("00[DMN] started") == LogLine("", "started")


def test_a_log_is_read_once_in_whole_lines_and_never_grows_without_bound(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = LogTail(path)
    assert tail.read() == []
    with path.open("a") as file:
        file.write("01[IKE] one\n01[IKE] tw")
        file.flush()
        assert tail.read() == [LogLine("", "one")]
        file.write("o\n")
        file.flush()
        assert tail.read() == [LogLine("", "two")]
        file.write("01[IKE] x\n" * MAX_BYTES)
        file.flush()
        assert len(tail.read()) == MAX_BYTES
        assert path.stat().st_size == 0
        file.write("01[IKE] after\n")
        file.flush()
        assert tail.read() == [LogLine("", "after")]
