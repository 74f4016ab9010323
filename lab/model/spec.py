"""What every part of a topology file has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Strict, StringConstraints

Flag = Annotated[bool, Strict()]
Text = Annotated[str, StringConstraints(min_length=1)]


def _kebab(field: str) -> str:
    return field.rstrip("_").replace("_", "-")


class Spec(BaseModel):
    """Base of everything in the file: immutable, no unknown keys, kebab-case."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=_kebab)
