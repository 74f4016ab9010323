"""Where a node's switch is pinned on the BPF file system."""

from __future__ import annotations

from pathlib import Path

BPFFS = Path("/sys/fs/bpf")
PINS = BPFFS / "hnv"


def map_pins(pins: Path) -> Path:
    """Directory of the maps, each under its name."""
    return pins / "maps"


def link_pins(pins: Path) -> Path:
    """Directory of the attachments, each under its interface's index."""
    return pins / "links"
