"""What is compared: the same three cables (VM, host, host, VM), joined in different ways."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lab.datapath.endpoint import Endpoint
from lab.southbound.identity import NodeIdentity, port_alias
from tests.datapath.netns import Namespace, namespaces, pin_directory
from tests.datapath.switch_object import compiled

from .policy import MACHINES, PROVIDERS, goal_state

LAB = "bench"
FABRIC_MTU = 1700
FEW = {"subnets": 2, "records": 2}
"""With the two VMs' own: four lookup records."""
MANY = {"subnets": 3_998, "records": 59_998}
"""With the two VMs' own: 60,000 lookup records in 4,000 virtual subnets."""
_CABLES = ("vm1", "host1", "host2", "vm2")


@dataclass(frozen=True)
class Place:
    """Two VMs that reach each other, ready to be measured.

    Attributes:
        client: the first VM's namespace.
        server: the second VM's.
        address: of the second VM.
        hosts: the namespaces of the hosts between; none: one cable.
        endpoints: the hosts' switches, where ours are between.
    """

    client: Namespace
    server: Namespace
    address: str
    hosts: tuple[Namespace, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()


@contextmanager
def one_cable() -> Iterator[Place]:
    """A single veth pair: as near as two namespaces can be."""
    with namespaces("vm1", "vm2") as made:
        made["vm1"].ip(f"link add eth0 type veth peer name eth0 netns {made['vm2'].name}")
        _address(made["vm1"], 0, prefix_length=16)
        _address(made["vm2"], 1, prefix_length=16)
        yield Place(made["vm1"], made["vm2"], MACHINES[1].address)


@contextmanager
def three_cables() -> Iterator[Place]:
    """The cables of a real path, and nothing at their ends but "give it to the next" (act_mirred)."""
    with cabled(prefix_length=16) as (made, place):
        for host, vport in (("host1", "v-one"), ("host2", "v-two")):
            _join(made[host], vport, "pa0")
            _join(made[host], "pa0", vport)
        yield place


@contextmanager
def kernel_vxlan() -> Iterator[Place]:
    """What Linux has for it: a bridge on each host, and a VXLAN device between them."""
    with cabled(prefix_length=16) as (made, place):
        for number, (host, vport) in enumerate((("host1", "v-one"), ("host2", "v-two"))):
            here, there = PROVIDERS[number], PROVIDERS[1 - number]
            made[host].ip(f"addr add {here}/24 dev pa0")
            made[host].ip(f"link add vx0 type vxlan id 5001 local {here} remote {there} dstport 4789")
            made[host].ip("link add br0 type bridge")
            for port in ("vx0", vport):
                made[host].ip(f"link set {port} master br0")
            made[host].ip("link set vx0 up")
            made[host].ip("link set br0 up")
        yield place


def switched(
    encapsulation: str, size: Mapping[str, int] = FEW
) -> Callable[[], AbstractContextManager[Place]]:
    """Our switch on both hosts, full pipeline, between two subnets.

    Args:
        encapsulation: "nvgre" or "vxlan".
        size: other tenants' policy on each host, as `goal_state` takes it.
    """

    @contextmanager
    def build() -> Iterator[Place]:
        with cabled(prefix_length=24) as (made, place), pin_directory() as pins, ExitStack() as stack:
            endpoints = []
            for number, host in enumerate(("host1", "host2")):
                vport = f"v-{MACHINES[number].name}"
                made[host].ip(f"link set {vport} alias {port_alias(LAB, MACHINES[number].name)}")
                endpoint = made[host].call(partial(_endpoint, host, pins / host))
                endpoints.append(stack.enter_context(contextlib.closing(endpoint)))
                endpoint.apply(goal_state(number, encapsulation, **size))
            for namespace, machine in zip((place.client, place.server), MACHINES, strict=True):
                namespace.ip(f"route add default via {machine.router}")
            yield Place(place.client, place.server, place.address, place.hosts, tuple(endpoints))

    return build


def _endpoint(host: str, pins: Path) -> Endpoint:
    identity = NodeIdentity(lab=LAB, node=host, kind="host", controller="")
    return Endpoint(identity, pins=pins, object_file=compiled())


@contextmanager
def cabled(prefix_length: int) -> Iterator[tuple[dict[str, Namespace], Place]]:
    with namespaces(*_CABLES) as made:
        host1, host2 = made["host1"], made["host2"]
        host1.ip(f"link add v-one type veth peer name eth0 netns {made['vm1'].name}")
        host2.ip(f"link add v-two type veth peer name eth0 netns {made['vm2'].name}")
        host1.ip(f"link add pa0 mtu {FABRIC_MTU} type veth peer name pa0 netns {host2.name}")
        host2.ip(f"link set pa0 mtu {FABRIC_MTU}")
        for host, vport in ((host1, "v-one"), (host2, "v-two")):
            host.ip(f"link set {vport} up")
            host.ip("link set pa0 up")
        _address(made["vm1"], 0, prefix_length)
        _address(made["vm2"], 1, prefix_length)
        yield made, Place(made["vm1"], made["vm2"], MACHINES[1].address, (host1, host2))


def _address(namespace: Namespace, number: int, prefix_length: int) -> None:
    machine = MACHINES[number]
    namespace.ip(f"link set eth0 address {machine.mac} up")
    namespace.ip(f"addr add {machine.address}/{prefix_length} dev eth0")


def _join(host: Namespace, source: str, target: str) -> None:
    host.run(f"tc qdisc add dev {source} clsact")
    host.run(
        f"tc filter add dev {source} ingress protocol all u32 match u32 0 0 "
        f"action mirred egress redirect dev {target}"
    )


VARIANTS: dict[str, Callable[[], AbstractContextManager[Place]]] = {
    "one cable": one_cable,
    "bare veth": three_cables,
    "kernel VXLAN": kernel_vxlan,
    "NVGRE": switched("nvgre"),
    "VXLAN": switched("vxlan"),
    "NVGRE, 60,000 records": switched("nvgre", MANY),
}
"""What is measured, by the name in the tables."""
