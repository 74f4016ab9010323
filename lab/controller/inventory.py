"""All resources in memory, with the indexes that checks and the compiler need: who refers to whom, and who
holds what can be held only once. Also what the controller gave out (allocations), as checks must not give it
away twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar, cast

from lab.controller.catalog import Collection, Path, parse_path, tree
from lab.controller.claims import Claim, claims
from lab.controller.shapes import Reference, Refers, Resource, Shape

P = TypeVar("P", bound=Shape)
PROVIDER_ADDRESS = "provider-address"
"""Allocation kind; owner: the node's name, for the second member of its team `<name>/1`."""
HOME = "home"
"""Allocation kind; owner: key of an interface on a host with a team; value: `<host>/<team member>`."""
COMPARTMENT_ADDRESS = "compartment-address"
"""Allocation kind; owner: the routing domain."""
COMPARTMENT_IPV6_ADDRESS = "compartment-ipv6-address"
"""The same in the IPv6 gateway subnet."""
GRE_VIP = "gre-vip"
"""Allocation kind; owner: the gateway's name; value: an address of its pool's greVipSubnets."""
PLACEMENT = "placement"
"""Allocation kind; owner: key of the virtual gateway; value: the gateway's name."""


@dataclass(frozen=True, slots=True)
class Document:
    """A top-level resource with its children, and the entity tag that covers them all."""

    path: Path
    etag: str
    resource: Resource[Any]


@dataclass(frozen=True, slots=True)
class Citation:
    """One resourceRef in a document.

    Attributes:
        holder: resource that refers.
        field: where in its properties, dotted.
        text: the resourceRef as the client wrote it.
        allowed: types that it may lead to, lower case.
    """

    holder: Path
    field: str
    text: str
    allowed: frozenset[str]

    @property
    def target(self) -> Path | None:
        """The path that it leads to; None if it is none, or of no type that the field may refer to."""
        path = parse_path(self.text)
        return path if path and not path.is_collection and path.kind in self.allowed else None


class Inventory:
    """The resources as they are now. Changed in one place only: `replace`."""

    def __init__(self) -> None:
        self._documents: dict[str, dict[str, Document]] = {}
        self._resources: dict[str, tuple[Path, Resource[Any]]] = {}
        self._referrers: dict[str, dict[str, Path]] = {}
        self._instances: dict[str, str] = {}
        self._claims: dict[tuple[str, str], str] = {}
        self.allocations: dict[tuple[str, str], str] = {}
        self._homes: Counter[str] = Counter()

    def allocate(self, changes: Mapping[tuple[str, str], str | None]) -> None:
        """Take over changed allocations; None frees one."""
        for key, value in changes.items():
            before = self.allocations.pop(key, None)
            if value is not None:
                self.allocations[key] = value
            if key[0] == HOME:
                self._homes.subtract([] if before is None else [before])
                self._homes.update([] if value is None else [value])

    def at_home(self, home: str) -> int:
        """How many interfaces are at home on a host's team member (value of a HOME allocation)."""
        return self._homes[home]

    def replace(self, path: Path, document: Document | None) -> Document | None:
        """Put a document in place of the one at this path (None: remove it) and return the one before."""
        kind = self._documents.setdefault(path.kind, {})
        before = kind.pop(path.key, None)
        if before is not None:
            self._unindex(before)
        if document is not None:
            kind[path.key] = document
            self._index(document)
        return before

    def _index(self, document: Document) -> None:
        for path, resource in tree(document.path, document.resource):
            self._resources[path.key] = (path, resource)
            self._instances[resource.instance_id] = path.key
        for citation in citations(document.path, document.resource):
            if citation.target is not None:
                self._referrers.setdefault(citation.target.key, {})[citation.holder.key] = citation.holder
        for claim in claims(document.path, document.resource):
            self._claims[claim.key] = claim.holder

    def _unindex(self, document: Document) -> None:
        for path, resource in tree(document.path, document.resource):
            del self._resources[path.key]
            self._instances.pop(resource.instance_id, None)
        for citation in citations(document.path, document.resource):
            if citation.target is not None:
                holders = self._referrers.get(citation.target.key, {})
                holders.pop(citation.holder.key, None)
                if not holders:
                    self._referrers.pop(citation.target.key, None)
        for claim in claims(document.path, document.resource):
            self._claims.pop(claim.key, None)

    def document(self, path: Path) -> Document | None:
        """The document that holds the resource at a path."""
        return self._documents.get(path.root.kind, {}).get(path.root.key)

    def find(self, path: Path) -> tuple[Path, Resource[Any]] | None:
        """A resource and its path in the letter case of its creation."""
        return self._resources.get(path.key)

    def at(self, ref: str) -> tuple[Path, Resource[Any]] | None:
        """The resource that a resourceRef leads to."""
        path = parse_path(ref)
        return None if path is None else self.find(path)

    def instance(self, guid: str) -> tuple[Path, Resource[Any]] | None:
        """The resource with an instance id."""
        key = self._instances.get(guid.lower())
        return None if key is None else self._resources[key]

    def all(self, collection: Collection[P]) -> list[tuple[Path, Resource[P]]]:
        """Every resource of a top-level type, by key."""
        documents: Mapping[str, Document] = self._documents.get(
            collection.segment.lower(), MappingProxyType({})
        )
        return [(d.path, cast("Resource[P]", d.resource)) for _, d in sorted(documents.items())]

    def named(self, collection: Collection[P], resource_id: str) -> Resource[P] | None:
        """A resource of a top-level type by its id."""
        found = self._documents.get(collection.segment.lower(), {}).get(
            Path((collection,), (resource_id,)).key
        )
        return None if found is None else cast("Resource[P]", found.resource)

    def referrers(self, path: Path) -> tuple[Path, ...]:
        """The resources that refer to the one at a path."""
        return tuple(self._referrers.get(path.key, {}).values())

    def holder(self, kind: str, value: str) -> str | None:
        """Ref of the resource that holds something that can be held only once."""
        return self._claims.get((kind, value))

    def holder_of(self, claim: Claim) -> str | None:
        """The same for a claim."""
        return self._claims.get(claim.key)


@cache
def _reference_fields(shape: type[Shape]) -> Mapping[str, frozenset[str]]:
    return {
        name: mark.collections
        for name, field in shape.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, Refers)
    }


def citations(path: Path, resource: Resource[Any]) -> Iterator[Citation]:
    """Every reference in a document."""
    for at, item in tree(path, resource):
        yield from _in_shape(at, "properties", item.properties)


def _in_shape(holder: Path, prefix: str, shape: Shape) -> Iterator[Citation]:
    allowed = _reference_fields(type(shape))
    for name, field in type(shape).model_fields.items():
        value = getattr(shape, name)
        here = f"{prefix}.{field.alias}"
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Reference):
                yield Citation(holder, here, item.resource_ref, allowed[name])
            elif isinstance(item, Shape) and not isinstance(item, Resource):
                yield from _in_shape(holder, here, item)
