"""What a topology file may leave open, decided by rule: the same file always gives the same lab."""

from __future__ import annotations

import uuid
from ipaddress import IPv4Address

from lab.model.topology import Topology

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "routing-domain.hnvlab")


def default_mac(address: IPv4Address) -> str:
    """A VM's MAC address: Hyper-V's OUI 00-15-5D and the last three octets of the CA."""
    return "00:15:5d:" + ":".join(f"{octet:02x}" for octet in address.packed[1:])


def routing_domain(topology: Topology, tenant: str) -> str:
    """A tenant's RDID: the file's, or a GUID made of the names of lab and tenant (RFC 9562, version 5)."""
    given = topology.tenants[tenant].routing_domain
    return given or str(uuid.uuid5(_NAMESPACE, f"{topology.lab}/{tenant}"))
