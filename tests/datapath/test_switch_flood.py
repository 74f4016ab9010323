"""Broadcast and multicast between kernel stacks: to every member of the subnet, and to nobody else."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.datapath.abi import Drop
from lab.southbound import southbound_pb2 as pb
from lab.testing.eventually import eventually

from .test_switch_ip6 import GREEN
from .world import BLUE, RED, World, world

pytestmark = pytest.mark.root

PORT = 5353
GROUP = "239.1.2.3"
GROUP6 = "ff05::1:3"

SAID = 10


@pytest.fixture(scope="module", params=["nvgre", "vxlan"])
def net(request: pytest.FixtureRequest) -> Iterator[World]:
    with world((BLUE, RED, GREEN), pb.SwitchSettings(encapsulation=request.param)) as built:
        yield built


def listener(version: int) -> socket.socket:
    """Hears what is sent to everybody and to the groups."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    heard = socket.socket(family, socket.SOCK_DGRAM)
    heard.bind(("", PORT))
    index = socket.if_nametoindex("eth0")
    if version == 4:
        group = struct.pack("=4s4si", socket.inet_aton(GROUP), bytes(4), index)
        heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    else:
        group = socket.inet_pton(socket.AF_INET6, GROUP6) + struct.pack("=i", index)
        heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    heard.setblocking(False)
    return heard


def say(destination: str, text: bytes) -> None:
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as mouth:
        if family == socket.AF_INET6:
            mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("eth0"))
            mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        else:
            mouth.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        mouth.sendto(text, (destination, PORT))


def heard_by(sockets: dict[str, socket.socket]) -> dict[str, list[bytes]]:
    """What has arrived since the last look, by VM."""
    result: dict[str, list[bytes]] = {}
    for name, ears in sockets.items():
        result[name] = []
        while True:
            try:
                result[name].append(ears.recv(2048))
            except BlockingIOError:
                break
    return result


@pytest.mark.parametrize(
    ("sender", "destination", "receivers"),
    [
        ("bw", "255.255.255.255", {"bx", "by"}),
        ("by", "10.0.0.255", {"bw", "bx"}),
        ("bw", GROUP, {"bx", "by"}),
        ("rw", GROUP, set()),
        ("ga", GROUP6, {"gb", "gc"}),
        ("gc", GROUP6, {"ga", "gb"}),
    ],
    ids=["limited broadcast", "directed broadcast", "multicast", "alone", "IPv6", "IPv6 from afar"],
)
def test_everybody_in_the_subnet_hears_it_once_and_nobody_else(
    net: World, sender: str, destination: str, receivers: set[str]
) -> None:
    version = 6 if ":" in destination else 4
    vms = [vm for tenant in (BLUE, RED, GREEN) for vm in tenant.vms]
    # The sender's own kernel lets it hear its own broadcast.
    names = [vm.name for vm in vms if vm.interface.version == version and vm.name != sender]
    text = f"{sender} to {destination}".encode()
    with ExitStack() as stack:
        sockets = {name: stack.enter_context(net.vms[name].call(lambda: listener(version))) for name in names}
        heard: dict[str, list[bytes]] = {name: [] for name in names}

        def everybody_heard(last: bytes) -> None:
            for name, texts in heard_by(sockets).items():
                heard[name] += texts
            assert {name for name, texts in heard.items() if last in texts} == receivers

        net.vms[sender].call(lambda: say(destination, text))
        eventually(lambda: everybody_heard(text), within_s=10)
        # A second one is a fence: what the first could still have brought is there when this has come.
        net.vms[sender].call(lambda: say(destination, b"fence"))
        eventually(lambda: everybody_heard(b"fence"), within_s=10)
    expected = [text, b"fence"]
    assert {name: texts for name, texts in heard.items() if texts} == dict.fromkeys(receivers, expected)


def test_what_has_no_receiver_is_counted(net: World) -> None:
    """More of it than the VM's kernel may have to say about its groups meanwhile (IGMP)."""
    host = net.hosts["h2"]
    key = (int(Drop.BUM), "vport-in", 6001)
    before = host.counted().get(key, 0)
    for _ in range(SAID):
        net.vms["rw"].call(lambda: say("255.255.255.255", b"anybody?"))

    def is_counted() -> None:
        assert SAID <= host.counted().get(key, 0) - before < 2 * SAID

    eventually(is_counted, within_s=10)
