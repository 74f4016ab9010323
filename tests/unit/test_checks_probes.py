"""What the tools in a node say, and what is read from it. The texts are theirs, verbatim."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from lab.checks import probes
from lab.checks.probes import ExecResult
from lab.model.check import (
    Check,
    DnsCheck,
    HttpCheck,
    PingCheck,
    PolicyCheck,
    TcpCheck,
    TracerouteCheck,
)

SQL = IPv4Address("192.168.50.10")
HOPS = tuple(IPv4Address(text) for text in ("10.0.0.1", "10.0.2.2", "192.168.50.1", "192.168.50.10"))
RDID = "5d0c4d4a-0b1e-4000-8000-0000000000b1"
LAN = IPv4Network("192.168.50.0/24")
CHECKS: list[Check] = [
    HttpCheck("h", "blue-pc", "http://10.0.0.4/", "Blue"),
    TcpCheck("t", "blue-web", SQL, 5432, reachable=True),
    DnsCheck("d", "blue-web", "sql.corp.example", SQL),
    PingCheck("p", "blue-web", SQL, reachable=False),
    TracerouteCheck("r", "blue-web", SQL, HOPS),
    PolicyCheck("y", "hv01", "blue", RDID, LAN, present=True),
]
TRACE = """\
traceroute to 192.168.50.10 (192.168.50.10), 6 hops max, 60 byte packets
 1  10.0.0.1  0.042 ms
 2  10.0.2.2  0.137 ms
 3  192.168.50.1  0.611 ms
 4  192.168.50.10  0.702 ms
"""
POLICY = (
    '{"customer_routes": [{"rdid": "5d0c4d4a-0b1e-4000-8000-0000000000b1", "prefix": "192.168.50.0/24",'
    ' "vsid": 5003, "next_hop": "10.0.2.2"}, {"rdid": "5d0c4d4a-0b1e-4000-8000-0000000000e1",'
    ' "prefix": "192.168.60.0/24", "vsid": 6003, "next_hop": "10.0.2.2"}], "lookup_records": []}'
)
PING = "PING 10.0.1.4 (10.0.1.4) 56(84) bytes of data.\n"
ANSWER = PING + "64 bytes from 10.0.1.4: icmp_seq=1 ttl=63 time=0.052 ms\n"
UNREACHABLE = PING + "From 10.0.0.1 icmp_seq=1 Destination Net Unreachable\n"
REFUSED = (
    "192.168.50.10: connect: Connection refused\n"
    "192.168.50.10: line 1: /dev/tcp/192.168.50.10/5432: Connection refused\n"
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: type(check).__name__)
def test_each_kind_becomes_a_command_in_its_node(check: Check) -> None:
    probe = probes.probe(check)
    assert probe.node == check.node
    assert probe.argv
    assert probe.expected
    assert probe.wanted is (not isinstance(check, PingCheck))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: type(check).__name__)
@pytest.mark.parametrize("exit_code", [126, 127])
def test_a_missing_tool_is_never_taken_for_absence(check: Check, exit_code: int) -> None:
    observation = probes.probe(check).read(ExecResult(exit_code, "", "not found"))
    assert observation.holds is None


@pytest.mark.parametrize(
    ("result", "holds", "seen"),
    [
        (ExecResult(0, "<h1>Blue Yonder</h1>\n\n200", ""), True, "status 200"),
        (ExecResult(0, "<h1>Red Rock</h1>\n\n200", ""), False, "Red Rock"),
        (ExecResult(0, "Blue cannot be asked\n503", ""), False, "status 503"),
        (ExecResult(7, "\n000", "curl: (7) Failed to connect to 10.0.0.4"), False, "Failed to connect"),
        (ExecResult(28, "\n000", ""), False, "28"),
    ],
)
def test_http(result: ExecResult, holds: bool, seen: str) -> None:
    observation = probes.read_http(result, "Blue")
    assert observation.holds is holds
    assert seen in observation.seen


@pytest.mark.parametrize(
    ("result", "holds", "seen"),
    [
        (ExecResult(0, "", ""), True, "connected"),
        (ExecResult(124, "", ""), False, "no answer"),
        (ExecResult(1, "", REFUSED), False, "connection refused"),
        (ExecResult(1, "", REFUSED.replace("Connection refused", "No route to host")), False, "no route"),
        (ExecResult(1, "", "bash: fork: Cannot allocate memory"), None, "memory"),
        (ExecResult(137, "", ""), None, "137"),
    ],
)
def test_tcp(result: ExecResult, holds: bool | None, seen: str) -> None:
    observation = probes.read_tcp(result)
    assert observation.holds is holds
    assert seen in observation.seen


@pytest.mark.parametrize(
    ("result", "holds", "seen"),
    [
        (
            ExecResult(0, "192.168.50.10   STREAM sql.corp.example\n192.168.50.10   DGRAM\n", ""),
            True,
            "192.168.50.10",
        ),
        (ExecResult(0, "192.168.50.100  STREAM sql.corp.example\n", ""), False, "192.168.50.100"),
        (ExecResult(2, "", ""), False, "does not resolve"),
        (ExecResult(1, "", "Unknown database"), None, "Unknown database"),
    ],
)
def test_dns(result: ExecResult, holds: bool | None, seen: str) -> None:
    observation = probes.read_dns(result, SQL)
    assert observation.holds is holds
    assert seen in observation.seen


@pytest.mark.parametrize(
    ("result", "holds", "seen"),
    [
        (ExecResult(0, ANSWER, ""), True, "0.052 ms"),
        (ExecResult(1, PING, ""), False, "no answer"),
        (ExecResult(1, UNREACHABLE, ""), False, "10.0.0.1: Destination Net Unreachable"),
        (ExecResult(2, "", "ping: connect: Network is unreachable"), False, "Network is unreachable"),
        (ExecResult(2, "", "ping: socket: Operation not permitted"), None, "not permitted"),
    ],
)
def test_ping(result: ExecResult, holds: bool | None, seen: str) -> None:
    observation = probes.read_ping(result)
    assert observation.holds is holds
    assert seen in observation.seen


def test_traceroute() -> None:
    assert probes.read_traceroute(ExecResult(0, TRACE, ""), HOPS).holds is True
    silent = TRACE.replace("10.0.2.2  0.137 ms", "*")
    observation = probes.read_traceroute(ExecResult(0, silent, ""), HOPS)
    assert (observation.holds, observation.seen) == (
        False,
        "10.0.0.1 → * → 192.168.50.1 → 192.168.50.10",
    )
    refused = TRACE.replace("0.702 ms", "0.702 ms !X")
    assert probes.traced_hops(refused)[-1] == "192.168.50.10 !X"
    assert probes.read_traceroute(ExecResult(1, "", "Cannot assign"), HOPS).holds is None


def test_policy() -> None:
    found = probes.read_policy(ExecResult(0, POLICY, ""), RDID, LAN)
    assert (found.holds, found.seen) == (True, "192.168.50.0/24 via 10.0.2.2")
    other_tenant_s = IPv4Network("192.168.60.0/24")
    assert probes.read_policy(ExecResult(0, POLICY, ""), RDID, other_tenant_s).holds is False
    assert probes.read_policy(ExecResult(0, "[]", ""), RDID, LAN).holds is None
    assert probes.read_policy(ExecResult(1, "", "no maps"), RDID, LAN).seen == "no maps"
