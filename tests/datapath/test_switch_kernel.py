"""The switch and the kernel's objects: pins, differences, attachments, counters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from uuid import UUID

import pytest

from lab.datapath import switch as switch_module
from lab.datapath.attach import ClsactHook
from lab.datapath.errors import InvalidPolicyError, NoDatapathError
from lab.datapath.image import DOMAINS, LOOKUP, MAKE_ORDER, VPORTS
from lab.datapath.maps import Map
from lab.datapath.policy import (
    AclRule,
    CustomerRoute,
    LookupRecord,
    Policy,
    Port,
    ProviderAddress,
    ProviderMember,
    Subnet,
    SwitchSettings,
)
from lab.datapath.programs import Program
from lab.datapath.show import PinnedState, as_text
from lab.datapath.switch import Switch
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import record

from .netns import Namespace, namespaces, pin_directory
from .switch_object import compiled
from .world import BLUE, goal_state, world

pytestmark = pytest.mark.root

BLUE_ID, RED_ID = UUID(int=0xB1), UUID(int=0xE1)


def tenant(rdid: UUID, vsid: int, records: int = 2, uplink: int = 0) -> Policy:
    ip = IPv4Address
    return Policy(
        (ProviderAddress("own", ip("192.168.6.10"), uplink),),
        (uplink,) if uplink else (),
        SwitchSettings(),
        (Subnet(f"s{vsid}", vsid, rdid, ip("10.0.0.1"), "00:15:5d:00:00:01"),),
        tuple(
            LookupRecord(f"l{n}", vsid, ip("10.0.0.2") + n, "00:15:5d:0a:00:04", ip("192.168.6.11"))
            for n in range(records)
        ),
        (CustomerRoute(f"r{vsid}", rdid, IPv4Network("10.0.0.0/24"), vsid, None),),
        (),
        (ProviderMember(f"m{vsid}", rdid, ip("192.168.6.11"), False),),
        (Port(f"p{vsid}", vsid, vsid, ip("10.0.0.4"), "00:15:5d:0a:00:04", gateway=False),),
    )


def both(one: Policy, other: Policy) -> Policy:
    return replace(
        one,
        subnets=one.subnets + other.subnets,
        lookups=one.lookups + other.lookups,
        routes=one.routes + other.routes,
        members=one.members + other.members,
        ports=one.ports + other.ports,
    )


@contextmanager
def opened(pins: Path, space: Namespace) -> Iterator[Switch]:
    switch = space.call(lambda: Switch(pins, compiled()))
    try:
        yield switch
    finally:
        space.call(switch.close)


@pytest.fixture
def place() -> Iterator[tuple[Path, Namespace]]:
    with namespaces("k") as made, pin_directory() as pins:
        yield pins, made["k"]


def content(pins: Path, name: str) -> dict[bytes, bytes]:
    opened_map = Map.pinned(pins / "maps" / name)
    try:
        return opened_map.items()
    finally:
        opened_map.close()


def test_the_same_policy_again_writes_nothing_even_after_a_restart(place: tuple[Path, Namespace]) -> None:
    pins, space = place
    policy = both(tenant(BLUE_ID, 5001), tenant(RED_ID, 6001))
    with opened(pins, space) as switch:
        assert switch.apply(policy)
        assert switch.apply(policy) == []
    with opened(pins, space) as switch:
        assert switch.apply(policy) == []


def test_policy_is_made_before_ports_and_broken_after_them(place: tuple[Path, Namespace]) -> None:
    pins, space = place
    with opened(pins, space) as switch:
        policy = tenant(BLUE_ID, 5001, uplink=7)
        rules = (AclRule("r", inbound=True, deny=False),)
        made = [
            step.map_name
            for step in switch.apply(replace(policy, ports=(replace(policy.ports[0], acl=rules),)))
        ]
        assert made == list(MAKE_ORDER)
        changed = switch.apply(tenant(RED_ID, 6001))
        makes = [step.map_name for step in changed if step.upserts]
        breaks = [step.map_name for step in changed if step.removes]
        assert [step.map_name for step in changed] == makes + breaks
        assert breaks == sorted(breaks, key=MAKE_ORDER.index, reverse=True)


def test_a_routing_domain_keeps_its_number_whoever_comes_and_goes(place: tuple[Path, Namespace]) -> None:
    pins, space = place
    with opened(pins, space) as switch:
        switch.apply(both(tenant(RED_ID, 6001), tenant(BLUE_ID, 5001)))
    before = content(pins, DOMAINS)[RED_ID.bytes]
    with opened(pins, space) as switch:
        switch.apply(tenant(RED_ID, 6001))
        assert content(pins, DOMAINS) == {RED_ID.bytes: before}
        switch.apply(both(tenant(UUID(int=1), 7001), tenant(RED_ID, 6001)))
    numbers = content(pins, DOMAINS)
    assert numbers[RED_ID.bytes] == before
    assert len(set(numbers.values())) == 2


def test_an_invalid_policy_changes_nothing(place: tuple[Path, Namespace]) -> None:
    pins, space = place
    with opened(pins, space) as switch:
        switch.apply(tenant(BLUE_ID, 5001))
        before = {name: content(pins, name) for name in MAKE_ORDER}
        wrong = both(tenant(RED_ID, 6001), tenant(UUID(int=1), 99))
        with pytest.raises(InvalidPolicyError) as raised:
            switch.apply(wrong)
        assert {problem.place for problem in raised.value.problems} == {"s99"}
        assert {name: content(pins, name) for name in MAKE_ORDER} == before


def test_what_does_not_fit_is_refused_before_anything_is_written(place: tuple[Path, Namespace]) -> None:
    pins, space = place
    with opened(pins, space) as switch:
        too_many = tenant(BLUE_ID, 5001)
        ports = tuple(
            Port(
                f"p{n}",
                n + 1,
                5001,
                IPv4Address("10.0.0.4"),
                f"00:15:5d:0b:{n >> 8:02x}:{n & 255:02x}",
                False,
            )
            for n in range(5000)
        )
        policy = replace(too_many, lookups=(), ports=ports)
        with pytest.raises(InvalidPolicyError, match="at most 4096"):
            switch.apply(policy)
        assert content(pins, VPORTS) == {}


def test_many_records_go_in_and_come_back(place: tuple[Path, Namespace]) -> None:
    pins, space = place
    policy = tenant(BLUE_ID, 5001, records=20_000)
    with opened(pins, space) as switch:
        switch.apply(policy)
        assert len(content(pins, LOOKUP)) == 20_000
        (step,) = switch.apply(tenant(BLUE_ID, 5001, records=19_999))
        assert (step.map_name, len(step.removes)) == (LOOKUP, 1)


def test_an_object_that_is_none_says_so(place: tuple[Path, Namespace], tmp_path: Path) -> None:
    pins, space = place
    broken = tmp_path / "wnv.bpf.o"
    broken.write_bytes(b"no ELF")
    with pytest.raises(NoDatapathError, match=r"lab\.datapath\.build"):
        space.call(lambda: Switch(pins, broken))


def test_an_interface_that_is_gone_takes_its_attachment_along(place: tuple[Path, Namespace]) -> None:
    pins, space = place
    with opened(pins, space) as switch:
        space.ip("link add d0 type veth peer name d1")
        index = space.ifindex("d0")
        space.call(lambda: switch.attach({index}, set()))
        assert [pin.name for pin in (pins / "links").iterdir()] == [str(index)]
        space.ip("link del d0")
        space.call(lambda: switch.attach({index}, set()))
        space.ip(f"link add d0 index {index} type veth peer name d1")
        with opened(pins, space) as again:
            space.call(lambda: again.attach({index}, set()))
            assert [pin.name for pin in (pins / "links").iterdir()] == [str(index)]
            space.call(lambda: again.attach(set(), set()))
        assert list((pins / "links").iterdir()) == []


def test_without_tcx_the_filter_of_cls_bpf_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_tcx(_: Program) -> ClsactHook:
        return ClsactHook()

    monkeypatch.setattr(switch_module, "detect_hook", no_tcx)
    with world((BLUE,)) as net:
        assert net.ping("bw", "10.0.1.4") is not None
        assert "direct-action" in net.hosts["h1"].namespace.run("tc filter show dev v-bw ingress").stdout
        net.hosts["h1"].stop()
        assert net.ping("bw", "10.0.1.4") is not None
        net.hosts["h1"].start()
        assert net.ping("bw", "10.0.1.4") is not None


def test_show_reads_the_kernel_and_needs_no_agent() -> None:
    with world((BLUE,)) as net:
        host = net.hosts["h1"]
        net.ping("bw", "10.0.1.4")
        dropped = record(pb.UserRoute(vsid=5001, prefix="10.9.0.0/16"))
        host.endpoint.apply({**goal_state("h1", (BLUE,)), dropped.key: dropped})
        net.ping("bw", "8.8.8.8")
        host.stop()
        try:
            state = PinnedState(host.pins)
            policy, ports = state.policy(), host.namespace.call(state.ports)
            assert policy["provider"][0]["provider_address"] == "192.168.6.11"
            route = {"rdid": BLUE.rdid, "from_vsid": None, "prefix": "10.0.1.0/24", "vsid": 5002}
            assert {**route, "next_hop": None, "external_router": None} in policy["customer_routes"]
            ended = {"rdid": None, "from_vsid": 5001, "prefix": "10.9.0.0/16", "vsid": 5001}
            assert {**ended, "next_hop": "none", "external_router": None} in policy["customer_routes"]
            assert {
                "rdid": BLUE.rdid,
                "vsid": 5002,
                "customer_address": "10.0.1.4",
                "mac": "00:15:5d:0a:01:04",
                "provider_address": "192.168.6.12",
            } in policy["lookup_records"]
            assert [port["interface"] for port in ports["ports"]] == ["v-bw", "v-bx"]
            (no_route,) = (row for row in state.drops()["drops"] if row["reason"] == "no-route")
            assert (no_route["direction"], no_route["vsid"], no_route["packets"]) == ("vport-in", 5001, 1)
            lines = [line.split() for line in as_text(state.drops()).splitlines()]
            assert ["no-route", "vport-in", "5001", "1", str(no_route["bytes"])] in lines
        finally:
            host.start()
