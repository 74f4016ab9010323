"""Access control lists: rules, flows, and fragments that go with their first one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lab.datapath.abi import Drop
from lab.datapath.policy import AclRule, Port

from .neighbours import is_discovery
from .outcome import Ended
from .parsing import ICMP, ICMP6, SCTP, TCP, UDP, Address, Packet

FIN, SYN, RST, ACK = 1, 2, 4, 16
ECHO = {4: {0, 8}, 6: {128, 129}}
ERRORS = {4: {3, 4, 11, 12}, 6: {1, 2, 3, 4}}


@dataclass(frozen=True)
class FlowKey:
    """A connection through a port, whichever way a packet of it goes."""

    ifindex: int
    local: Address
    remote: Address
    local_port: int
    remote_port: int
    protocol: int


@dataclass(frozen=True)
class Tuple:
    """What the rules of a direction look at."""

    inbound: bool
    source: Address
    destination: Address
    source_port: int
    destination_port: int
    protocol: int

    def turned(self) -> Tuple:
        """A packet of the same connection in the other direction."""
        return Tuple(
            not self.inbound,
            self.destination,
            self.source,
            self.destination_port,
            self.source_port,
            self.protocol,
        )

    def key(self, ifindex: int) -> FlowKey:
        """Of the flow that the packet belongs to."""
        seen = self.turned() if self.inbound else self
        return FlowKey(
            ifindex, seen.source, seen.destination, seen.source_port, seen.destination_port, seen.protocol
        )


class State(Enum):
    NEW = 0
    ESTABLISHED = 1
    CLOSING = 2


@dataclass
class Flow:
    """A flow that the rules allowed once; `acl`: the rules that it was last allowed by."""

    acl: tuple[AclRule, ...]
    opener_inbound: bool
    state: State = State.NEW


class AccessControl:
    """The memory of a switch's ports. No time passes: what is idle for a minute is another test's."""

    def __init__(self) -> None:
        self.flows: dict[FlowKey, Flow] = {}
        self._fragments: dict[tuple[int, bool, Address, Address, int, int], bool] = {}

    def check(self, port: Port, packet: Packet, *, inbound: bool) -> None:
        """Judge a packet of one receiver; raises Ended."""
        if not port.acl or is_discovery(packet):
            return
        protocol = packet.protocol if packet.version == 4 else 0
        name = (port.ifindex, inbound, packet.source, packet.destination, packet.ident, protocol)
        if packet.later:
            if name not in self._fragments:
                raise Ended(Drop.FRAGMENT)
            allowed = self._fragments[name]
        else:
            allowed = self._judge(port, packet, inbound)
            if packet.fragment:
                self._fragments[name] = allowed
        if not allowed:
            raise Ended(Drop.ACL)

    def check_copy(self, port: Port, packet: Packet, *, inbound: bool) -> None:
        """Judge a flooded packet: by the rules alone."""
        if port.acl and not is_discovery(packet) and not _rules_allow(port, _seen(packet, inbound)):
            raise Ended(Drop.ACL)

    def _judge(self, port: Port, packet: Packet, inbound: bool) -> bool:
        if packet.icmp_type in ERRORS[packet.version] and packet.icmp_type is not None:
            return self._judge_error(port, packet, inbound)
        seen = _seen(packet, inbound)
        key = _flow_tuple(packet, seen)
        if key is None:
            return _rules_allow(port, seen)
        return self._judge_flow(port, packet, seen, key.key(port.ifindex))

    def _judge_flow(self, port: Port, packet: Packet, seen: Tuple, key: FlowKey) -> bool:
        flags = packet.payload[13] if packet.protocol == TCP and len(packet.payload) >= 14 else 0
        flow = self.flows.get(key)
        anew = flow and flow.state is State.CLOSING and flags & (SYN | ACK) == SYN
        if flow is None or anew:
            if not _rules_allow(port, seen):
                return False
            flow = self.flows[key] = Flow(port.acl, seen.inbound)
        elif not self._still_allowed(port, flow, seen):
            return False
        if flow.state is State.NEW and seen.inbound != flow.opener_inbound:
            flow.state = State.ESTABLISHED
        if flags & (FIN | RST):
            flow.state = State.CLOSING
        return True

    @staticmethod
    def _still_allowed(port: Port, flow: Flow, seen: Tuple) -> bool:
        if flow.acl != port.acl:
            opening = seen if seen.inbound == flow.opener_inbound else seen.turned()
            if not _rules_allow(port, opening):
                return False
            flow.acl = port.acl
        return True

    def _judge_error(self, port: Port, packet: Packet, inbound: bool) -> bool:
        """An ICMP error belongs to the flow of the packet that it quotes, which went the other way.

        It is for whoever sent that packet, or belongs to no flow.
        """
        quoted = _quoted(packet, not inbound)
        if quoted is not None and quoted.source != packet.destination:
            quoted = None
        flow = self.flows.get(quoted.key(port.ifindex)) if quoted else None
        if quoted is None or flow is None:
            return _rules_allow(port, _seen(packet, inbound))
        rules = port.acl
        if flow.acl == rules:
            return True
        return _rules_allow(port, quoted if quoted.inbound == flow.opener_inbound else quoted.turned())


def _seen(packet: Packet, inbound: bool) -> Tuple:
    source_port, destination_port = packet.ports or (0, 0)
    return Tuple(inbound, packet.source, packet.destination, source_port, destination_port, packet.protocol)


def _flow_tuple(packet: Packet, seen: Tuple) -> Tuple | None:
    """What keys a packet's flow; None: it has none."""
    if packet.protocol != (ICMP if packet.version == 4 else ICMP6):
        return seen
    if packet.icmp_type not in ECHO[packet.version] or len(packet.payload) < 8:
        return None
    ident = int.from_bytes(packet.payload[4:6], "big")
    return Tuple(seen.inbound, seen.source, seen.destination, ident, ident, seen.protocol)


def _rules_allow(port: Port, seen: Tuple) -> bool:
    deciding = (rule for rule in port.acl if _matches(rule, seen))
    first = next(deciding, None)
    return first is None or not first.deny


def _matches(rule: AclRule, seen: Tuple) -> bool:
    return (
        rule.inbound == seen.inbound
        and rule.protocol in (None, seen.protocol)
        and (rule.source is None or seen.source in rule.source)
        and (rule.destination is None or seen.destination in rule.destination)
        and rule.source_ports[0] <= seen.source_port <= rule.source_ports[1]
        and rule.destination_ports[0] <= seen.destination_port <= rule.destination_ports[1]
    )


def _quoted(packet: Packet, inbound: bool) -> Tuple | None:
    """The packet that an ICMP error is about, as it went; None: too little of it is there."""
    quote = packet.payload[8:]
    if packet.version == 4:
        if len(quote) < 20 or quote[0] >> 4 != 4:
            return None
        start, protocol = (quote[0] & 15) * 4, quote[9]
        ends = (quote[12:16], quote[16:20])
        if start < 20 or int.from_bytes(quote[6:8], "big") & 0x1FFF:
            return None
    else:
        if len(quote) < 40 or quote[0] >> 4 != 6:
            return None
        start, protocol, ends = 40, quote[6], (quote[8:24], quote[24:40])
    kind = type(packet.source)
    source, destination = kind(ends[0]), kind(ends[1])
    transport = quote[start:]
    if protocol in (TCP, UDP, SCTP):
        if len(transport) < 4:
            return None
        ports = int.from_bytes(transport[:2], "big"), int.from_bytes(transport[2:4], "big")
    elif protocol == (ICMP if packet.version == 4 else ICMP6):
        if len(transport) < 8 or transport[0] not in ECHO[packet.version]:
            return None
        ports = (int.from_bytes(transport[4:6], "big"),) * 2
    else:
        ports = (0, 0)
    return Tuple(inbound, source, destination, *ports, protocol)
