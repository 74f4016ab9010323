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


@st.composite
def policies(draw: st.DrawFn, ports: list[int], uplink: int) -> Policy:
    """Two routing domains with the same addresses and MACs; records at random places."""
    subnets, lookups, routes, members, vports = [], [], [], [], []
    free = list(ports)
    for rdid in RDIDS:
        for vsid, prefix in zip(VSIDS[rdid], PREFIXES, strict=True):
            subnets.append(
                Subnet("s", vsid, rdid, prefix.network_address + 1, draw(st.sampled_from(ROUTER_MACS)))
            )
            if draw(st.integers(0, 9)):
                routes.append(CustomerRoute("r", rdid, prefix, vsid, None))
            for host, address in zip(HOSTS, MACS, strict=True):
                if not draw(st.booleans()):
                    continue
                home = draw(st.sampled_from(PAS))
                ca = prefix.network_address + host
                lookups.append(LookupRecord("l", vsid, ca, address, home))
                if home == PAS[0] and free and draw(st.integers(0, 5)):
                    vports.append(
                        Port(f"p{vsid}{host}", free.pop(), vsid, ca, address, draw(st.integers(0, 3)) == 0)
                    )
        for pa in PAS:
            if draw(st.integers(0, 4)):
                members.append(ProviderMember("m", rdid, pa, draw(st.booleans())))
        for prefix in (OUTSIDE, IPv4Network("0.0.0.0/0")):
            if draw(st.booleans()):
                next_hop = PREFIXES[1].network_address + draw(st.sampled_from(HOSTS))
                routes.append(CustomerRoute("r", rdid, prefix, VSIDS[rdid][1], next_hop))
    own = PAS[0] if draw(st.integers(0, 19)) else None
    return Policy(
        own,
        uplink if draw(st.integers(0, 19)) else 0,
        tuple(subnets),
        tuple(lookups),
        tuple(routes),
        tuple(members),
        tuple(vports),
    )


@st.composite
def ip_packets(draw: st.DrawFn, sources: st.SearchStrategy[IPv4Address]) -> bytes:
    """IPv4 packets, most of them sound."""
    protocol = draw(st.sampled_from([1, 1, 6, 17, 132, 50]))
    body = draw(st.binary(min_size=8, max_size=40))
    if protocol == 1:
        body = (
            bytes([draw(st.sampled_from([8, 8, 8, 0, 3, 11, 13])), draw(st.sampled_from([0, 0, 1]))])
            + body[2:]
        )
    body += bytes(draw(st.sampled_from([0, 0, 0, 1400, 1430, 1520, 1600])))
    options = bytes(4 * draw(st.sampled_from([0, 0, 0, 1, 10])))
    header = bytearray(
        struct.pack(
            "!BBHHHBBH4s4s",
            0x40 + 5 + len(options) // 4,
            draw(st.integers(0, 255)),
            20 + len(options) + len(body),
            draw(st.integers(0, 65535)),
            draw(st.sampled_from([0, 0x4000, 0x4000, 0x2000, 0x2010, 0x0010])),
            draw(st.sampled_from([0, 1, 2, 64, 255])),
            protocol,
            0,
            draw(sources).packed,
            draw(st.sampled_from(ADDRESSES)).packed,
        )
        + options
    )
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    if not draw(st.integers(0, 9)):
        header[draw(st.integers(0, 19))] = draw(st.integers(0, 255))
    return bytes(header) + body


def arp_packets(own_mac: bytes, own: IPv4Address) -> st.SearchStrategy[bytes]:
    """ARP packets, most of them requests of the port itself."""
    return st.builds(
        lambda head, operation, sender_mac, sender, target: (
            head + operation.to_bytes(2, "big") + sender_mac + sender.packed + bytes(6) + target.packed
        ),
        st.sampled_from([bytes.fromhex("000108000604")] * 9 + [bytes.fromhex("000608000604")]),
        st.sampled_from([1, 1, 1, 2, 3]),
        st.sampled_from([own_mac, own_mac, own_mac, mac(MACS[0])]),
        st.sampled_from([own, own, own, IPv4Address(0), *ADDRESSES[:4]]),
        st.sampled_from(ADDRESSES),
    )


STATIONS = st.sampled_from(
    [*(mac(m) for m in (*ROUTER_MACS, *ROUTER_MACS, *MACS)), b"\xff" * 6, bytes.fromhex("01005e0000fb")]
)


@st.composite
def vm_frames(draw: st.DrawFn, policy: Policy, ports: list[int]) -> tuple[int, bytes]:
    """What a VM may think of sending."""
    ifindex = draw(st.sampled_from([*(p.ifindex for p in policy.ports for _ in range(4)), *ports]))
    port = next((p for p in policy.ports if p.ifindex == ifindex), None)
    own_mac = mac(port.mac) if port else mac(MACS[0])
    own = port.customer_address if port else ADDRESSES[1]
    kind = draw(st.sampled_from([0x0800] * 8 + [0x0806] * 3 + [0x86DD, 0x8100, 0x88A8, 0x88CC]))
    sources = st.sampled_from([own] * 6 + [OUTSIDE.network_address + 10, *ADDRESSES])
    payload = draw(arp_packets(own_mac, own) if kind == 0x0806 else ip_packets(sources))
    source = draw(st.sampled_from([own_mac] * 9 + [mac(MACS[1])]))
    destination = draw(STATIONS)
    known = [r for r in policy.lookups if r.customer_address.packed == payload[16:20]]
    if known and draw(st.booleans()):
        destination = mac(known[0].mac)
    # The test bench itself refuses IP packets without a whole header; a namespace test sends those.
    shortest = {0x0800: 34, 0x86DD: 54}.get(kind, 14)
    frame = destination + source + kind.to_bytes(2, "big") + payload
    return ifindex, _cut(draw, frame.ljust(shortest, b"\0"), shortest)


@st.composite
def wire_frames(draw: st.DrawFn, policy: Policy) -> bytes:
    """What may come from the provider network: from switches like ours, and from an attacker on it."""
    records = {r.customer_address: r for r in policy.lookups}
    sources = st.sampled_from([*records, *records, OUTSIDE.network_address + 10, *ADDRESSES])
    inner_ip = draw(ip_packets(sources))
    if policy.ports and draw(st.integers(0, 4)):
        target = draw(st.sampled_from(policy.ports))
        inner_ip = inner_ip[:16] + target.customer_address.packed + inner_ip[20:]
        vsid, destination = target.vsid, mac(target.mac)
    else:
        vsid = draw(st.sampled_from([5001, 5002, 6001, 6002, 7000, 4095, 0, 0xFFFFFF]))
        destination = draw(STATIONS)
    source_record = records.get(IPv4Address(inner_ip[12:16]))
    home = source_record.provider_address if source_record and draw(st.integers(0, 5)) else None
    source_mac = mac(source_record.mac) if source_record and draw(st.booleans()) else draw(STATIONS)
    kind = draw(st.sampled_from([0x0800] * 12 + [0x0806, 0x86DD, 0x8100]))
    inner = destination + source_mac + kind.to_bytes(2, "big") + inner_ip
    gre = struct.pack(
        "!HHI",
        draw(st.sampled_from([0x2000] * 12 + [0, 0x3000, 0xA000, 0x2001])),
        draw(st.sampled_from([0x6558] * 12 + [0x0800])),
        vsid << 8 | draw(st.integers(0, 255)),
    )
    header = bytearray(
        struct.pack(
            "!BBHHHBBH4s4s",
            draw(st.sampled_from([0x45] * 15 + [0x46, 0x65])),
            draw(st.integers(0, 255)),
            20 + len(gre) + len(inner),
            0,
            draw(st.sampled_from([0x4000] * 9 + [0, 0x2000, 0x0001])),
            64,
            draw(st.sampled_from([47] * 15 + [17, 1])),
            0,
            (home or draw(st.sampled_from([*PAS, IPv4Address("192.168.6.66")]))).packed,
            draw(st.sampled_from([PAS[0]] * 15 + [PAS[1]])).packed,
        )
    )
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    ethertype = draw(st.sampled_from([b"\x08\x00"] * 15 + [b"\x08\x06"]))
    outer = mac("02:00:00:00:00:01") + mac("02:00:00:00:00:02") + ethertype
    return _cut(draw, outer + bytes(header) + gre + inner, 34)


def _cut(draw: st.DrawFn, frame: bytes, shortest: int) -> bytes:
    """Now and then a frame that ends too soon."""
    return frame if draw(st.integers(0, 11)) else frame[: draw(st.integers(shortest, len(frame)))]


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
