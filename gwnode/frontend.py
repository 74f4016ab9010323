"""The default compartment's way between the public VIP and the tenants' compartments.

All tenants share the VIP and are told apart by the peer's address, as in the real product (RAS gateway high
availability page: "IPsec goes through an SLB NAT rule"). Every rule is O(1), whatever the number of tenants.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from socket import AF_INET

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

from gwnode.connections.wanted import DialInEnd, IpsecEnd
from gwnode.desired import Tenant
from gwnode.nat_front import leg_items
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
    rule,
)
from gwnode.public_addresses import nat_legs

IKE_PORTS = (500, 4500)
ESP = "esp"
RAW, DSTNAT, FILTER, SRCNAT = -300, -100, 0, 100
Pair = tuple[str, ...]
"""(VIP, peer)"""


@dataclass(frozen=True, slots=True)
class Translations:
    """Who is who on both sides of the default compartment.

    Attributes:
        sites: (VIP, peer) -> address of the charon that is for this peer.
        callers: public address of a tenant's own -> address of the charon that answers whoever calls.
    """

    sites: Mapping[Pair, str]
    callers: Mapping[str, str]

    @classmethod
    def of(cls, tenants: Iterable[Tenant]) -> Translations:
        """Those of some tenants."""
        sites: dict[Pair, str] = {}
        callers: dict[str, str] = {}
        for tenant in tenants:
            for connection in tenant.connections.values():
                match connection.end:
                    case IpsecEnd() as end:
                        sites[str(tenant.vip), str(end.peer)] = str(end.transit.inner)
                    case DialInEnd() as end:
                        callers[str(end.public)] = str(end.transit.inner)
        return cls(sites, callers)


def ruleset(
    tenants: Collection[Tenant], front_end: str, protected: Collection[IPv4Network] = ()
) -> list[Json]:
    """The default compartment's whole table.

    - raw: IKE and ESP of strangers end before connection tracking sees them: an entry without translation
      would outlive the arrival of its tenant.
    - NAT both ways; a flow that a charon begins leaves from the public address.
    - forward: only between a charon and its own peers. Nothing else is routed by a gateway's default
      compartment, neither between tenants nor between the fabric's networks.
    - input: what a leg leads to cannot talk to the gateway node itself.
    - NAT has rules of its own: see `gwnode.nat_front`.

    Parameters:
        tenants: all of this gateway.
        front_end: interface towards the internet.
        protected: the hoster's networks, which no tenant may reach by NAT.
    """
    known = Translations.of(tenants)
    connections = [item for tenant in tenants for item in tenant.connections.values()]
    outward = [
        (item.leg, str(item.end.transit.inner), str(item.end.peer))
        for item in connections
        if isinstance(item.end, IpsecEnd)
    ]
    answering = [
        (item.leg, str(item.end.transit.inner)) for item in connections if isinstance(item.end, DialInEnd)
    ]
    source, destination = field("ip", "saddr"), field("ip", "daddr")
    from_outside = match(meta("iifname"), front_end)
    to_outside = match(meta("oifname"), front_end)
    translated = match({"ct": {"key": "status"}}, "dnat", "in")
    address, accept = "ipv4_addr", {"accept": None}
    return [
        named_set("vips", [address], sorted({(vip,) for vip, _ in known.sites})),
        named_set("known", [address, address], known.sites),
        named_map("inward", [address, address], address, known.sites),
        named_map(
            "outward",
            [address, address],
            address,
            {(inner, peer): vip for (vip, peer), inner in known.sites.items()},
        ),
        named_map(
            "called", [address], address, {(public,): inner for public, inner in known.callers.items()}
        ),
        named_map(
            "calling", [address], address, {(inner,): public for public, inner in known.callers.items()}
        ),
        named_set(
            "arriving", [address, address], [(peer, inner) for (_, peer), inner in known.sites.items()]
        ),
        named_set("leaving", ["ifname", address, address], outward),
        named_set("answering", ["ifname", address], answering),
        named_set("legs", ["ifname"], sorted((item.leg,) for item in connections)),
        chain("raw", "filter", "prerouting", RAW),
        *(
            rule(
                "raw",
                from_outside,
                match(destination, "@vips"),
                *kind,
                match(concatenation(destination, source), "@known", "!="),
                {"drop": None},
            )
            for kind in _ike_and_esp()
        ),
        chain("dstnat", "nat", "prerouting", DSTNAT),
        *(
            rule("dstnat", from_outside, *kind, {"dnat": {"addr": mapped(key, name)}})
            for kind in _ike_and_esp()
            for key, name in ((concatenation(destination, source), "inward"), (destination, "called"))
        ),
        chain("srcnat", "nat", "postrouting", SRCNAT),
        *(
            rule("srcnat", to_outside, {"snat": {"addr": mapped(key, name)}})
            for key, name in ((concatenation(source, destination), "outward"), (source, "calling"))
        ),
        chain("forward", "filter", "forward", FILTER, "drop"),
        rule(
            "forward",
            to_outside,
            match(concatenation(meta("iifname"), source, destination), "@leaving"),
            accept,
        ),
        rule("forward", to_outside, match(concatenation(meta("iifname"), source), "@answering"), accept),
        rule("forward", from_outside, match(concatenation(source, destination), "@arriving"), accept),
        rule(
            "forward",
            from_outside,
            translated,
            match(concatenation(meta("oifname"), destination), "@answering"),
            accept,
        ),
        # "Fragmentation needed" of a router on the way.
        rule("forward", from_outside, match({"ct": {"key": "state"}}, "related", "in"), accept),
        chain("input", "filter", "input", FILTER),
        rule("input", match(meta("iifname"), "@legs"), {"drop": None}),
        *leg_items(nat_legs(tenants), front_end, protected),
    ]


def _ike_and_esp() -> list[list[Json]]:
    ports = {"set": list(IKE_PORTS)}
    return [
        [match(meta("l4proto"), "udp"), match(field("udp", "dport"), ports)],
        [match(meta("l4proto"), ESP)],
    ]


@dataclass(frozen=True, slots=True)
class Flow:
    """A tracked flow: addresses of its first packet, and of the answer to it.

    Without translation, the answer's source is the first packet's destination.
    """

    source: str
    destination: str
    answer_source: str
    answer_destination: str


def follows(flow: Flow, known: Translations, vips: Collection[str], pool: IPv4Network) -> bool:
    """Whether a flow is translated as it would be if it began now.

    Parameters:
        flow: a tracked flow.
        known: today's translations.
        vips: public addresses that are or were the tenants'.
        pool: where the addresses of all charons come from.
    """
    if IPv4Address(flow.source) in pool:
        public = flow.answer_destination
        inner = known.sites.get((public, flow.destination)) or known.callers.get(public)
        return inner == flow.source
    if flow.destination in vips:
        inner = known.sites.get((flow.destination, flow.source)) or known.callers.get(flow.destination)
        return flow.answer_source == (inner or flow.destination)
    return True


def forget_stale_flows(known: Translations, vips: Collection[str], pool: IPv4Network) -> int:
    """Delete tracked flows of translations that no longer hold, so that the next packet is translated anew.

    Connection tracking decides once for each flow, and a peer that keeps trying keeps a wrong decision alive.

    Returns: how many.
    """
    with NFCTSocket() as conntrack:
        wrong = []
        for entry in conntrack.dump():
            first = NFCTAttrTuple.from_netlink(AF_INET, entry.get_attr("CTA_TUPLE_ORIG"))
            answer = NFCTAttrTuple.from_netlink(AF_INET, entry.get_attr("CTA_TUPLE_REPLY"))
            flow = Flow(first.saddr, first.daddr, answer.saddr, answer.daddr)
            if not follows(flow, known, vips, pool):
                wrong.append(first)
        for first in wrong:
            with suppress(NetlinkError):  # it may have ended by itself
                conntrack.entry("del", tuple_orig=first)
    return len(wrong)
