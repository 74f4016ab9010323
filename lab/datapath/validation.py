"""What no switch could carry out, item by item: the same for a whole policy and for one change to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from lab.datapath.entries import lookup_key
from lab.datapath.errors import InvalidPolicyError
from lab.datapath.policy import (
    Address,
    CustomerRoute,
    Item,
    LookupRecord,
    Network,
    Node,
    Policy,
    Port,
    ProviderMember,
    Subnet,
    UserRoute,
)
from lab.errors import Problem

FIRST_VSID = 4096
LAST_VSID = 16_777_214
"""RFC 7637 §3.2: 0 to 0xfff are reserved, 0xffffff is the vendor's."""
MOST_UPLINKS = 4
"""HNV_UPLINKS_MAX."""
MOST_RULES = 256
"""HNV_ACL_RULES_MAX, for each direction."""

Identity = tuple[object, ...] | bytes
"""Bytes for lookup records, of which there are many: their hash is kept, and an address's is slow."""

STATION_MAC = re.compile(r"[0-9a-f][02468ace]([-:][0-9a-f]{2}){5}", re.IGNORECASE)


def validate(policy: Policy) -> None:
    """Refuse what no switch could carry out, all of it at once.

    Raises:
        InvalidPolicyError: each problem's place is the key of the record at fault.
    """
    subnets = {subnet.vsid: subnet for subnet in policy.subnets}
    problems = [*faults_of_node(policy.node), *_twins(policy)]
    for item in policy.items:
        problems += faults_of(item, subnets, policy.node)
    if problems:
        raise InvalidPolicyError(problems)


def faults_of_node(node: Node) -> Iterator[Problem]:
    """What is wrong with the part of a policy that a node has once."""
    seen: set[Address] = set()
    for own in node.provider_addresses:
        if own.address in seen:
            yield Problem("HNV-POLICY-002", f"{own.address} stands twice", place=own.key)
        seen.add(own.address)
    if len(node.uplinks) > MOST_UPLINKS:
        yield Problem(
            "HNV-POLICY-014",
            f"the team has {len(node.uplinks)} uplinks",
            expected=f"at most {MOST_UPLINKS}",
        )


def faults_of(item: Item, subnets: Mapping[int, Subnet], node: Node) -> Iterator[Problem]:
    """What is wrong with one item among these subnets.

    Args:
        item: of any kind.
        subnets: of the policy that it stands in, by VSID.
        node: of the same policy.
    """
    match item:
        case LookupRecord():
            return _faults_of_lookup(item, subnets)
        case Subnet():
            return _faults_of_subnet(item)
        case CustomerRoute():
            return _faults_of_route(item, subnets)
        case UserRoute():
            return _faults_of_user_route(item, subnets)
        case Port():
            return _faults_of_port(item, subnets, node)
        case ProviderMember():
            return iter(())


def stands_twice(item: Item, other: Item) -> Problem:
    """Two items that would be one entry of the switch; the first is the one at fault."""
    if isinstance(item, Port) and isinstance(other, Port):
        what = f"interface {item.ifindex}"
        if item.ifindex != other.ifindex:
            what = f"MAC {item.mac} of subnet {item.vsid}"
        return Problem("HNV-POLICY-007", f"{what} is already that of {other.key}", place=item.key)
    what = f"VSID {item.vsid}" if isinstance(item, Subnet) else "this"
    return Problem("HNV-POLICY-002", f"{what} stands twice, in {other.key} too", place=item.key)


def identity(item: Item) -> Identity:
    """What may stand only once in a policy."""
    match item:
        case LookupRecord():
            return lookup_key(item.vsid, item.customer_address)
        case Subnet():
            return (2, item.vsid)
        case CustomerRoute():
            return (3, item.rdid, item.prefix)
        case UserRoute():
            return (4, item.vsid, item.prefix)
        case ProviderMember():
            return (5, item.rdid, item.provider_address)
        case Port():
            return (6, item.ifindex)


def _twins(policy: Policy) -> Iterator[Problem]:
    seen: dict[Identity, Item] = {}
    for item in policy.items:
        other = seen.setdefault(identity(item), item)
        if other is not item:
            yield stands_twice(item, other)
    yield from mac_twins(policy.ports)


def mac_twins(ports: Iterable[Port]) -> Iterator[Problem]:
    """Ports that have one MAC in one virtual subnet: a frame could go to one only."""
    seen: dict[tuple[int, str], Port] = {}
    for port in ports:
        other = seen.setdefault((port.vsid, _canonical(port.mac)), port)
        if other.ifindex != port.ifindex:
            yield stands_twice(port, other)


def _canonical(mac: str) -> str:
    return mac.replace("-", ":").lower()


def _faults_of_subnet(subnet: Subnet) -> Iterator[Problem]:
    if not FIRST_VSID <= subnet.vsid <= LAST_VSID:
        yield Problem(
            "HNV-POLICY-001",
            f"VSID {subnet.vsid} is reserved",
            place=subnet.key,
            expected=f"{FIRST_VSID} to {LAST_VSID} (RFC 7637 §3.2)",
        )
    yield from _mac(subnet.key, subnet.router_mac)


def _faults_of_lookup(record: LookupRecord, subnets: Mapping[int, Subnet]) -> Iterator[Problem]:
    subnet = subnets.get(record.vsid)
    if subnet is None:
        yield _no_subnet(record.key, record.vsid)
    elif subnet.router == record.customer_address:
        yield Problem(
            "HNV-POLICY-005",
            f"{record.customer_address} is the distributed router's",
            place=record.key,
            expected="an address other than the subnet's first",
        )
    elif subnet.router.version != record.customer_address.version:
        yield _family(record.key, record.customer_address, subnet)
    if not STATION_MAC.fullmatch(record.mac):
        yield from _mac(record.key, record.mac)


def _faults_of_route(route: CustomerRoute, subnets: Mapping[int, Subnet]) -> Iterator[Problem]:
    if route.external_router is not None:
        return
    subnet = subnets.get(route.vsid)
    if subnet is None:
        yield _no_subnet(route.key, route.vsid)
    elif subnet.rdid != route.rdid:
        yield Problem(
            "HNV-POLICY-004",
            f"the route leads into subnet {route.vsid} of another routing domain",
            place=route.key,
            expected=f"a subnet of {route.rdid}, not of {subnet.rdid}",
        )
    else:
        yield from _route_families(route.key, route.prefix, route.next_hop, subnet)


def _faults_of_user_route(route: UserRoute, subnets: Mapping[int, Subnet]) -> Iterator[Problem]:
    subnet = subnets.get(route.vsid)
    if subnet is None:
        yield _no_subnet(route.key, route.vsid)
        return
    target = subnet
    if route.next_hop is not None:
        found = subnets.get(route.next_hop_vsid)
        if found is None:
            yield _no_subnet(route.key, route.next_hop_vsid)
            return
        target = found
    if target.rdid != subnet.rdid:
        yield Problem(
            "HNV-POLICY-004",
            f"the route leads into subnet {target.vsid} of another routing domain",
            place=route.key,
            expected=f"a subnet of {subnet.rdid}, not of {target.rdid}",
        )
        return
    yield from _route_families(route.key, route.prefix, route.next_hop, target)


def _faults_of_port(port: Port, subnets: Mapping[int, Subnet], node: Node) -> Iterator[Problem]:
    subnet = subnets.get(port.vsid)
    if subnet is None:
        yield _no_subnet(port.key, port.vsid)
    elif subnet.router.version != port.customer_address.version:
        yield _family(port.key, port.customer_address, subnet)
    yield from _mac(port.key, port.mac)
    own = [item.address for item in node.provider_addresses]
    if port.provider_address is not None and port.provider_address not in own:
        yield Problem(
            "HNV-POLICY-013",
            f"the port sends from {port.provider_address}, which is not this node's",
            place=port.key,
            expected=f"one of {', '.join(map(str, own)) or 'none'}",
        )
    for inbound in (False, True):
        count = sum(1 for rule in port.acl if rule.inbound == inbound)
        if count > MOST_RULES:
            yield Problem(
                "HNV-POLICY-009",
                f"the port has {count} {'inbound' if inbound else 'outbound'} rules",
                place=port.key,
                expected=f"at most {MOST_RULES} in each direction",
            )


def _route_families(key: str, prefix: Network, next_hop: Address | None, subnet: Subnet) -> Iterator[Problem]:
    if prefix.version != subnet.router.version:
        yield _family(key, prefix, subnet)
    if next_hop is not None and next_hop.version != subnet.router.version:
        yield _family(key, next_hop, subnet)


def _no_subnet(key: str, vsid: int) -> Problem:
    return Problem("HNV-POLICY-003", f"there is no virtual subnet {vsid}", place=key)


def _family(key: str, wrong: Address | Network, subnet: Subnet) -> Problem:
    return Problem(
        "HNV-POLICY-008",
        f"{wrong} is IPv{wrong.version}",
        place=key,
        expected=f"IPv{subnet.router.version}, as virtual subnet {subnet.vsid}",
    )


def _mac(key: str, mac: str) -> Iterator[Problem]:
    if not STATION_MAC.fullmatch(mac):
        yield Problem(
            "HNV-POLICY-006",
            f"{mac!r} is no station's MAC",
            place=key,
            expected="aa:bb:cc:dd:ee:ff, first octet even",
        )
