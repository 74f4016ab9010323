"""What a node's switch holds and has counted, read from the pinned maps: nothing of the agent is asked."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import UUID

from lab.datapath import abi
from lab.datapath.image import (
    DOMAINS,
    LOCALS,
    LOOKUP,
    MEMBERS,
    METRICS,
    PROVIDERS,
    ROUTES,
    SUBNETS,
    VPORTS,
)
from lab.datapath.maps import opened
from lab.datapath.metrics import read_metrics, reason_name
from lab.datapath.pins import PINS, map_pins

Cell = str | int | bool | None
Row = dict[str, Cell]
Table = list[Row]
Listing = dict[str, Table]
"""Tables by name; the shape of `--json`."""


class PinnedState:
    """The maps of one node.

    Args:
        pins: directory on bpffs; see `Switch`.
    """

    def __init__(self, pins: Path = PINS) -> None:
        self._maps = map_pins(pins)

    def policy(self) -> Listing:
        """The policy that the switch forwards by; RDIDs as GUIDs.

        Raises:
            DatapathError: there is no switch on this node.
        """
        rdids = {_number(v): str(UUID(bytes=k)) for k, v in self._read(DOMAINS).items()}
        subnets = {_number(k): abi.Subnet.from_buffer_copy(v) for k, v in self._read(SUBNETS).items()}
        return {
            "provider": [
                {
                    "provider_address": _text(abi.Addr.from_buffer_copy(pa)),
                    "uplink": interface_name(_number(uplink)),
                }
                for pa, uplink in self._read(PROVIDERS).items()
            ],
            "virtual_subnets": _sorted(
                {
                    "vsid": vsid,
                    "rdid": rdids.get(subnet.rd),
                    "router_address": _text(subnet.router),
                    "router_mac": abi.mac_text(subnet.router_mac),
                }
                for vsid, subnet in subnets.items()
            ),
            "lookup_records": _sorted(
                self._lookup_row(rdids, subnets, k, v) for k, v in self._read(LOOKUP).items()
            ),
            "customer_routes": _sorted(self._route_row(rdids, k, v) for k, v in self._read(ROUTES).items()),
            "provider_members": _sorted(
                self._member_row(rdids, k, v) for k, v in self._read(MEMBERS).items()
            ),
        }

    def ports(self) -> Listing:
        """The vports under policy.

        Raises:
            DatapathError: there is no switch on this node.
        """
        reachable = {_number(v) for v in self._read(LOCALS).values()}
        rows = []
        for key, value in self._read(VPORTS).items():
            ifindex, port = _number(key), abi.VPort.from_buffer_copy(value)
            rows.append(
                {
                    "interface": interface_name(ifindex),
                    "ifindex": ifindex,
                    "vsid": port.vsid,
                    "customer_address": _text(port.ca),
                    "mac": abi.mac_text(port.mac),
                    "provider_address": _text(port.pa),
                    "gateway": bool(port.flags & abi.PortFlag.GATEWAY),
                    "forwarding": bool(port.flags & abi.PortFlag.FORWARDING),
                    "access_list": port.acl or None,
                    "shaped": bool(port.qos_class),
                    "reachable": ifindex in reachable,
                }
            )
        return {"ports": _sorted(rows)}

    def drops(self) -> Listing:
        """Counters: what was dropped and why, and what was forwarded.

        Raises:
            DatapathError: there is no switch on this node.
        """
        with opened(self._maps / METRICS) as metrics:
            counts = read_metrics(metrics)
        rows: Listing = {"drops": [], "forwarded": []}
        for count in counts:
            row: Row = {"direction": count.direction.label, "vsid": count.vsid}
            row |= {"packets": count.packets, "bytes": count.bytes}
            if count.reason == abi.Drop.FORWARDED:
                rows["forwarded"].append(row)
            else:
                rows["drops"].append({"reason": reason_name(count.reason), **row})
        return rows

    @staticmethod
    def _lookup_row(
        rdids: Mapping[int, str], subnets: Mapping[int, abi.Subnet], key_bytes: bytes, value: bytes
    ) -> Row:
        key, record = abi.LookupKey.from_buffer_copy(key_bytes), abi.Lookup.from_buffer_copy(value)
        subnet = subnets.get(key.vsid)
        return {
            "rdid": rdids.get(subnet.rd) if subnet else None,
            "vsid": key.vsid,
            "customer_address": _text(key.ca),
            "mac": abi.mac_text(record.mac),
            "provider_address": _text(record.pa),
        }

    @staticmethod
    def _route_row(rdids: Mapping[int, str], key_bytes: bytes, value: bytes) -> Row:
        key, route = abi.RouteKey.from_buffer_copy(key_bytes), abi.Route.from_buffer_copy(value)
        table = socket.ntohl(key.table)
        blackhole = bool(route.flags & abi.RouteFlag.BLACKHOLE)
        return {
            "rdid": rdids.get(table),
            # A user-defined route is for what this subnet sends.
            "from_vsid": table & ~abi.TABLE_USER if table & abi.TABLE_USER else None,
            "prefix": str(abi.route_prefix(key.prefix_bits, key.prefix)),
            "vsid": route.vsid,
            "next_hop": "none" if blackhole else _text(route.next_hop),
            "external_router": _text(route.external_router),
        }

    @staticmethod
    def _member_row(rdids: Mapping[int, str], key_bytes: bytes, value: bytes) -> Row:
        key = abi.MemberKey.from_buffer_copy(key_bytes)
        return {
            "rdid": rdids.get(key.rd),
            "provider_address": _text(key.pa),
            "gateway": bool(_number(value) & abi.MemberFlag.GATEWAY),
            "forwarder": bool(_number(value) & abi.MemberFlag.FORWARDER),
        }

    def _read(self, name: str) -> dict[bytes, bytes]:
        with opened(self._maps / name) as found:
            return found.items()


def as_text(listing: Listing) -> str:
    """A listing as aligned columns, a heading before each table."""
    blocks = []
    for name, rows in listing.items():
        lines = [f"{name.replace('_', ' ')}: {len(rows)}"]
        if rows:
            cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            lines += [
                "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
                for row in cells
            ]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _cell(value: Cell) -> str:
    if value is None:
        return "-"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _sorted(rows: Iterable[Row]) -> Table:
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])


def _number(value: bytes) -> int:
    return int.from_bytes(value, "little")


def _text(value: abi.Addr) -> str | None:
    address = abi.address_of(value)
    return None if address is None else str(address)


def interface_name(ifindex: int) -> str | None:
    """Of an interface of this network namespace; None: there is none."""
    try:
        return socket.if_indextoname(ifindex)
    except OSError:
        return None
