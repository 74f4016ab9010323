"""Live migration of a VM of the hybrid cloud, there and back: the blackout that the VM itself sees."""

from __future__ import annotations

import json
from pathlib import Path

from lab.testing import RunningLab, hnvlab

TOPOLOGY = Path("topologies/hybrid-cloud.yml")


def blackout_ms(rounds: int) -> list[float]:
    """Milliseconds of each move; the VM sends 1,000 packets per second.

    Raises:
        AssertionError: `hnvlab` failed, or measured nothing.
    """
    lab = RunningLab.bring_up(TOPOLOGY)
    results = []
    try:
        interface, hosts = _vm_and_hosts(lab)
        for number in range(rounds):
            done = hnvlab("migrate", interface, hosts[(number + 1) % 2], "--lab", lab.name, "--json")
            blackout = json.loads(done.stdout)["blackout_ms"]
            assert blackout is not None, done.stdout
            results.append(float(blackout))
    finally:
        lab.take_down()
    return results


def _vm_and_hosts(lab: RunningLab) -> tuple[str, list[str]]:
    """The first VM, and the hosts: its own, then another."""
    with lab.controller() as api:
        first = min(api.list("/networkInterfaces"), key=lambda item: str(item["resourceId"]))
        hosts = sorted(str(item["resourceId"]) for item in api.list("/servers"))
    own = str(first["properties"]["server"]["resourceRef"]).rpartition("/")[2]
    return str(first["resourceId"]), [own, *(host for host in hosts if host != own)]
