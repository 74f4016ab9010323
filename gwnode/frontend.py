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

from gwnode.desired import Tenant
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

IKE_PORTS = (500, 4500)
ESP = "esp"
RAW, DSTNAT, FILTER, SRCNAT = -300, -100, 0, 100
Pair = tuple[str, ...]
"""(VIP, peer)"""


def pairs(tenants: Iterable[Tenant]) -> Mapping[Pair, str]:
    """(VIP, peer) -> the compartment's address."""
    return {
        (str(tenant.vip), str(peer)): str(tenant.transit.inner) for tenant in tenants for peer in tenant.peers
    }


def ruleset(tenants: Collection[Tenant], front_end: str) -> list[Json]:
    """The default compartment's whole table.

    - raw: IKE and ESP of strangers end before connection tracking sees them: an entry without translation
      would outlive the arrival of its tenant.
    - NAT both ways; a flow that a compartment begins leaves from the VIP.
    - forward: only between a compartment and its own peers. Nothing else is routed by a gateway's default
      compartment, neither between tenants nor between the fabric's networks.
    - input: a compartment cannot talk to the gateway node itself.
    """
    translations = pairs(tenants)
    connectors = [(tenant.connector,) for tenant in tenants]
    outward = [
        (tenant.connector, str(tenant.transit.inner), str(peer))
        for tenant in tenants
        for peer in tenant.peers
    ]
    source, destination = field("ip", "saddr"), field("ip", "daddr")
    from_outside = match(meta("iifname"), front_end)
    to_outside = match(meta("oifname"), front_end)
    address = "ipv4_addr"
    return [
        named_set("vips", [address], sorted({(vip,) for vip, _ in translations})),
        named_set("known", [address, address], translations),
        named_map("inward", [address, address], address, translations),
        named_map(
            "outward",
            [address, address],
            address,
            {(inner, peer): vip for (vip, peer), inner in translations.items()},
        ),
        named_set(
            "arriving", [address, address], [(peer, inner) for (_, peer), inner in translations.items()]
        ),
        named_set("leaving", ["ifname", address, address], outward),
        named_set("connectors", ["ifname"], connectors),
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
            rule(
                "dstnat",
                from_outside,
                *kind,
                {"dnat": {"addr": mapped(concatenation(destination, source), "inward")}},
            )
            for kind in _ike_and_esp()
        ),
        chain("srcnat", "nat", "postrouting", SRCNAT),
        rule(
            "srcnat",
            to_outside,
            {"snat": {"addr": mapped(concatenation(source, destination), "outward")}},
        ),
        chain("forward", "filter", "forward", FILTER, "drop"),
        rule(
            "forward",
            to_outside,
            match(concatenation(meta("iifname"), source, destination), "@leaving"),
            {"accept": None},
        ),
        rule(
            "forward", from_outside, match(concatenation(source, destination), "@arriving"), {"accept": None}
        ),
        # "Fragmentation needed" of a router on the way.
        rule("forward", from_outside, match({"ct": {"key": "state"}}, "related", "in"), {"accept": None}),
        chain("input", "filter", "input", FILTER),
        rule("input", match(meta("iifname"), "@connectors"), {"drop": None}),
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


def follows(flow: Flow, translations: Mapping[Pair, str], vips: Collection[str], pool: IPv4Network) -> bool:
    """Whether a flow is translated as it would be if it began now.

    Parameters:
        flow: a tracked flow.
        translations: (VIP, peer) -> compartment.
        vips: public addresses that are or were the tenants'.
        pool: where all compartments' addresses come from.
    """
    if IPv4Address(flow.source) in pool:
        vip = flow.answer_destination
        return translations.get((vip, flow.destination)) == flow.source
    if flow.destination in vips:
        inner = translations.get((flow.destination, flow.source), flow.destination)
        return flow.answer_source == inner
    return True


def forget_stale_flows(translations: Mapping[Pair, str], vips: Collection[str], pool: IPv4Network) -> int:
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
            if not follows(flow, translations, vips, pool):
                wrong.append(first)
        for first in wrong:
            with suppress(NetlinkError):  # it may have ended by itself
                conntrack.entry("del", tuple_orig=first)
    return len(wrong)
