"""The reference of topology files, docs/topology.md, made from the types: it cannot lag behind them."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from lab.model import spec
from lab.model.codes import Code
from lab.model.spec import Spec
from lab.model.topology import Topology
from lab.model.types import (
    Address,
    Asn,
    CustomerAddress,
    CustomerPrefix,
    Guid,
    Interface,
    Kbps,
    Mac,
    Mbps,
    Metric,
    Name,
    NextHop,
    Port,
    Ports,
    Pps,
    Prefix,
    Priority,
    RoutePrefix,
    SocketAddress,
    Vlan,
    Vsid,
    Word,
)
from lab.model.types_ipv6 import Ipv6Address, Ipv6Prefix, Ipv6WithLength

REFERENCE_PATH = Path(__file__).parents[2] / "docs" / "topology.md"

_WORDS: tuple[tuple[Any, str], ...] = (
    (Name, "name"),
    (Address, "address"),
    (CustomerAddress, "IPv4 or IPv6 address"),
    (Prefix, "prefix"),
    (CustomerPrefix, "IPv4 or IPv6 prefix"),
    (RoutePrefix, "IPv4 or IPv6 prefix"),
    (NextHop, "address or `none`"),
    (Ports, "port, or `first-last`"),
    (Priority, "100 … 65000"),
    (Mbps, "Mbit/s"),
    (Pps, "packets/s"),
    (Interface, "address/length"),
    (Ipv6Address, "IPv6 address"),
    (Ipv6Prefix, "IPv6 prefix"),
    (Ipv6WithLength, "IPv6 address/length"),
    (Mac, "MAC address"),
    (Guid, "GUID"),
    (Asn, "private AS number"),
    (Kbps, "kbit/s"),
    (Port, "port"),
    (SocketAddress, "address, or address:port"),
    (Vlan, "1 … 4094"),
    (Metric, "1 … 9999"),
    (Vsid, "4096 … 16777214"),
    (Word, "text"),
    (spec.Flag, "true or false"),
    (str, "text"),
    (int, "number"),
    (Path, "file"),
)

_INTRODUCTION = """\
# Topology files

A lab is one YAML file: [hybrid-cloud.yml](../topologies/hybrid-cloud.yml) is one to start from.
`hnvlab validate FILE` reports everything wrong with it at once; `hnvlab up FILE` brings it up. Editors
complete and check the file when its first line is

    # yaml-language-server: $schema=../docs/topology.schema.json

Made by `python -m lab.model.schema` from `lab/model/topology.py`; do not edit.

## What follows by rule

- The first address of every network is its router's: on the fabric the router node's, in a virtual subnet the
  distributed router's, in a site the site's own.
- Management addresses are given out in the order of the file: controller, hosts, gateways. Front-end
  addresses: the gateways, skipping the VIP and whatever else the file gives away. Provider addresses are the
  Network Controller's to give, out of the pool.
- A tenant's compartment on the gateway has the second address of the gateway subnet, and of the IPv6 one if
  there is one. Then its BGP router carries IPv6, too, and connections of type `gre` and `l3` do.
- Nodes have no IPv6, but for VMs in IPv6 subnets, edges with an `ipv6-prefix` and servers behind them with an
  `ipv6-address`: static addresses, no duplicate address detection, no router advertisements. Each subnet has
  one address family.
- A site's connection says what its router is: by `ipsec` a customer's on the internet, by `gre` or `l3` an
  edge in the datacenter. A GRE edge whose `wan` is in the front-end network stands on it, others on the
  internet; an L3 edge stands in its connection's VLAN.
- The gateways' GRE addresses are the first of `gre-vips`, in the order of the file.
- A site without `asn` has no BGP router: it reaches the tenant's subnets by static routes while its tunnel is
  up. Where its connection is not `persistent`, it waits to be called.
- Over a `line`, two sites know each other's network, and each reaches the cloud through the other while its
  own tunnel is down. With BGP, each offers the other's network, too, with both AS numbers on the path.
- Two sites of one tenant may have one network and AS number if their connections differ in `metric`: the
  lowest that is up is taken.
- Where a tenant has more than IPsec, the gateways announce VIP, GRE VIPs and the tenants' public addresses to
  the top-of-rack router by BGP.
- Where certificates are wanted, each tenant has an authority of its own, made when the lab first comes up. Of
  remote access it vouches for the tenant's gateway, called TENANT.vpn, and for the road warriors with a
  `certificate` of that tenant; of connections with `authentication: certificate`, for the gateway, called
  TENANT.gateway, and for the site, called SITE.site. Each end demands the other's name.
- Partner appliances stand on the provider network with the address that the file gives them, outside the
  pool.
- Between tenants everything may overlap: subnets, addresses, MAC addresses. Inside a VM network nothing may.
- A name is a DNS label; all nodes of a lab share one name space, and their containers are named LAB-NODE.
- Anchors, aliases and `<<` work, and problems name the line of the definition.

## Keys
"""


def reference_text() -> str:
    """The content of docs/topology.md."""
    sections = "\n".join(_section(model) for model in _models(Topology))
    codes = "\n".join(f"| `{code.code}` | {code.meaning} | {code.remedy} |" for code in Code)
    problems = f"## Problems\n\n| code | means | what to do |\n|---|---|---|\n{codes}\n"
    return f"{_INTRODUCTION}\n{sections}\n{problems}"


def _models(root: type[Spec]) -> list[type[Spec]]:
    """A model and all that it is made of, in the order of reading."""
    found: list[type[Spec]] = [root]
    for model in found:
        hints = typing.get_type_hints(model, include_extras=True)
        for name in model.model_fields:
            found += [inner for inner in _inner(hints[name]) if inner not in found]
    return found


def _inner(hint: Any) -> Iterator[type[Spec]]:
    if isinstance(hint, type) and issubclass(hint, Spec):
        yield hint
    for argument in typing.get_args(hint):
        yield from _inner(argument)


def _section(model: type[Spec]) -> str:
    hints = typing.get_type_hints(model, include_extras=True)
    about = " ".join((model.__doc__ or "").split())
    rows = [_row(name, field, hints[name]) for name, field in model.model_fields.items()]
    table = "\n".join(["| key | value | default | |", "|---|---|---|---|", *rows]) if rows else "No keys."
    return f"### {_title(model)}\n\n{about}\n\n{table}\n"


def _title(model: type[Spec]) -> str:
    return "The file" if model is Topology else model.__name__.removesuffix("Spec")


def _row(name: str, field: FieldInfo, hint: Any) -> str:
    return f"| `{field.alias or name}` | {_word(hint)} | {_default(field)} | {field.description} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    empty = isinstance(field.default, Spec | None) or field.default in ({}, (), "")
    if empty:
        return ""
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _word(hint: Any) -> str:
    """A type in a reader's words."""
    for known, word in _WORDS:
        if hint == known:
            return word
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, Spec):
        return f"[{_title(hint)}](#{_title(hint).lower().replace(' ', '-')})"
    if origin is typing.Annotated:
        return _word(arguments[0])
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_word(argument) for argument in arguments if argument is not types.NoneType)
    if origin is dict:
        return f"{_word(arguments[0])}: {_word(arguments[1])}, …"
    if origin is tuple:
        return f"list of {_word(arguments[0])}"
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    raise TypeError(f"no word for {hint!r}")
