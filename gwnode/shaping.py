"""Rates of a tenant's connections, per connection and direction, inside its compartment.

Outbound: HTB on the connection's device. Inbound: HTB on the way into the VM network, one class for each
connection. The class is chosen by the packet's priority, which an nftables chain gives to what is forwarded
between the VM network and a connection; what the gateway sends itself (BGP, ICMP) has none and is not
limited.

A connection's class has two queues. TCP's bare acknowledgements have one of their own, or those of one
direction would wait behind the data of the other, and neither direction would reach its rate while both are
full. They overtake nothing of their own flow that matters: they bear no data.

What counts are IP packets, without the link's header; of a super-packet that the kernel cuts up later (GSO)
the inner headers count once on Ethernet devices. The rate of TCP's payload is so 96 to 100 percent of the
connection's rate: TxBandwidthKbps and RxBandwidthKbps of an interface count what enters a tunnel, not what
the tunnel makes of it (Set-VpnS2SInterface).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute

from gwnode.nft import Json, chain, field, mapped, match, meta, named_map, rule
from lab.datapath.fifo import set_queue

VM_SIDE, VM_SIDE_IPV6 = VM_SIDES = ("hnv0", "hnv6")
"""By IP version: each port of the virtual switch is of one, and limits inbound by itself."""
MANGLE = -150
UNLIMITED_KBPS = 32_000_000
"""What 32 bits of octets a second hold."""
_MAJOR = 0x10000
_FIRST_MINOR, _SLOTS = 2, 0x2AA8
"""Of three numbers each. Beyond them all, from 0x8000 on, the kernel gives numbers out itself."""
_ACKS, _DATA = 1, 2
"""The two queues' classes, counted from the connection's own; also their priorities."""
_FIN_SYN_RST_PSH = 0x0F
_LONGEST_ACK = 127
"""Octets: the longest headers of IPv6 and TCP that are in use together, and some room."""
_SUPER_PACKET = 65536 + 18
"""Octets of the largest frame."""
_SMALLEST_BURST = 4 * 1514
_BURST_S = 0.02
"""What may leave at once: more than the time by which a busy machine wakes late, or the rate is not
reached."""
_QUEUE_S = 0.05
"""A queue holds what leaves in this time; more would only be delay."""
_SMALLEST_QUEUE = 2 * _SUPER_PACKET
_ETHERNET = 1
_ETHERNET_HEADER = 14
_ROOT_PARENT = 0xFFFFFFFF
_TCA_STAB_BASE = 1


@dataclass(frozen=True, slots=True)
class Rate:
    """Rates of one connection.

    Attributes:
        connection: its name, unique in the compartment.
        device: its interface in the compartment.
        outbound_kbps: from the VM network; 0: not limited.
        inbound_kbps: into the VM network; 0: not limited.
    """

    connection: str
    device: str
    outbound_kbps: int = 0
    inbound_kbps: int = 0


@dataclass(frozen=True, slots=True)
class Passed:
    """What has passed a limit since it stands, and what has not.

    Attributes:
        octets, packets: passed.
        drops: packets for which the queue had no room.
    """

    octets: int
    packets: int
    drops: int


@dataclass(frozen=True, slots=True)
class Counters:
    """Of one connection; None: that direction is not limited, and nothing counts there."""

    outbound: Passed | None
    inbound: Passed | None


def minors(names: Iterable[str]) -> dict[str, int]:
    """The first of three class numbers for each connection. It depends on the name alone, but for the rare
    case that two names ask for one number. So no other connection's number changes when one comes or goes.
    Pure.
    """
    given: dict[str, int] = {}
    taken: set[int] = set()
    for name in sorted(names):
        slot = zlib.crc32(name.encode()) % _SLOTS
        while slot in taken:
            slot = (slot + 1) % _SLOTS
        taken.add(slot)
        given[name] = _FIRST_MINOR + 3 * slot
    return given


def priority_items(rates: Collection[Rate], vm_side: str = VM_SIDE) -> list[Json]:
    """Maps and chain of the compartment's table that give forwarded packets their class. Pure.

    A connection that is not limited has no class, and costs nothing.

    Parameters:
        rates: of the tenant's connections.
        vm_side: the device to the VM network, of the table's IP version.
    """
    ordered = sorted(rates, key=lambda rate: rate.connection)
    numbers = minors(rate.connection for rate in ordered)
    outbound = {rate.device: numbers[rate.connection] for rate in ordered if rate.outbound_kbps}
    inbound = {rate.device: numbers[rate.connection] for rate in ordered if rate.inbound_kbps}
    into_vm_network = match(meta("oifname"), vm_side)
    return [
        _class_map("rates_out", outbound, _DATA),
        _class_map("rates_in", inbound, _DATA),
        _class_map("rates_out_acks", outbound, _ACKS),
        _class_map("rates_in_acks", inbound, _ACKS),
        chain("rates", "filter", "forward", MANGLE),
        # A device without an element ends its rule and leaves the priority as it is.
        rule("rates", _set_priority("oifname", "rates_out")),
        rule("rates", into_vm_network, _set_priority("iifname", "rates_in")),
        rule("rates", *_BARE_ACK, _set_priority("oifname", "rates_out_acks")),
        rule("rates", into_vm_network, *_BARE_ACK, _set_priority("iifname", "rates_in_acks")),
    ]


_BARE_ACK = (
    match(meta("l4proto"), "tcp"),
    match(meta("length"), _LONGEST_ACK, "<="),
    match({"&": [field("tcp", "flags"), _FIN_SYN_RST_PSH]}, 0),
)


def _class_map(name: str, first: Mapping[str, int], which: int) -> Json:
    major = _MAJOR >> 16
    elements: dict[tuple[str, ...], str] = {
        (device,): f"{major:x}:{number + which:x}" for device, number in first.items()
    }
    return named_map(name, ["ifname"], "classid", elements)


def _set_priority(key: str, name: str) -> Json:
    return {"mangle": {"key": meta("priority"), "value": mapped(meta(key), name)}}


def classes(rates: Collection[Rate]) -> dict[str, dict[int, int]]:
    """The classes that shall stand: rate in kbit/s by handle, by device. Pure."""
    numbers = minors(rate.connection for rate in rates)
    wanted: dict[str, dict[int, int]] = {name: {} for name in (*VM_SIDES, *(rate.device for rate in rates))}
    for rate in rates:
        handle = _MAJOR | numbers[rate.connection]
        inbound = [(side, rate.inbound_kbps) for side in VM_SIDES]
        for device, kbps in ((rate.device, rate.outbound_kbps), *inbound):
            if kbps:
                wanted[device][handle] = min(kbps, UNLIMITED_KBPS)
    return wanted


def ensure(kernel: IPRoute, rates: Collection[Rate]) -> frozenset[str]:
    """Have the rates of a compartment's connections, changing only what differs, and in place.

    To be called after the table with `priority_items` has been put in place. A class that is not wanted any
    more is opened wide while packets wait in it, and removed by the next call that finds it empty: nothing
    is lost.

    Parameters:
        kernel: of the compartment's namespace, which the calling thread has entered.
        rates: of all its connections.

    Returns: connections whose device is not there, such as a tunnel that its daemon has not made yet. Their
        outbound rate is not set; call again when it is there.

    Raises:
        OSError, NetlinkError: the kernel refuses.
    """
    links = {link.get("ifname"): link for link in kernel.get_links()}
    wanted = classes(rates)
    for device, link in links.items():
        index = int(link["index"])
        shall = wanted.get(device, {})
        stands = _is_ours(kernel, index)
        if shall and not stands:
            _make_root(kernel, link)
        if shall or stands:
            _ensure_classes(kernel, index, shall)
    return frozenset(rate.connection for rate in rates if rate.device not in links)


def counters(kernel: IPRoute, rates: Collection[Rate]) -> dict[str, Counters]:
    """What has passed the limits, by connection.

    Parameters:
        kernel: of the compartment's namespace.
        rates: of all its connections, as `ensure` was given.

    Raises:
        OSError, NetlinkError: the kernel does not tell.
    """
    numbers = minors(rate.connection for rate in rates)
    standing: dict[str, dict[int, Any]] = {}
    for device in {*VM_SIDES, *(rate.device for rate in rates)}:
        for index in kernel.link_lookup(ifname=device):
            standing[device] = _standing(kernel, index)
    return {
        rate.connection: Counters(
            *(
                _sum(
                    _passed(standing.get(device, {}), _MAJOR | numbers[rate.connection]) for device in devices
                )
                if kbps
                else None
                for devices, kbps in (((rate.device,), rate.outbound_kbps), (VM_SIDES, rate.inbound_kbps))
            )
        )
        for rate in rates
    }


def _sum(parts: Iterable[Passed | None]) -> Passed | None:
    found = [part for part in parts if part is not None]
    return (
        Passed(
            sum(part.octets for part in found),
            sum(part.packets for part in found),
            sum(part.drops for part in found),
        )
        if found
        else None
    )


def _is_ours(kernel: IPRoute, index: int) -> bool:
    return any(
        item.get_attr("TCA_KIND") == "htb" and item["handle"] == _MAJOR and item["parent"] == _ROOT_PARENT
        for item in kernel.get_qdiscs(index)
    )


def _make_root(kernel: IPRoute, link: Any) -> None:
    """What has no class is not limited."""
    size = {"stab": _size_table(-_ETHERNET_HEADER)} if link["ifi_type"] == _ETHERNET else {}
    kernel.tc("replace", "htb", link["index"], handle=_MAJOR, default=0, **size)


def _size_table(overhead: int) -> bytes:
    """How octets are counted (struct tc_sizespec): with so many more, or fewer, for each packet."""
    spec = struct.pack("=BBhiIIII", 0, 0, 0, overhead, 0, 0, 0, 0)
    return struct.pack("=HH", 4 + len(spec), _TCA_STAB_BASE) + spec


def _ensure_classes(kernel: IPRoute, index: int, wanted: Mapping[int, int]) -> None:
    standing = _standing(kernel, index)
    for handle, kbps in wanted.items():
        if _kbps(standing, handle) != kbps:
            _set_class(kernel, index, handle, kbps)
    left = set(wanted)
    for handle in {_first(handle) for handle in standing} - wanted.keys():
        if not _backlog(standing, handle):
            for each in (handle + _ACKS, handle + _DATA, handle):
                if each in standing:
                    kernel.tc("del-class", index=index, handle=each, parent=_MAJOR)
            continue
        left.add(handle)
        if _kbps(standing, handle) != UNLIMITED_KBPS:
            _set_class(kernel, index, handle, UNLIMITED_KBPS)
    if not left:
        kernel.tc("del", index=index, parent=_ROOT_PARENT)


def _set_class(kernel: IPRoute, index: int, handle: int, kbps: int) -> None:
    octets_per_s = kbps * 125
    burst = max(_SMALLEST_BURST, int(octets_per_s * _BURST_S))
    # The class's own queue counts packets, of which one may hold 64 KiB; this one counts octets.
    limit = max(_SMALLEST_QUEUE, int(octets_per_s * _QUEUE_S))

    def replace(which: int, parent: int, rate: int) -> None:
        kernel.tc(
            "replace-class",
            "htb",
            index,
            handle=handle + which,
            parent=parent,
            rate=rate,
            ceil=octets_per_s,
            burst=burst,
            cburst=burst,
            prio=which,
            quantum=_SUPER_PACKET,
        )

    replace(0, _MAJOR, octets_per_s)
    for which in (_ACKS, _DATA):
        # What both may always have together is no more than the rate.
        replace(which, handle, octets_per_s // 2)
        set_queue(index, handle + which, ((handle + which) & 0xFFFF) << 16, limit)


def _standing(kernel: IPRoute, index: int) -> dict[int, Any]:
    return {
        int(item["handle"]): item
        for item in kernel.get_classes(index=index)
        if int(item["handle"]) & 0xFFFF0000 == _MAJOR
    }


def _first(handle: int) -> int:
    """Of the connection's three classes."""
    minor = handle & 0xFFFF
    return handle - (minor - _FIRST_MINOR) % 3


def _kbps(standing: Mapping[int, Any], handle: int) -> int | None:
    """A connection's rate; None if one of its classes is missing. Data's stands last, and whole."""
    if not {handle, handle + _ACKS, handle + _DATA} <= standing.keys():
        return None
    item = standing[handle + _DATA]
    return int(item.get_attr("TCA_OPTIONS").get_attr("TCA_HTB_PARMS")["ceil"]) // 125


def _backlog(standing: Mapping[int, Any], handle: int) -> int:
    return sum(int(queue["backlog"]) for queue in _queues(standing, handle))


def _passed(standing: Mapping[int, Any], handle: int) -> Passed | None:
    if handle not in standing:
        return None
    basic = standing[handle].get_attr("TCA_STATS2").get_attr("TCA_STATS_BASIC")
    drops = sum(int(queue["drops"]) for queue in _queues(standing, handle))
    return Passed(int(basic["bytes"]), int(basic["packets"]), drops)


def _queues(standing: Mapping[int, Any], handle: int) -> Iterator[Any]:
    for which in (_ACKS, _DATA):
        if (item := standing.get(handle + which)) is not None:
            yield item.get_attr("TCA_STATS2").get_attr("TCA_STATS_QUEUE")
