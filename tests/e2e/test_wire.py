"""On the wires: NVGRE on the provider network, IKE and ESP in the open, a tenant only at its own ports."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from lab.testing import RunningLab, dissect, eventually

VPORTS = {
    "hv01:v-blue-web": "blue",
    "hv02:v-blue-app": "blue",
    "hv02:v-red-web": "red",
    "hv01:v-red-app": "red",
}
VSIDS = {"10.0.0.0/24": {5001, 6001}, "10.0.1.0/24": {5002, 6002}, "10.0.2.0/29": {5003, 6003}}

FORGE = """
import socket, struct
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
router = bytes.fromhex(open("/proc/net/arp").read().split("10.0.0.1 ")[1].split()[2].replace(":", ""))
source, target = bytes([10, 0, 0, 77]), bytes([10, 0, 1, 4])
header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20, 0, 0, 64, 1, 0, source, target)
wire.send(router + wire.getsockname()[4] + b"\\x08\\x00" + header)
"""
"""Send a frame to the other tier from an address that is not the VM's."""


def flows(lab: RunningLab, company: str, count: int) -> None:
    """Open that many TCP connections from the company's PC to its web server, and one from tier to tier."""
    for _ in range(count):
        lab.run(f"{company}-pc", "curl", "--silent", "--max-time", "5", "http://10.0.0.4/").check()
    lab.run(f"{company}-web", "ping", "-c", "2", "-W", "2", "10.0.1.4").check()


def test_the_provider_network_carries_nvgre_with_the_vsid_of_the_destination(
    lab: RunningLab, tmp_path: Path
) -> None:
    with lab.capture("gw01:pa0", "hv01:pa0", directory=tmp_path) as files:
        flows(lab, "blue", 12)
        flows(lab, "red", 3)
    flow_ids = set()
    vsids = set()
    for file in files.values():
        names = ("gre.flags_and_version", "gre.proto", "gre.key", "ip.src", "ip.dst", "ip.flags.df")
        rows = dissect(file, names, "gre")
        assert rows
        for flags, protocol, key, _, destinations, dont_fragment in rows:
            assert int(flags, 16) == 0x2000
            assert int(protocol, 16) == 0x6558
            assert dont_fragment.split(",")[0] in ("1", "True")
            inner = ipaddress.ip_address(destinations.split(",")[1])
            vsid, flow_id = int(key, 16) >> 8, int(key, 16) & 0xFF
            vsids.add(vsid)
            flow_ids.add(flow_id)
            for prefix, right in VSIDS.items():
                if inner in ipaddress.ip_network(prefix):
                    assert vsid in right, f"{inner} travelled with VSID {vsid}"
                    break
            else:
                assert vsid in VSIDS["10.0.2.0/29"], f"{inner} went to the gateway with VSID {vsid}"
        assert dissect(file, ("frame.protocols",), "!gre && !arp") == []
    assert vsids >= {5001, 5002, 5003, 6001, 6003}
    assert len(flow_ids) >= 6, f"flow ids do not vary by flow: {flow_ids}"


def test_the_front_end_carries_only_ike_and_esp(lab: RunningLab, tmp_path: Path) -> None:
    with lab.capture("gw01:fe0", directory=tmp_path) as files:
        flows(lab, "blue", 3)
        flows(lab, "red", 3)
    (file,) = files.values()
    assert len(dissect(file, ("frame.number",), "esp || udpencap")) > 20
    open_text = dissect(file, ("frame.protocols",), "!(isakmp || esp || udpencap || arp)")
    assert open_text == []
    assert b"Airlines" not in file.read_bytes()


def test_no_packet_of_one_tenant_reaches_a_port_of_the_other(lab: RunningLab, tmp_path: Path) -> None:
    """Every tenant sends with its own DSCP; whatever arrives at a port with the other's is a leak."""
    tos = {"blue": "0x28", "red": "0x48"}
    with lab.capture(*VPORTS, directory=tmp_path) as files:
        for company, value in tos.items():
            for vm in ("web", "app"):
                for target in ("10.0.0.4", "10.0.1.4", "192.168.50.10", "10.0.0.5", "10.0.0.255"):
                    lab.run(f"{company}-{vm}", "ping", "-c", "2", "-W", "1", "-i", "0.2", "-Q", value, target)
            lab.run(f"{company}-pc", "ping", "-c", "2", "-W", "1", "-Q", value, "10.0.0.4").check()
    for place, owner in VPORTS.items():
        seen = {int(row[0].split(",")[0], 16) for row in dissect(files[place], ("ip.dsfield",), "icmp")}
        foreign = {int(value, 16) for company, value in tos.items() if company != owner}
        assert int(tos[owner], 16) in seen, f"{place} saw nothing of its own tenant"
        assert not seen & foreign, f"{place} of {owner} saw packets of another tenant"


def test_a_vm_cannot_reach_the_provider_network_nor_forge_its_sender(lab: RunningLab, tmp_path: Path) -> None:
    lab.run("blue-web", "ping", "-c", "1", "-W", "2", "10.0.0.1").check()
    before = _spoof_drops(lab)
    with lab.capture("hv02:v-blue-app", directory=tmp_path) as files:
        lab.run("blue-web", "python3", "-c", FORGE).check()
        eventually(lambda: _assert_more(before, _spoof_drops(lab)), within_s=5)
    assert dissect(files["hv02:v-blue-app"], ("ip.src",), "ip.src == 10.0.0.77") == []
    for address in ("192.168.6.1", "172.16.0.1", "203.0.113.1"):
        assert lab.run("blue-web", "ping", "-c", "1", "-W", "1", address).exit_code != 0


def _spoof_drops(lab: RunningLab) -> int:
    out = lab.run("hv01", "python3", "-m", "lab.hvhost", "show", "drops", "--json").check()
    return sum(row["packets"] for row in json.loads(out)["drops"] if "spoof" in row["reason"].lower())


def _assert_more(before: int, now: int) -> None:
    assert now > before
