"""The support bundle: what one wants to see of a lab after a test failed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from lab.testing.running import RunningLab, hnvlab

LOOKS: dict[str, tuple[tuple[str, ...], ...]] = {
    "host": (
        ("python3", "-m", "lab.hvhost", "show", "policy"),
        ("python3", "-m", "lab.hvhost", "show", "ports"),
        ("python3", "-m", "lab.hvhost", "show", "drops"),
    ),
    "gateway": (
        ("python3", "-m", "lab.hvhost", "show", "policy"),
        ("python3", "-m", "lab.hvhost", "show", "ports"),
        ("python3", "-m", "lab.hvhost", "show", "drops"),
        ("nft", "list", "ruleset"),
        ("ip", "-all", "netns", "exec", "ip", "route", "show", "table", "all"),
    ),
}
"""What to ask a node of each kind, beyond what every node is asked."""

COMMON = (("ip", "-details", "address"), ("ip", "route"), ("ip", "neighbour"))


def write_bundle(lab: RunningLab, directory: Path) -> Path:
    """Write the state and the logs of every node below a directory, one folder for each node.

    A node that can't answer leaves the reason in place of the answer: bundles are made when things broke.
    """
    directory.mkdir(parents=True, exist_ok=True)
    status = hnvlab("status", lab.name, "--json", check=False, timeout_s=60)
    (directory / "status.json").write_text(status.stdout + status.stderr)
    for container in lab.containers():
        node = container.labels["hnvlab.node"]
        folder = directory / node
        folder.mkdir(exist_ok=True)
        (folder / "log.txt").write_bytes(container.logs(timestamps=True))
        (folder / "container.json").write_text(json.dumps(container.attrs, indent=1))
        looks = (
            ()
            if container.status != "running"
            else (*COMMON, *LOOKS.get(container.labels["hnvlab.kind"], ()))
        )
        for look in looks:
            answer = subprocess.run(
                ["docker", "exec", container.name, *look],
                capture_output=True,
                text=True,
                check=False,
                timeout=30,
            )
            name = "-".join(part.strip("-") for part in look if "/" not in part)[:60]
            (folder / f"{name}.txt").write_text(answer.stdout + answer.stderr)
    return directory
