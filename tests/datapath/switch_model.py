"""The WNV filter in plain Python, written from the rules and not from the C: hypothesis compares the two."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from lab.datapath.abi import Direction, Drop
from lab.datapath.policy import CustomerRoute, LookupRecord, Policy, Port, Subnet

ETHERNET, IP4, GRE = 14, 20, 8
OVERHEAD = IP4 + GRE + ETHERNET
FORWARD, SHOT, PASS = "redirect", "drop", "pass"
TYPE_IP4, TYPE_ARP, TYPE_IP6, TYPES_VLAN = 0x0800, 0x0806, 0x86DD, (0x8100, 0x88A8)
NO_ERRORS_ABOUT = {3, 4, 5, 11, 12}
ICMP, TCP, UDP, SCTP = 1, 6, 17, 132


@dataclass(frozen=True)
class Outcome:
    """What becomes of a frame.

    Attributes:
        counts: (reason, direction, VSID) and octets of every counter that moves, by one packet each.
    """

    verdict: str
    frame: bytes = b""
    ifindex: int = 0
    counts: tuple[tuple[tuple[Drop, Direction, int], int], ...] = ()


class Ended(Exception):
    """The frame is dropped; `icmp`: (type, code, mtu) that the router owes its sender."""

    def __init__(self, reason: Drop, icmp: tuple[int, int, int] | None = None) -> None:
        super().__init__(reason.name)
        self.reason = reason
        self.icmp = icmp


def checksum(data: bytes) -> int:
    """RFC 1071."""
    even = data + bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(even) // 2}H", even))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def adjusted(check: int, before: bytes, after: bytes) -> bytes:
    """RFC 1624: the check field after 16-bit words changed."""
    total = ~check & 0xFFFF
    for at in range(0, len(before), 2):
        total += (~int.from_bytes(before[at : at + 2], "big") & 0xFFFF) + int.from_bytes(
            after[at : at + 2], "big"
        )
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ":").replace(":", ""))


@dataclass
class Ip:
    """An IPv4 header that stands where it should."""

    raw: bytes
    header_len: int = field(init=False)

    def __post_init__(self) -> None:
        self.header_len = (self.raw[0] & 15) * 4
        self.tos, self.ttl, self.protocol = self.raw[1], self.raw[8], self.raw[9]
        self.total_len, self.check = (int.from_bytes(self.raw[i : i + 2], "big") for i in (2, 10))
        self.fragment = int.from_bytes(self.raw[6:8], "big") & 0x3FFF
        self.source, self.destination = IPv4Address(self.raw[12:16]), IPv4Address(self.raw[16:20])

    @classmethod
    def read(cls, data: bytes) -> Ip:
        if len(data) < IP4:
            raise Ended(Drop.MALFORMED)
        ip = cls(data)
        if data[0] >> 4 != 4 or ip.header_len < IP4 or not ip.header_len <= ip.total_len <= len(data):
            raise Ended(Drop.MALFORMED)
        return ip

    @property
    def payload(self) -> bytes:
        return self.raw[self.header_len :]


class Model:
    """A switch that follows a policy.

    Args:
        policy: valid.
        mtu: of each device, by ifindex.
    """

    def __init__(self, policy: Policy, mtu: dict[int, int]) -> None:
        self.policy = policy
        self.mtu = mtu
        self.ports = {p.ifindex: p for p in policy.ports}
        self.subnets = {s.vsid: s for s in policy.subnets}
        self.records = {(r.vsid, r.customer_address): r for r in policy.lookups}

    # -- entry points

    def vport(self, ifindex: int, frame: bytes) -> Outcome:
        """A frame that a VM sends."""
        port = self.ports.get(ifindex)
        vsid = port.vsid if port else 0
        try:
            if port is None:
                raise Ended(Drop.PORT_BLOCKED)
            direction, out_vsid, out_ifindex, out = self._from_vm(port, frame)
        except Ended as end:
            answer = self._icmp_error(port, frame, end) if port and end.icmp else b""
            head = ((end.reason, Direction.VPORT_IN, vsid), len(frame))
            if not answer:
                return Outcome(SHOT, counts=(head,))
            tail = ((Drop.FORWARDED, Direction.VPORT_OUT, vsid), len(answer))
            return Outcome(FORWARD, answer, ifindex, (head, tail))
        return Outcome(
            FORWARD,
            out,
            out_ifindex,
            (
                ((Drop.FORWARDED, Direction.VPORT_IN, vsid), len(frame)),
                ((Drop.FORWARDED, direction, out_vsid), len(out)),
            ),
        )

    def uplink(self, frame: bytes) -> Outcome:
        """A frame from the provider network."""
        outer = self._outer(frame)
        if outer is None:
            return Outcome(PASS, frame)
        vsid = 0
        try:
            wire_vsid = self._check_outer(outer, frame)
            subnet = self.subnets.get(wire_vsid)
            if subnet is None:
                raise Ended(Drop.NO_SUBNET)
            vsid = wire_vsid
            ifindex, inner = self._from_wire(subnet, outer, frame[ETHERNET + IP4 + GRE :])
        except Ended as end:
            return Outcome(SHOT, counts=(((end.reason, Direction.WIRE_IN, vsid), len(frame)),))
        return Outcome(
            FORWARD,
            inner,
            ifindex,
            (
                ((Drop.FORWARDED, Direction.WIRE_IN, vsid), len(frame)),
                ((Drop.FORWARDED, Direction.VPORT_OUT, vsid), len(inner)),
            ),
        )

    # -- policy

    def _route(self, subnet: Subnet, destination: IPv4Address) -> CustomerRoute | None:
        matching = [r for r in self.policy.routes if r.rdid == subnet.rdid and destination in r.prefix]
        return max(matching, key=lambda r: r.prefix.prefixlen, default=None)

    def _owner(self, subnet: Subnet, address: IPv4Address) -> tuple[LookupRecord | None, bool]:
        """The record of an address that is on-link in the routing domain; whether it may not be foreign."""
        route = self._route(subnet, address)
        if route is None or route.next_hop is not None:
            return None, False
        record = self.records.get((route.vsid, address))
        return record, record is not None or self.subnets[route.vsid].router == address

    def _may_send(self, port: Port, address: IPv4Address) -> bool:
        if address == port.customer_address:
            return True
        return port.gateway and not self._owner(self.subnets[port.vsid], address)[1]

    # -- from a VM

    def _from_vm(self, port: Port, frame: bytes) -> tuple[Direction, int, int, bytes]:
        subnet = self.subnets[port.vsid]
        destination_mac, source_mac = frame[:6], frame[6:12]
        if source_mac != mac(port.mac):
            raise Ended(Drop.MAC_SPOOF)
        kind = int.from_bytes(frame[12:14], "big")
        if kind == TYPE_ARP:
            return Direction.VPORT_OUT, port.vsid, port.ifindex, self._arp(port, subnet, frame)
        reject(kind, Drop.VLAN)
        ip = Ip.read(frame[ETHERNET:])
        if not self._may_send(port, ip.source):
            raise Ended(Drop.CA_SPOOF)
        if destination_mac[0] & 1 or int(ip.destination) >= 0xE0000000:
            raise Ended(Drop.BUM)
        if destination_mac != mac(subnet.router_mac):
            record = self.records.get((port.vsid, ip.destination))
            if record is None:
                raise Ended(Drop.NO_RECORD)
            if mac(record.mac) != destination_mac:
                raise Ended(Drop.MAC_MISMATCH)
            return self._deliver(record, ip, frame, frame)
        return self._routed(port, subnet, ip, frame)

    def _routed(self, port: Port, subnet: Subnet, ip: Ip, frame: bytes) -> tuple[Direction, int, int, bytes]:
        route = self._route(subnet, ip.destination)
        if route and route.next_hop is None and self.subnets[route.vsid].router == ip.destination:
            return Direction.VPORT_OUT, port.vsid, port.ifindex, self._router_answers(ip, frame)
        if ip.ttl <= 1:
            raise Ended(Drop.TTL_EXCEEDED, (11, 0, 0))
        if route is None:
            raise Ended(Drop.NO_ROUTE, (3, 0, 0))
        record = self.records.get((route.vsid, route.next_hop or ip.destination))
        if record is None:
            raise Ended(Drop.NO_RECORD, (3, 1, 0))
        header = bytearray(ip.raw[:IP4])
        header[8] -= 1
        header[10:12] = adjusted(ip.check, ip.raw[8:10], bytes(header[8:10]))
        routed = (
            mac(record.mac)
            + mac(self.subnets[route.vsid].router_mac)
            + frame[12:14]
            + bytes(header)
            + ip.raw[IP4:]
        )
        return self._deliver(record, ip, frame, routed)

    def _router_answers(self, ip: Ip, frame: bytes) -> bytes:
        if ip.protocol == UDP:
            raise Ended(Drop.ROUTER_LOCAL, (3, 3, 0))
        if ip.protocol != ICMP:
            raise Ended(Drop.ROUTER_LOCAL)
        payload = bytearray(ip.payload)
        if not ip.fragment & 0x1FFF:
            if len(payload) < 8:
                raise Ended(Drop.MALFORMED)
            if payload[0] != 8 or payload[1]:
                raise Ended(Drop.ROUTER_LOCAL)
            payload[2:4] = adjusted(int.from_bytes(payload[2:4], "big"), b"\x08\x00", b"\x00\x00")
            payload[0] = 0
        header = bytearray(ip.raw[: ip.header_len])
        header[8] = 64
        header[10:12] = adjusted(ip.check, bytes([ip.ttl, 0]), bytes([64, 0]))
        header[12:16], header[16:20] = ip.raw[16:20], ip.raw[12:16]
        return frame[6:12] + frame[:6] + frame[12:14] + bytes(header) + bytes(payload)

    def _deliver(
        self, record: LookupRecord, ip: Ip, original: bytes, frame: bytes
    ) -> tuple[Direction, int, int, bytes]:
        if self.policy.provider_address is None:
            raise Ended(Drop.NO_UPLINK)
        length = len(original) - ETHERNET
        if record.provider_address == self.policy.provider_address:
            for port in self.policy.ports:
                if port.vsid == record.vsid and mac(port.mac) == mac(record.mac):
                    self._fits(length, port.ifindex, 0)
                    return Direction.VPORT_OUT, record.vsid, port.ifindex, frame
            raise Ended(Drop.PORT_ABSENT)
        if self.policy.uplink == 0:
            raise Ended(Drop.NO_UPLINK)
        self._fits(length, self.policy.uplink, OVERHEAD)
        flow = flow_id(ip)
        outer = struct.pack(
            "!BBHHHBBH4s4s",
            0x45,
            ip.tos & 3,
            OVERHEAD + length,
            0,
            0x4000,
            64,
            47,
            0,
            self.policy.provider_address.packed,
            record.provider_address.packed,
        )
        outer = outer[:10] + checksum(outer).to_bytes(2, "big") + outer[12:]
        gre = struct.pack("!HHI", 0x2000, 0x6558, record.vsid << 8 | flow)
        # The outer Ethernet header is the neighbour table's to write; until then it is the VM's.
        ethernet = (original if frame is original else frame)[:ETHERNET]
        return Direction.WIRE_OUT, record.vsid, self.policy.uplink, ethernet + outer + gre + frame

    def _fits(self, length: int, ifindex: int, overhead: int) -> None:
        if length + overhead > self.mtu[ifindex]:
            raise Ended(Drop.TOO_BIG, (3, 4, self.mtu[ifindex] - overhead))

    def _arp(self, port: Port, subnet: Subnet, frame: bytes) -> bytes:
        if len(frame) < ETHERNET + 28 or frame[14:20] != bytes.fromhex("000108000604"):
            raise Ended(Drop.ARP_MALFORMED)
        operation, sender_mac, sender, _, target = struct.unpack("!H6s4s6s4s", frame[20:42])
        if sender_mac != mac(port.mac):
            raise Ended(Drop.ARP_SPOOF)
        if sender != bytes(4) and not self._may_send(port, IPv4Address(sender)):
            raise Ended(Drop.ARP_SPOOF)
        if operation != 1 or IPv4Address(target) == port.customer_address:
            raise Ended(Drop.ARP_IGNORED)
        if IPv4Address(target) == subnet.router:
            answer = mac(subnet.router_mac)
        elif record := self.records.get((port.vsid, IPv4Address(target))):
            answer = mac(record.mac)
        else:
            raise Ended(Drop.ARP_UNKNOWN)
        body = frame[14:20] + b"\x00\x02" + answer + target + sender_mac + sender
        return frame[6:12] + answer + frame[12:14] + body + frame[42:]

    def _icmp_error(self, port: Port, frame: bytes, end: Ended) -> bytes:
        """RFC 1812 §4.3.2: what the router of the port's subnet says; empty: it may say nothing."""
        assert end.icmp is not None
        ip = Ip(frame[ETHERNET:])
        if ip.fragment & 0x1FFF or int(ip.source) == 0 or int(ip.source) >= 0xE0000000:
            return b""
        if ip.protocol == ICMP and (not ip.payload or ip.payload[0] not in (0, 8, 13, 14)):
            return b""
        subnet = self.subnets[port.vsid]
        quote = ip.raw[: min(ip.header_len + 20, ip.total_len)]
        kind, code, mtu = end.icmp
        icmp = struct.pack("!BBHHH", kind, code, 0, 0, mtu) + quote
        icmp = icmp[:2] + checksum(icmp).to_bytes(2, "big") + icmp[4:]
        header = struct.pack(
            "!BBHHHBBH4s4s",
            0x45,
            0xC0,
            IP4 + len(icmp),
            0,
            0x4000,
            64,
            ICMP,
            0,
            subnet.router.packed,
            ip.source.packed,
        )
        header = header[:10] + checksum(header).to_bytes(2, "big") + header[12:]
        return frame[6:12] + mac(subnet.router_mac) + b"\x08\x00" + header + icmp

    # -- from the wire

    def _outer(self, frame: bytes) -> Ip | None:
        """The outer header of what may be NVGRE for us; None: the stack's business."""
        if frame[12:14] != b"\x08\x00" or len(frame) < ETHERNET + IP4 or frame[14] >> 4 != 4:
            return None
        ip = Ip(frame[ETHERNET:])
        ours = self.policy.provider_address is not None and ip.destination == self.policy.provider_address
        return ip if ours and ip.protocol == 47 else None

    def _check_outer(self, ip: Ip, frame: bytes) -> int:
        if ip.fragment:
            raise Ended(Drop.OUTER_FRAG)
        if ip.header_len != IP4 or not IP4 <= ip.total_len <= len(ip.raw) or len(ip.raw) < IP4 + GRE:
            raise Ended(Drop.OUTER_MALFORMED)
        flags, protocol, key = struct.unpack("!HHI", ip.payload[:GRE])
        if flags != 0x2000:
            raise Ended(Drop.GRE_FLAGS)
        if protocol != 0x6558:
            raise Ended(Drop.GRE_PROTOCOL)
        if key >> 8 < 4096 or key >> 8 == 0xFFFFFF:
            raise Ended(Drop.VSID_RESERVED)
        return int(key >> 8)

    def _from_wire(self, subnet: Subnet, outer: Ip, frame: bytes) -> tuple[int, bytes]:
        assert self.policy.provider_address is not None
        member = next(
            (m for m in self.policy.members if m.rdid == subnet.rdid and m.provider_address == outer.source),
            None,
        )
        if member is None or outer.source == self.policy.provider_address:
            raise Ended(Drop.PA_SPOOF)
        if len(frame) < ETHERNET:
            raise Ended(Drop.MALFORMED)
        reject(int.from_bytes(frame[12:14], "big"), Drop.INNER_VLAN)
        ip = Ip.read(frame[ETHERNET:])
        self._check_inner_source(subnet, outer, ip, frame[6:12], member.gateway)
        port = self._wire_destination(subnet, ip, frame[:6])
        header = self._ecn(outer.tos & 3, ip)
        if len(frame) - ETHERNET > self.mtu[port.ifindex]:
            raise Ended(Drop.TOO_BIG)
        return port.ifindex, frame[:ETHERNET] + header + ip.raw[IP4:]

    def _check_inner_source(self, subnet: Subnet, outer: Ip, ip: Ip, source: bytes, gateway: bool) -> None:
        if source[0] & 1:
            raise Ended(Drop.MAC_SPOOF)
        record, taken = self._owner(subnet, ip.source)
        if record is None:
            if taken or not gateway:
                raise Ended(Drop.CA_SPOOF)
            return
        if record.provider_address != outer.source:
            raise Ended(Drop.CA_SPOOF)
        allowed = {mac(subnet.router_mac)} | ({mac(record.mac)} if record.vsid == subnet.vsid else set())
        if source not in allowed:
            raise Ended(Drop.MAC_SPOOF)

    def _wire_destination(self, subnet: Subnet, ip: Ip, destination: bytes) -> Port:
        for port in self.policy.ports:
            if (
                port.vsid == subnet.vsid
                and mac(port.mac) == destination
                and (port.gateway or port.customer_address == ip.destination)
            ):
                return port
        raise Ended(Drop.NOT_LOCAL)

    @staticmethod
    def _ecn(outer: int, ip: Ip) -> bytes:
        """RFC 6040 figure 4."""
        inner = ip.tos & 3
        not_ect, ect1, ect0, ce = 0, 1, 2, 3
        if outer == ce and inner == not_ect:
            raise Ended(Drop.ECN)
        result = ce if outer == ce else ect1 if (outer, inner) == (ect1, ect0) else inner
        header = bytearray(ip.raw[:IP4])
        header[1] = ip.tos & ~3 | result
        header[10:12] = adjusted(ip.check, ip.raw[:2], bytes(header[:2]))
        return bytes(header)


def reject(kind: int, tagged: Drop) -> None:
    """Ethertypes that carry no IPv4."""
    if kind in TYPES_VLAN:
        raise Ended(tagged)
    if kind == TYPE_IP6:
        raise Ended(Drop.NON_IP4)
    if kind != TYPE_IP4:
        raise Ended(Drop.NON_IP)


def flow_id(ip: Ip) -> int:
    """RFC 7637 §3.2: stable for a flow, by addresses only for fragments; the mixing is ours."""

    def word(data: bytes) -> int:
        return int.from_bytes(data, "little")

    ports = 0
    if not ip.fragment and ip.protocol in (TCP, UDP, SCTP) and len(ip.payload) >= 4:
        ports = word(ip.payload[:4])
    mixed = word(ip.raw[12:16]) * 0x9E3779B1 ^ word(ip.raw[16:20]) * 0x85EBCA6B ^ ip.protocol
    mixed = (mixed ^ ports * 0xC2B2AE35) & 0xFFFFFFFF
    mixed ^= mixed >> 16
    return (mixed * 0x7FEB352D & 0xFFFFFFFF) >> 24
