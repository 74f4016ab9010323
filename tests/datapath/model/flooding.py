"""Broadcast and multicast: one copy for each receiver of the VSID."""

from __future__ import annotations

from ipaddress import IPv4Address

from lab.datapath.abi import Drop
from lab.datapath.policy import Port

from .outcome import Ended
from .tables import Tables

COPIES_MAX = 64


def receivers(tables: Tables, vsid: int, sender: Port | None) -> tuple[list[IPv4Address], list[Port]]:
    """Who gets a copy: other nodes' PAs (when a VM of this node sends) and this node's ports."""
    ports = [p for p in tables.policy.ports if p.vsid == vsid and p is not sender]
    away = {r.provider_address for r in tables.policy.lookups if r.vsid == vsid} - tables.own_addresses
    addresses = sorted(away) if sender else []
    if not 0 < len(ports) + len(addresses) <= COPIES_MAX:
        raise Ended(Drop.BUM)
    return addresses, ports
