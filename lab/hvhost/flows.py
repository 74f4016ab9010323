"""Connections that this node's access control lists follow: shown, and taken along by a VM that moves."""

from __future__ import annotations

import json
import socket
from contextlib import AbstractContextManager
from pathlib import Path

from lab.datapath.flows import FLOWS, FlowEntry, export_flows, import_flows, read_flows
from lab.datapath.maps import Map, opened
from lab.datapath.pins import PINS, map_pins
from lab.datapath.show import Listing, Row, interface_name

PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}


def listing(maps: Path | None = None) -> Listing:
    """All connections, for `show flows`.

    Raises:
        DatapathError: there is no switch on this node.
    """
    with _flows(maps) as flows:
        return {"flows": [_row(entry) for entry in read_flows(flows)]}


def exported(interface: str, maps: Path | None = None) -> str:
    """The connections of a vport as JSON text; none where the interface is gone.

    Raises:
        DatapathError: there is no switch on this node.
    """
    try:
        ifindex = socket.if_nametoindex(interface)
    except OSError:
        return "[]"
    with _flows(maps) as flows:
        return json.dumps(export_flows(flows, ifindex))


def imported(ifindex: int, text: str, maps: Path | None = None) -> int:
    """Make connections known that another node has exported; how many.

    Args:
        ifindex: that the port has here, or is going to have.

    Raises:
        DatapathError: there is no switch on this node.
        InvalidPolicyError: the text holds something else.
    """
    with _flows(maps) as flows:
        return import_flows(flows, ifindex, json.loads(text))


def _row(entry: FlowEntry) -> Row:
    return {
        "interface": interface_name(entry.ifindex) or str(entry.ifindex),
        "protocol": PROTOCOLS.get(entry.protocol, str(entry.protocol)),
        "local": str(entry.local),
        "local_port": entry.local_port,
        "remote": str(entry.remote),
        "remote_port": entry.remote_port,
        "opener": entry.opener.name.lower(),
        "state": entry.state.name.lower(),
        "packets": entry.packets,
        "bytes": entry.bytes,
        "idle_s": entry.idle_ns // 1_000_000_000,
    }


def _flows(maps: Path | None) -> AbstractContextManager[Map]:
    return opened((maps or map_pins(PINS)) / FLOWS)
