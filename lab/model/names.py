"""Names that Linux limits."""

from __future__ import annotations

import hashlib

MAX_INTERFACE_NAME = 15
"""IFNAMSIZ of the kernel's if.h, without the final zero."""
_HASH_LENGTH = 6


def interface_name(prefix: str, name: str) -> str:
    """The name of an interface that belongs to a node or tenant: `v-blue-web`.

    A name of more than 15 characters is cut and ends in a hash of the whole, so that two long names that
    begin alike stay apart: `v-a-very-lo3f9c`.
    """
    whole = prefix + name
    if len(whole) <= MAX_INTERFACE_NAME:
        return whole
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH_LENGTH]
    return whole[: MAX_INTERFACE_NAME - _HASH_LENGTH] + digest
