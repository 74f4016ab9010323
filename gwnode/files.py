"""Files that daemons read: written whole or not at all, and only when they differ."""

from __future__ import annotations

import shutil
from pathlib import Path


def write_if_changed(path: Path, text: str, mode: int = 0o600) -> bool:
    """Write a file in one step; True if its content was another before.

    Parameters:
        mode: permission bits; by default the owner's only, as secrets may be in it.
    """
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(mode=mode)
    fresh.chmod(mode)
    fresh.write_text(text)
    fresh.rename(path)
    return True


def remove_tree(path: Path) -> None:
    """Remove a directory and what is in it; none is no error."""
    shutil.rmtree(path, ignore_errors=not path.exists())
