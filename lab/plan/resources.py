"""Bodies of the Network Controller's resources, as every one of them is written."""

from __future__ import annotations

from typing import Any

Resource = tuple[str, dict[str, Any]]
"""Path below /networking/v1, and body."""


def ref(path: str) -> dict[str, str]:
    """A reference to a resource."""
    return {"resourceRef": path}


def resource(path: str, properties: dict[str, Any]) -> Resource:
    """A resource under its path."""
    return path, body(path.rsplit("/", 1)[1], properties)


def body(resource_id: str, properties: dict[str, Any]) -> dict[str, Any]:
    """A resource, or a child that stands in its parent's body."""
    return {"resourceId": resource_id, "properties": properties}
