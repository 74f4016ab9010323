"""The assertions of a topology file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Strict, StringConstraints

from lab.model.spec import Flag, Spec, Text
from lab.model.types import CustomerAddress, Name, Port, RoutePrefix


class HttpSpec(Spec):
    """The URL answers 200."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+")] = Field(
        description="What is fetched."
    )
    contains: str = Field(default="", description="A text that the body must contain.")


class TcpSpec(Spec):
    """A TCP connection can be opened."""

    address: CustomerAddress = Field(description="Destination.")
    port: Port = Field(description="Destination port.")
    reachable: Flag = Field(default=True, description="false: it must be impossible.")


class DnsSpec(Spec):
    """A name resolves."""

    name: Text = Field(description="The name to resolve with the node's own name servers.")
    address: CustomerAddress = Field(description="The address that it must have.")


class PingSpec(Spec):
    """An address answers echo requests."""

    address: CustomerAddress = Field(description="Destination.")
    reachable: Flag = Field(default=True, description="false: it must not answer.")


class TracerouteSpec(Spec):
    """The way to an address."""

    address: CustomerAddress = Field(description="Destination.")
    hops: tuple[CustomerAddress, ...] = Field(min_length=1, description="Every hop, the destination last.")


class PolicySpec(Spec):
    """A host's policy holds a customer route."""

    host: Name = Field(description="The host.")
    tenant: Name = Field(description="The tenant whose routing domain is looked at.")
    prefix: RoutePrefix = Field(description="The route's destination.")
    present: Flag = Field(default=True, description="false: the route must be absent.")


class PolicyEntriesSpec(Spec):
    """How much a node must know: entries in its switch's policy (subnets, records, routes, members)."""

    node: Name = Field(description="A host or gateway.")
    at_least: Annotated[int, Strict()] = Field(default=0, ge=0, description="Fewer are wrong.")
    at_most: Annotated[int, Strict()] | None = Field(default=None, ge=0, description="More are wrong.")


class CheckSpec(Spec):
    """An assertion; exactly one of its kinds."""

    name: Text = Field(description="What is asserted, as a sentence.")
    from_: Name | None = Field(default=None, description="The node that it is tried from (not for policies).")
    http: HttpSpec | None = Field(default=None, description="A URL is fetched.")
    tcp: TcpSpec | None = Field(default=None, description="A TCP connection is opened.")
    dns: DnsSpec | None = Field(default=None, description="A name is resolved.")
    ping: PingSpec | None = Field(default=None, description="An address is pinged.")
    traceroute: TracerouteSpec | None = Field(default=None, description="The way to an address is traced.")
    policy: PolicySpec | None = Field(default=None, description="A host's policy is looked at.")
    policy_entries: PolicyEntriesSpec | None = Field(default=None, description="A node's policy is counted.")
