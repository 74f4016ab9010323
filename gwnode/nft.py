"""nftables: a table of ours as data (libnftables-json(5)), put in place as one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gwnode.netns import run_tool

Json = dict[str, Any]

TABLE = "hnvlab"
FAMILY, FAMILY_IPV6 = "ip", "ip6"


def chain(name: str, kind: str, hook: str, priority: int, policy: str = "accept") -> Json:
    """A base chain."""
    return _add("chain", {"name": name, "type": kind, "hook": hook, "prio": priority, "policy": policy})


def rule(chain_name: str, *expressions: Json) -> Json:
    """A rule at the end of a chain."""
    return _add("rule", {"chain": chain_name, "expr": list(expressions)})


def named_set(name: str, types: Sequence[str], elements: Iterable[Sequence[str]]) -> Json:
    """A set of (concatenated) values."""
    return _add("set", {"name": name, "type": _type(types), **_elements([_key(item) for item in elements])})


def prefix_set(name: str, prefixes: Iterable[tuple[str, int]], kind: str = "ipv4_addr") -> Json:
    """A set of prefixes of an IP version; overlapping ones become one."""
    elements = [{"prefix": {"addr": address, "len": length}} for address, length in prefixes]
    values = {"name": name, "type": kind, "flags": ["interval"], "auto-merge": True}
    return _add("set", {**values, **_elements(elements)})


def named_map(name: str, types: Sequence[str], to: str, elements: Mapping[tuple[str, ...], str]) -> Json:
    """A map from (concatenated) values to one value."""
    pairs = [[_key(key), value] for key, value in elements.items()]
    return _add("map", {"name": name, "type": _type(types), "map": to, **_elements(pairs)})


def match(left: Json, right: Any, operator: str = "==") -> Json:
    """left operator right."""
    return {"match": {"op": operator, "left": left, "right": right}}


def meta(key: str) -> Json:
    """Meta information of the packet: iifname, oifname, l4proto …"""
    return {"meta": {"key": key}}


def field(protocol: str, name: str) -> Json:
    """A header field."""
    return {"payload": {"protocol": protocol, "field": name}}


def concatenation(*parts: Json) -> Json:
    """Values taken together, for sets and maps."""
    return {"concat": list(parts)}


def mapped(key: Json, name: str) -> Json:
    """What a named map makes of a key."""
    return {"map": {"key": key, "data": f"@{name}"}}


def transaction(items: Sequence[Json], ipv6: Sequence[Json] | None = None) -> str:
    """The text for `nft -j -f -` that replaces our tables with these items: all of them, or nothing.

    Adding before deleting makes the deletion good whether or not the table is there.

    Parameters:
        items: of the table for IPv4.
        ipv6: of that for IPv6; empty: there is none; None: whatever there is stays.
    """
    commands = [*_replaced(FAMILY), *items]
    if ipv6 is not None:
        commands += [*_replaced(FAMILY_IPV6)[: 3 if ipv6 else 2], *(_of_ipv6(item) for item in ipv6)]
    return json.dumps({"nftables": commands})


def _replaced(family: str) -> list[Json]:
    table = {"table": {"family": family, "name": TABLE}}
    return [{"add": table}, {"delete": table}, {"add": table}]


def _of_ipv6(item: Json) -> Json:
    ((kind, values),) = item["add"].items()
    return {"add": {kind: {**values, "family": FAMILY_IPV6}}}


def replace_table(items: Sequence[Json], ipv6: Sequence[Json] | None = None) -> None:
    """Put our tables in place in the calling thread's network namespace; parameters as for `transaction`.

    Raises:
        subprocess.CalledProcessError: nft refuses; what stood is left as it was.
    """
    run_tool(["nft", "-j", "-f", "-"], transaction(items, ipv6))


def _add(kind: str, values: Json) -> Json:
    return {"add": {kind: {"family": FAMILY, "table": TABLE, **values}}}


def _type(types: Sequence[str]) -> str | list[str]:
    return types[0] if len(types) == 1 else list(types)


def _key(parts: Sequence[str]) -> Any:
    return parts[0] if len(parts) == 1 else {"concat": list(parts)}


def _elements(elements: list[Any]) -> Json:
    """An empty list of elements is refused by nft, none is not."""
    return {"elem": elements} if elements else {}
