"""s6 services that the agent adds to its node: each daemon is supervised by itself and outlives the agent."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from gwnode.files import remove_tree, write_if_changed
from gwnode.netns import run_tool

STOP_TIMEOUT_MS = 5000
KILL_AFTER_MS = 3000
"""What was told to end, and has not by then, is killed."""
START_TIMEOUT_MS = 5000


@dataclass(frozen=True, slots=True)
class Service:
    """A daemon.

    Attributes:
        name: of the service directory; unique on the node.
        command: what runs; stays in the foreground.
    """

    name: str
    command: tuple[str, ...]

    def script(self) -> str:
        """The run script; logs go to the supervisor's output, and so to the container's log."""
        quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in self.command)
        return f"#!/bin/sh\nexec 2>&1\nexec {quoted}\n"


class Supervisor:
    """s6-svscan's directory on this node.

    Parameters:
        scan: the directory that s6-svscan supervises.
        definitions: where our service directories stand; linked into `scan`.
    """

    def __init__(self, scan: Path, definitions: Path) -> None:
        self._scan = scan
        self._definitions = definitions

    def ensure(self, service: Service) -> None:
        """Have a service defined and supervised; one that runs as it should is left alone.

        Raises:
            CalledProcessError: s6-svscan does not answer.
        """
        directory = self._definitions / service.name
        directory.mkdir(parents=True, exist_ok=True)
        changed = write_if_changed(directory / "run", service.script(), mode=0o755)
        write_if_changed(directory / "timeout-kill", f"{KILL_AFTER_MS}\n")
        link = self._scan / service.name
        if not link.exists():
            link.unlink(missing_ok=True)
            run_tool(
                ["s6-svlink", "-t", str(START_TIMEOUT_MS), str(self._scan), str(directory), service.name]
            )
        elif changed:
            run_tool(["s6-svc", "-r", str(link)])

    def remove(self, name: str) -> None:
        """Stop a service and forget it; returns when its process is gone.

        Raises:
            CalledProcessError: it would not end, though s6 has killed it.
        """
        link = self._scan / name
        if os.path.lexists(link):
            if link.exists():
                # Down first and waited for: what the service owns must be free when this returns.
                run_tool(["s6-svc", "-wD", "-T", str(STOP_TIMEOUT_MS), "-d", str(link)])
            run_tool(["s6-svunlink", "-t", str(STOP_TIMEOUT_MS), str(self._scan), name])
        remove_tree(self._definitions / name)

    def names(self, prefixes: Collection[str]) -> set[str]:
        """Names of our services that begin with one of some prefixes."""
        if not self._definitions.is_dir():
            return set()
        return {
            entry.name
            for entry in self._definitions.iterdir()
            if any(entry.name.startswith(prefix) for prefix in prefixes)
        }
