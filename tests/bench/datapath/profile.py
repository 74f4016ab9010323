"""What the switch's programs cost a packet: the kernel's own account of them (kernel.bpf_stats_enabled)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .measure import Tools, udp_kpps
from .variants import Place

PROGRAMS = ("vport", "uplink")
_SWITCH = Path("/proc/sys/kernel/bpf_stats_enabled")
_FEWEST_RUNS = 1000


def costs_ns(tools: Tools, place: Place) -> tuple[float, Mapping[str, float]]:
    """Time between two datagrams of 64 octets with the account kept, and what each program takes of it; ns.

    Raises:
        MeasureError: the tools failed.
    """
    with _accounting():
        before = _accounts()
        kpps = udp_kpps(tools, place)
        after = _accounts()
    costs = {}
    for number, (name, time_ns, runs) in after.items():
        _, time_before, runs_before = before.get(number, (name, 0, 0))
        if runs - runs_before > _FEWEST_RUNS:
            costs[name] = (time_ns - time_before) / (runs - runs_before)
    return 1e6 / kpps, costs


@contextmanager
def _accounting() -> Iterator[None]:
    before = _SWITCH.read_text()
    _SWITCH.write_text("1")
    try:
        yield
    finally:
        _SWITCH.write_text(before)


def _accounts() -> dict[int, tuple[str, int, int]]:
    """Name, nanoseconds and runs of each program, by id."""
    shown = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, text=True, check=True)
    return {
        item["id"]: (item["name"], item.get("run_time_ns", 0), item.get("run_cnt", 0))
        for item in json.loads(shown.stdout)
        if item.get("name") in PROGRAMS
    }
