"""Where a node of one charon keeps what its services share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CharonPaths:
    """Where charon and its agent find each other.

    Attributes:
        state: sockets and rendered configuration files.
    """

    state: Path = Path("/run/hnvlab")

    @property
    def vici(self) -> Path:
        """charon's VICI socket."""
        return self.state / "charon.vici"

    @property
    def causes(self) -> Path:
        """charon's log file of causes."""
        return self.state / "charon.log"

    @property
    def strongswan(self) -> Path:
        """strongswan.conf."""
        return self.state / "strongswan.conf"
