"""The goal states that the benchmark's two hosts follow: the whole pipeline on, as much policy as wanted."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState, record

PROVIDERS = ("192.168.6.11", "192.168.6.12")
"""PAs of the two hosts."""
ROUTER_MAC = "00:15:5d:00:00:01"
DENIED_PORT = 9
"""UDP and TCP port that the access control list of both ports denies."""
_RDID = "5d0c4d4a-0b1e-4000-8000-00000000be01"
_ACL = "bench"
_UDP, _TCP, _ICMP = 17, 6, 1
_SUBNETS_OF_A_NETWORK = 4


@dataclass(frozen=True)
class Machine:
    """A VM of the benchmark; each stands in a subnet of its own."""

    name: str
    host: int
    vsid: int
    address: str
    mac: str

    @property
    def subnet(self) -> IPv4Network:
        """Its virtual subnet."""
        return IPv4Network(f"{self.address}/24", strict=False)

    @property
    def router(self) -> IPv4Address:
        """The distributed router in its subnet: the first address."""
        return self.subnet.network_address + 1


MACHINES = (
    Machine("one", 0, 5001, "10.0.0.4", "00:15:5d:0a:00:04"),
    Machine("two", 1, 5002, "10.0.1.4", "00:15:5d:0a:01:04"),
)


def goal_state(host: int, encapsulation: str, *, subnets: int, records: int) -> GoalState:
    """What a host follows: two VMs in two subnets, and other tenants' policy beside them.

    Args:
        host: 0 or 1.
        encapsulation: "nvgre" or "vxlan".
        subnets: virtual subnets of other tenants.
        records: lookup records of other tenants, spread over their subnets; at most 200 in each.
    """
    items = [
        record(pb.SwitchSettings(encapsulation=encapsulation)),
        record(pb.ProviderAddress(address=PROVIDERS[host], prefix_length=24)),
        record(pb.AccessControlList(id=_ACL, rules=_rules())),
        *(record(pb.ProviderMember(rdid=_RDID, provider_address=pa)) for pa in PROVIDERS),
    ]
    for machine in MACHINES:
        items += _subnet(machine.vsid, _RDID, machine.subnet)
        items.append(_lookup(machine.vsid, machine.address, machine.mac, PROVIDERS[machine.host]))
        if machine.host == host:
            items.append(_port(machine))
    for number in range(subnets):
        items += _others(number, records // subnets + (number < records % subnets))
    return {item.key: item for item in items}


def _subnet(vsid: int, rdid: str, prefix: IPv4Network) -> list[pb.Record]:
    subnet = pb.VirtualSubnet(vsid=vsid, rdid=rdid, prefix=str(prefix), router_mac=ROUTER_MAC)
    subnet.router_address = str(prefix.network_address + 1)
    return [record(subnet), record(pb.CustomerRoute(rdid=rdid, prefix=str(prefix), vsid=vsid))]


def _lookup(vsid: int, address: str, mac: str, provider: str) -> pb.Record:
    return record(pb.LookupRecord(vsid=vsid, customer_address=address, mac=mac, provider_address=provider))


def _port(machine: Machine) -> pb.Record:
    return record(
        pb.Port(
            interface_id=machine.name,
            vsid=machine.vsid,
            customer_address=machine.address,
            mac=machine.mac,
            provider_address=PROVIDERS[machine.host],
            access_control_lists=[_ACL],
        )
    )


def _rules() -> list[pb.AclRule]:
    """Both directions: five rules that never match, a deny, and what the measured traffic needs."""
    rules = []
    for inbound in (False, True):
        side = "in" if inbound else "out"
        for number in range(5):
            rules.append(
                pb.AclRule(
                    id=f"{side}-other-{number}",
                    inbound=inbound,
                    deny=True,
                    protocol=_TCP,
                    source_prefix=f"10.9.{number}.0/24",
                    source_port_last=65535,
                    destination_port_first=1000 * number,
                    destination_port_last=1000 * number + 99,
                )
            )
        rules.append(
            pb.AclRule(
                id=f"{side}-denied",
                inbound=inbound,
                deny=True,
                protocol=_UDP,
                source_port_last=65535,
                destination_port_first=DENIED_PORT,
                destination_port_last=DENIED_PORT,
            )
        )
        for protocol in (_TCP, _UDP, _ICMP):
            rules.append(
                pb.AclRule(
                    id=f"{side}-allowed-{protocol}",
                    inbound=inbound,
                    protocol=protocol,
                    source_prefix="10.0.0.0/16",
                    destination_prefix="10.0.0.0/16",
                    source_port_last=65535,
                    destination_port_last=65535,
                )
            )
    return rules


def _others(number: int, records: int) -> list[pb.Record]:
    """One subnet of another tenant, with its members; four subnets make one VM network."""
    network, part = divmod(number, _SUBNETS_OF_A_NETWORK)
    rdid, vsid = f"5d0c4d4a-0b1e-4000-9000-{network:012x}", 10_000 + number
    prefix = IPv4Network((int(IPv4Address("10.0.0.0")) + (part << 8), 24))
    items = _subnet(vsid, rdid, prefix)
    if part == 0:
        items += [record(pb.ProviderMember(rdid=rdid, provider_address=pa)) for pa in PROVIDERS]
    for place in range(records):
        address = str(prefix.network_address + 2 + place)
        mac = f"00:15:5e:{number >> 8 & 255:02x}:{number & 255:02x}:{place:02x}"
        items.append(_lookup(vsid, address, mac, PROVIDERS[place % len(PROVIDERS)]))
    return items
