"""A NAT connection: VMs reach the internet behind one public address, and mappings lead in. Pure.

What New-NetNat and Add-NetNatStaticMapping do for a routing domain (Microsoft, module NetNat), with
nftables in the tenant's compartment: NAT44 of TCP, UDP and ICMP.

A mapping may take a port of the range that outbound sessions use. Microsoft documents no
rule against it: a NAT that New-NetNat makes of a prefix has no range to stay out of, and takes mappings of
any port. It does no harm here: sessions are told apart by both ends, so that one which left from that port
takes nothing away from whoever else calls the mapping.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

from gwnode.nft import (
    Json,
    chain,
    concatenation,
    field,
    mapped,
    match,
    meta,
    named_map,
    named_set,
    prefix_set,
    rule,
)
from lab.errors import LabError, Problem
from lab.model.internet import NEVER_OUTSIDE
from lab.southbound import southbound_pb2 as pb

BAD_ADDRESS = "HNV-GW-021"
BAD_RANGE = "HNV-GW-022"
BAD_MAPPING = "HNV-GW-023"
SHARED_PORT = "HNV-GW-024"
NOT_INSIDE = "HNV-GW-025"

DSTNAT, SRCNAT = -100, 100
FIRST_PORT, LAST_PORT = 1024, 65535
"""The range where the record gives none."""
PROTOCOLS = ("tcp", "udp")
TRANSLATED = ("tcp", "udp", "icmp")
"""Of ICMP the identifier is what ports are of the others."""
VM_SIDE = "hnv0"
SYSCTLS: Mapping[str, str] = {
    # Sessions are shown with what they carried.
    "net/netfilter/nf_conntrack_acct": "1",
    # The rest of a session that has been ended must not begin another from the middle.
    "net/netfilter/nf_conntrack_tcp_loose": "0",
}
"""Of a compartment with a NAT connection."""


@dataclass(frozen=True, slots=True)
class PortMapping:
    """From a port of the public address to one VM.

    Attributes:
        name: resourceId of the rule.
        protocol: "tcp" or "udp".
        external_port: of the public address.
        address: the VM's CA.
        port: of the VM.
        remote: who may use it; None: anybody.
    """

    name: str
    protocol: str
    external_port: int
    address: IPv4Address
    port: int
    remote: IPv4Network | None = None

    @property
    def key(self) -> tuple[str, int]:
        """What two mappings of one public address must not share."""
        return self.protocol, self.external_port


@dataclass(frozen=True, slots=True)
class Nat:
    """A tenant's NAT connection, checked.

    Attributes:
        name: of the connection.
        device: interface in the compartment that leads to the default compartment.
        public: the tenant's own public address.
        first_port, last_port: what outbound sessions may take.
        inside: prefixes of the VM network; nothing else is translated.
        mappings: by protocol and external port.
    """

    name: str
    device: str
    public: IPv4Address
    first_port: int
    last_port: int
    inside: tuple[IPv4Network, ...]
    mappings: Mapping[tuple[str, int], PortMapping]


def nat(key: str, connection: pb.Connection, device: str, inside: Iterable[IPv4Network]) -> Nat:
    """A NAT connection of the goal state.

    Parameters:
        key: of the record, the place of what is wrong.
        connection: of the kind `nat`.
        device: interface in the compartment that leads to the default compartment.
        inside: prefixes of the VM network.

    Raises:
        LabError: with every problem (HNV-GW-021 to -025).
    """
    item = connection.nat
    place = f"{key}: {connection.name}"
    prefixes = tuple(sorted(set(inside)))
    problems: list[Problem] = []
    public = _public(item.public_address, place, problems)
    first, last = item.port_first or FIRST_PORT, item.port_last or LAST_PORT
    if not 1 <= first <= last <= LAST_PORT:
        message = f"ports {first} to {last} are no range"
        problems.append(Problem(BAD_RANGE, message, place=place, expected="1 <= first <= last <= 65535"))
    mappings: dict[tuple[str, int], PortMapping] = {}
    for raw in item.mappings:
        mapping = _mapping(raw, place, problems)
        if mapping is None:
            continue
        if not any(mapping.address in prefix for prefix in prefixes):
            message = f"mapping {mapping.name} leads to {mapping.address}, which is outside of the VM network"
            expected = ", ".join(map(str, prefixes))
            problems.append(Problem(NOT_INSIDE, message, place=place, expected=expected))
        other = mappings.setdefault(mapping.key, mapping)
        if other is not mapping:
            message = f"mappings {other.name} and {mapping.name} both take {_port_text(mapping)}"
            hint = "one port leads to one VM; whom it is open to is said by the remote prefix"
            problems.append(Problem(SHARED_PORT, message, place=place, hint=hint))
    if problems or public is None:
        raise LabError(problems)
    return Nat(connection.name, device, public, first, last, prefixes, mappings)


def _public(text: str, place: str, problems: list[Problem]) -> IPv4Address | None:
    try:
        address = IPv4Address(text)
    except ValueError:
        message = f"'{text}' is no public address"
        problems.append(Problem(BAD_ADDRESS, message, place=place, expected="an IPv4 address"))
        return None
    if any(address in prefix for prefix in NEVER_OUTSIDE):
        message = f"nobody in the internet can reach {address}"
        problems.append(Problem(BAD_ADDRESS, message, place=place, expected="a public IPv4 address"))
    return address


def _mapping(raw: pb.NatMapping, place: str, problems: list[Problem]) -> PortMapping | None:
    """Without an internal port the external one is meant, as Add-NetNatStaticMapping says."""
    protocol = raw.protocol.lower()
    port = raw.internal_port or raw.external_port
    why = ""
    if protocol not in PROTOCOLS:
        why = f"'{raw.protocol}' is no protocol that has mappings"
    elif not 1 <= raw.external_port <= LAST_PORT or port > LAST_PORT:
        why = f"{raw.external_port} and {port} are no ports"
    try:
        address = IPv4Address(raw.internal_address)
        remote = IPv4Network(raw.remote_prefix) if raw.remote_prefix else None
    except ValueError as error:
        why = why or str(error)
    if why:
        expected = "tcp or udp; ports of 1 to 65535; an IPv4 address; an IPv4 prefix, or none"
        problems.append(Problem(BAD_MAPPING, f"mapping {raw.name}: {why}", place=place, expected=expected))
        return None
    return PortMapping(raw.name, protocol, raw.external_port, address, port, remote)


def _port_text(mapping: PortMapping) -> str:
    return f"port {mapping.external_port} of {mapping.protocol.upper()}"


def nat_items(item: Nat, protected: Collection[IPv4Network]) -> list[Json]:
    """Sets, maps and NAT chains of a compartment's table; the filter's rules are `forward_rules`.

    Hairpin (RFC 4787, REQ-9): a VM that calls the public address reaches what a mapping leads to, and is seen
    there with the public address, so that the answers come back this way and not directly. So a mapping with
    a remote prefix is open to it only if the public address is in the prefix.

    Parameters:
        item: the connection.
        protected: destinations that no VM may reach by NAT, and sources that cannot come from the internet:
            `NEVER_OUTSIDE` (what is meant for a site whose tunnel is down would go to the internet
            without), the provider network, the transit range, management. Not the front end's network if
            public addresses are from there: its nodes are kept apart by the default compartment.
    """
    mappings = sorted(item.mappings.values(), key=lambda mapping: mapping.key)
    keys = ("inet_proto", "inet_service")
    from_vm, source_inside = match(meta("iifname"), VM_SIDE), match(field("ip", "saddr"), "@nat_inside")
    to_public = match(field("ip", "daddr"), str(item.public))
    arriving = (match(meta("iifname"), item.device), to_public)
    called = concatenation(meta("l4proto"), field("th", "dport"))
    caller = concatenation(meta("l4proto"), field("th", "dport"), field("ip", "saddr"))
    # Ports can be translated only where the protocol is known to have them.
    known = match(meta("l4proto"), {"set": list(PROTOCOLS)})
    lead: Json = {"dnat": {"addr": mapped(called, "nat_address"), "port": mapped(called, "nat_port")}}
    leave = (
        match(meta("l4proto"), {"set": list(TRANSLATED)}),
        {"snat": {"addr": str(item.public), "port": _range(item.first_port, item.last_port)}},
    )
    return [
        prefix_set("nat_inside", disjoint(item.inside)),
        prefix_set("nat_protected", disjoint(protected)),
        named_set("nat_open", keys, [_called(m) for m in mappings if m.remote is None]),
        _limited([m for m in mappings if m.remote is not None]),
        named_set("nat_hairpin", keys, [_called(m) for m in mappings if _open_to(m, item.public)]),
        named_map("nat_address", keys, "ipv4_addr", {_called(m): str(m.address) for m in mappings}),
        named_map("nat_port", keys, "inet_service", {_called(m): str(m.port) for m in mappings}),
        chain("nat_in", "nat", "prerouting", DSTNAT),
        rule("nat_in", *arriving, known, match(called, "@nat_open"), lead),
        rule("nat_in", *arriving, known, match(caller, "@nat_limited"), lead),
        rule("nat_in", from_vm, source_inside, to_public, known, match(called, "@nat_hairpin"), lead),
        chain("nat_out", "nat", "postrouting", SRCNAT),
        rule("nat_out", match(meta("oifname"), item.device), source_inside, *leave),
        rule(
            "nat_out",
            match(meta("oifname"), VM_SIDE),
            source_inside,
            _status("dnat"),
            _called_at(item.public),
            *leave,
        ),
    ]


def forward_rules(item: Nat) -> list[Json]:
    """For the compartment's chain "forward", whose policy is to drop: what may pass because of NAT.

    All that comes from outside and matches neither a session nor a mapping falls to the policy, and so does
    what a VM sends that cannot be translated.
    """
    out, back = match(meta("oifname"), item.device), match(meta("iifname"), item.device)
    from_vm, to_vm = match(meta("iifname"), VM_SIDE), match(meta("oifname"), VM_SIDE)
    accept: Json = {"accept": None}
    sessions = match({"ct": {"key": "state"}}, ["established", "related"], "in")
    return [
        rule(
            "forward",
            out,
            match(field("ip", "daddr"), "@nat_protected"),
            {"reject": {"type": "icmp", "expr": "net-prohibited"}},
        ),
        rule("forward", back, match(field("ip", "saddr"), "@nat_inside"), {"drop": None}),
        rule(
            "forward",
            from_vm,
            out,
            match(field("ip", "saddr"), "@nat_inside"),
            match(meta("l4proto"), {"set": list(TRANSLATED)}),
            match({"ct": {"key": "state"}}, ["new", "established", "related"], "in"),
            accept,
        ),
        # Routers on the way may have private addresses, and say "fragmentation needed" with them.
        rule("forward", back, to_vm, sessions, accept),
        rule("forward", back, match(field("ip", "saddr"), "@nat_protected"), {"drop": None}),
        rule("forward", back, to_vm, _status("dnat"), match(field("ip", "daddr"), "@nat_inside"), accept),
        rule("forward", from_vm, to_vm, _status("dnat"), _called_at(item.public), accept),
    ]


def _open_to(mapping: PortMapping, caller: IPv4Address) -> bool:
    return mapping.remote is None or caller in mapping.remote


def _called(mapping: PortMapping) -> tuple[str, str]:
    return mapping.protocol, str(mapping.external_port)


def _limited(mappings: Sequence[PortMapping]) -> Json:
    """(protocol, port, who may call), the last being a prefix."""
    keys = ("inet_proto", "inet_service", "ipv4_addr")
    item = named_set("nat_limited", keys, [])
    item["add"]["set"]["flags"] = ["interval"]
    if mappings:
        item["add"]["set"]["elem"] = [
            {"concat": [*_called(m), {"prefix": {"addr": str(m.remote.network_address), "len": _length(m)}}]}
            for m in mappings
            if m.remote is not None
        ]
    return item


def _length(mapping: PortMapping) -> int:
    return mapping.remote.prefixlen if mapping.remote is not None else 0


def disjoint(prefixes: Iterable[IPv4Network]) -> list[tuple[str, int]]:
    """Prefixes as nft.prefix_set takes them; nft refuses two that begin with one address."""
    return [(str(prefix.network_address), prefix.prefixlen) for prefix in collapse_addresses(prefixes)]


def _range(first: int, last: int) -> Json | int:
    return {"range": [first, last]} if first != last else first


def _status(word: str) -> Json:
    return match({"ct": {"key": "status"}}, word, "in")


def _called_at(public: IPv4Address) -> Json:
    """Of both directions of a session: the address that its first packet was sent to."""
    return match({"ct": {"key": "ip daddr", "dir": "original"}}, str(public))
