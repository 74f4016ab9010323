"""What the engine keeps on the machine beside Docker's own objects: one directory for each lab, one for the
engine.

Places follow the XDG base directory specification: state (certificates, the lab's topology file) below
`$XDG_STATE_HOME/hnvlab`, what can be had again (wheels) below `$XDG_CACHE_HOME/hnvlab`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError, Problem


class BusyLabError(LabError):
    """Another process works on the same lab."""


def state_root(environment: Mapping[str, str] = os.environ) -> Path:
    """Where state is kept: `$XDG_STATE_HOME/hnvlab`, by default `~/.local/state/hnvlab`."""
    return Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "hnvlab"


def cache_root(environment: Mapping[str, str] = os.environ) -> Path:
    """Where things are kept that can be had again: `$XDG_CACHE_HOME/hnvlab`, by default `~/.cache/hnvlab`."""
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hnvlab"


def private_directory(path: Path) -> Path:
    """A directory that only its owner can enter; made where it is missing."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)


@dataclass(frozen=True, slots=True)
class LabRecord:
    """What is remembered of a lab that is up.

    Attributes:
        topology: the file that it was made from, absolute.
        intent: paths of the resources that were brought to its Network Controller, in order.
    """

    topology: Path
    intent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabState:
    """The directory of one lab: its certificates, its token and its record."""

    lab: str
    root: Path

    @classmethod
    def of(cls, lab: str) -> LabState:
        """The state of a lab of this user; nothing is made."""
        return cls(lab, state_root())

    @property
    def directory(self) -> Path:
        """Where the lab's files are; holds private keys."""
        return self.root / "labs" / self.lab

    def save(self, record: LabRecord) -> None:
        """Remember the lab."""
        private_directory(self.directory)
        content = {"topology": str(record.topology), "intent": record.intent}
        write_private(self.directory / "lab.json", json.dumps(content).encode())

    def load(self) -> LabRecord | None:
        """What is remembered of the lab; None: it is not up, or not this user's."""
        try:
            content = json.loads((self.directory / "lab.json").read_bytes())
        except FileNotFoundError:
            return None
        return LabRecord(Path(content["topology"]), tuple(content["intent"]))

    def remove(self) -> bool:
        """Forget the lab; True: there was something to forget."""
        if not self.directory.exists():
            return False
        shutil.rmtree(self.directory)
        return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that changes this lab. The kernel ends the lock with the process, however that
        ends.

        Raises:
            BusyLabError: another process holds the lock; the message says which.
        """
        # Beside the lab's directory, not in it: `down` removes the directory while it holds the lock.
        path = private_directory(self.root / "locks") / f"{self.lab}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
                raise BusyLabError(
                    Problem(
                        code="HNV-ENG-010",
                        message=f"process {owner} is working on the lab {self.lab}",
                        place=self.lab,
                        hint=f"wait for it, or end it (kill {owner}) and run the command again",
                    )
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(descriptor)
