"""What lies between the default compartment and the namespaces behind it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network


@dataclass(frozen=True, slots=True)
class Transit:
    """The /31 between the default compartment and what a leg leads to (RFC 3021)."""

    network: IPv4Network

    @property
    def outer(self) -> IPv4Address:
        """Address of the leg."""
        return self.network[0]

    @property
    def inner(self) -> IPv4Address:
        """Address of the other end."""
        return self.network[1]
