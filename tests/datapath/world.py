"""Hosts and VMs in namespaces, wired as the lab wires them, with the real endpoint on each host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_address, ip_interface
from pathlib import Path

from lab.datapath.endpoint import Endpoint
from lab.southbound import southbound_pb2 as pb
from lab.southbound.identity import NodeIdentity, port_alias
from lab.southbound.keys import GoalState, record

from .netns import Namespace, namespaces, pin_directory
from .probe import Answer, Sink, blast, ping
from .switch_object import compiled

LAB = "test"
ROUTER_MAC = "00:15:5d:00:00:01"
FABRIC_MTU = 1700


@dataclass(frozen=True)
class Vm:
    """A VM, or a gateway's compartment: where it runs and who it is."""

    name: str
    host: str
    vsid: int
    address: str
    mac: str
    compartment: bool = False

    @property
    def interface(self) -> IPv4Interface | IPv6Interface:
        length = 24 if ip_address(self.address).version == 4 else 64
        return ip_interface(f"{self.address}/{length}")

    @property
    def router(self) -> str:
        return str(self.interface.network.network_address + 1)

    @property
    def interface_id(self) -> str:
        return f"compartment/{self.name}" if self.compartment else self.name


@dataclass(frozen=True)
class Tenant:
    """A VM network: subnets follow from its VMs; `routes` lead to the next hop of an address."""

    rdid: str
    vms: tuple[Vm, ...]
    routes: tuple[tuple[str, Vm], ...] = ()

    def subnets(self) -> dict[int, IPv4Network | IPv6Network]:
        return {vm.vsid: vm.interface.network for vm in self.vms}


BLUE = Tenant(
    "5d0c4d4a-0b1e-4000-8000-0000000000b1",
    (
        Vm("bw", "h1", 5001, "10.0.0.4", "00:15:5d:0a:00:04"),
        Vm("bx", "h1", 5001, "10.0.0.5", "00:15:5d:0a:00:05"),
        Vm("ba", "h2", 5002, "10.0.1.4", "00:15:5d:0a:01:04"),
        Vm("by", "h2", 5001, "10.0.0.6", "00:15:5d:0a:00:06"),
    ),
)
RED = Tenant(
    "5d0c4d4a-0b1e-4000-8000-0000000000e1",
    (
        Vm("rw", "h2", 6001, "10.0.0.4", "00:15:5d:0a:00:04"),
        Vm("ra", "h1", 6002, "10.0.1.4", "00:15:5d:0a:01:04"),
    ),
)
PROVIDER = {"h1": "192.168.6.11", "h2": "192.168.6.12"}


def goal_state(
    host: str, tenants: tuple[Tenant, ...], settings: pb.SwitchSettings | None = None
) -> GoalState:
    """What the controller would send to a host."""
    records = [record(pb.ProviderAddress(address=PROVIDER[host], prefix_length=24))]
    if settings is not None:
        records.append(record(settings))
    for tenant in tenants:
        for vsid, prefix in tenant.subnets().items():
            subnet = pb.VirtualSubnet(vsid=vsid, rdid=tenant.rdid, prefix=str(prefix), router_mac=ROUTER_MAC)
            subnet.router_address = str(prefix.network_address + 1)
            route = pb.CustomerRoute(rdid=tenant.rdid, prefix=str(prefix), vsid=vsid)
            records += [record(subnet), record(route)]
        for prefix_text, hop in tenant.routes:
            records.append(
                record(
                    pb.CustomerRoute(
                        rdid=tenant.rdid, prefix=prefix_text, vsid=hop.vsid, next_hop=hop.address
                    )
                )
            )
        for vm in tenant.vms:
            records += _records_of(vm, tenant, host)
    return {item.key: item for item in records}


def _records_of(vm: Vm, tenant: Tenant, host: str) -> list[pb.Record]:
    pa = PROVIDER[vm.host]
    gateway = any(other.compartment for other in tenant.vms if other.host == vm.host)
    records = [
        record(pb.LookupRecord(vsid=vm.vsid, customer_address=vm.address, mac=vm.mac, provider_address=pa)),
        record(pb.ProviderMember(rdid=tenant.rdid, provider_address=pa, gateway=gateway)),
    ]
    if vm.host == host:
        records.append(
            record(
                pb.Port(interface_id=vm.interface_id, vsid=vm.vsid, customer_address=vm.address, mac=vm.mac)
            )
        )
    return records


@dataclass
class Host:
    """A host's namespace, and its endpoint as long as its "agent" lives."""

    namespace: Namespace
    pins: Path
    endpoint: Endpoint = field(init=False)

    def start(self, object_file: Path | None = None) -> None:
        """Start the agent's endpoint: on what is pinned, if something is."""
        identity = NodeIdentity(lab=LAB, node=self.namespace.name, kind="host", controller="")
        self.endpoint = self.namespace.call(
            lambda: Endpoint(identity, pins=self.pins, object_file=object_file or compiled())
        )

    def stop(self) -> None:
        """What the death of the agent's process does: its descriptors are gone."""
        self.endpoint.close()

    def counted(self) -> dict[tuple[int, str, int], int]:
        """Packets by (reason, direction, VSID)."""
        return {(c.reason, c.direction, c.vsid): c.packets for c in self.endpoint.report().counters}


@dataclass
class World:
    """Two hosts on one provider network, and the VMs of two tenants."""

    hosts: dict[str, Host]
    vms: dict[str, Namespace]

    def plug(self, vm: Vm) -> None:
        """Give a VM its cable: the peer is a vport of its host."""
        host, guest = self.hosts[vm.host].namespace, self.vms[vm.name]
        host.ip(f"link add v-{vm.name} type veth peer name eth0 netns {guest.name}")
        host.ip(f"link set v-{vm.name} alias {port_alias(LAB, vm.interface_id)} up")
        guest.ip(f"link set eth0 address {vm.mac} up")
        duplicates = " nodad" if vm.interface.version == 6 else ""
        guest.ip(f"addr add {vm.interface} dev eth0{duplicates}")
        guest.ip(f"route add default via {vm.router}")

    def ping(self, source: str, destination: str, **options: int) -> Answer | None:
        """One echo request from a VM."""
        return self.vms[source].call(lambda: ping(destination, **options))

    def transfer(self, source: str, target: str, destination: str, octets: int) -> None:
        """Send over one TCP connection from VM to VM; fails if anything is missing."""
        sink = self.vms[target].call(Sink)
        self.vms[source].call(lambda: blast(destination, sink.port, octets))
        assert sink.join() == octets


@contextmanager
def world(
    tenants: tuple[Tenant, ...] = (BLUE, RED), settings: pb.SwitchSettings | None = None
) -> Iterator[World]:
    """Everything plugged, policy applied."""
    vms = [vm for tenant in tenants for vm in tenant.vms]
    with (
        namespaces(*PROVIDER, *(vm.name for vm in vms)) as made,
        pin_directory() as pins,
    ):
        made["h1"].ip(f"link add pa0 mtu {FABRIC_MTU} type veth peer name pa0 netns {made['h2'].name}")
        made["h2"].ip(f"link set pa0 mtu {FABRIC_MTU}")
        for name in PROVIDER:
            made[name].ip("link set pa0 up")
        built = World(
            {host: Host(made[host], pins / host) for host in PROVIDER},
            {vm.name: made[vm.name] for vm in vms},
        )
        for vm in vms:
            built.plug(vm)
        for name, host in built.hosts.items():
            host.start()
            host.endpoint.apply(goal_state(name, tenants, settings))
        try:
            yield built
        finally:
            for host in built.hosts.values():
                host.stop()
