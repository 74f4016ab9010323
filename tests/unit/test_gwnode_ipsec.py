"""charon's configuration, its connections, and what its answers mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.ipsec.esp import KERNEL_PROBES, EspBackend, detect_backend
from lab.ipsec.logtail import MAX_BYTES, LogLine, LogTail, parse
from lab.ipsec.state import Phase, TunnelState, cause_of, observed
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
        "secret": "s",
        "ike_proposals": ("a",),
        "esp_proposals": ("b",),
        "backend": EspBackend.LIBIPSEC,
    }
    return Tunnel(**(common | values))


def child(connection: Any) -> dict[str, Any]:
    return dict(connection["hq"]["children"]["hq"])


def test_a_gateway_waits_and_a_site_calls() -> None:
    waiting, calling = tunnel(), tunnel(initiator=True)
    assert child(waiting.connection())["start_action"] == "none"
    assert child(waiting.connection())["dpd_action"] == "clear"
    assert child(calling.connection())["start_action"] == "start"
    assert child(calling.connection())["dpd_action"] == "restart"
    assert child(calling.connection())["close_action"] == "start"
    assert calling.connection()["hq"]["keyingtries"] == "0"


def test_the_secret_belongs_to_both_identities() -> None:
    assert tunnel().shared()["owners"] == ["203.0.113.10", "198.51.100.2"]


def test_lifetimes_are_hard_limits_and_rekeying_comes_before() -> None:
    connection = tunnel(ike_life_s=1000, child_life_s=600, child_life_kb=100).connection()
    settings: Any = connection["hq"]
    assert int(settings["rekey_time"][:-1]) + int(settings["over_time"][:-1]) == 1000
    assert child(connection)["life_time"] == "600s"
    assert child(connection)["rekey_time"] == "540s"
    assert child(connection)["life_bytes"] == "102400"


def test_the_kernels_sas_are_tied_to_their_interface() -> None:
    connection = tunnel(backend=EspBackend.KERNEL, if_id=1).connection()
    assert child(connection)["if_id_in"] == child(connection)["if_id_out"] == "1"
    assert connection["hq"]["encap"] == "no"


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
        ("IKE_SA hq[3] established", ""),
        ("sending DPD request", ""),
    ],
)
def test_log_lines_name_causes(line: str, word: str) -> None:
    assert word in cause_of(line)
    assert bool(cause_of(line)) == bool(word)


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
