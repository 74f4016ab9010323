"""Build contexts: what an image is made from, as files, of which both its hash and the tar are made."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

IGNORED = frozenset({"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".DS_Store"})
IGNORED_SUFFIXES = (".pyc", ".o", ".egg-info", "~")


@dataclass(frozen=True, slots=True)
class ContextFile:
    """One file of a build context.

    Attributes:
        name: path in the context.
        path: the file on this machine.
    """

    name: str
    path: Path

    @property
    def executable(self) -> bool:
        """All of its mode that counts; the rest depends on who checked the sources out."""
        return bool(self.path.stat().st_mode & 0o100)


def files_below(directory: Path, name: str = "", without: Iterable[str] = ()) -> Iterator[ContextFile]:
    """The files below a directory, in a fixed order, without caches and compiled files.

    Parameters:
        directory: where to look.
        name: path in the context under which they are put; empty: the context's root.
        without: names of directories right below `directory` that are left out.
    """
    left_out = frozenset(without)
    for parent, folders, files in os.walk(directory):
        relative = Path(parent).relative_to(directory)
        folders[:] = sorted(
            folder
            for folder in folders
            if folder not in IGNORED
            and not folder.endswith(IGNORED_SUFFIXES)
            and not (relative == Path() and folder in left_out)
        )
        for file in sorted(files):
            if file not in IGNORED and not file.endswith(IGNORED_SUFFIXES):
                yield ContextFile(str(Path(name) / relative / file), Path(parent) / file)


def digest(files: Iterable[ContextFile], *words: str) -> str:
    """A hash of names, contents and executable bits, and of further inputs: 16 hexadecimal digits."""
    total = hashlib.sha256()
    for word in words:
        total.update(b"word\0" + word.encode() + b"\0")
    for file in files:
        content = hashlib.sha256(file.path.read_bytes()).hexdigest()
        total.update(f"file\0{file.name}\0{file.executable}\0{content}\0".encode())
    return total.hexdigest()[:16]


def archive(files: Iterable[ContextFile]) -> bytes:
    """The context as a tar; equal for equal contents, so that the engine's layer cache holds."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in files:
            content = file.path.read_bytes()
            tar.addfile(
                member(file.name, len(content), 0o755 if file.executable else 0o644), io.BytesIO(content)
            )
    return buffer.getvalue()


def member(name: str, size: int, mode: int) -> tarfile.TarInfo:
    """The tar header of a regular file of root's; size in bytes."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = mode
    return info
