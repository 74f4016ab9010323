"""Looking into the running lab: captures of one tenant, tables of a switch."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from lab.testing import RunningLab, dissect, hnvlab
from lab.testing.running import COMMAND

RED = {6001, 6002, 6003}


def captured(lab: RunningLab, *arguments: str) -> str:
    """What a capture prints that ends by itself, while both tenants talk across hv01's provider link."""
    process = subprocess.Popen(
        [*COMMAND, "capture", "--lab", lab.name, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any("listening on" in line for line in process.stderr), "tcpdump did not begin"
    lab.run("blue-web", "ping", "-c", "3", "-i", "0.2", "-W", "2", "10.0.1.4").check()
    lab.run("red-app", "ping", "-c", "3", "-i", "0.2", "-W", "2", "10.0.0.4").check()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return out


def test_a_capture_of_one_tenant_holds_nothing_of_another(lab: RunningLab, tmp_path: Path) -> None:
    file = tmp_path / "red.pcap"
    captured(lab, "hv01:pa0", "--tenant", "red", "-c", "6", "-w", str(file))
    keys = [int(row[0], 16) for row in dissect(file, ("gre.key",))]
    assert len(keys) == 6
    assert {key >> 8 for key in keys} <= RED


def test_a_capture_of_one_vm_is_readable_as_it_comes(lab: RunningLab) -> None:
    text = captured(lab, "hv01:pa0", "--vm", "blue-web", "-c", "4", "--", "-v")
    assert text.count("GREv0") == 4
    assert text.count("10.0.0.4 > 10.0.1.4: ICMP echo request") == 2
    assert text.count("10.0.1.4 > 10.0.0.4: ICMP echo reply") == 2


def test_a_switch_is_shown_without_its_agent(lab: RunningLab) -> None:
    lab.run("hv01", "s6-svc", "-wD", "-d", "/run/service/hvhost").check()
    try:
        shown = json.loads(hnvlab("show", "ports", "hv01", "--lab", lab.name, "--json").stdout)
        text = hnvlab("show", "policy", "hv01", "--lab", lab.name).stdout
    finally:
        lab.run("hv01", "s6-svc", "-u", "/run/service/hvhost").check()
    assert {row["interface"] for row in shown["ports"]} == {"v-blue-web", "v-red-app"}
    assert "192.168.50.0/24" in text
    assert "CUSTOMER ADDRESS" in text
