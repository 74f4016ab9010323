"""What the data plane refuses or fails at."""

from __future__ import annotations

from lab.errors import LabError, UnfitEnvironmentError


class InvalidPolicyError(LabError):
    """A policy that cannot be a switch's; each problem's place is the key of the record at fault."""


class DatapathError(LabError):
    """The kernel refused what a valid policy asked for."""


class NoDatapathError(UnfitEnvironmentError):
    """eBPF cannot be compiled or loaded here."""
