"""Where a node's switch is pinned on the BPF file system."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BPFFS = Path("/sys/fs/bpf")
PINS = BPFFS / "hnv"
FRONT_END_PINS = BPFFS / "hnv-front-end"
"""Of a gateway's front end."""
ACCESS_PINS = BPFFS / "hnv-access"
"""Of a top-of-rack switch's access ports."""


def map_pins(pins: Path) -> Path:
    """Directory of the maps, each under its name."""
    return pins / "maps"


def link_pins(pins: Path) -> Path:
    """Directory of the attachments, each under its interface's index."""
    return pins / "links"


@contextmanager
def settings_locked(maps: Path) -> Iterator[None]:
    """Nobody else rewrites the switch's settings: the agent does, and whoever follows a packet.

    Args:
        maps: directory of the maps.
    """
    directory = os.open(maps, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
