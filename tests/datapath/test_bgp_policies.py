"""Routing policies: what BIRD does with a few dozen routes is what the reference model says, in and out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gwnode.bgp.routes import Route
from lab.southbound import southbound_pb2 as pb
from lab.testing.eventually import eventually

from .bgp_model import Seen, evaluated
from .bgp_world import NEIGHBOUR, NEIGHBOUR6, ROUTER, ROUTER6, ROUTER_ASN, BgpWorld, Offer, Site, bgp_world

pytestmark = pytest.mark.root
SOON_S = 10.0
OWN = {"10.0.0.0/24": ROUTER, "fd00:1::/64": ROUTER6}
PREFIXES = [
    *("0.0.0.0/0", *(f"192.168.{n}.0/24" for n in range(7))),
    *("::/0", *(f"fd50:0:0:{n}::/64" for n in range(1, 8))),
]
PATHS: list[tuple[int, ...]] = [(), (7,), (65100, 70000), (9, 9, 65101)]
COMMUNITIES = ["64521:1", "64512:100", "65000:65535"]
OFFERS = tuple(
    Offer(
        prefix,
        PATHS[number % len(PATHS)],
        frozenset(c for bit, c in enumerate(COMMUNITIES) if number >> bit & 1),
        (None, 0, 50)[number % 3],
    )
    for number, prefix in enumerate([*PREFIXES, *(f"172.16.{n}.0/24" for n in range(20))])
)
GIVER, TAKER = Site(1, 64521, OFFERS, ipv6=True), Site(2, 64522, ipv6=True)
ROUTER_RECORD = pb.BgpRouter(transit_routing=True, local_ipv6_address=ROUTER6)

numbers = st.sampled_from([7, 9, 64521, 65100, 65101, 65102, 70000])
few_prefixes = st.lists(st.sampled_from([*PREFIXES, *OWN, "172.16.3.0/24", "2001:db8::/32"]), max_size=6)
few_communities = st.lists(st.sampled_from(COMMUNITIES), max_size=2, unique=True)


@st.composite
def policies(draw: st.DrawFn, next_hops: Sequence[str]) -> pb.BgpPolicy:
    """Any policy, with criteria that often match something."""
    first, last = sorted((draw(numbers), draw(numbers)))
    return pb.BgpPolicy(
        name="p",
        action=draw(st.sampled_from(["allow", "deny", "modify", "modify"])),
        match_prefixes=draw(few_prefixes),
        ignore_prefixes=draw(few_prefixes),
        match_asns=[pb.AsnRange(first=first, last=last)] if draw(st.booleans()) else [],
        match_communities=draw(few_communities),
        match_next_hops=draw(st.lists(st.sampled_from([GIVER.address, GIVER.address6]), max_size=2))
        if draw(st.integers(0, 3)) == 0
        else [],
        set_local_preference=draw(st.sampled_from([None, 0, 300])),
        set_med=draw(st.sampled_from([None, 0, 9])),
        clear_med=draw(st.booleans()),
        set_next_hop=draw(st.sampled_from(next_hops)) if draw(st.integers(0, 3)) == 0 else "",
        add_communities=draw(few_communities),
        remove_communities=draw(few_communities),
        remove_all_communities=draw(st.integers(0, 3)) == 0,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BgpWorld]:
    """One world for all examples."""
    with bgp_world(tmp_path_factory.mktemp("bgp"), GIVER, TAKER) as built:
        built.start_router(GIVER.peer(), TAKER.peer(), wanted=ROUTER_RECORD)
        yield built


def as_offered(offer: Offer) -> Seen:
    """A route as it comes in."""
    path = (GIVER.asn, *offer.path)
    hop = GIVER.address6 if ":" in offer.prefix else GIVER.address
    return Seen(offer.prefix, path, offer.communities, hop, 100, offer.med)


def as_read(route: Route, *, with_preference: bool) -> Seen:
    """A route as BIRD shows it."""
    preference = route.local_preference if with_preference else None
    communities = frozenset(route.communities)
    return Seen(route.prefix, route.as_path, communities, route.next_hop, preference, route.med)


def expected_in(inbound: Sequence[pb.BgpPolicy]) -> dict[str, Seen]:
    """What the router's table is to hold of the giver's routes."""
    found = (evaluated(inbound, as_offered(offer), inbound=True) for offer in OFFERS)
    return {route.prefix: route for route in found if route}


def expected_out(table: dict[str, Seen], outbound: Sequence[pb.BgpPolicy]) -> dict[str, Seen]:
    """What the taker is to learn. Between ASes no local preference is told, and no foreign MED."""
    result = {}
    for route in [*table.values(), *(Seen(prefix, (), frozenset(), "") for prefix in OWN)]:
        after = evaluated(outbound, replace(route, med=None), inbound=False)
        if after is not None:
            own = ROUTER6 if ":" in route.prefix else ROUTER
            hop = after.next_hop if after.next_hop != route.next_hop else own
            path = (ROUTER_ASN, *after.path)
            result[route.prefix] = replace(after, path=path, next_hop=hop, local_preference=None)
    return result


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    inbound=st.lists(policies([NEIGHBOUR, NEIGHBOUR6]), max_size=4),
    outbound=st.lists(policies(["10.9.2.9", "fd09:2::9"]), max_size=4),
)
def test_policies_do_what_the_model_says(
    world: BgpWorld, inbound: list[pb.BgpPolicy], outbound: list[pb.BgpPolicy]
) -> None:
    giver, taker = GIVER.peer(), TAKER.peer()
    giver.inbound.extend(inbound)
    taker.outbound.extend(outbound)
    world.apply(giver, taker, wanted=ROUTER_RECORD)
    table = expected_in(inbound)
    wanted = expected_out(table, outbound)

    def as_expected() -> None:
        found = world.offered_by(GIVER)
        assert {p: as_read(r, with_preference=True) for p, r in found.items()} == table
        arrived = world.at(TAKER)
        assert {p: as_read(r, with_preference=False) for p, r in arrived.items()} == wanted

    eventually(as_expected, SOON_S)


def test_the_offers_are_dozens_of_prefixes_that_none_contradicts() -> None:
    networks = [ip_network(offer.prefix) for offer in OFFERS]
    assert len(set(networks)) == len(networks) == 36
