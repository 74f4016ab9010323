"""What became of a traced packet: switches' events and sightings elsewhere, in order; the verdict. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

SENT, SEEN_OUT, SEEN_IN, ANSWERED, DROP = "sent", "leaves", "arrives", "answered", "drop"
"""Stages that are no switch's; the switches' own are those of enum hnv_stage."""

REASONS: Mapping[str, str] = {
    "port-blocked": "The vport has no policy yet: the Network Controller names no interface for it.",
    "vlan": "The VM sent an 802.1Q tag; inner frames are never tagged (RFC 7637 section 3.3).",
    "mac-spoof": "The source MAC address is not the sender's own.",
    "ca-spoof": "The source address is not the sender's own, or lives behind another provider address.",
    "non-ip": "Neither IP nor ARP: the virtual switch carries nothing else.",
    "ip-version": "The virtual subnet is of the other IP version.",
    "malformed": "A header is truncated, or its lengths contradict each other.",
    "arp-malformed": "The ARP packet is not one of Ethernet and IPv4.",
    "arp-spoof": "The ARP packet speaks in another's name.",
    "arp-unknown": "Nobody in the virtual subnet has the address that was asked for.",
    "arp-ignored": "An ARP reply or announcement: on this switch only policy answers.",
    "bum": "Broadcast or multicast that nobody is to receive, or too many are.",
    "no-subnet": "The virtual subnet is not known on this node.",
    "no-record": "No lookup record: nobody in the virtual subnet has the destination address.",
    "mac-mismatch": "The destination MAC address is not that of the destination's lookup record.",
    "no-route": "No customer route leads to the destination.",
    "ttl-exceeded": "The time to live ran out at the distributed router.",
    "router-local": "It was for the distributed router itself, which only answers echo requests.",
    "too-big": "It is larger than the provider network or the port carries.",
    "port-absent": "The destination lives on this host, but its port is not there.",
    "no-uplink": "The node has no provider address, or no provider link with carrier.",
    "encap": "The kernel refused to make room for the outer header.",
    "decap": "The kernel refused to remove the outer header.",
    "gre-flags": "The GRE header is not exactly that of NVGRE (RFC 7637 section 3.2).",
    "gre-protocol": "The GRE header does not announce Ethernet (RFC 7637 section 3.2).",
    "outer-frag": "The outer packet is a fragment (RFC 7637 section 4.4).",
    "outer-malformed": "The outer packet is truncated, or its lengths contradict each other.",
    "vsid-reserved": "The VSID is a reserved one (RFC 7637 section 3.2).",
    "pa-spoof": "The outer source is no provider address of the routing domain.",
    "inner-vlan": "The inner frame carries an 802.1Q tag (RFC 7637 section 3.3).",
    "ecn": "Congestion was met by a transport that cannot hear of it (RFC 6040 section 4.2).",
    "not-local": "The host that it was sent to has no port for the destination: policy there is another.",
    "vxlan-flags": "The VXLAN header is not exactly that of RFC 7348 section 5.",
    "nd-malformed": "The neighbour discovery packet is not sound.",
    "nd-spoof": "The neighbour discovery packet speaks in another's name.",
    "nd-unknown": "Nobody in the virtual subnet has the address that was solicited.",
    "nd-ignored": "Neighbour discovery that needs no answer.",
    "dhcp-guard": "A DHCP reply from a port that is no DHCP server's.",
    "ra-guard": "A router advertisement or redirect from a port that is no router's.",
    "storm": "The port sends more broadcast and multicast than it may.",
    "acl": "A rule of the port's access control list denies it.",
    "fragment": "A later fragment whose first one the access control list has not seen.",
    "blackhole": "A user-defined route with the next hop `none` says so.",
    "extension-headers": "More IPv6 extension headers than the switch follows.",
}
"""A sentence for each drop reason of the data plane (enum hnv_drop, docs/datapath.md)."""


class Outcome(StrEnum):
    """How it ended."""

    DELIVERED = "delivered"
    ANSWERED = "answered"
    DROPPED = "dropped"
    LOST = "lost"

    @property
    def good(self) -> bool:
        """The packet came to where it should."""
        return self in (Outcome.DELIVERED, Outcome.ANSWERED)


@dataclass(frozen=True, slots=True)
class Step:
    """The packet at one place.

    Attributes:
        time_ns: of CLOCK_MONOTONIC.
        node: name of the node.
        stage: of enum hnv_stage, as "vport-in"; or one of this module's words.
        detail: what is known of it, for people.
        reason: of a drop; empty: it went on.
    """

    time_ns: int
    node: str
    stage: str
    detail: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """A traced packet's whole way.

    Attributes:
        steps: in the order of their times.
        explanation: one sentence.
    """

    outcome: Outcome
    steps: tuple[Step, ...]
    explanation: str

    def to_json(self) -> dict[str, Any]:
        """The same as JSON data; offsets in microseconds from the sending."""
        first = self.steps[0].time_ns if self.steps else 0
        return {
            "outcome": self.outcome.value,
            "explanation": self.explanation,
            "steps": [{**asdict(step), "offset_us": (step.time_ns - first) / 1000} for step in self.steps],
        }


def step_of_event(node: str, event: Mapping[str, Any]) -> Step:
    """An event of a switch.

    Parameters:
        event: a line of `python -m lab.hvhost trace`.
    """
    stage = str(event["stage"])
    reason = str(event.get("reason") or "") if stage == DROP else ""
    return Step(int(event["time_ns"]), node, stage, _detail(stage, event), reason)


def _detail(stage: str, event: Mapping[str, Any]) -> str:
    """In the words of the documentation; enum hnv_stage says what `detail` holds."""
    detail, pa = event.get("detail"), event.get("pa")
    match stage:
        case "vport-in" | "vport-out" | "wire-out":
            return str(event.get("interface") or f"interface {detail}")
        case "wire-in":
            return f"{event.get('interface') or f'interface {detail}'}, from PA {pa}"
        case "acl-out" | "acl-in":
            return f"rule {detail}" if detail else "no rule, or a known connection"
        case "shaped":
            return f"class {detail}"
        case "routed":
            return f"next hop in VSID {detail}"
        case "lookup":
            return f"lives at PA {pa}" if pa else "lives here"
        case "encap" | "decap":
            return f"VSID {detail}"
        case "switched":
            return f"within VSID {event.get('vsid')}"
        case "drop":
            return str(event.get("reason") or "")
        case _:
            return "" if detail is None else str(detail)


def step_of_sighting(seen: Mapping[str, Any]) -> Step:
    """The packet, or the answer to it, at an interface outside of the switches.

    Parameters:
        seen: see `lab.engine.trace_sender`.
    """
    place = (
        f"{seen['interface']} of compartment {seen['compartment']}"
        if seen["compartment"]
        else seen["interface"]
    )
    stage = ANSWERED if seen["answer"] else SEEN_OUT if seen["outgoing"] else SEEN_IN
    return Step(int(seen["time_ns"]), str(seen["node"]), stage, place)


def concluded(steps: Iterable[Step], destination: str, port: str = "") -> Trace:
    """The verdict.

    Parameters:
        steps: in any order.
        destination: node that the packet is for; empty: none of the lab's.
        port: the destination's vport; empty: it has none.
    """
    ordered = tuple(sorted(steps, key=lambda step: step.time_ns))
    arrived = [step for step in ordered if _is_arrival(step, destination, port)]
    drops = [step for step in ordered if step.reason]
    answers = [step for step in ordered if step.stage == ANSWERED]
    if arrived:
        return Trace(Outcome.DELIVERED, ordered, f"It arrived at {arrived[-1].node}.")
    if answers:
        return Trace(Outcome.ANSWERED, ordered, "It was answered; who did is no machine of the tenant.")
    if drops:
        last = drops[-1]
        return Trace(Outcome.DROPPED, ordered, f"{last.node} dropped it. {explained(last.reason)}")
    return Trace(Outcome.LOST, ordered, _lost(ordered))


def unsent(reason: str) -> Trace:
    """The verdict on a packet that the sender's own kernel did not take.

    Parameters:
        reason: in the kernel's words.
    """
    return Trace(Outcome.LOST, (), f"It never left its sender: {reason}.")


def explained(reason: str) -> str:
    """A drop reason as a sentence."""
    return REASONS.get(reason, f"The reason is {reason}.")


def _is_arrival(step: Step, destination: str, port: str) -> bool:
    if destination and step.node == destination and step.stage == SEEN_IN:
        return True
    return bool(port) and step.stage == "vport-out" and step.detail == port


def _lost(ordered: Sequence[Step]) -> str:
    passed = [step for step in ordered if step.stage != SENT]
    if not passed:
        return "It never left its sender: no route there, or nobody answered for the next hop's address."
    last = passed[-1]
    return (
        f"It was last seen on {last.node} ({last.stage} {last.detail}); what came of it there is not known."
    )
