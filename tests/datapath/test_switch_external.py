"""External router mode between kernel stacks: hosts know only their own subnet, and a gateway routes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.controller.domains import Domain, Endpoint, Frame, NodeEnd, ProviderInterface, Router, Subnet
from lab.controller.policy import compile_all
from lab.datapath.abi import Drop
from lab.southbound.keys import GoalState

from .netns import namespaces, pin_directory
from .probe import ECHO_REPLY, TIME_EXCEEDED, UNREACHABLE, Answer
from .probe6 import ECHO_REPLY as ECHO_REPLY6
from .probe6 import TIME_EXCEEDED as TIME_EXCEEDED6
from .probe6 import ping6
from .world import FABRIC_MTU, Host, Vm, World

pytestmark = pytest.mark.root

MEBI = 1 << 20
RDID = {4: "5d0c4d4a-0b1e-4000-8000-0000000000a4", 6: "5d0c4d4a-0b1e-4000-8000-0000000000a6"}
PROVIDER = {"h1": "192.168.6.11", "h2": "192.168.6.12", "gw": "192.168.6.20"}
VMS = (
    Vm("aa", "h1", 5001, "10.0.0.4", "00:15:5d:0a:00:04"),
    Vm("ac", "h2", 5001, "10.0.0.5", "00:15:5d:0a:00:05"),
    Vm("ab", "h2", 5002, "10.0.1.4", "00:15:5d:0a:01:04"),
    Vm("sa", "h1", 8001, "fd00:1::4", "00:15:5d:66:01:04"),
    Vm("sc", "h2", 8001, "fd00:1::5", "00:15:5d:66:01:05"),
    Vm("sb", "h2", 8002, "fd00:2::4", "00:15:5d:66:02:04"),
)


def goal_states(encapsulation: str) -> dict[str, GoalState]:
    """What the controller says of these VMs to each node."""
    ends = {
        node: NodeEnd((ProviderInterface(pa, 24, ""),), encapsulation, external_router=node == "gw")
        for node, pa in PROVIDER.items()
    }
    return compile_all((domain(version) for version in RDID), ends)


def domain(version: int) -> Domain:
    """The routing domain of one IP version."""
    vms = [vm for vm in VMS if vm.interface.version == version]
    prefixes = {vm.vsid: str(vm.interface.network) for vm in vms}
    frame = Frame(
        rdid=RDID[version],
        subnets=tuple(Subnet(vsid, prefix) for vsid, prefix in prefixes.items()),
        router=Router("gw", PROVIDER["gw"]),
        external=True,
    )
    endpoints = (
        Endpoint(vm.interface_id, vm.host, vm.vsid, vm.address, vm.mac, PROVIDER[vm.host]) for vm in vms
    )
    return Domain(frame, {endpoint.interface_id: endpoint for endpoint in endpoints})


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
        states = goal_states(encapsulation)
        for node, host in built.hosts.items():
            host.start()
            host.endpoint.apply(states[node])
        try:
            yield built
        finally:
            for host in built.hosts.values():
                host.stop()


@pytest.fixture(scope="module", params=["nvgre", "vxlan"])
def net(request: pytest.FixtureRequest) -> Iterator[World]:
    with fabric(request.param) as built:
        yield built


def routed(net: World, source: str, destination: str) -> dict[tuple[int, str, int], int]:
    """What a ping that is answered, a VM's to an address, adds to the gateway's counters."""
    before = net.hosts["gw"].counted()
    if ":" in destination:
        answer = net.vms[source].call(lambda: ping6(destination))
        assert answer == Answer(destination, ECHO_REPLY6, 0)
    else:
        assert net.ping(source, destination) == Answer(destination, ECHO_REPLY, 0)
    after = net.hosts["gw"].counted()
    return {key: count - before.get(key, 0) for key, count in after.items() if count != before.get(key, 0)}


@pytest.mark.parametrize(
    ("source", "destination", "vsids"),
    [
        ("aa", "10.0.1.4", (5001, 5002)),
        ("ac", "10.0.1.4", (5001, 5002)),
        ("ab", "10.0.0.5", (5001, 5002)),
        ("sa", "fd00:2::4", (8001, 8002)),
        ("sc", "fd00:2::4", (8001, 8002)),
    ],
    ids=["IPv4", "on one host", "and back", "IPv6", "IPv6 on one host"],
)
def test_every_packet_between_subnets_goes_by_the_gateway(
    net: World, source: str, destination: str, vsids: tuple[int, int]
) -> None:
    assert routed(net, source, destination) == {
        (0, way, vsid): 1 for vsid in vsids for way in ("wire-in", "wire-out")
    }


@pytest.mark.parametrize(
    ("source", "destination"),
    [("aa", "10.0.0.5"), ("ac", "10.0.0.4"), ("sa", "fd00:1::5"), ("sc", "fd00:1::4")],
)
def test_inside_a_subnet_hosts_send_to_each_other(net: World, source: str, destination: str) -> None:
    assert routed(net, source, destination) == {}


def metered(net: World, host: str, vm: str) -> dict[tuple[str, str], int]:
    """What a VM's port has counted so far."""
    meters = net.hosts[host].endpoint.report().meters
    return {(m.direction, m.kind): m.packets for m in meters if m.interface_id == vm}


@pytest.mark.parametrize(
    ("host", "source", "destination", "kind"),
    [
        ("h1", "aa", "10.0.0.5", "internal"),
        ("h1", "aa", "10.0.1.4", "gateway"),
        ("h2", "ac", "10.0.1.4", "internal"),
    ],
    ids=["within a subnet", "to a subnet elsewhere", "to a subnet of the host"],
)
def test_what_a_host_does_not_know_is_metered_as_behind_the_gateway(
    net: World, host: str, source: str, destination: str, kind: str
) -> None:
    before = metered(net, host, source)
    assert net.ping(source, destination) == Answer(destination, ECHO_REPLY, 0)
    after = metered(net, host, source)
    moved = {key: count - before.get(key, 0) for key, count in after.items() if count != before.get(key, 0)}
    assert moved == {("outbound", kind): 1, ("inbound", kind): 1}


def test_the_hosts_own_router_address_is_its_own(net: World) -> None:
    before = net.hosts["gw"].counted()
    assert net.ping("aa", "10.0.0.1") == Answer("10.0.0.1", ECHO_REPLY, 0)
    assert net.hosts["gw"].counted() == before


def test_the_gateway_answers_at_the_routers_other_addresses(net: World) -> None:
    assert net.ping("aa", "10.0.1.1") == Answer("10.0.1.1", ECHO_REPLY, 0)
    assert net.ping("ac", "10.0.1.1") == Answer("10.0.1.1", ECHO_REPLY, 0), "though the host has that subnet"
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
    [("aa", "ab", "10.0.1.4"), ("ac", "ab", "10.0.1.4"), ("sb", "sa", "fd00:1::4")],
    ids=["IPv4", "on one host", "IPv6"],
)
def test_super_packets_are_unwrapped_routed_and_wrapped_again(
    net: World, source: str, target: str, destination: str
) -> None:
    net.transfer(source, target, destination, 16 * MEBI)
