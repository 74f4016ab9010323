"""Which process of this machine a throw-away container belongs to, and whether that process still runs.

A process that is killed outright leaves its helpers behind; by this mark `gc` tells them from those in use.
"""

from __future__ import annotations

import os
from pathlib import Path

LABEL = "hnvlab.owner"
"""Label of throw-away containers: the process that waits for it."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PID_SPACE = Path("/proc/self/ns/pid")


def mark() -> str:
    """Names this process, and no other one before or after it; empty where the system does not tell."""
    started = start_time(os.getpid())
    return f"{_here()} {os.getpid()} {started}" if started is not None else ""


def alive(text: str) -> bool | None:
    """Whether the process that made the mark still runs; None: from here that cannot be seen."""
    here, _, process = text.rpartition(" ")[0].rpartition(" ")
    started = text.rpartition(" ")[2]
    if not text or here != _here():
        return None
    return str(start_time(int(process))) == started


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks after boot (proc_pid_stat(5), field 22); None: there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] in "ZX" else int(fields[19])


def _here() -> str:
    """The boot and the PID namespace in which a process id means something."""
    try:
        return f"{_BOOT.read_text().strip()} {_PID_SPACE.readlink()}"
    except OSError:
        return ""
