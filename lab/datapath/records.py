"""Goal-state records as a switch's policy. Pure: which ports are there is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar
from uuid import UUID

from lab.datapath.errors import InvalidPolicyError
from lab.datapath.policy import (
    CustomerRoute,
    LookupRecord,
    Policy,
    Port,
    ProviderMember,
    Subnet,
)
from lab.errors import Problem
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState

COMPARTMENT_PREFIX = "compartment/"
"""What the interface id of a gateway compartment's vport begins with (southbound.proto, Port)."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """The PA that the node's provider interface shall carry.

    Attributes:
        gateway: next hop of the node's default route; None: no such route.
    """

    address: IPv4Address
    prefix_length: int
    gateway: IPv4Address | None


class _Reader:
    """Turns the records of one kind into items, and collects what cannot be read."""

    def __init__(self, goal: GoalState) -> None:
        self._goal = goal
        self._problems: list[Problem] = []

    def each(self, kind: str, build: Callable[[str, Any], Item]) -> tuple[Item, ...]:
        """One item for each record whose body is `kind`; `build` takes the key and the body."""
        items = []
        for key, record in self._goal.items():
            if record.WhichOneof("body") != kind:
                continue
            try:
                items.append(build(key, getattr(record, kind)))
            except ValueError as error:
                self._problems.append(Problem("HNV-POLICY-011", f"cannot be read: {error}", place=key))
        return tuple(items)

    def finish(self) -> None:
        """Raise InvalidPolicyError if anything could not be read."""
        if self._problems:
            raise InvalidPolicyError(self._problems)


def node_address(goal: GoalState) -> NodeAddress | None:
    """The node's PA; None while the goal state gives it none.

    Raises:
        InvalidPolicyError: it is no address, or there is more than one.
    """
    reader = _Reader(goal)
    addresses = reader.each("provider_address", _node_address)
    reader.finish()
    if len(addresses) > 1:
        raise InvalidPolicyError(
            Problem(
                "HNV-POLICY-010",
                f"the node is given {len(addresses)} provider addresses",
                place=f"provider-address/{addresses[1].address}",
                expected="one",
            )
        )
    return addresses[0] if addresses else None


def policy_of(goal: GoalState, ports: Mapping[str, int], uplink: int) -> Policy:
    """The policy that a goal state means on a node that has these interfaces.

    Args:
        goal: records of other kinds than the switch's are passed over.
        ports: ifindex of each vport that is there, by interface id. A Port record without its interface is no
            fault: the interface may come later.
        uplink: ifindex of the provider interface; 0: not there yet.

    Raises:
        InvalidPolicyError: a field cannot be read; each problem's place is its record's key.
    """
    address = node_address(goal)
    present = {
        key: record
        for key, record in goal.items()
        if record.WhichOneof("body") != "port" or record.port.interface_id in ports
    }
    reader = _Reader(present)
    policy = Policy(
        provider_address=address.address if address else None,
        uplink=uplink,
        subnets=reader.each("virtual_subnet", _subnet),
        lookups=reader.each("lookup_record", _lookup),
        routes=reader.each("customer_route", _route),
        members=reader.each("provider_member", _member),
        ports=reader.each("port", lambda key, body: _port(key, body, ports[body.interface_id])),
    )
    reader.finish()
    return policy


def _node_address(_key: str, body: pb.ProviderAddress) -> NodeAddress:
    return NodeAddress(
        IPv4Address(body.address),
        IPv4Network((0, body.prefix_length)).prefixlen,
        IPv4Address(body.gateway) if body.gateway else None,
    )


def _subnet(key: str, body: pb.VirtualSubnet) -> Subnet:
    return Subnet(key, body.vsid, UUID(body.rdid), IPv4Address(body.router_address), body.router_mac)


def _lookup(key: str, body: pb.LookupRecord) -> LookupRecord:
    return LookupRecord(
        key,
        body.vsid,
        IPv4Address(body.customer_address),
        body.mac,
        IPv4Address(body.provider_address),
    )


def _route(key: str, body: pb.CustomerRoute) -> CustomerRoute:
    next_hop = IPv4Address(body.next_hop) if body.next_hop else None
    return CustomerRoute(key, UUID(body.rdid), IPv4Network(body.prefix), body.vsid, next_hop)


def _member(key: str, body: pb.ProviderMember) -> ProviderMember:
    return ProviderMember(key, UUID(body.rdid), IPv4Address(body.provider_address), body.gateway)


def _port(key: str, body: pb.Port, ifindex: int) -> Port:
    return Port(
        key,
        ifindex,
        body.vsid,
        IPv4Address(body.customer_address),
        body.mac,
        gateway=body.interface_id.startswith(COMPARTMENT_PREFIX),
    )
