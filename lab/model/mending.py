"""Makes broken data whole enough to be judged: one bad value must not hide what else is wrong with the file.

What cannot be read is replaced or taken away, and what the rules then say about it, or about its absence,
is not believed. The topology that comes out serves validation only; nothing is built from it.
"""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Tag, ValidationError

from lab.model.codes import Code, Finding, Path, did_you_mean
from lab.model.topology import Topology
from lab.model.topology_connections import TAG
from lab.model.types import VSID_MAX

MAX_ROUNDS = 10
"""Mending a part shows what is inside it; files are not nested deeper."""
ABOUT_ABSENCE = frozenset(
    {
        Code.SITE_UNUSED,
        Code.GATEWAY_COUNT,
        Code.EXTERNAL_ROUTER,
        Code.TEAM,
        Code.RESERVATION,
        Code.NEXT_HOP,
        Code.ACL_RULE,
        Code.CONNECTION,
        Code.GRE_VIPS,
        Code.DIAL_IN,
        Code.IPV6,
    }
)
"""Findings that may only mean that something was taken away."""
ABOUT_FABRIC = frozenset(
    {Code.PROVIDER_ADDRESS, Code.GRE_VIPS, Code.PUBLIC_ADDRESS, Code.WAN, Code.WAN_OVERLAP}
)
"""Findings outside the fabric that may only mean that the fabric is not the file's."""
STOCK_FABRIC = {
    "management": {"prefix": "198.18.0.0/18"},
    "provider": {"prefix": "198.18.64.0/18", "pool": {"first": "198.18.65.0", "last": "198.18.120.0"}},
    "front-end": {"prefix": "198.18.128.0/18", "vip": "198.18.128.9"},
    "transit": {"prefix": "198.18.192.0/18"},
}
"""In place of a fabric that cannot be read: of the range for benchmarks (RFC 2544), where nothing else is."""


@dataclass(slots=True)
class Mended:
    """Data that was made whole.

    Attributes:
        data: a copy of the document's.
        untrusted: paths below which findings mean nothing.
        removed: names of what was taken away.
    """

    data: dict[str, Any]
    untrusted: set[Path] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)

    def believed(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """The findings that are about the file, and not about the mending."""
        for finding in findings:
            if any(finding.path[: len(path)] == path for path in self.untrusted):
                continue
            if self.removed and finding.code in ABOUT_ABSENCE:
                continue
            if ("fabric",) in self.untrusted and finding.code in ABOUT_FABRIC:
                continue
            if finding.code is Code.REFERENCE and _get(self.data, finding.path) in self.removed:
                continue
            yield finding


def renamed(data: dict[str, Any], unknown: Iterable[Path]) -> Mended:
    """A copy in which each unknown key has the name that it was meant to have, or is gone."""
    mended = Mended(copy.deepcopy(data))
    for path in unknown:
        above = _get(mended.data, path[:-1])
        value = above.pop(path[-1])
        meant = _nearest(str(path[-1]), path[:-1], data)
        if meant is not None:
            above.setdefault(meant, value)
    return mended


def made_whole(mended: Mended, context: dict[str, Any]) -> Topology | None:
    """The topology that is left when everything unreadable is replaced or taken away; None: too little is."""
    for _ in range(MAX_ROUNDS):
        try:
            return Topology.model_validate(mended.data, context=context)
        except ValidationError as error:
            paths = [plain(item["loc"]) for item in error.errors()]
            if not all(_mend(mended, path) for path in paths):
                return None
    return None


def plain(location: tuple[str | int, ...]) -> Path:
    """Where something stands in the document, of where Pydantic says that it does."""
    return tuple(
        part for part in location if part != "[key]" and not (isinstance(part, str) and part.startswith(TAG))
    )


def known_keys(path: Path, data: Any) -> list[str]:
    """The keys that the mapping at a path of a document may have."""
    model = _model_at(Topology, path, data)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _mend(mended: Mended, path: Path) -> bool:
    """Replace or take away what is wrong at a path; False: nothing can be done."""
    data = mended.data
    match path:
        case ("lab",):
            data["lab"], touched = "lab", path
        case ("fabric", *_):
            data["fabric"], touched = copy.deepcopy(STOCK_FABRIC), path[:1]
        case ("checks", int(index), *_):
            data["checks"][index] = {"name": f"check {index}", "ping": {"address": "198.18.0.1"}}
            touched = path[:2]
        case ("tenants", _, "subnets", _, "vsid") if isinstance(_get(data, path[:-1]), dict):
            # Counted down from the end of the range, where nobody begins.
            _get(data, path[:-1])["vsid"], touched = VSID_MAX - len(mended.untrusted), path
        case _:
            return _take_away(mended, path)
    mended.untrusted.add(touched)
    return True


def _take_away(mended: Mended, path: Path) -> bool:
    """Remove the smallest thing around a path that a topology can be without."""
    for length in range(len(path), 0, -1):
        place, key = path[: length - 1], path[length - 1]
        above = _get(mended.data, place)
        model = _model_at(Topology, place, mended.data)
        if model is not None and any(
            field.is_required() for name, field in model.model_fields.items() if (field.alias or name) == key
        ):
            continue
        if isinstance(above, dict) and key in above:
            del above[key]
            mended.removed.add(str(key))
            mended.untrusted.add(path[:length])
            return True
    # What is wrong went away together with something else.
    return any(path[: len(gone)] == gone for gone in mended.untrusted)


def _get(data: Any, path: Path) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _nearest(key: str, path: Path, data: Any) -> str | None:
    hint = did_you_mean(key, known_keys(path, data))
    return hint.split("`")[1] if hint.startswith("did you mean") else None


def _model_at(annotation: Any, path: Path, data: Any) -> type[BaseModel] | None:
    """The model that describes what stands at a path below an annotation.

    Parameters:
        annotation: of the field.
        path: from there.
        data: what stands in the field: it says which of several models is meant.
    """
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        chosen = [a for a in arguments if _tagged(a) in (None, f"{TAG}{_get(data, ('type',))}")]
        return next((found for a in chosen if (found := _model_at(a, path, data)) is not None), None)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return annotation
        for name, field_info in annotation.model_fields.items():
            if (field_info.alias or name) == path[0]:
                return _model_at(field_info.annotation, path[1:], _get(data, path[:1]))
        return None
    if path and origin in (dict, tuple):
        return _model_at(arguments[1 if origin is dict else 0], path[1:], _get(data, path[:1]))
    return None


def _tagged(annotation: Any) -> str | None:
    """The mark of a member of a union whose members are told apart."""
    metadata = typing.get_args(annotation)[1:] if typing.get_origin(annotation) is typing.Annotated else ()
    return next((item.tag for item in metadata if isinstance(item, Tag)), None)
