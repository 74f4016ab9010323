"""The kernel's own GRE and VLAN devices as independent peers of the front end: nobody here wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.testing import eventually
from tests.datapath.front_end_world import FE, KEYS, SITE, VIP, VLANS, Node, join
from tests.datapath.netns import Namespace, namespaces, pin_directory
from tests.datapath.probe import Sink, blast, ping

pytestmark = pytest.mark.root

MEBIBYTE = 1 << 20
GRE, VLAN = "10.9.0", "10.8.0"


@dataclass
class Pair:
    """A tenant's compartment behind our front end, and its site behind devices of the kernel's."""

    compartment: Namespace
    site: Namespace


@pytest.fixture(scope="module")
def tenants() -> Iterator[dict[str, Pair]]:
    names = [f"{tenant}{end}" for tenant in KEYS for end in ("", "-site")]
    with namespaces("gw", "site", *names) as made, pin_directory() as pins:
        site = made["site"]
        join(made["gw"], site)
        gw = Node(made["gw"], VIP, pins / "gw")
        for tenant, key in KEYS.items():
            inner, far = made[tenant], made[f"{tenant}-site"]
            gw.plug_gre(inner, f"g-{tenant}", SITE, key)
            gw.plug_vlan(inner, f"v-{tenant}", VLANS[tenant])
            inner.ip(f"addr add {GRE}.1/24 dev tunnel0")
            inner.ip(f"addr add {VLAN}.1/24 dev vlan0")
            site.ip(f"link add t-{tenant} type gre local {SITE} remote {VIP} key {key} ttl 64")
            site.ip(f"link add link {FE} name w-{tenant} type vlan id {VLANS[tenant]}")
            for device, network in (("t", GRE), ("w", VLAN)):
                site.ip(f"link set {device}-{tenant} netns {far.name}")
                far.ip(f"addr add {network}.2/24 dev {device}-{tenant}")
                far.ip(f"link set {device}-{tenant} up")
        gw.start()
        gw.apply()
        try:
            yield {tenant: Pair(made[tenant], made[f"{tenant}-site"]) for tenant in KEYS}
        finally:
            gw.stop()


def answered(source: Namespace, destination: str, size: int = 56) -> None:
    assert source.call(lambda: ping(destination, size=size)) is not None


def transfer(source: Namespace, target: Namespace, destination: str) -> None:
    sink = target.call(Sink)
    source.call(lambda: blast(destination, sink.port, 4 * MEBIBYTE))
    assert sink.join() == 4 * MEBIBYTE


@pytest.mark.parametrize(("network", "most"), [(GRE, 1472), (VLAN, 1500)])
@pytest.mark.parametrize("tenant", KEYS)
def test_the_kernels_devices_and_the_front_end_understand_each_other(
    tenants: dict[str, Pair], tenant: str, network: str, most: int
) -> None:
    pair = tenants[tenant]
    eventually(lambda: answered(pair.compartment, f"{network}.2"), within_s=20)
    answered(pair.site, f"{network}.1")
    answered(pair.compartment, f"{network}.2", most - 28)
    answered(pair.site, f"{network}.1", most - 28)


@pytest.mark.parametrize("network", [GRE, VLAN])
def test_super_packets_go_both_ways(tenants: dict[str, Pair], network: str) -> None:
    pair = tenants["red"]
    eventually(lambda: answered(pair.compartment, f"{network}.2"), within_s=20)
    transfer(pair.compartment, pair.site, f"{network}.2")
    transfer(pair.site, pair.compartment, f"{network}.1")
