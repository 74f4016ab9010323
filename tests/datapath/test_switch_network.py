"""Two hosts, two tenants with the same addresses and MACs: real packets through real programs."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.datapath.abi import Drop
from lab.datapath.build import SOURCE, compile_object
from lab.datapath.errors import DatapathError, InvalidPolicyError
from lab.datapath.team import PROVIDER_TABLE
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import record
from lab.testing.eventually import eventually

from .probe import ECHO_REPLY, Answer, ping, traceroute
from .world import BLUE, FABRIC_MTU, LAB, PROVIDER, RED, Tenant, Vm, World, goal_state, world

pytestmark = pytest.mark.root

MEBI = 1 << 20
UDP_SEGMENT = 103
"""Linux 4.18; Python has no name for it."""


@pytest.fixture(scope="module")
def net() -> Iterator[World]:
    with world() as built:
        yield built


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("bw", "10.0.0.5"),
        ("bw", "10.0.0.6"),
        ("bw", "10.0.1.4"),
        ("ba", "10.0.0.5"),
        ("rw", "10.0.1.4"),
        ("ra", "10.0.0.4"),
        ("bw", "10.0.0.1"),
        ("bw", "10.0.1.1"),
    ],
)
def test_ping(net: World, source: str, destination: str) -> None:
    assert net.ping(source, destination) == Answer(destination, ECHO_REPLY, 0)


def test_the_first_packet_is_not_lost_while_the_fabric_resolves_its_next_hop(net: World) -> None:
    net.hosts["h1"].namespace.ip("neigh flush dev pa0")
    assert net.ping("bw", "10.0.1.4") is not None


def test_traceroute_shows_the_distributed_router(net: World) -> None:
    assert net.vms["bw"].call(lambda: traceroute("10.0.1.4")) == ["10.0.0.1", "10.0.1.4"]


@pytest.mark.parametrize("destination", [*PROVIDER.values(), "192.168.6.1"])
def test_the_provider_network_cannot_be_reached_from_a_vm(net: World, destination: str) -> None:
    answer = net.ping("bw", destination, within_s=1)
    assert answer == Answer("10.0.0.1", 3, 0)


def test_one_tenants_packets_never_reach_the_other(net: World) -> None:
    before = {name: host.counted() for name, host in net.hosts.items()}
    for destination in ("10.0.0.5", "10.0.0.6", "10.0.1.4", "10.0.0.4"):
        net.ping("bx", destination)
    for name, host in net.hosts.items():
        moved = {key for key, count in host.counted().items() if count != before[name].get(key, 0)}
        assert {vsid for _, _, vsid in moved} <= {0, 5001, 5002}


@pytest.mark.parametrize(
    ("source", "target", "destination"),
    [("bw", "ba", "10.0.1.4"), ("bw", "by", "10.0.0.6"), ("bw", "bx", "10.0.0.5"), ("ra", "rw", "10.0.0.4")],
    ids=["routed, other host", "same subnet, other host", "same host", "the other tenant"],
)
def test_tcp_with_super_packets(net: World, source: str, target: str, destination: str) -> None:
    vsid = {vm.name: vm.vsid for tenant in (BLUE, RED) for vm in tenant.vms}[target]
    host = {vm.name: vm.host for tenant in (BLUE, RED) for vm in tenant.vms}[target]
    before = net.hosts[host].counted().get((0, "vport-out", vsid), 0)
    net.transfer(source, target, destination, 32 * MEBI)
    packets = net.hosts[host].counted()[0, "vport-out", vsid] - before
    assert packets >= 32 * MEBI // 1500, "super-packets count as what they stand for"


def test_datagrams_sent_as_one_buffer_keep_their_sizes(net: World) -> None:
    """UDP_SEGMENT: the size of a datagram is its meaning, so no header may take from it."""
    sizes = [1000] * 20 + [500]

    def receive_from(listener: socket.socket) -> list[int]:
        return [len(listener.recv(65535)) for _ in sizes]

    def send(port: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, sizes[0])
            sender.sendto(bytes(sum(sizes)), ("10.0.1.4", port))

    listener = net.vms["ba"].call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with listener:
        listener.settimeout(5)
        listener.bind(("0.0.0.0", 0))
        net.vms["bw"].call(lambda: send(listener.getsockname()[1]))
        assert receive_from(listener) == sizes


def test_tcp_whose_checksums_and_segments_the_vm_makes_itself(net: World) -> None:
    """With every offload off, what arrives has passed a real checksum and no segmentation of the kernel's."""
    for vm in ("bw", "ba"):
        net.vms[vm].call(_offloads_off)
    errors = _tcp_checksum_errors(net, "ba")
    net.transfer("bw", "ba", "10.0.1.4", 4 * MEBI)
    assert _tcp_checksum_errors(net, "ba") == errors


def _offloads_off() -> None:
    """ethtool -K eth0 tx off (ETHTOOL_STXCSUM), which takes scatter-gather and TSO with it."""
    import array
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        value = array.array("B", struct.pack("II", 0x17, 0))
        request = struct.pack("16sP", b"eth0", value.buffer_info()[0])
        fcntl.ioctl(handle.fileno(), 0x8946, request)


def _tcp_checksum_errors(net: World, vm: str) -> str:
    lines = net.vms[vm].run("cat /proc/net/snmp").stdout.splitlines()
    names, values = (line.split() for line in lines if line.startswith("Tcp:"))
    return dict(zip(names, values, strict=True))["InCsumErrors"]


def test_a_packet_too_big_for_the_fabric_is_answered_with_the_size_that_fits(net: World) -> None:
    net.vms["by"].ip("link set eth0 mtu 9000")
    net.hosts["h2"].namespace.ip("link set v-by mtu 9000")
    try:
        answer = net.ping("by", "10.0.1.4", size=100)
        assert answer is not None
        assert answer.type == ECHO_REPLY
        too_big = net.ping("by", "10.0.0.5", size=4000)
        assert too_big == Answer("10.0.0.1", 3, 4, mtu=FABRIC_MTU - 42)
    finally:
        net.vms["by"].ip("link set eth0 mtu 1500")
        net.hosts["h2"].namespace.ip("link set v-by mtu 1500")


def test_congestion_marks_cross_the_tunnel(net: World) -> None:
    assert net.ping("bw", "10.0.1.4", tos=3) == Answer("10.0.1.4", ECHO_REPLY, 0)


def test_frames_of_any_shape_end_with_a_counted_reason(net: World) -> None:
    """Tagged, runt and nonsense frames of a VM, sent past its stack."""
    own = bytes.fromhex("00155d0a0005")
    router = bytes.fromhex("00155d000001")
    frames = [
        router + own + b"\x81\x00\x00\x05\x08\x00" + bytes(40),
        router + own + b"\x08\x00" + b"\x45" + bytes(5),
        router + own + b"\x86\xdd" + b"\x60" + bytes(3),
        router + own + b"\x08\x06" + bytes(9),
        router + own + b"\x08\x00" + b"\x4f" + bytes(30),
        *(router + own + bytes([n, n]) + bytes(n) for n in range(1, 40)),
    ]
    before = _of_vsid(net, "h1", 5001)

    def inject() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            for frame in frames:
                raw.send(frame)

    net.vms["bx"].call(inject)
    eventually(lambda: _assert_moved(net, before, len(frames)), within_s=5)
    after = _of_vsid(net, "h1", 5001)
    assert after[Drop.VLAN] == before.get(Drop.VLAN, 0) + 1


def _of_vsid(net: World, host: str, vsid: int) -> dict[int, int]:
    return {
        reason: packets
        for (reason, direction, number), packets in net.hosts[host].counted().items()
        if direction == "vport-in" and number == vsid and reason
    }


def _assert_moved(net: World, before: dict[int, int], frames: int) -> None:
    moved = sum(_of_vsid(net, "h1", 5001).values()) - sum(before.values())
    assert moved >= frames


def test_a_restart_of_the_agent_loses_no_packet_and_changes_nothing() -> None:
    with world((BLUE,)) as net:
        host, stop, lost, sent = net.hosts["h1"], threading.Event(), [], []

        def keep_pinging() -> None:
            while not stop.is_set():
                sent.append(1)
                if ping("10.0.1.4") is None:
                    lost.append(len(sent))

        pinging = threading.Thread(target=net.vms["bw"].call, args=(keep_pinging,))
        pinging.start()
        try:
            for _ in range(5):
                host.stop()
                host.start()
                host.endpoint.apply(goal_state("h1", (BLUE,)))
        finally:
            stop.set()
            pinging.join()
        assert len(sent) > 50
        assert not lost


def test_a_new_version_of_the_data_plane_takes_over_with_the_maps_as_they_are(tmp_path: Path) -> None:
    sources = tmp_path / "bpf"
    shutil.copytree(SOURCE.parent, sources)
    header = sources / "icmp.h"
    header.write_text(header.read_text().replace("ICMP_NET_UNREACH 0", "ICMP_NET_UNREACH 13"))
    newer = compile_object(tmp_path, source=sources / SOURCE.name)
    with world((BLUE,)) as net:
        assert net.ping("bw", "8.8.8.8") == Answer("10.0.0.1", 3, 0)
        net.hosts["h1"].stop()
        net.hosts["h1"].start(newer)
        assert net.ping("bw", "8.8.8.8") == Answer("10.0.0.1", 3, 13)
        assert net.ping("bw", "10.0.1.4") is not None


def test_without_its_agent_a_host_forwards_and_the_next_agent_brings_what_changed() -> None:
    with world((BLUE,)) as net:
        net.hosts["h1"].stop()
        assert net.ping("bw", "10.0.1.4") is not None
        net.hosts["h1"].start()
        assert net.ping("bw", "10.0.1.4") is not None, "no goal state yet: the pinned maps hold"
        net.hosts["h1"].endpoint.apply(goal_state("h1", (BLUE, RED)))
        net.hosts["h2"].endpoint.apply({})
        assert net.ping("bw", "10.0.1.4", within_s=1) is None


def test_a_port_is_closed_until_its_record_comes() -> None:
    late = next(vm for vm in BLUE.vms if vm.name == "bx")
    with world((BLUE,)) as net:
        endpoint = net.hosts["h1"].endpoint
        goal = goal_state("h1", (BLUE,))
        without = {key: item for key, item in goal.items() if key != f"port/{late.interface_id}"}
        endpoint.apply(without)
        assert [(f.record_key, f.code) for f in endpoint.report().faults] == [("port/bx", "PortBlocked")]
        assert net.ping("bx", "10.0.0.1", within_s=1) is None
        assert net.ping("bw", "10.0.0.5", within_s=1) is None
        endpoint.apply(goal)
        assert endpoint.report().faults == []
        assert net.ping("bx", "10.0.0.1") is not None


def test_a_port_may_come_after_its_record_and_come_again() -> None:
    vm = next(vm for vm in BLUE.vms if vm.name == "bx")
    with world((BLUE,)) as net:
        host = net.hosts["h1"]
        for _ in range(2):
            host.namespace.ip("link del v-bx")
            assert host.endpoint.refresh()
            assert net.ping("bw", "10.0.0.5", within_s=1) is None
            net.plug(vm)
            assert host.endpoint.refresh()
            assert net.ping("bw", "10.0.0.5") is not None
        assert not host.endpoint.refresh()


def test_a_port_that_comes_is_noticed_without_being_told() -> None:
    vm = next(vm for vm in BLUE.vms if vm.name == "bx")
    with world((BLUE,)) as net:
        host = net.hosts["h1"]
        host.namespace.ip("link del v-bx")
        host.endpoint.refresh()

        async def plug_and_wait() -> None:
            changed = asyncio.Event()
            watching = asyncio.create_task(host.endpoint.watch(changed))
            async with asyncio.timeout(10):
                # Until the last of the events of plugging: the port forwards.
                plugging = asyncio.create_task(asyncio.to_thread(net.plug, vm))
                while await asyncio.to_thread(net.ping, "bw", "10.0.0.5", within_s=1) is None:
                    await changed.wait()
                await plugging
            assert changed.is_set()
            watching.cancel()

        asyncio.run(plug_and_wait())


def test_a_policy_with_one_wrong_record_is_refused_whole() -> None:
    with world((BLUE,)) as net:
        goal = goal_state("h1", (BLUE,))
        stray = record(
            pb.LookupRecord(
                vsid=7777, customer_address="10.9.9.9", mac=BLUE.vms[0].mac, provider_address="1.2.3.4"
            )
        )
        missing = {key: item for key, item in goal.items() if not key.startswith("customer-route/")}
        with pytest.raises(InvalidPolicyError) as raised:
            net.hosts["h1"].endpoint.apply({**missing, stray.key: stray})
        assert [problem.place for problem in raised.value.problems] == [stray.key]
        assert net.ping("bw", "10.0.1.4") is not None


def test_the_provider_address_follows_the_goal_state() -> None:
    with world((BLUE,)) as net:
        host = net.hosts["h1"]
        address = record(pb.ProviderAddress(address="192.168.6.99", prefix_length=24, gateway="192.168.6.1"))
        host.endpoint.apply({address.key: address})
        assert "192.168.6.99/24" in host.namespace.ip("addr show pa0")
        assert PROVIDER["h1"] not in host.namespace.ip("addr show pa0")
        assert "via 192.168.6.1 " in host.namespace.ip(f"route show default table {PROVIDER_TABLE}")


def test_a_goal_state_that_cures_a_refused_one_is_taken() -> None:
    with world((BLUE,)) as net:
        endpoint = net.hosts["h1"].endpoint
        sound = goal_state("h1", (BLUE,))
        own = pb.ProviderAddress(address=PROVIDER["h1"], prefix_length=24, gateway="255.255.255.255")
        with pytest.raises(DatapathError, match="cannot carry"):
            endpoint.apply({**sound, record(own).key: record(own)})
        endpoint.apply(sound)
        assert net.ping("bw", "10.0.1.4") is not None


@pytest.mark.parametrize("prefix_length", [24, 32], ids=["on-link", "by the gateway"])
def test_the_next_hop_of_an_outer_packet_is_policy(prefix_length: int) -> None:
    """Whatever the kernel's routes say, only its neighbours are asked."""
    with world((BLUE,)) as net:
        host = net.hosts["h1"]
        own = pb.ProviderAddress(address=PROVIDER["h1"], prefix_length=prefix_length, gateway=PROVIDER["h2"])
        host.endpoint.apply({**goal_state("h1", (BLUE,)), record(own).key: record(own)})
        host.namespace.ip(f"route add {PROVIDER['h2']} via 192.168.6.77 dev pa0 onlink")
        assert net.ping("bw", "10.0.1.4") is not None


GREEN_GATEWAY = Vm("gg", "h2", 7003, "10.0.2.2", "00:15:5d:0a:02:02", compartment=True)
VIOLET_GATEWAY = Vm("vg", "h2", 8003, "172.16.2.2", "00:15:5d:0a:02:02", compartment=True)
GREEN = Tenant(
    "5d0c4d4a-0b1e-4000-8000-0000000000a1",
    (Vm("gw", "h1", 7001, "10.0.0.4", "00:15:5d:0a:00:04"), GREEN_GATEWAY),
    (("172.16.1.0/24", GREEN_GATEWAY),),
)
VIOLET = Tenant(
    "5d0c4d4a-0b1e-4000-8000-0000000000d1",
    (Vm("vw", "h1", 8001, "172.16.1.4", "00:15:5d:0a:00:04"), VIOLET_GATEWAY),
    (("10.0.0.0/24", VIOLET_GATEWAY),),
)


def test_super_packets_cross_two_tunnels_in_one_kernel() -> None:
    """What left a tunnel enters another: the kernel refuses to mark it twice (EALREADY)."""
    with world((GREEN, VIOLET)) as net:
        gg, vg = net.vms["gg"], net.vms["vg"]
        gg.ip(f"link add x0 type veth peer name x0 netns {vg.name}")
        for here, address, far, there in (
            (gg, "10.255.0.1", "172.16.1.0/24", "10.255.0.2"),
            (vg, "10.255.0.2", "10.0.0.0/24", "10.255.0.1"),
        ):
            here.ip(f"addr add {address}/30 dev x0")
            here.ip("link set x0 up")
            here.call(lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
            here.ip(f"route add {far} via {there}")
        # Routes back into the VM networks, through each compartment's distributed router.
        gg.ip("route add 10.0.0.0/24 via 10.0.2.1")
        vg.ip("route add 172.16.1.0/24 via 172.16.2.1")
        path = net.vms["gw"].call(lambda: traceroute("172.16.1.4"))
        assert path == ["10.0.0.1", "10.0.2.2", "10.255.0.2", "172.16.2.1", "172.16.1.4"]
        net.transfer("gw", "vw", "172.16.1.4", 32 * MEBI)
        counted = net.hosts["h2"].counted()
        assert not {key for key in counted if key[0] == Drop.ENCAP}


def test_the_lab_name_keeps_strangers_apart(net: World) -> None:
    host = net.hosts["h1"].namespace
    host.ip("link add stranger type veth peer name stranger-far")
    host.ip("link set stranger alias hnvlab:other-lab:bw")
    assert LAB != "other-lab"
    assert not net.hosts["h1"].endpoint.refresh()
