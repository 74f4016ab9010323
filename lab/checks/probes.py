"""Each kind of check as a command for a node, and a reading of what the command said. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from lab.model.check import (
    Check,
    DnsCheck,
    HttpCheck,
    PingCheck,
    PolicyCheck,
    PolicyEntriesCheck,
    TcpCheck,
    TracerouteCheck,
)

ANSWER_S = 2
"""How long a single packet's answer is waited for; a lab's round trip takes milliseconds."""
COMMAND_S = 15
"""By when a command must have ended; each ends by itself earlier."""
NOT_RUNNABLE = (126, 127)
"""Exit codes of a command that the node's image does not have."""
HOP = re.compile(r"\s*\d+\s+(\*|[\d.]+|[\da-f:.]*:[\da-f:.]*)(?:\s+[\d.]+ ms)?(?:\s+(!\S+))?")
"""A line of `traceroute -n -q 1`: number, address, round trip, the error that came instead."""
MAX_SHOWN = 200
SHOW_POLICY = ("python3", "-m", "lab.hvhost", "show", "policy", "--json")
POLICY_TABLES = ("virtual_subnets", "lookup_records", "customer_routes", "provider_members")
"""What grows with the tenants, of the listing of a node's policy."""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command in a node did."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What a command showed.

    Attributes:
        holds: whether the thing asked for is there; None: the command could not tell.
        seen: the same in words.
    """

    holds: bool | None
    seen: str


@dataclass(frozen=True, slots=True)
class Probe:
    """A check, ready to be tried.

    Attributes:
        node: where the command runs.
        argv: the command.
        wanted: what the observation must be; False: the thing must be absent, and stay so.
        expected: the same in words.
        read: turns the command's result into an observation.
    """

    node: str
    argv: tuple[str, ...]
    wanted: bool
    expected: str
    read: Callable[[ExecResult], Observation]


def probe(check: Check) -> Probe:
    """The command that tries a check, and how its answer is read."""
    match check:
        case HttpCheck():
            return _http(check)
        case TcpCheck():
            return _tcp(check)
        case DnsCheck():
            return _dns(check)
        case PingCheck():
            return _ping(check)
        case TracerouteCheck():
            return _traceroute(check)
        case PolicyCheck():
            return _policy(check)
        case PolicyEntriesCheck():
            return _policy_entries(check)


def _http(check: HttpCheck) -> Probe:
    argv = ("curl", "-sS", "--max-time", "6", "--write-out", r"\n%{http_code}", check.url)
    expected = "status 200" + (f", and a body that contains {check.contains!r}" if check.contains else "")
    return Probe(check.node, argv, True, expected, lambda result: read_http(result, check.contains))


def read_http(result: ExecResult, contains: str) -> Observation:
    """curl's output: the body, and the status in a line of its own."""
    if broken := _not_runnable(result, "curl"):
        return broken
    if result.exit_code != 0:
        return Observation(False, _shortened(result.stderr) or f"curl ended with {result.exit_code}")
    body, _, status = result.stdout.rpartition("\n")
    return Observation(status == "200" and contains in body, f"status {status}, body: {_shortened(body)}")


def _tcp(check: TcpCheck) -> Probe:
    connect = ("bash", "-c", 'exec 3<>"/dev/tcp/$0/$1"', str(check.address), str(check.port))
    where = f"{check.address} port {check.port}"
    expected = f"{where} can be connected to" if check.reachable else f"{where} cannot be connected to"
    argv = ("timeout", str(2 * ANSWER_S), *connect)
    return Probe(check.node, argv, check.reachable, expected, read_tcp)


def read_tcp(result: ExecResult) -> Observation:
    """bash's word about /dev/tcp: 0 connected, 1 refused or unreachable; 124 is timeout's."""
    if broken := _not_runnable(result, "bash"):
        return broken
    match result.exit_code:
        case 0:
            return Observation(True, "connected")
        case 124:
            return Observation(False, "no answer")
        case 1 if refused := re.search(r": /dev/tcp/\S+: (.+)", result.stderr):
            return Observation(False, refused[1].lower())
    return Observation(None, _shortened(result.stderr) or f"bash ended with {result.exit_code}")


def _dns(check: DnsCheck) -> Probe:
    family = f"ahostsv{check.address.version}"
    argv = ("env", f"RES_OPTIONS=timeout:{ANSWER_S} attempts:2", "getent", family, check.query)
    expected = f"{check.query} is {check.address}"
    return Probe(check.node, argv, True, expected, lambda result: read_dns(result, check.address))


def read_dns(result: ExecResult, address: IPv4Address | IPv6Address) -> Observation:
    """getent's output: an address first in each line; exit 2 means that the name was not found."""
    if broken := _not_runnable(result, "getent"):
        return broken
    if result.exit_code == 2:
        return Observation(False, "the name does not resolve")
    if result.exit_code != 0:
        return Observation(None, _shortened(result.stderr) or f"getent ended with {result.exit_code}")
    found = dict.fromkeys(line.split()[0] for line in result.stdout.splitlines() if line.strip())
    return Observation(str(address) in found, ", ".join(found) or "no address")


def _ping(check: PingCheck) -> Probe:
    argv = ("ping", "-n", "-c", "1", "-W", str(ANSWER_S), str(check.address))
    expected = f"{check.address} answers" if check.reachable else f"{check.address} does not answer"
    return Probe(check.node, argv, check.reachable, expected, read_ping)


def read_ping(result: ExecResult) -> Observation:
    """ping's exit code (iputils): 0 an answer, 1 none, 2 something else, such as no route."""
    if broken := _not_runnable(result, "ping"):
        return broken
    match result.exit_code:
        case 0:
            time_ms = re.search(r"time=([\d.]+) ms", result.stdout)
            return Observation(True, f"an answer after {time_ms[1]} ms" if time_ms else "an answer")
        case 1:
            refused = re.search(r"From (\S+) .*?([A-Z]\w+ .*)", result.stdout)
            return Observation(False, f"{refused[1]}: {refused[2]}" if refused else "no answer")
        case 2 if "unreachable" in result.stderr.lower():
            return Observation(False, _shortened(result.stderr))
    return Observation(None, _shortened(result.stderr) or f"ping ended with {result.exit_code}")


def _traceroute(check: TracerouteCheck) -> Probe:
    limit = str(len(check.hops) + 2)
    argv = ("traceroute", "-n", "-q", "1", "-w", str(ANSWER_S), "-m", limit, str(check.address))
    expected = " → ".join(map(str, check.hops))
    return Probe(check.node, argv, True, expected, lambda result: read_traceroute(result, check.hops))


def read_traceroute(result: ExecResult, hops: tuple[IPv4Address | IPv6Address, ...]) -> Observation:
    """traceroute's output: a heading, then one line for each hop."""
    if broken := _not_runnable(result, "traceroute"):
        return broken
    if result.exit_code != 0:
        return Observation(None, _shortened(result.stderr) or f"traceroute ended with {result.exit_code}")
    seen = traced_hops(result.stdout)
    return Observation(seen == [str(hop) for hop in hops], " → ".join(seen) or "no hops")


def traced_hops(text: str) -> list[str]:
    """The hops that `traceroute -n -q 1` shows; `*`: it did not answer, `!X`: it answered with an error."""
    hops: list[str] = []
    for line in text.splitlines():
        if found := HOP.match(line):
            hops.append(found[1] + (f" {found[2]}" if found[2] else ""))
    return hops


def _policy(check: PolicyCheck) -> Probe:
    holds = "has" if check.present else "does not have"
    expected = f"{check.node} {holds} the customer route {check.prefix} of {check.tenant}"
    return Probe(
        check.node,
        SHOW_POLICY,
        check.present,
        expected,
        lambda result: read_policy(result, check.routing_domain, check.prefix),
    )


def read_policy(result: ExecResult, routing_domain: str, prefix: IPv4Network | IPv6Network) -> Observation:
    """The host agent's dump: `{"customer_routes": [{"rdid", "prefix", "vsid", "next_hop"}], …}`."""
    if result.exit_code != 0:
        return Observation(None, _shortened(result.stderr) or f"the agent ended with {result.exit_code}")
    try:
        routes = json.loads(result.stdout)["customer_routes"]
        found = {route["prefix"]: route["next_hop"] for route in routes if route["rdid"] == routing_domain}
    except (ValueError, KeyError, TypeError):
        return Observation(None, f"no policy: {_shortened(result.stdout)}")
    seen = ", ".join(f"{to} via {via}" if via else to for to, via in sorted(found.items()))
    return Observation(str(prefix) in found, seen or "no customer route of this tenant")


def _policy_entries(check: PolicyEntriesCheck) -> Probe:
    most = "or more" if check.at_most is None else f"to {check.at_most}"
    expected = f"{check.node} has {check.at_least} {most} entries of policy"
    return Probe(
        check.node,
        SHOW_POLICY,
        True,
        expected,
        lambda result: read_policy_entries(result, check.at_least, check.at_most),
    )


def read_policy_entries(result: ExecResult, at_least: int, at_most: int | None) -> Observation:
    """How many entries the node's dump has in the tables that grow with the tenants."""
    if result.exit_code != 0:
        return Observation(None, _shortened(result.stderr) or f"the agent ended with {result.exit_code}")
    try:
        listing = json.loads(result.stdout)
        counts = {table: len(listing[table]) for table in POLICY_TABLES}
    except (ValueError, KeyError, TypeError):
        return Observation(None, f"no policy: {_shortened(result.stdout)}")
    total = sum(counts.values())
    seen = ", ".join(f"{count} {table.replace('_', ' ')}" for table, count in counts.items())
    return Observation(
        total >= at_least and (at_most is None or total <= at_most), f"{total} entries: {seen}"
    )


def _not_runnable(result: ExecResult, tool: str) -> Observation | None:
    if result.exit_code in NOT_RUNNABLE:
        return Observation(None, f"the node's image has no {tool}")
    return None


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= MAX_SHOWN else flat[: MAX_SHOWN - 1] + "…"
