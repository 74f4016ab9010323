"""A switch that follows a policy: the order of the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address

from lab.datapath.abi import Direction, Drop
from lab.datapath.policy import Policy, Port, Subnet, TeamMode

from . import encapsulation, flooding, guards, icmp, neighbours, routing, spoofing
from .acl import AccessControl
from .encapsulation import Outer
from .outcome import FORWARD, PASS, SHOT, Ended, Error, Outcome, Sent, too_big
from .parsing import ETHERNET, TYPE_ARP, Packet, ip_of, mac
from .tables import Tables


@dataclass(frozen=True)
class Ingress:
    """A frame on its way through: the VM's own, whoever brought it.

    Attributes:
        port: of this node that sent it; None: it came from the fabric in `outer`.
    """

    subnet: Subnet
    frame: bytes
    port: Port | None = None
    outer: Outer | None = None
    packet: Packet | None = None


class Model:
    """A switch; what it remembers of flows outlives a change of policy.

    Args:
        policy: valid.
        mtu: of each device, by ifindex.
    """

    def __init__(self, policy: Policy, mtu: dict[int, int]) -> None:
        self.mtu = mtu
        self.access = AccessControl()
        self._ingress: Ingress | None = None
        self.apply(policy)

    def apply(self, policy: Policy) -> None:
        """Follow another policy from now on."""
        self.policy = policy
        self.tables = Tables(policy)

    def vport(self, ifindex: int, frame: bytes) -> Outcome:
        """A frame that a VM sends."""
        port = self.tables.ports.get(ifindex)
        vsid = port.vsid if port else 0
        try:
            if port is None:
                raise Ended(Drop.PORT_BLOCKED)
            subnet = self.tables.subnets.get(port.vsid)
            if subnet is None:
                raise Ended(Drop.NO_SUBNET)
            sent = list(self._from_vm(Ingress(subnet, frame, port=port), port))
        except Ended as end:
            return _outcome(end.reason, Direction.VPORT_IN, vsid, frame, self._answer(end.error))
        return _outcome(Drop.FORWARDED, Direction.VPORT_IN, vsid, frame, sent)

    def uplink(self, frame: bytes) -> Outcome:
        """A frame from the provider network."""
        if not encapsulation.is_ours(self.tables, frame):
            return Outcome(PASS, frame)
        vsid = 0
        try:
            outer = encapsulation.unwrap(self.tables, frame)
            subnet = self.tables.subnets.get(outer.vsid)
            if subnet is None:
                raise Ended(Drop.NO_SUBNET)
            vsid = outer.vsid
            sent = list(self._from_wire(Ingress(subnet, outer.inner, outer=outer), outer))
        except Ended as end:
            return _outcome(end.reason, Direction.WIRE_IN, vsid, frame, self._answer(end.error))
        return _outcome(Drop.FORWARDED, Direction.WIRE_IN, vsid, frame, sent)

    def _from_vm(self, ingress: Ingress, port: Port) -> Iterator[Sent]:
        subnet, frame = ingress.subnet, ingress.frame
        if frame[6:12] != mac(port.mac):
            raise Ended(Drop.MAC_SPOOF)
        kind = int.from_bytes(frame[12:14], "big")
        if kind == TYPE_ARP:
            if subnet.router.version == 6:
                raise Ended(Drop.IP_VERSION)
            yield from self._back(ingress, neighbours.arp(self.tables, port, subnet, frame))
            return
        packet = ip_of(kind, frame[ETHERNET:], subnet.router, Drop.VLAN)
        self._ingress = replace(ingress, packet=packet)
        if neighbours.is_discovery(packet):
            answer = neighbours.discovery(self.tables, port, subnet, frame, packet)
            if answer:
                yield from self._back(ingress, answer)
                return
        if not spoofing.may_send(self.tables, port, packet.source, packet):
            raise Ended(Drop.CA_SPOOF)
        guards.check_dhcp(port, packet)
        if guards.is_for_many(frame[:6], packet):
            yield from self._flood(ingress, packet)
            return
        guards.check_destination(packet)
        self.access.check(port, packet, inbound=False)
        if frame[:6] == mac(subnet.router_mac):
            yield from self._route(ingress, packet)
        else:
            yield self._deliver(ingress, routing.switched(self.tables, subnet, packet, frame), packet)

    def _from_wire(self, ingress: Ingress, outer: Outer) -> Iterator[Sent]:
        subnet, frame = ingress.subnet, ingress.frame
        member = self.tables.member(subnet, outer.source)
        if member is None or outer.source in self.tables.own_addresses:
            raise Ended(Drop.PA_SPOOF)
        if len(frame) < ETHERNET:
            raise Ended(Drop.MALFORMED)
        kind = int.from_bytes(frame[12:14], "big")
        packet = ip_of(kind, frame[ETHERNET:], subnet.router, Drop.INNER_VLAN)
        spoofing.check_wire_source(self.tables, subnet, outer.source, member, packet, frame)
        marked = encapsulation.marks(self.tables, outer.traffic_class, packet.traffic_class)
        frame = frame[:ETHERNET] + packet.with_traffic_class(marked)
        packet = ip_of(kind, frame[ETHERNET:], subnet.router, Drop.INNER_VLAN)
        ingress = self._ingress = Ingress(subnet, frame, outer=outer, packet=packet)
        if guards.is_for_many(frame[:6], packet):
            yield from self._flood(ingress, packet)
            return
        if frame[:6] == mac(subnet.router_mac) and self.policy.switch.external_router:
            yield from self._route(ingress, packet)
            return
        port = self.tables.local_port(subnet.vsid, frame[:6])
        if port is None or not (
            port.gateway or port.forwarding or port.customer_address == packet.destination
        ):
            raise Ended(Drop.NOT_LOCAL)
        if len(frame) - ETHERNET > self.mtu[port.ifindex]:
            raise Ended(Drop.TOO_BIG)
        yield self._hand_over(port, packet, frame)

    def _route(self, ingress: Ingress, packet: Packet) -> Iterator[Sent]:
        try:
            hop = routing.routed(self.tables, ingress.subnet, packet, ingress.frame)
        except routing.Local:
            yield from self._back(ingress, icmp.echo_reply(packet, ingress.frame))
            return
        yield self._deliver(ingress, hop, packet)

    def _deliver(self, ingress: Ingress, hop: routing.Hop, packet: Packet) -> Sent:
        if not self.policy.provider_addresses:
            raise Ended(Drop.NO_UPLINK)
        length = len(hop.frame) - ETHERNET
        if hop.address in self.tables.own_addresses:
            port = self.tables.local_port(hop.vsid, hop.mac)
            if port is None:
                raise Ended(Drop.PORT_ABSENT)
            self._fits(length, port.ifindex, 0)
            return self._hand_over(port, packet, hop.frame)
        source = self._source(ingress)
        outlets = self._outlets(source)
        self._fits(length, min(outlets), self.tables.encapsulation_overhead)
        return self._enclose(source, hop.address, hop.vsid, packet, hop.frame)

    def _hand_over(self, port: Port, packet: Packet, frame: bytes) -> Sent:
        self.access.check(port, packet, inbound=True)
        return Sent(Direction.VPORT_OUT, port.vsid, frozenset([port.ifindex]), frame)

    def _enclose(
        self, source: IPv4Address, destination: IPv4Address, vsid: int, packet: Packet, frame: bytes
    ) -> Sent:
        wrapped = encapsulation.wrap(self.tables, source, destination, vsid, packet, frame)
        return Sent(Direction.WIRE_OUT, vsid, self._outlets(source), wrapped)

    def _source(self, ingress: Ingress) -> IPv4Address:
        """The outer source of what a frame becomes."""
        if ingress.outer:
            return ingress.outer.destination
        assert ingress.port is not None
        return ingress.port.provider_address or self.policy.provider_addresses[0].address

    def _outlets(self, source: IPv4Address) -> frozenset[int]:
        """The uplinks that the team may choose for what has this outer source."""
        outlets = set(self.policy.uplinks)
        if self.policy.switch.team is TeamMode.PORT:
            home = next(p for p in self.policy.provider_addresses if p.address == source)
            outlets = {home.uplink_ifindex} - {0}
        if not outlets:
            raise Ended(Drop.NO_UPLINK)
        return frozenset(outlets)

    def _fits(self, length: int, ifindex: int, overhead: int) -> None:
        if length + overhead > self.mtu[ifindex]:
            raise Ended(Drop.TOO_BIG, too_big(self.mtu[ifindex] - overhead))

    def _flood(self, ingress: Ingress, packet: Packet) -> Iterator[Sent]:
        vsid, frame = ingress.subnet.vsid, ingress.frame
        if ingress.port:
            self.access.check_copy(ingress.port, packet, inbound=False)
        addresses, ports = flooding.receivers(self.tables, vsid, ingress.port)
        for address in addresses:
            yield self._copy(ingress, partial(self._copy_away, ingress, address, packet))
        for port in ports:
            yield self._copy(ingress, partial(self._copy_here, port, packet, frame))

    def _copy(self, ingress: Ingress, make: Callable[[], Sent]) -> Sent:
        """A copy goes or ends on its own; nobody is told (RFC 1122 §3.2.2)."""
        try:
            return replace(make(), copy=True)
        except Ended as end:
            lost = Sent(Direction.VPORT_IN, ingress.subnet.vsid, frozenset(), ingress.frame, True, end.reason)
            if ingress.outer:
                # It counts as it came in.
                return replace(lost, direction=Direction.WIRE_IN, frame=bytes(ingress.outer.length))
            return lost

    def _copy_away(self, ingress: Ingress, address: IPv4Address, packet: Packet) -> Sent:
        source = self._source(ingress)
        self._fits(
            len(ingress.frame) - ETHERNET, min(self._outlets(source)), self.tables.encapsulation_overhead
        )
        return self._enclose(source, address, ingress.subnet.vsid, packet, ingress.frame)

    def _copy_here(self, port: Port, packet: Packet, frame: bytes) -> Sent:
        self._fits(len(frame) - ETHERNET, port.ifindex, 0)
        self.access.check_copy(port, packet, inbound=True)
        return Sent(Direction.VPORT_OUT, port.vsid, frozenset([port.ifindex]), frame)

    def _answer(self, owed: Error | None) -> list[Sent]:
        """What the sender of the frame in hand is told about its end."""
        ingress = self._ingress
        if owed is None or ingress is None or ingress.packet is None:
            return []
        said = icmp.error(ingress.subnet, ingress.packet, ingress.frame, owed)
        try:
            return list(self._back(ingress, said)) if said else []
        except Ended:
            return []

    def _back(self, ingress: Ingress, frame: bytes) -> Iterator[Sent]:
        """What the router itself says goes to where the frame came from."""
        if ingress.port:
            yield Sent(Direction.VPORT_OUT, ingress.port.vsid, frozenset([ingress.port.ifindex]), frame)
            return
        assert ingress.outer is not None
        kind = int.from_bytes(frame[12:14], "big")
        packet = ip_of(kind, frame[ETHERNET:], ingress.subnet.router, Drop.INNER_VLAN)
        outer = ingress.outer
        yield self._enclose(outer.destination, outer.source, ingress.subnet.vsid, packet, frame)


def _outcome(reason: Drop, direction: Direction, vsid: int, frame: bytes, sent: list[Sent]) -> Outcome:
    counts = (((reason, direction, vsid), len(frame)), *(one.count for one in sent))
    if not sent:
        return Outcome(SHOT, counts=counts)
    if sent[0].copy:
        gone = [one for one in sent if one.outlets]
        return Outcome(
            SHOT,
            counts=counts,
            copies=tuple((one.ifindex, one.frame) for one in gone),
            copy_outlets=tuple(one.outlets for one in gone),
        )
    (only,) = sent
    return Outcome(FORWARD, only.frame, only.ifindex, counts, outlets=only.outlets)
