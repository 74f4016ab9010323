"""Model and eBPF, driven with the same policies and frames, agree on verdict, octets, port and counters."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from uuid import UUID

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from lab.datapath.policy import CustomerRoute, LookupRecord, Policy, Port, ProviderMember, Subnet

from .switch_model import FORWARD, Model, Outcome, checksum, mac
from .switch_rig import Rig, rig

pytestmark = pytest.mark.root

RDIDS = (UUID(int=0xB1), UUID(int=0xE1))
ROUTER_MACS = ("00:15:5d:00:00:01", "00:15:5d:00:00:02")
MACS = ("00:15:5d:0a:00:04", "00:15:5d:0a:00:05", "00:15:5d:0a:00:06")
"""Both tenants use the same: overlap is the point."""
VSIDS = {RDIDS[0]: (5001, 5002), RDIDS[1]: (6001, 6002)}
PREFIXES = (IPv4Network("10.0.0.0/24"), IPv4Network("10.0.1.0/24"))
PAS = tuple(IPv4Address(f"192.168.6.{n}") for n in (10, 11, 12))
HOSTS = (4, 5, 6)
OUTSIDE = IPv4Network("192.168.50.0/24")
ADDRESSES = (
    *(prefix.network_address + n for prefix in PREFIXES for n in (1, *HOSTS, 77, 255)),
    OUTSIDE.network_address + 10,
    IPv4Address("8.8.8.8"),
    IPv4Address("224.0.0.251"),
    IPv4Address("255.255.255.255"),
    IPv4Address("0.0.0.0"),
)
CASES = 300


@pytest.fixture(scope="module")
def bench() -> Iterator[Rig]:
    with rig() as built:
        yield built


def _often(draw: st.DrawFn, of: int = 8) -> bool:
    """True but for one case in `of`."""
    return bool(draw(st.sampled_from([True] * (of - 1) + [False])))


@st.composite
def policies(draw: st.DrawFn, ports: list[int], uplink: int) -> Policy:
    """Two routing domains with the same addresses and MACs; records at random places, some missing."""
    subnets, lookups, routes, members, vports = [], [], [], [], []
    free = list(ports)
    for rdid in RDIDS:
        for vsid, prefix in zip(VSIDS[rdid], PREFIXES, strict=True):
            router_mac = draw(st.sampled_from(ROUTER_MACS))
            subnets.append(Subnet("s", vsid, rdid, prefix.network_address + 1, router_mac))
            if _often(draw):
                routes.append(CustomerRoute("r", rdid, prefix, vsid, None))
            for host, address in zip(HOSTS, MACS, strict=True):
                if not _often(draw, 5):
                    continue
                home = draw(st.sampled_from([PAS[0], *PAS]))
                ca = prefix.network_address + host
                lookups.append(LookupRecord("l", vsid, ca, address, home))
                if home == PAS[0] and free and _often(draw, 3):
                    gateway = not _often(draw, 3)
                    vports.append(Port(f"p{vsid}{host}", free.pop(), vsid, ca, address, gateway))
        for pa in PAS:
            if _often(draw):
                members.append(ProviderMember("m", rdid, pa, draw(st.booleans())))
        for prefix in (OUTSIDE, IPv4Network("0.0.0.0/0")):
            if draw(st.booleans()):
                next_hop = PREFIXES[1].network_address + draw(st.sampled_from(HOSTS))
                routes.append(CustomerRoute("r", rdid, prefix, VSIDS[rdid][1], next_hop))
    own = PAS[0] if _often(draw, 20) else None
    uplink = uplink if _often(draw, 20) else 0
    lists = (subnets, lookups, routes, members, vports)
    return Policy(own, uplink, *(tuple(items) for items in lists))  # type: ignore[arg-type]


@st.composite
def ip_packets(draw: st.DrawFn, source: IPv4Address, destination: IPv4Address) -> bytes:
    """IPv4 packets, most of them sound."""
    protocol = draw(st.sampled_from([1, 1, 6, 17, 132, 50]))
    body = draw(st.binary(min_size=8, max_size=40))
    if protocol == 1:
        kind, code = draw(st.sampled_from([8, 8, 8, 0, 3, 11, 13])), draw(st.sampled_from([0, 0, 1]))
        body = bytes([kind, code]) + body[2:]
    body += bytes(draw(st.sampled_from([0, 0, 0, 0, 1400, 1430, 1520, 1600])))
    options = bytes(4 * draw(st.sampled_from([0, 0, 0, 1, 10])))
    header = bytearray(
        struct.pack(
            "!BBHHHBBH4s4s",
            0x40 + 5 + len(options) // 4,
            draw(st.integers(0, 255)),
            20 + len(options) + len(body),
            draw(st.integers(0, 65535)),
            draw(st.sampled_from([0, 0x4000, 0x4000, 0x2000, 0x2010, 0x0010])),
            draw(st.sampled_from([64, 64, 255, 2, 1, 0])),
            protocol,
            0,
            source.packed,
            destination.packed,
        )
        + options
    )
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    if not _often(draw, 12):
        header[draw(st.integers(0, 19))] = draw(st.integers(0, 255))
    return bytes(header) + body


@st.composite
def arp_packets(draw: st.DrawFn, own_mac: bytes, own: IPv4Address) -> bytes:
    """ARP packets, most of them requests of the port itself."""
    sound = _often(draw, 3)
    head = "000108000604" if sound else draw(st.sampled_from(["000108000604", "000608000604"]))
    operation = 1 if sound else draw(st.sampled_from([1, 2, 3]))
    sender_mac = own_mac if sound else draw(st.sampled_from([own_mac, mac(MACS[0])]))
    sender = own if sound else draw(st.sampled_from([own, IPv4Address(0), *ADDRESSES]))
    target = draw(st.sampled_from(ADDRESSES))
    return (
        bytes.fromhex(head)
        + operation.to_bytes(2, "big")
        + sender_mac
        + sender.packed
        + bytes(6)
        + target.packed
    )


STATIONS = st.sampled_from(
    [*(mac(m) for m in (*ROUTER_MACS, *ROUTER_MACS, *MACS)), b"\xff" * 6, bytes.fromhex("01005e0000fb")]
)


@st.composite
def vm_frames(draw: st.DrawFn, policy: Policy, ports: list[int]) -> tuple[int, bytes]:
    """What a VM may think of sending."""
    known = [p.ifindex for p in policy.ports]
    ifindex = draw(st.sampled_from(known if known and _often(draw, 12) else ports))
    port = next((p for p in policy.ports if p.ifindex == ifindex), None)
    own_mac = mac(port.mac) if port else mac(MACS[0])
    own = port.customer_address if port else ADDRESSES[1]
    kind = draw(st.sampled_from([0x0800] * 16 + [0x0806] * 5 + [0x86DD, 0x8100, 0x88A8, 0x88CC]))
    if kind == 0x0806:
        payload, destination = draw(arp_packets(own_mac, own)), b"\xff" * 6
    else:
        neighbours = [r for r in policy.lookups if port and r.vsid == port.vsid]
        near = draw(st.sampled_from(neighbours)) if neighbours and draw(st.booleans()) else None
        routers = [mac(s.router_mac) for s in policy.subnets if port and s.vsid == port.vsid]
        to = near.customer_address if near else draw(st.sampled_from(ADDRESSES))
        foreign = OUTSIDE.network_address + 10 if port and port.gateway else own
        source = draw(st.sampled_from([own, own, foreign] if _often(draw) else ADDRESSES))
        payload = draw(ip_packets(source, to))
        sound = mac(near.mac) if near else (routers or [own_mac])[0]
        destination = sound if _often(draw, 6) else draw(STATIONS)
    source_mac = own_mac if _often(draw, 12) else mac(MACS[1])
    # The test bench itself refuses IP packets without a whole header; a namespace test sends those.
    shortest = {0x0800: 34, 0x86DD: 54}.get(kind, 14)
    frame = destination + source_mac + kind.to_bytes(2, "big") + payload
    return ifindex, _cut(draw, frame.ljust(shortest, b"\0"), shortest)


@st.composite
def wire_frames(draw: st.DrawFn, policy: Policy) -> bytes:
    """What may come from the provider network: from switches like ours, and from an attacker on it."""
    target = draw(st.sampled_from(policy.ports)) if policy.ports and _often(draw, 12) else None
    domain = next((VSIDS[r] for r in RDIDS if target and target.vsid in VSIDS[r]), VSIDS[RDIDS[0]])
    senders = [r for r in policy.lookups if r.vsid in domain and r.provider_address != PAS[0]]
    sender = draw(st.sampled_from(senders)) if senders and _often(draw, 4) else None
    outside = OUTSIDE.network_address + 10
    source = sender.customer_address if sender else draw(st.sampled_from([outside, outside, *ADDRESSES]))
    to = target.customer_address if target and _often(draw) else draw(st.sampled_from(ADDRESSES))
    vsid = target.vsid if target else draw(st.sampled_from([5001, 6002, 7000, 4095, 0, 0xFFFFFF]))
    router = next((mac(s.router_mac) for s in policy.subnets if s.vsid == vsid), mac(ROUTER_MACS[0]))
    source_mac = mac(sender.mac) if sender and draw(st.booleans()) else router
    destination = mac(target.mac) if target else draw(STATIONS)
    home = sender.provider_address if sender else draw(st.sampled_from(PAS[1:]))
    fields = {
        "inner type": 0x0800,
        "flags": 0x2000,
        "protocol": 0x6558,
        "version": 0x45,
        "fragment": 0x4000,
        "ip protocol": 47,
        "outer type": 0x0800,
        "home": home,
        "to": PAS[0],
        "source": source_mac,
    }
    broken: dict[str, st.SearchStrategy[object]] = {
        "inner type": st.sampled_from([0x0806, 0x86DD, 0x8100, 0x88A8]),
        "flags": st.sampled_from([0, 0x3000, 0xA000, 0x2001]),
        "protocol": st.sampled_from([0x0800, 0x86DD]),
        "version": st.sampled_from([0x46, 0x65, 0x44]),
        "fragment": st.sampled_from([0x2000, 0x0001]),
        "ip protocol": st.sampled_from([17, 1]),
        "outer type": st.sampled_from([0x0806]),
        "home": st.sampled_from([*PAS, IPv4Address("192.168.6.66")]),
        "to": st.sampled_from(PAS[1:]),
        "source": STATIONS,
    }
    if not _often(draw, 3):
        name = draw(st.sampled_from(list(broken)))
        fields[name] = draw(broken[name])
    return _wire_frame(draw, fields, vsid, destination, draw(ip_packets(source, to)))


def _wire_frame(
    draw: st.DrawFn, fields: dict[str, object], vsid: int, destination: bytes, packet: bytes
) -> bytes:
    inner = destination + fields["source"] + fields["inner type"].to_bytes(2, "big") + packet  # type: ignore
    gre = struct.pack("!HHI", fields["flags"], fields["protocol"], vsid << 8 | draw(st.integers(0, 255)))
    header = bytearray(
        struct.pack(
            "!BBHHHBBH4s4s",
            fields["version"],
            draw(st.integers(0, 255)),
            20 + len(gre) + len(inner),
            0,
            fields["fragment"],
            64,
            fields["ip protocol"],
            0,
            fields["home"].packed,  # type: ignore[attr-defined]
            fields["to"].packed,  # type: ignore[attr-defined]
        )
    )
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    outer = mac("02:00:00:00:00:01") + mac("02:00:00:00:00:02")
    outer += fields["outer type"].to_bytes(2, "big")  # type: ignore[attr-defined]
    return _cut(draw, outer + bytes(header) + gre + inner, 34)


def _cut(draw: st.DrawFn, frame: bytes, shortest: int) -> bytes:
    """Now and then a frame that ends too soon."""
    return frame if _often(draw, 16) else frame[: draw(st.integers(shortest, len(frame)))]


def _owner(policy: Policy, ifindex: int) -> UUID | None:
    """The routing domain whose VM is at a port."""
    vsid = next((p.vsid for p in policy.ports if p.ifindex == ifindex), None)
    return next((s.rdid for s in policy.subnets if s.vsid == vsid), None)


def _expect(seen: Outcome, wanted: Outcome) -> None:
    reason = wanted.counts[0][0][0].name if wanted.counts else wanted.verdict
    event(reason)
    assert (seen.verdict, sorted(seen.counts)) == (wanted.verdict, sorted(wanted.counts)), reason
    assert seen.ifindex == wanted.ifindex
    assert seen.frame.hex() == wanted.frame.hex()


@settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_frames_of_vms(bench: Rig, data: st.DataObject) -> None:
    policy = data.draw(policies(bench.ports, bench.uplink))
    bench.apply(policy)
    model = Model(policy, bench.mtu)
    for _ in range(4):
        ifindex, frame = data.draw(vm_frames(policy, bench.ports))
        seen = bench.vport(ifindex, frame)
        _expect(seen, model.vport(ifindex, frame))
        if seen.verdict == FORWARD and seen.ifindex != bench.uplink:
            assert _owner(policy, seen.ifindex) == _owner(policy, ifindex) is not None, "isolation"


@settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_frames_of_the_provider_network(bench: Rig, data: st.DataObject) -> None:
    policy = data.draw(policies(bench.ports, bench.uplink))
    bench.apply(policy)
    model = Model(policy, bench.mtu)
    for _ in range(4):
        frame = data.draw(wire_frames(policy))
        seen = bench.wire(frame)
        _expect(seen, model.uplink(frame))
        if seen.verdict == FORWARD:
            wire_vsid = int.from_bytes(frame[38:41], "big")
            (port,) = (p for p in policy.ports if p.ifindex == seen.ifindex)
            assert port.vsid == wire_vsid, "isolation"
