"""Changes to a document: replace or remove a child, and carry over what a PUT leaves unsaid."""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import uuid4

from lab.controller.catalog import Path, children
from lab.controller.shapes import Resource, Shape

S = TypeVar("S", bound=Shape)


def find(root: Resource[Any], path: Path) -> Resource[Any] | None:
    """The resource at a path, in the document that holds it."""
    here, at = root, path.root
    for wanted in path.ids[1:]:
        collection = path.collections[len(at.ids)]
        for below, child in children(at, here):
            if below.collection is collection and child.resource_id.lower() == wanted.lower():
                here, at = child, below
                break
        else:
            return None
    return here


def with_child(root: Resource[Any], path: Path, child: Resource[Any] | None, depth: int = 1) -> Resource[Any]:
    """The document with the resource at a path replaced, added or (None) removed.

    Every resource above it must exist.
    """
    attribute = path.collections[depth].attribute
    siblings: tuple[Resource[Any], ...] = getattr(root.properties, attribute)
    last = depth == len(path.ids) - 1
    result: list[Resource[Any]] = []
    seen = False
    for sibling in siblings:
        if sibling.resource_id.lower() != path.ids[depth].lower():
            result.append(sibling)
            continue
        seen = True
        new = child if last else with_child(sibling, path, child, depth + 1)
        result += [] if new is None else [new]
    if last and not seen and child is not None:
        result.append(child)
    properties = root.properties.model_copy(update={attribute: tuple(result)})
    return root.model_copy(update={"properties": properties})


def inherit(new: S, old: S | None) -> S:
    """Carry over what only the controller knows or the client did not repeat.

    Instance ids, the letter case of resource ids, and the fields that a shape inherits come from
    the resource of the same id; new resources get random instance ids.

    Args:
        new: as the client sent it.
        old: as it stands in the store, or None.
    """
    updates: dict[str, Any] = {}
    for name in type(new).model_fields:
        value, before = getattr(new, name), getattr(old, name, None)
        if isinstance(value, Shape):
            updates[name] = inherit(value, before if isinstance(before, type(value)) else None)
        elif isinstance(value, tuple) and any(isinstance(item, Resource) for item in value):
            known = {item.resource_id.lower(): item for item in before or ()}
            updates[name] = tuple(inherit(item, known.get(item.resource_id.lower())) for item in value)
        elif value is None and before is not None and old is not None and name in new.inherits(old):
            updates[name] = before
    if isinstance(new, Resource):
        updates["instance_id"] = old.instance_id if isinstance(old, Resource) else str(uuid4())
        updates["resource_id"] = old.resource_id if isinstance(old, Resource) else new.resource_id
    return new.model_copy(update=updates)
