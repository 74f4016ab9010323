"""What the northbound API refuses, in Microsoft's words and shape (MS-NCNBI §3.1.5.31 and §6.29)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

IN_USE = "ResourceInUse"
SECRETS = frozenset({"sharedsecret", "value", "password", "privatekey"})
"""Fields, lower case, whose value no refusal repeats."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong with a request.

    Attributes:
        code: Microsoft's error code.
        message: one sentence.
        target: the field, as a dotted path, or the resource that it is about.
    """

    code: str
    message: str
    target: str = ""

    def to_json(self) -> dict[str, str]:
        """As it stands in an error body."""
        return {"code": self.code, "message": self.message, "target": self.target}


class Refused(Exception):
    """A request that cannot be carried out; nothing has been changed.

    Attributes:
        status: HTTP status.
        complaints: at least one.
    """

    def __init__(self, status: int, complaints: Complaint | Sequence[Complaint]) -> None:
        self.status = status
        self.complaints = (complaints,) if isinstance(complaints, Complaint) else tuple(complaints)
        super().__init__("; ".join(c.message for c in self.complaints))

    def to_json(self) -> dict[str, Any]:
        """The error body: the first complaint, and all of them under `details`."""
        first = self.complaints[0]
        return {
            "error": {
                **first.to_json(),
                "innerError": f"Message: {first.message}",
                "details": [c.to_json() for c in self.complaints],
            }
        }


def invalid(message: str, target: str) -> Complaint:
    """A value that cannot be."""
    return Complaint("InvalidParameterValue", message, target)


def not_found(ref: str) -> Refused:
    """No such resource."""
    return Refused(404, Complaint("ResourceNotFound", f"The resource {ref} does not exist.", ref))


def stale(ref: str) -> Refused:
    """The If-Match header names another version than the one that is there."""
    return Refused(
        412,
        Complaint(
            "PreconditionFailed",
            f"{ref} has changed since the entity tag in If-Match was read. GET it again.",
            ref,
        ),
    )


def parent_missing(ref: str) -> Refused:
    """412 is what MS-NCNBI §2.2.1.3.4 answers when the parent is unavailable."""
    return Refused(
        412, Complaint("ParentResourceUnavailable", f"PUT the parent {ref} first: it does not exist.", ref)
    )


def in_use(ref: str, referrers: Sequence[str]) -> Complaint:
    """Something that others refer to cannot go."""
    return Complaint(IN_USE, f"{ref} is in use: {', '.join(referrers)} refers to it.", ref)


def malformed(error: ValidationError) -> Refused:
    """A body that is not of its type's shape."""
    complaints = []
    for item in error.errors(include_url=False, include_context=False):
        target = ".".join(str(part) for part in item["loc"])
        field = str(item["loc"][-1]) if item["loc"] else "body"
        if item["type"] == "missing":
            complaints.append(Complaint("MissingParameter", f"'{field}' is required.", target))
        else:
            reason = item["msg"].removeprefix("Value error, ")
            value = "..." if isinstance(item["input"], dict | list) else item["input"]
            shown = "" if field.lower() in SECRETS else f"'{value}' "
            complaints.append(invalid(f"{shown}is not a valid argument for '{field}': {reason}.", target))
    return Refused(400, complaints)
