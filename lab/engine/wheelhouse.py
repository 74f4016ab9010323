"""The Python packages of the fabric image, downloaded outside of the build.

pip in a build knows neither the machine's proxy settings nor its certificates and indexes; pip on the machine
does.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from lab.engine.events import Events
from lab.engine.process import CommandFailedError, follow
from lab.engine.state import cache_root
from lab.errors import Problem, UnfitEnvironmentError

PYTHON = "3.11"
"""Python of the node images (Debian 12)."""
ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
"""What Docker calls an architecture -> what wheels call it."""
GLIBC = ("2_36", "2_34", "2_31", "2_28", "2_27", "2_24", "2_17", "2_12", "2_5")
"""manylinux versions that Debian 12 (glibc 2.36) can run."""


@dataclass(frozen=True, slots=True)
class Wheelhouse:
    """A set of wheels for one architecture, named by what it was asked for.

    Attributes:
        requirements: what is wanted (PEP 508), without what that wants in turn.
        constraints: content of a pip constraints file; empty: none.
        architecture: of the engine, as Docker calls it.
    """

    requirements: tuple[str, ...]
    constraints: str
    architecture: str

    @property
    def key(self) -> str:
        """A hash of everything that decides which wheels are in it."""
        words = "\n".join([PYTHON, self.machine, self.constraints, *self.requirements])
        return hashlib.sha256(words.encode()).hexdigest()[:16]

    @property
    def machine(self) -> str:
        """The architecture as wheels call it."""
        return ARCHITECTURES.get(self.architecture, self.architecture)

    def ensure(self, events: Events) -> Path:
        """The directory with the wheels; downloaded on the first call.

        Raises:
            UnfitEnvironmentError: pip failed; with its last words.
        """
        place = cache_root() / "wheels" / self.key
        if place.is_dir():
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f".{place.name}.partial")
        with partial.with_suffix(".lock").open("w") as lock:
            # Another `up` may be at it: its wheels are ours too. The kernel ends the lock with the process.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.is_dir():
                self._fill(place, partial, events)
        return place

    def _fill(self, place: Path, partial: Path, events: Events) -> None:
        """Whole or not at all: what a killed download left is thrown away."""
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        constraints = partial / "constraints.txt"
        constraints.write_text(self.constraints)
        wheels = partial / "wheels"
        self._download(wheels, constraints, events)
        wheels.replace(place)
        shutil.rmtree(partial)

    def _download(self, wheels: Path, constraints: Path, events: Events) -> None:
        platforms = [f"manylinux_{version}_{self.machine}" for version in GLIBC]
        platforms += [
            f"manylinux2014_{self.machine}",
            f"manylinux2010_{self.machine}",
            f"linux_{self.machine}",
        ]
        command = ["download", "--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "cp"]
        for platform in platforms:
            command += ["--platform", platform]
        command += ["--dest", str(wheels), "--constraint", str(constraints)]
        try:
            follow([sys.executable, "-m", "pip", *command, *self.requirements], events)
        except CommandFailedError as error:
            raise UnfitEnvironmentError(
                Problem(
                    code="HNV-ENG-022",
                    message="pip could not get the Python packages of the fabric image",
                    hint="its last words:\n" + error.last_words,
                )
            ) from error


def requirements_of(distribution: str, extras: Iterable[str]) -> tuple[str, ...]:
    """What an installed distribution needs at run time, with some of its extras, in a fixed order."""
    found = []
    for text in metadata.requires(distribution) or ():
        requirement, _, marker = text.partition(";")
        wanted = "extra ==" not in marker or any(f'"{e}"' in marker or f"'{e}'" in marker for e in extras)
        if wanted:
            found.append(requirement.strip())
    return tuple(sorted(found))
