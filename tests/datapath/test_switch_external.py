"""External router mode between kernel stacks: hosts know only their own subnet, and a gateway routes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.datapath.abi import Drop
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState, record

from .netns import namespaces, pin_directory
from .probe import ECHO_REPLY, TIME_EXCEEDED, UNREACHABLE, Answer
from .probe6 import ECHO_REPLY as ECHO_REPLY6
from .probe6 import TIME_EXCEEDED as TIME_EXCEEDED6
from .probe6 import ping6
from .world import FABRIC_MTU, ROUTER_MAC, Host, Vm, World

pytestmark = pytest.mark.root

MEBI = 1 << 20
RDID = {4: "5d0c4d4a-0b1e-4000-8000-0000000000a4", 6: "5d0c4d4a-0b1e-4000-8000-0000000000a6"}
EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
PROVIDER = {"h1": "192.168.6.11", "h2": "192.168.6.12", "gw": "192.168.6.20"}
VMS = (
    Vm("aa", "h1", 5001, "10.0.0.4", "00:15:5d:0a:00:04"),
    Vm("ab", "h2", 5002, "10.0.1.4", "00:15:5d:0a:01:04"),
    Vm("sa", "h1", 8001, "fd00:1::4", "00:15:5d:66:01:04"),
    Vm("sb", "h2", 8002, "fd00:2::4", "00:15:5d:66:02:04"),
)


def goal_state(node: str, encapsulation: str) -> GoalState:
    """A host's: its own subnets, and the gateway for the rest. The gateway's: everything."""
    gateway = node == "gw"
    records = [
        record(pb.ProviderAddress(address=PROVIDER[node], prefix_length=24)),
        record(pb.SwitchSettings(encapsulation=encapsulation, external_router=gateway)),
    ]
    for vm in VMS:
        version = vm.interface.version
        rdid, pa = RDID[version], PROVIDER[vm.host]
        member = pb.ProviderMember(rdid=rdid, provider_address=pa)
        router = pb.ProviderMember(rdid=rdid, provider_address=PROVIDER["gw"], gateway=True, forwarder=True)
        records += [record(member), record(router)]
        if not gateway and vm.host != node:
            continue
        prefix = str(vm.interface.network)
        subnet = pb.VirtualSubnet(vsid=vm.vsid, rdid=rdid, prefix=prefix, router_mac=ROUTER_MAC)
        subnet.router_address = vm.router
        where = pb.LookupRecord(vsid=vm.vsid, customer_address=vm.address, mac=vm.mac, provider_address=pa)
        records += [
            record(subnet),
            record(where),
            record(pb.CustomerRoute(rdid=rdid, prefix=prefix, vsid=vm.vsid)),
        ]
        if not gateway:
            away = pb.CustomerRoute(rdid=rdid, prefix=EVERYWHERE[version], vsid=vm.vsid)
            away.external_router = PROVIDER["gw"]
            port = pb.Port(interface_id=vm.name, vsid=vm.vsid, customer_address=vm.address, mac=vm.mac)
            records += [record(away), record(port)]
    return {item.key: item for item in records}


@contextmanager
def fabric(encapsulation: str) -> Iterator[World]:
    """Three nodes at one bridge."""
    with namespaces("tor", *PROVIDER, *(vm.name for vm in VMS)) as made, pin_directory() as pins:
        made["tor"].ip(f"link add br0 mtu {FABRIC_MTU} type bridge")
        made["tor"].ip("link set br0 up")
        for node in PROVIDER:
            made[node].ip(
                f"link add pa0 mtu {FABRIC_MTU} type veth peer name {node} netns {made['tor'].name}"
            )
            made[node].ip("link set pa0 up")
            made["tor"].ip(f"link set {node} mtu {FABRIC_MTU} master br0 up")
        built = World(
            {node: Host(made[node], pins / node) for node in PROVIDER}, {vm.name: made[vm.name] for vm in VMS}
        )
        for vm in VMS:
            built.plug(vm)
        for node, host in built.hosts.items():
            host.start()
            host.endpoint.apply(goal_state(node, encapsulation))
        try:
            yield built
        finally:
            for host in built.hosts.values():
                host.stop()


@pytest.fixture(scope="module", params=["nvgre", "vxlan"])
def net(request: pytest.FixtureRequest) -> Iterator[World]:
    with fabric(request.param) as built:
        yield built


def test_every_packet_between_subnets_goes_by_the_gateway(net: World) -> None:
    before = net.hosts["gw"].counted()
    assert net.ping("aa", "10.0.1.4") == Answer("10.0.1.4", ECHO_REPLY, 0)
    after = net.hosts["gw"].counted()
    moved = {key: count - before.get(key, 0) for key, count in after.items() if count != before.get(key, 0)}
    assert moved == {(0, "wire-in", vsid): 1 for vsid in (5001, 5002)} | {
        (0, "wire-out", vsid): 1 for vsid in (5001, 5002)
    }


def test_the_same_with_ip6(net: World) -> None:
    assert net.vms["sa"].call(lambda: ping6("fd00:2::4")) == Answer("fd00:2::4", ECHO_REPLY6, 0)


def test_the_hosts_own_router_address_is_its_own(net: World) -> None:
    before = net.hosts["gw"].counted()
    assert net.ping("aa", "10.0.0.1") == Answer("10.0.0.1", ECHO_REPLY, 0)
    assert net.hosts["gw"].counted() == before


def test_the_gateway_answers_at_the_routers_other_addresses(net: World) -> None:
    assert net.ping("aa", "10.0.1.1") == Answer("10.0.1.1", ECHO_REPLY, 0)
    assert net.vms["sa"].call(lambda: ping6("fd00:2::1")) == Answer("fd00:2::1", ECHO_REPLY6, 0)


def test_the_gateways_errors_come_back(net: World) -> None:
    assert net.ping("aa", "10.0.1.4", ttl=1) == Answer("10.0.0.1", TIME_EXCEEDED, 0)
    assert net.ping("aa", "10.0.7.4") == Answer("10.0.0.1", UNREACHABLE, 0)
    assert net.ping("aa", "10.0.1.77") == Answer("10.0.0.1", UNREACHABLE, 1)
    exceeded = net.vms["sa"].call(lambda: ping6("fd00:2::4", hops=1))
    assert exceeded == Answer("fd00:1::1", TIME_EXCEEDED6, 0)


def test_no_host_counts_a_spoofed_source(net: World) -> None:
    spoofs = {int(Drop.CA_SPOOF), int(Drop.MAC_SPOOF), int(Drop.PA_SPOOF)}
    for host in net.hosts.values():
        # A VM's kernel speaks from its link-local address by itself, which is no CA.
        assert not {key for key in host.counted() if key[0] in spoofs and key[1] == "wire-in"}


@pytest.mark.parametrize(
    ("source", "target", "destination"),
    [("aa", "ab", "10.0.1.4"), ("sb", "sa", "fd00:1::4")],
    ids=["IPv4", "IPv6"],
)
def test_super_packets_are_unwrapped_routed_and_wrapped_again(
    net: World, source: str, target: str, destination: str
) -> None:
    net.transfer(source, target, destination, 16 * MEBI)
