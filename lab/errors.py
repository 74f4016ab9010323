"""The one family of errors: every refusal says where, what was expected, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What `hnvlab` ends with."""

    OK = 0
    FAILED = 1
    """A check or an operation failed."""
    USAGE = 2
    """Wrong usage, or an invalid file."""
    UNFIT = 4
    """The environment cannot run a lab: no engine, no kernel feature, no right."""
    TIMED_OUT = 5
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        code: stable identifier, `HNV-<AREA>-<NNN>`; documented under docs/errors.md and never reused.
        message: what is wrong, one sentence.
        place: where: `file:line`, a resource path, or a node.
        expected: what would have been right.
        hint: what to do about it.
    """

    code: str
    message: str
    place: str = ""
    expected: str = ""
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.place}: " if self.place else ""
        text += f"{self.message} [{self.code}]"
        if self.expected:
            text += f"\n    expected: {self.expected}"
        if self.hint:
            text += f"\n    hint: {self.hint}"
        return text

    def to_json(self) -> dict[str, str]:
        """The problem as JSON data."""
        return asdict(self)


class LabError(Exception):
    """Base of everything that hnvlab refuses or fails at.

    Attributes:
        problems: at least one problem; validation accumulates as many as it finds.
        exit_code: what the CLI ends with.
    """

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, problems: Problem | Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class InvalidTopologyError(LabError):
    """The topology file cannot be a lab."""

    exit_code = ExitCode.USAGE


class UsageError(LabError):
    """The command names something that does not exist, or cannot be meant."""

    exit_code = ExitCode.USAGE


class UnfitEnvironmentError(LabError):
    """This machine cannot do what was asked."""

    exit_code = ExitCode.UNFIT


class WaitTimeoutError(LabError):
    """A wait ended before its condition came true."""

    exit_code = ExitCode.TIMED_OUT
