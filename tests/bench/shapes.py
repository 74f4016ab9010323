"""`python -m tests.bench.shapes`: what the gateway's shapes cost, side by side; prints a table in Markdown.

Brings each topology up (Docker is needed), measures, and takes it down. Memory is what Docker's engine counts
for the containers that a shape has besides the tenants' own: gateways, or gateway VMs with their host.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import docker

from lab.testing import RunningLab, hnvlab

ROOT = Path(__file__).parents[2]
SHAPES = {
    "gateway-2012": ("hostgw", "blue-gw", "red-gw"),
    "gateway-2012r2": ("gw01", "gw02"),
}
MIB = 1 << 20


def memory_mib(container: str) -> float:
    """What a container uses, without the page cache that can be dropped."""
    stats = docker.from_env().containers.get(container).stats(stream=False)["memory_stats"]
    return float(stats["usage"] - stats["stats"].get("inactive_file", 0)) / MIB


def measure(name: str) -> list[str]:
    """A row for each container of the gateway's, and one for the lab."""
    hnvlab("down", name)
    began = time.monotonic()
    lab = RunningLab.bring_up(ROOT / "topologies" / f"{name}.yml")
    took_s = time.monotonic() - began
    try:
        hnvlab("check", name)
        parts = {node: memory_mib(f"{name}-{node}") for node in SHAPES[name]}
        count = len(lab.containers())
    finally:
        lab.take_down()
    each = ", ".join(f"{node} {size:.0f}" for node, size in parts.items())
    return [name, str(count), str(len(parts)), f"{sum(parts.values()):.0f} ({each})", f"{took_s:.1f}"]


def main() -> int:
    """Measure all shapes."""
    print("| shape | containers | of the gateway | their memory, MiB | up after, s |")
    print("|---|---|---|---|---|")
    for name in SHAPES:
        print(f"| {' | '.join(measure(name))} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
