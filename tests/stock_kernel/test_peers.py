"""The kernel's own GRE and VXLAN devices as independent peers of the switch: nobody here wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import record
from lab.testing import eventually
from tests.datapath.netns import Namespace, namespaces, pin_directory
from tests.datapath.probe import Sink, blast, ping
from tests.datapath.world import PROVIDER, Host, Tenant, Vm, World, goal_state

pytestmark = pytest.mark.root

OURS = Vm("vm", "h1", 5001, "10.0.0.4", "00:15:5d:0a:00:04")
THEIRS = Vm("peer", "h2", 5001, "10.0.0.5", "00:15:5d:0a:00:05")
TENANT = Tenant("5d0c4d4a-0b1e-4000-8000-0000000000b1", (OURS, THEIRS))
FABRIC_MTU = 1700
MEBIBYTE = 1 << 20
FLOW_ID = 0x2A
"""Any: RFC 7637 §3.2 leaves it to the sender, and the receiver passes over it."""


@dataclass
class Pair:
    """Our VM behind our switch, and a namespace whose only way to it is a tunnel device of the kernel's."""

    vm: Namespace
    peer: Namespace
    host: Host


@contextmanager
def pair(encapsulation: str, device: str) -> Iterator[Pair]:
    """One of our hosts with a VM, and a kernel that is host and VM in one.

    Args:
        device: what `ip link add` is told to make the peer's tunnel device `tun0`.
    """
    with namespaces("h1", "peer", "vm") as made, pin_directory() as pins:
        peer, host = made["peer"], Host(made["h1"], pins / "h1")
        made["h1"].ip(f"link add pa0 mtu {FABRIC_MTU} type veth peer name pa0 netns {peer.name}")
        made["h1"].ip("link set pa0 up")
        World({"h1": host}, {"vm": made["vm"]}).plug(OURS)
        peer.ip(f"link set pa0 mtu {FABRIC_MTU} up")
        peer.ip(f"addr add {PROVIDER['h2']}/24 dev pa0")
        peer.ip(f"link add tun0 address {THEIRS.mac} type {device}")
        peer.ip("link set tun0 mtu 1500 up")
        peer.ip(f"addr add {THEIRS.interface} dev tun0")
        # HNV's tables are policy: a VM's ARP never crosses the provider network, so the peer has a table too.
        peer.ip(f"neigh add {OURS.address} lladdr {OURS.mac} dev tun0")
        host.start()
        try:
            settings = record(pb.SwitchSettings(encapsulation=encapsulation))
            host.endpoint.apply(goal_state("h1", (TENANT,)) | {settings.key: settings})
            yield Pair(made["vm"], peer, host)
        finally:
            host.stop()


@pytest.fixture(params=["gre", "vxlan"])
def both(request: pytest.FixtureRequest) -> Iterator[Pair]:
    if request.param == "vxlan":
        with pair(
            "vxlan", f"vxlan id 5001 local {PROVIDER['h2']} remote {PROVIDER['h1']} dstport 4789"
        ) as made:
            yield made
        return
    # `external`: the device takes any key; our switch puts a FlowID of its choice into the low octet.
    with pair("nvgre", "gretap external") as made:
        made.peer.ip(
            f"route add {OURS.address}/32 encap ip id {THEIRS.vsid << 8 | FLOW_ID} "
            f"src {PROVIDER['h2']} dst {PROVIDER['h1']} key dev tun0"
        )
        yield made


def answered(source: Namespace, destination: str, size: int = 56) -> None:
    assert source.call(lambda: ping(destination, size=size)) is not None


def transfer(source: Namespace, target: Namespace, destination: str) -> None:
    sink = target.call(Sink)
    source.call(lambda: blast(destination, sink.port, 8 * MEBIBYTE))
    assert sink.join() == 8 * MEBIBYTE


def test_the_kernels_tunnel_and_the_switch_understand_each_other(both: Pair) -> None:
    eventually(lambda: answered(both.vm, THEIRS.address), within_s=20)
    answered(both.peer, OURS.address)
    answered(both.vm, THEIRS.address, size=1472)
    answered(both.peer, OURS.address, size=1472)


def test_super_packets_go_both_ways(both: Pair) -> None:
    eventually(lambda: answered(both.vm, THEIRS.address), within_s=20)
    transfer(both.vm, both.peer, THEIRS.address)
    transfer(both.peer, both.vm, OURS.address)
