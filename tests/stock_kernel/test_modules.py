"""What only modules can do: a provider network that loses and delays, and VMs that tag their frames."""

from __future__ import annotations

import json

import pytest

from lab.datapath.abi import Direction, Drop
from lab.testing import eventually
from tests.datapath.world import BLUE, World, world

pytestmark = pytest.mark.root

MEBIBYTE = 1 << 20


def lost(net: World, host: str) -> int:
    """Packets that the host's provider link has thrown away by chance."""
    (qdisc,) = json.loads(net.hosts[host].namespace.run("tc -s -j qdisc show dev pa0 root").stdout)
    return int(qdisc["drops"])


def test_tcp_gets_through_a_provider_network_that_loses_and_delays() -> None:
    with world((BLUE,)) as net:
        for host in net.hosts.values():
            host.namespace.run("tc qdisc add dev pa0 root netem delay 5ms 2ms loss 3%")

        def some_are_lost_and_all_arrives() -> None:
            net.transfer("bw", "ba", "10.0.1.4", 2 * MEBIBYTE)
            assert lost(net, "h1") > 0

        eventually(some_are_lost_and_all_arrives, within_s=120)


def test_a_tag_is_dropped_and_counted() -> None:
    with world((BLUE,)) as net:
        vm = net.vms["bw"]
        vm.ip("link add link eth0 name eth0.7 type vlan id 7")
        vm.ip("link set eth0.7 up")
        vm.ip("addr add 10.0.7.4/24 dev eth0.7")
        vm.ip("neigh add 10.0.7.5 lladdr 00:15:5d:0a:00:05 dev eth0.7")
        assert net.ping("bw", "10.0.7.5", within_s=1) is None
        counted = net.hosts["h1"].counted()
        assert sum(
            packets
            for (reason, direction, _), packets in counted.items()
            if reason == Drop.VLAN and direction == Direction.VPORT_IN.label
        )
        assert net.ping("bw", "10.0.1.4") is not None
