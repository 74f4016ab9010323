"""Rates of the vports in the kernel: classes come and go with the ports that they are for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from pyroute2 import IPRoute

from lab.datapath.shaping import Plan, Shape, Shaper

from .netns import Namespace, namespaces
from .world import BLUE, goal_state, world

pytestmark = pytest.mark.root

ROOT_KBPS = 1_000_000
SLOW, FAST = Shape(1_000, 10_000), Shape(2_000, 20_000)


@pytest.fixture
def node() -> Iterator[Namespace]:
    """A node with two vports."""
    with namespaces("node", "vm") as made:
        for name in ("v-one", "v-two"):
            made["node"].ip(f"link add {name} type veth peer name {name} netns {made['vm'].name}")
        yield made["node"]


def follow(node: Namespace, plans: list[Plan]) -> list[dict[int, int]]:
    """The classes of the shaping device after each plan: ceilings in kbit/s by minor number."""

    def run() -> list[dict[int, int]]:
        seen = []
        with closing(Shaper()) as shaper:
            for plan in plans:
                shaper.prepare(plan)
                shaper.finish(plan, present={name: node.ifindex(f"v-{name}") for name in ("one", "two")})
                seen.append(classes())
        return seen

    return node.call(run)


def classes() -> dict[int, int]:
    """What the kernel of the calling thread has."""
    with IPRoute() as kernel:
        return {
            item["handle"] & 0xFFFF: item.get_nested("TCA_OPTIONS", "TCA_HTB_PARMS")["ceil"] * 8 // 1000
            for index in kernel.link_lookup(ifname="qos0")
            for item in kernel.get_classes(index=index)
        }


def shaped(**ports: Shape) -> Plan:
    """A plan for some ports, in this order."""
    minors = {name: number for number, name in enumerate(ports, start=2)}
    return Plan(minors, {minors[name]: shape for name, shape in ports.items()}, ROOT_KBPS, {})


def test_classes_follow_ports_that_come_change_and_go(node: Namespace) -> None:
    one, both, other = shaped(one=SLOW), shaped(one=SLOW, two=FAST), shaped(one=FAST)
    assert follow(node, [one, both, other, shaped()]) == [
        {1: ROOT_KBPS, 2: 10_000},
        {1: ROOT_KBPS, 2: 10_000, 3: 20_000},
        {1: ROOT_KBPS, 2: 20_000},
        {},
    ]


def test_an_agent_that_starts_anew_takes_away_what_is_no_more(node: Namespace) -> None:
    follow(node, [shaped(one=SLOW, two=FAST)])
    assert follow(node, [shaped(one=SLOW)]) == [{1: ROOT_KBPS, 2: 10_000}]


def test_inbound_maxima_follow_too(node: Namespace) -> None:
    limited = Plan({}, {}, ROOT_KBPS, {"one": 10_000})
    for plan, wanted in ((limited, True), (shaped(), False)):
        follow(node, [plan])
        assert ("tbf" in node.run("tc qdisc show dev v-one").stdout) is wanted


def test_a_shaping_cable_that_was_left_half_made_is_made_anew() -> None:
    with world((BLUE,)) as net:
        host = net.hosts["h1"]
        host.namespace.ip("link add qos0 type veth peer name qos1")
        half = host.namespace.ifindex("qos0")
        goal = goal_state("h1", (BLUE,))
        port = next(item for key, item in goal.items() if key.startswith("port/"))
        port.port.outbound_maximum_kbps = 10_000
        host.endpoint.apply(goal)
        assert host.namespace.ifindex("qos0") != half
        assert net.ping("bw", "10.0.1.4") is not None
