"""What a topology file may leave open, decided by rule: the same file always gives the same lab."""

from __future__ import annotations

import hashlib
import uuid

from lab.model.topology import Topology
from lab.model.topology_tenants import AclRuleSpec
from lab.model.types import MIN_PRIORITY, IpAddress

PRIORITY_STEP = 10
"""Between rules without a priority of their own: room for one that is put between by hand."""
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "routing-domain.hnvlab")


def default_mac(address: IpAddress) -> str:
    """A VM's MAC address: Hyper-V's OUI 00-15-5D and the last three octets of the CA, of an IPv6 CA's hash.

    Hosts of several IPv6 subnets often end alike, `::4`; a MAC address is unique in the whole VM network.
    """
    packed = address.packed if address.version == 4 else hashlib.sha256(address.packed).digest()
    return "00:15:5d:" + ":".join(f"{octet:02x}" for octet in packed[-3:])


def routing_domain(topology: Topology, tenant: str) -> str:
    """A tenant's RDID: the file's, or a GUID made of the names of lab and tenant (RFC 9562, version 5)."""
    given = topology.tenants[tenant].routing_domain
    return given or str(uuid.uuid5(_NAMESPACE, f"{topology.lab}/{tenant}"))


def priority_of(rule: AclRuleSpec, position: int) -> int:
    """A rule's priority: the file's, or one that follows from its position in the list, counted from 0."""
    return MIN_PRIORITY + PRIORITY_STEP * position if rule.priority is None else rule.priority
