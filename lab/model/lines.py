"""Lines between sites of one corporation: its own WAN, which the hoster knows nothing of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from lab.model.lab import InterfaceAddress, Link, LinkEnd, Route
from lab.model.names import interface_name
from lab.model.topology import SiteSpec, Topology
from lab.model.types import VM_MTU, IpNetwork

BACKUP_METRIC = 1000
"""Of the way into the cloud through another site: worse than by the site's own tunnel."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another site of the corporation, as one of the line's ends sees it.

    Attributes:
        own: this end's address on the line.
        address: the other end's.
    """

    name: str
    spec: SiteSpec
    own: IPv4Interface
    address: IPv4Address

    @property
    def interface(self) -> str:
        """This end's interface."""
        return line_interface(self.name)


def line_interface(neighbour: str) -> str:
    """The interface of a line, by where it leads."""
    return interface_name("x-", neighbour)


def ends(prefix: IPv4Network) -> tuple[IPv4Address, IPv4Address]:
    """The two addresses of a line: of the site that it leads to, and of the one that has it in the file."""
    return prefix.network_address + 1, prefix.network_address + 2


def neighbours(topology: Topology, site: str) -> Iterator[Neighbour]:
    """The sites that a site has a line to, whichever of them has it in the file."""
    for name, spec in topology.sites.items():
        line = spec.line
        if line is None or site not in (name, line.to) or line.to not in topology.sites:
            continue
        far, near = ends(line.prefix)
        own, other = (near, far) if name == site else (far, near)
        peer = line.to if name == site else name
        yield Neighbour(peer, topology.sites[peer], IPv4Interface((own, line.prefix.prefixlen)), other)


def links(topology: Topology) -> Iterator[Link]:
    """All lines."""
    for site, spec in topology.sites.items():
        if spec.line is not None:
            yield Link(
                LinkEnd(site, line_interface(spec.line.to), VM_MTU),
                LinkEnd(spec.line.to, line_interface(site), VM_MTU),
            )


def addresses(topology: Topology, site: str) -> tuple[InterfaceAddress, ...]:
    """A site's addresses on its lines."""
    return tuple(InterfaceAddress(item.interface, item.own) for item in neighbours(topology, site))


def routes(topology: Topology, site: str, cloud: tuple[IpNetwork, ...]) -> tuple[Route, ...]:
    """What a site reaches by its lines: the other sites' networks, and the cloud if its own tunnel is down.

    Parameters:
        cloud: the tenant's subnets.
    """
    return tuple(
        route
        for item in neighbours(topology, site)
        for route in (
            Route(item.spec.lan.prefix, item.address),
            *(Route(prefix, item.address, BACKUP_METRIC) for prefix in cloud),
        )
    )


def carried(topology: Topology, site: str) -> dict[str, int]:
    """Networks of other sites that a site's BGP router offers, too, with the AS of each."""
    if topology.sites[site].asn is None:
        return {}
    return {
        str(item.spec.lan.prefix): item.spec.asn
        for item in neighbours(topology, site)
        if item.spec.asn is not None
    }
