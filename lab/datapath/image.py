"""The content of the kernel's maps, and the order in which one content becomes another. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

VPORTS = "hnv_vports_v2"
SUBNETS = "hnv_subnets_v1"
LOOKUP = "hnv_lookup_v1"
LOCALS = "hnv_locals_v1"
MEMBERS = "hnv_members_v1"
DOMAINS = "hnv_domains_v1"
ROUTES = "hnv_routes_v2"
PROVIDERS = "hnv_providers_v1"
FLOOD = "hnv_flood_v1"
ACLS = "hnv_acls_v1"
ACL_RULES = "hnv_acl_rules_v1"
SETTINGS = "hnv_settings_v3"
METRICS = "hnv_metrics_v1"
FLOWS = "hnv_flows_v1"
METERS = "hnv_meters_v1"
TRACES = "hnv_traces_v1"
EVENTS = "hnv_events_v1"
TRACE_EVENTS = "hnv_trace_events_v1"

MAKE_ORDER = (
    DOMAINS,
    SUBNETS,
    MEMBERS,
    LOOKUP,
    ROUTES,
    PROVIDERS,
    FLOOD,
    ACLS,
    ACL_RULES,
    SETTINGS,
    VPORTS,
    LOCALS,
)
"""Make before break: what an entry leads to is there before the entry; a port speaks last. Removals go the
other way: a port is silent before its policy goes, a domain's number is free only after its last use."""

Content = dict[bytes, bytes]
Image = dict[str, Content]
"""By map name; all maps that hold policy."""
Wanted = dict[str, dict[bytes, bytes | None]]
"""By map name, what some keys shall hold; None: nothing."""


@dataclass(frozen=True, slots=True)
class Step:
    """Entries to set, or to remove, in one map."""

    map_name: str
    upserts: Content
    removes: tuple[bytes, ...]


def empty_image() -> Image:
    """What the maps hold before the first policy, but for the settings, which are always there."""
    return {name: {} for name in MAKE_ORDER}


def steps_between(current: Image, wanted: Image, order: Sequence[str] = MAKE_ORDER) -> list[Step]:
    """What takes the maps from one content to another, make before break; nothing to do: no steps.

    Args:
        current: what they hold.
        wanted: what they are to hold.
        order: of the maps, as `MAKE_ORDER`.
    """
    return in_order(
        Step(
            name,
            {k: v for k, v in wanted[name].items() if current[name].get(k) != v},
            tuple(k for k in current[name] if k not in wanted[name]),
        )
        for name in order
    )


def steps_to(current: Image, wanted: Wanted) -> list[Step]:
    """What makes the keys in `wanted` be so, make before break; other keys are left alone."""
    return in_order(
        Step(
            name,
            {k: v for k, v in entries.items() if v is not None and current[name].get(k) != v},
            tuple(k for k, v in entries.items() if v is None and k in current[name]),
        )
        for name in MAKE_ORDER
        if (entries := wanted.get(name))
    )


def in_order(steps: Iterable[Step]) -> list[Step]:
    """Each step split into what it makes and what it breaks, in the order of `MAKE_ORDER` and back.

    Args:
        steps: at most one for each map, in the order of `MAKE_ORDER`.
    """
    given = list(steps)
    makes = [Step(step.map_name, step.upserts, ()) for step in given if step.upserts]
    breaks = [Step(step.map_name, {}, step.removes) for step in given if step.removes]
    return makes + breaks[::-1]


def take(image: Image, steps: Iterable[Step]) -> None:
    """Do to an image what the steps do to the kernel."""
    for step in steps:
        content = image[step.map_name]
        content.update(step.upserts)
        for key in step.removes:
            content.pop(key, None)


def overfull(image: Image, steps: Iterable[Step], room: Mapping[str, int]) -> list[tuple[str, int]]:
    """Maps that could not hold old and new entries side by side, with the entries needed.

    Args:
        image: the content before.
        steps: of `in_order`.
        room: how many entries fit, by map name.
    """
    return [
        (step.map_name, needed)
        for step in steps
        if (
            needed := len(image[step.map_name])
            + sum(1 for key in step.upserts if key not in image[step.map_name])
        )
        > room[step.map_name]
    ]
