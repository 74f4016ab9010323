"""How long `hnvlab up` takes, phase by phase, beside plain parallel `docker run` of the same containers.

The floor starts the very same images and commands with the Docker engine alone, as many at once as `up`
does: no network, no files, no wiring, nothing to converge. Rounds alternate floor and lab, so that both see
the same machine; the ratio is taken round by round. Images are built before the first round.

    python -m tests.bench.up [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container
from rich.console import Console
from rich.table import Table

from lab.testing import RunningLab, hnvlab

TOPOLOGY = Path("topologies/hybrid-cloud.yml")
AT_ONCE = 8
"""Containers started at a time, by `up` and by the floor."""
MARK = "hnvlab.bench"


def specifications(lab: RunningLab) -> list[dict[str, Any]]:
    """What Docker alone must know of every container of a lab to start the same program."""
    specs = []
    for container in lab.containers():
        config, host = container.attrs["Config"], container.attrs["HostConfig"]
        specs.append(
            {
                "image": config["Image"],
                "command": config["Cmd"],
                "environment": config["Env"],
                "cap_add": host["CapAdd"],
                "security_opt": host["SecurityOpt"],
                "devices": [device["PathOnHost"] for device in host["Devices"] or ()],
                "network_mode": "none",
                "init": True,
                "labels": {MARK: "floor"},
            }
        )
    return specs


def floor_s(client: docker.DockerClient, specs: Sequence[dict[str, Any]]) -> float:
    """Seconds that the engine alone needs to start these containers."""

    def start(spec: dict[str, Any]) -> Container:
        return client.containers.run(detach=True, **spec)

    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = list(pool.map(start, specs))
    elapsed = time.monotonic() - began
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda container: container.remove(force=True), started))
    return elapsed


def up_s(lab: RunningLab) -> dict[str, float]:
    """Seconds of every phase of one `hnvlab up` from nothing; the whole command is "total"."""
    began = time.monotonic()
    done = hnvlab("up", str(lab.topology), "--json")
    total = time.monotonic() - began
    return {**json.loads(done.stdout)["phases"], "total": total}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    console = Console()
    client = docker.from_env()
    lab = RunningLab.bring_up(TOPOLOGY)
    specs = specifications(lab)
    floors, ups = [], []
    try:
        for number in range(1, rounds + 1):
            lab.take_down()
            floors.append(floor_s(client, specs))
            ups.append(up_s(lab))
            console.print(f"round {number}: floor {floors[-1]:.2f} s, up {ups[-1]['total']:.2f} s")
    finally:
        lab.take_down()
        for left in client.containers.list(all=True, filters={"label": MARK}):
            left.remove(force=True)
    table = Table(title=f"hnvlab up, {len(specs)} containers, median of {rounds} rounds")
    table.add_column("phase")
    for column in ("median s", "min s", "max s"):
        table.add_column(column, justify="right")
    rows = {"floor: parallel docker run": floors} | {name: [up[name] for up in ups] for name in ups[0]}
    for name, values in rows.items():
        table.add_row(
            name, *(f"{value:.2f}" for value in (statistics.median(values), min(values), max(values)))
        )
    console.print(table)
    ratios = [up["total"] / floor for up, floor in zip(ups, floors, strict=True)]
    console.print(
        f"up / floor: median {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
