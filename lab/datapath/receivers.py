"""Who receives the broadcast of a virtual subnet: lists in which no change ever loses a receiver. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lab.datapath import entries
from lab.datapath.image import FLOOD, Image


def settled(before: Sequence[bytes], now: Sequence[bytes]) -> list[bytes]:
    """A list of receivers without a gap, in which whoever stays keeps its place as far as possible.

    Written in order and cut at the end afterwards, no receiver that stays is ever out of it; one may stand in
    it twice for an instant.

    Args:
        before: the list as it stands.
        now: who shall be in it, in the order for newcomers.
    """
    wanted, present = set(now), set(before)
    newcomers = [item for item in now if item not in present]
    places: list[bytes | None] = [item if item in wanted else None for item in before]
    result: list[bytes] = []
    while places:
        place = places.pop(0)
        if place is None and newcomers:
            place = newcomers.pop(0)
        while place is None and places:
            place = places.pop()
        if place is not None:
            result.append(place)
    return result + newcomers


def receivers_in(image: Image) -> dict[int, list[bytes]]:
    """The lists that maps hold, by VSID."""
    lists: dict[int, dict[int, bytes]] = {}
    for key, value in image[FLOOD].items():
        vsid, index = entries.FLOOD_KEY.unpack(key)
        lists.setdefault(vsid, {})[index] = value
    return {vsid: [places[index] for index in sorted(places)] for vsid, places in lists.items()}
