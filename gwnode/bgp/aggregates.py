"""Route aggregates, which BIRD 2 lacks: an aggregate stands while a part of it is known. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_network

from lab.prefixes import Network, inside
from lab.southbound import southbound_pb2 as pb


def standing(
    wanted: Iterable[pb.BgpAggregate], known: Mapping[Network, tuple[int, ...]]
) -> dict[Network, tuple[int, ...]]:
    """The aggregates that are to be offered now, each with the AS numbers that it shows.

    With `preserve_as_path`, those are all numbers of its parts, each once: a part's own AS would take it for
    a loop, as it must (RFC 4271 §9.2.2.2; a sequence, since AS_SETs are not to be used any more, RFC 9774).

    Parameters:
        wanted: by the hoster.
        known: paths of the prefixes that can be reached.
    """
    result: dict[Network, tuple[int, ...]] = {}
    for aggregate in wanted:
        prefix = ip_network(aggregate.prefix)
        parts = sorted(
            (part for part in known if part != prefix and inside(part, prefix)),
            key=lambda part: (int(part.network_address), part.prefixlen),
        )
        if parts:
            numbers = dict.fromkeys(number for part in parts for number in known[part])
            result[prefix] = tuple(numbers) if aggregate.preserve_as_path else ()
    return result
