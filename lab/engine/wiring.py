"""The links of a lab as JSON-able data. Pure; `lab.engine.netlink` makes them be.

Everything is named by node; which network namespace belongs to a node (the one of its container's first
process) is given beside the wiring, because it changes with each start of a container while the wiring does
not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lab.model.lab import Lab, LinkEnd


@dataclass(frozen=True, slots=True)
class Port:
    """A network interface of a node: one end of a link.

    Attributes:
        node: name of the node.
        name: name of the interface, at most 15 characters (IFNAMSIZ).
        mac: hardware address, `aa:bb:cc:dd:ee:ff`; empty: the kernel's choice.
        mtu: largest packet, in bytes, without the Ethernet header.
        bridge: the bridge of the same node that the interface is a port of; empty: none.
        alias: the interface's alias (`ifalias`); by it agents recognise their ports. Empty: none.
        addresses: addresses with prefix length, `10.0.0.4/24`.
        fixed: other addresses that the interface has are removed. Else they are left alone: an agent may have
            set them.
    """

    node: str
    name: str
    mac: str = ""
    mtu: int = 1500
    bridge: str = ""
    alias: str = ""
    addresses: tuple[str, ...] = ()
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Absent:
    """An interface that a node must not have; with it goes the far end of its link."""

    node: str
    name: str


@dataclass(frozen=True, slots=True)
class Link:
    """A veth pair between two nodes, made in place: neither end is ever in the machine's own namespace."""

    a: Port
    b: Port


@dataclass(frozen=True, slots=True)
class Bridge:
    """A learning bridge inside a node's namespace: a segment of the fabric or of a site's LAN."""

    port: Port


@dataclass(frozen=True, slots=True)
class Route:
    """A static route of a node: `prefix` through the next hop `via`; `metric` 0: the kernel's own."""

    node: str
    prefix: str
    via: str
    metric: int = 0


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A setting of one of a node's interfaces, e.g. `net.ipv4.conf.eth0.rp_filter`.

    Set when all interfaces exist and before they are up. Settings of a whole namespace are Docker's to set.
    """

    node: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Wiring:
    """Everything between and in the namespaces of a lab that the engine sets."""

    bridges: tuple[Bridge, ...] = ()
    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()
    absent: tuple[Absent, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The wiring as JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Wiring:
        """The wiring that `to_json` wrote.

        Raises:
            TypeError: the data has a field that no wiring has.
        """
        return cls(
            bridges=tuple(Bridge(_port(item["port"])) for item in data["bridges"]),
            links=tuple(Link(_port(item["a"]), _port(item["b"])) for item in data["links"]),
            routes=tuple(Route(**item) for item in data["routes"]),
            sysctls=tuple(Sysctl(**item) for item in data["sysctls"]),
            absent=tuple(Absent(**item) for item in data["absent"]),
        )

    def ports(self) -> tuple[Port, ...]:
        """Every interface: bridges first, then both ends of each link."""
        return tuple(b.port for b in self.bridges) + tuple(
            end for link in self.links for end in (link.a, link.b)
        )

    def nodes(self) -> frozenset[str]:
        """Names of all nodes whose namespaces the wiring touches."""
        return frozenset(
            [p.node for p in self.ports()]
            + [item.node for part in (self.routes, self.sysctls, self.absent) for item in part]
        )

    def among(self, running: frozenset[str]) -> Wiring:
        """The part of the wiring that needs no other node than those given."""
        return Wiring(
            bridges=tuple(b for b in self.bridges if b.port.node in running),
            links=tuple(item for item in self.links if {item.a.node, item.b.node} <= running),
            routes=tuple(r for r in self.routes if r.node in running),
            sysctls=tuple(s for s in self.sysctls if s.node in running),
            absent=tuple(a for a in self.absent if a.node in running),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an application of a wiring did.

    Attributes:
        changes: one line for each thing that was not yet as wanted; empty when all stood already.
    """

    changes: tuple[str, ...] = field(default=())


def of(lab: Lab) -> Wiring:
    """What the engine wires for a resolved lab."""
    addresses: dict[tuple[str, str], list[str]] = {}
    for node in lab.nodes.values():
        for item in node.addresses:
            addresses.setdefault((node.name, item.interface), []).append(str(item.address))

    def port(end: LinkEnd) -> Port:
        return Port(
            node=end.node,
            name=end.interface,
            mac=end.mac or "",
            mtu=end.mtu,
            bridge=end.bridge or "",
            alias=end.alias or "",
            addresses=tuple(addresses.get((end.node, end.interface), ())),
            fixed=lab.nodes[end.node].fixed,
        )

    nodes = lab.nodes.values()
    return Wiring(
        bridges=tuple(
            Bridge(port(LinkEnd(node.name, bridge.name, bridge.mtu)))
            for node in nodes
            for bridge in node.bridges
        ),
        links=tuple(Link(port(link.first), port(link.second)) for link in lab.links),
        routes=tuple(
            Route(node.name, str(route.destination), str(route.via), route.metric)
            for node in nodes
            for route in node.routes
        ),
        sysctls=tuple(
            Sysctl(node.name, key, value) for node in nodes for key, value in node.interface_sysctls.items()
        ),
        absent=tuple(Absent(node.name, name) for node in nodes for name in node.absent),
    )


def _port(data: Mapping[str, Any]) -> Port:
    return Port(**{**data, "addresses": tuple(data["addresses"])})
