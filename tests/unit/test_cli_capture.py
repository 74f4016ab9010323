"""What a capture picks out: the expressions are compiled by tcpdump itself and run over real packets."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, cast

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw
from scapy.utils import rdpcap, wrpcap

from lab.cli import labs
from lab.cli.capture import _Selection
from lab.engine import capture_filter
from lab.errors import UsageError
from lab.model.lab import Lab
from lab.model.loader import load
from lab.model.resolve import resolve

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "hybrid-cloud.yml"
BLUE, BLUE_APP, RED = 5001, 5002, 6001


@pytest.fixture(scope="module")
def model() -> Lab:
    return resolve(load(TOPOLOGY))


def inner(source: str, destination: str) -> Packet:
    """A tenant's frame."""
    header = IPv6 if ":" in source else IP
    return (
        Ether(src="00:15:5d:0a:00:04", dst="00:15:5d:0a:01:04") / header(src=source, dst=destination) / ICMP()
    )


def nvgre(vsid: int, frame: Packet) -> Packet:
    outer = Ether() / IP(src="192.168.6.10", dst="192.168.6.11", flags="DF")
    return outer / GRE(key_present=1, proto=0x6558, key=vsid << 8 | 0x5A) / frame


def vxlan(vsid: int, frame: Packet) -> Packet:
    outer = Ether() / IP(src="192.168.6.10", dst="192.168.6.11", flags="DF")
    return outer / UDP(sport=50_000, dport=4789, chksum=0) / VXLAN(vni=vsid, flags=8) / frame


FRAMES = {
    "web": inner("10.0.0.4", "10.0.1.4"),
    "back": inner("10.0.1.4", "10.0.0.4"),
    "other": inner("10.0.1.5", "10.0.2.2"),
    "six": inner("fd00::4", "fd00::5"),
}
PACKETS = {
    f"{wrap.__name__} {vsid} {name}": wrap(vsid, frame)
    for wrap in (nvgre, vxlan)
    for vsid in (BLUE, BLUE_APP, RED)
    for name, frame in FRAMES.items()
} | {
    "plain": FRAMES["web"],
    "ping of a provider address": Ether()
    / IP(src="192.168.6.10", dst="192.168.6.11")
    / ICMP()
    / Raw(bytes(60)),
    "GRE without a key": Ether() / IP() / GRE(proto=0x6558) / Raw(BLUE.to_bytes(3, "big") + bytes(60)),
}


def matched(expression: str, directory: Path) -> set[str]:
    """Names of the packets that an expression lets through, as tcpdump judges."""
    if shutil.which("tcpdump") is None:
        pytest.skip("no tcpdump here")
    every, kept = directory / "every.pcap", directory / "kept.pcap"
    wrpcap(str(every), list(PACKETS.values()))
    command = ["tcpdump", "-r", str(every), "-w", str(kept), expression]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    left = [bytes(packet) for packet in cast("Any", rdpcap(str(kept)))]
    return {name for name, packet in PACKETS.items() if bytes(packet) in left}


def test_a_virtual_subnet_is_told_by_the_key_and_the_vni(tmp_path: Path) -> None:
    assert matched(capture_filter.of_vsids([BLUE]), tmp_path) == {
        name for name in PACKETS if f" {BLUE} " in name
    }


def test_a_tenant_is_all_its_subnets_and_nothing_of_another(model: Lab, tmp_path: Path) -> None:
    found = matched(capture_filter.of_tenant(labs.tenant(model, "blue")), tmp_path)
    assert found == {name for name in PACKETS if f" {BLUE} " in name or f" {BLUE_APP} " in name}


def test_a_vm_is_its_address_in_its_own_tenant(model: Lab, tmp_path: Path) -> None:
    found = matched(capture_filter.of_vm(*labs.vm(model, "red-web")), tmp_path)
    assert found == {f"{wrap} {RED} {name}" for wrap in ("nvgre", "vxlan") for name in ("web", "back")}


def test_a_vm_may_have_an_ipv6_address(model: Lab, tmp_path: Path) -> None:
    tenant, vm = labs.vm(model, "red-web")
    six = replace(vm, address=cast("Any", IPv6Address("fd00::5")))
    assert matched(capture_filter.of_vm(tenant, six), tmp_path) == {f"nvgre {RED} six", f"vxlan {RED} six"}


def test_the_users_own_filter_narrows_further(tmp_path: Path) -> None:
    (expression,) = capture_filter.combined([capture_filter.of_vsids([BLUE])], ["udp", "or", "icmp"])
    assert matched(expression, tmp_path) == {name for name in PACKETS if name.startswith(f"vxlan {BLUE} ")}


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ([], ["(A) and (B)"]),
        (["ip", "proto", "47"], ["(A) and (B) and (ip proto 47)"]),
        (["-v", "-s", "96", "icmp"], ["-v", "-s", "96", "(A) and (B) and (icmp)"]),
        (["-XX", "--number"], ["-XX", "--number", "(A) and (B)"]),
    ],
)
def test_tcpdumps_options_stay_in_front_of_the_filter(words: list[str], arguments: list[str]) -> None:
    assert capture_filter.combined(["A", "B"], words) == arguments
    assert capture_filter.combined([], words) == words


def test_only_provider_interfaces_have_something_to_pick_from(model: Lab) -> None:
    assert capture_filter.provider_interfaces(model, "hv01") == ("pa0",)
    assert capture_filter.provider_interfaces(model, "tor") == ("br-pa", "p-hv01", "p-hv02", "p-gw01")
    assert capture_filter.provider_interfaces(model, "blue-web") == ()


def test_what_cannot_be_picked_is_refused(monkeypatch: pytest.MonkeyPatch, model: Lab) -> None:
    monkeypatch.setattr(labs, "topology", lambda _name: model)
    assert _Selection(None, None, None).narrowed("x", "nowhere", "eth0", ["icmp"]) == ["icmp"]
    with pytest.raises(UsageError) as caught:
        _Selection("blue", None, None).narrowed("x", "hv01", "v-blue-web", [])
    assert caught.value.problems[0].expected == "pa0 or any"
    for wrong, near in (
        (_Selection("bleu", None, None), "blue"),
        (_Selection(None, "red-wbe", None), "red-web"),
    ):
        with pytest.raises(UsageError) as caught:
            wrong.narrowed("x", "hv01", "pa0", [])
        assert caught.value.problems[0].hint == f"did you mean {near}?"
    with pytest.raises(UsageError, match="no virtual subnet 5009"):
        _Selection(None, None, 5009).narrowed("x", "hv01", "pa0", [])
