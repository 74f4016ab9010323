"""The assertions that stand in a topology file, as data; `lab/checks` runs them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """A URL fetched from a node answers 200, and its body contains a text."""

    name: str
    node: str
    url: str
    contains: str


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """A TCP connection from a node can be opened, or cannot."""

    name: str
    node: str
    address: IPv4Address | IPv6Address
    port: int
    reachable: bool


@dataclass(frozen=True, slots=True)
class DnsCheck:
    """A name resolves, by the node's own name servers, to an address."""

    name: str
    node: str
    query: str
    address: IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class PingCheck:
    """An address answers a node's echo request, or does not."""

    name: str
    node: str
    address: IPv4Address | IPv6Address
    reachable: bool


@dataclass(frozen=True, slots=True)
class TracerouteCheck:
    """The hops that a node's packets take to an address, the address itself last."""

    name: str
    node: str
    address: IPv4Address | IPv6Address
    hops: tuple[IPv4Address | IPv6Address, ...]


@dataclass(frozen=True, slots=True)
class PolicyCheck:
    """A host's policy holds a customer route of a tenant, or does not.

    Attributes:
        node: the host.
        routing_domain: the tenant's RDID.
    """

    name: str
    node: str
    tenant: str
    routing_domain: str
    prefix: IPv4Network | IPv6Network
    present: bool


@dataclass(frozen=True, slots=True)
class PolicyEntriesCheck:
    """How many entries a node's policy has; `at_most` None: any number."""

    name: str
    node: str
    at_least: int
    at_most: int | None


Check = HttpCheck | TcpCheck | DnsCheck | PingCheck | TracerouteCheck | PolicyCheck | PolicyEntriesCheck
