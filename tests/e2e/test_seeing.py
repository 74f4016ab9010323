"""Looking into the running lab: one packet's way, captures of one tenant, tables of a switch."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from lab.testing import RunningLab, dissect, eventually, hnvlab
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


def test_a_hosts_log_names_what_its_switch_drops(lab: RunningLab) -> None:
    assert lab.run("blue-web", "ping", "-c", "1", "-W", "1", "10.0.1.98").exit_code == 1

    def logged() -> None:
        lines = hnvlab("logs", "hv01", "--lab", lab.name).stdout
        assert "blue-web: dropped, no-record: 10.0.0.4 > 10.0.1.98 icmp" in lines

    eventually(logged, within_s=10)


def test_an_interface_is_metered_inside_its_network_and_across_the_gateway(lab: RunningLab) -> None:
    def packets() -> dict[tuple[str, str], int]:
        properties = lab.controller().get("networkInterfaces/red-app")["properties"]
        counted = properties.get("statistics", {})
        return {
            (kind, direction): counted.get(kind, {}).get(f"{direction}Packets", 0)
            for kind in ("internal", "gateway")
            for direction in ("outbound", "inbound")
        }

    before = packets()
    lab.run("red-app", "ping", "-c", "20", "-i", "0.05", "-W", "2", "10.0.0.4").check()
    lab.run("red-app", "ping", "-c", "10", "-i", "0.05", "-W", "2", "192.168.50.10").check()

    def counted() -> None:
        now = packets()
        assert all(now[way] - before[way] >= (20 if way[0] == "internal" else 10) for way in now), now

    eventually(counted, within_s=15)


def traced(lab: RunningLab, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
    """What `hnvlab trace` tells."""
    done = hnvlab("trace", *arguments, "--lab", lab.name, "--timeout", "15", "--json", check=False)
    assert done.returncode == exit_code, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def way(trace: dict[str, Any]) -> list[tuple[str, str]]:
    """Node and stage of each step, in order."""
    return [(step["node"], step["stage"]) for step in trace["steps"]]


def test_a_packet_between_hosts_is_followed_through_every_stage(lab: RunningLab) -> None:
    trace = traced(lab, "blue-web", "blue-app", "--proto", "udp", "--port", "9")
    assert trace["outcome"] == "delivered"
    switches = [step for step in way(trace) if step[0].startswith("hv")]
    assert switches == [
        *(("hv01", stage) for stage in ("vport-in", "acl-out", "routed", "lookup", "encap", "wire-out")),
        *(("hv02", stage) for stage in ("wire-in", "decap", "acl-in", "vport-out")),
    ]
    assert way(trace)[0] == ("blue-web", "sent")
    assert ("blue-app", "arrives") in way(trace)
    offsets = [step["offset_us"] for step in trace["steps"]]
    assert offsets == sorted(offsets)


def test_a_packet_to_a_site_is_followed_into_the_tunnel_and_out_of_it(lab: RunningLab) -> None:
    trace = traced(lab, "blue-web", "blue-sql", "--proto", "tcp", "--port", "5432")
    assert trace["outcome"] == "delivered"
    path = way(trace)
    order = [
        ("hv01", "encap"),
        ("gw01", "decap"),
        ("gw01", "vport-out"),
        ("gw01", "arrives"),
        ("blue-sql", "arrives"),
    ]
    assert [path.index(step) for step in order] == sorted(path.index(step) for step in order)
    assert any("compartment blue" in step["detail"] for step in trace["steps"])


def test_a_packet_to_nobody_is_told_with_the_reason_of_its_drop(lab: RunningLab) -> None:
    trace = traced(lab, "blue-web", "10.0.1.99", exit_code=1)
    assert trace["outcome"] == "dropped"
    assert "No lookup record" in trace["explanation"]
    last = trace["steps"][-1]
    assert (last["node"], last["stage"], last["reason"]) == ("hv01", "drop", "no-record")
    # Somebody else of the same address, in a network that is not ours.
    other = traced(lab, "red-app", "10.0.0.4")
    assert {node for node, _ in way(other)} == {"red-app", "hv01", "hv02", "red-web"}


def test_the_default_gateway_answers_for_itself(lab: RunningLab) -> None:
    assert traced(lab, "blue-web", "10.0.0.1")["outcome"] == "answered"


def test_another_tenants_machine_is_refused_by_name(lab: RunningLab) -> None:
    done = hnvlab("trace", "blue-web", "red-web", "--lab", lab.name, "--json", check=False)
    assert done.returncode == 2
    (error,) = json.loads(done.stdout)["errors"]
    assert error["code"] == "HNV-CLI-014"
    assert "tenant red" in error["message"]


def test_a_packet_that_its_sender_cannot_send_is_lost_there(lab: RunningLab) -> None:
    lab.run("blue-hq", "ip", "route", "add", "unreachable", "203.0.113.0/24").check()
    try:
        trace = traced(lab, "blue-hq", "203.0.113.9", exit_code=1)
    finally:
        lab.run("blue-hq", "ip", "route", "del", "unreachable", "203.0.113.0/24").check()
    assert trace["outcome"] == "lost"
    assert trace["explanation"] == "It never left its sender: No route to host."


def test_a_broadcast_is_followed_as_far_as_it_goes(lab: RunningLab) -> None:
    trace = traced(lab, "blue-web", "10.0.0.255", exit_code=1)
    assert ("hv01", "vport-in") in way(trace)
