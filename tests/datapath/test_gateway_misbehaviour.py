"""Sites that misbehave: each harms only itself, and the state that is shown names the cause."""

from __future__ import annotations

import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gwnode.netns import Namespace
from lab.ipsec.authentication import PreSharedKey
from lab.ipsec.tunnel import Tunnel
from lab.onprem.config import CONNECTION
from lab.testing.eventually import eventually

from .bgp_speaker import Kind as Message
from .bgp_speaker import Speaker, batches, message, opening, speaking, update
from .gateway_world import VIP
from .guests import MOST_PREFIXES, SITE, SITE_ASN, Guest, Kind
from .many_world import ManyWorld, many_world

pytestmark = pytest.mark.root

BAD = Guest(Kind.IPSEC, 1, selectors=True)
TALKER = Guest(Kind.L3, 1, bgp=True)
GOOD = [Guest(Kind.IPSEC, 2), Guest(Kind.GRE, 2), Guest(Kind.L3, 2, bgp=True), Guest(Kind.NAT, 2)]
UP_S = 30
TAKEN_S = 15
FLOOD, AT_ONCE, PAUSE_S = 20_000, 50, 0.005
"""Calls of a flood: ten thousand in a second, for two."""
ROUTE = IPv4Network("192.168.77.0/24")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManyWorld]:
    everybody = [BAD, TALKER, *GOOD]
    with many_world(tmp_path_factory.mktemp("bad"), everybody) as made:
        made.serve(*everybody)
        eventually(lambda: made.connected(everybody), UP_S)
        yield made


# -- IPsec ---


def as_the_gateway_wants(world: ManyWorld) -> Tunnel:
    """The site's end of a connection that comes up."""
    return replace(world.site_tunnel(BAD), local_ts=("192.168.50.0/24",), remote_ts=("10.0.0.0/24",))


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "wrong secret": ({"authentication": PreSharedKey("another")}, "pre-shared keys differ"),
    "wrong main mode": ({"ike_proposals": ("aes128-sha1-modp1024",)}, "no common proposal"),
    "wrong quick mode": ({"esp_proposals": ("aes128-sha1",)}, "quick mode transforms"),
    "wrong selectors": ({"local_ts": ("192.168.99.0/24",)}, "traffic selectors"),
    "wrong identity": ({"local_id": "203.0.113.77"}, "address or identity is not expected"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_site_that_calls_wrongly_is_told_from_all_others(world: ManyWorld, mistake: str) -> None:
    changes, cause = MISTAKES[mistake]
    site = world.sites[BAD.name].charon

    def named() -> None:
        assert world.states()[BAD.rdid] != "Connected"
        assert cause in world.last_error(BAD)

    right = as_the_gateway_wants(world)
    with world.quiet(*GOOD):
        site.apply({CONNECTION: replace(right, **changes)})
        eventually(named, UP_S)
        site.apply({CONNECTION: right})
        eventually(lambda: world.connected([BAD]), UP_S)
    assert world.last_error(BAD) == ""


def ike_sa_init() -> bytes:
    """A call as charon takes it (RFC 7296 §1.2), but for the initiator's SPI, which comes before it."""

    def transform(last: bool, kind: int, number: int, attributes: bytes = b"") -> bytes:
        return struct.pack("!BxHBxH", 0 if last else 3, 8 + len(attributes), kind, number) + attributes

    def payload(following: int, body: bytes) -> bytes:
        return struct.pack("!BxH", following, 4 + len(body)) + body

    key_length = struct.pack("!HH", 0x800E, 256)
    transforms = (
        transform(False, 1, 12, key_length)
        + transform(False, 2, 5)
        + transform(False, 3, 12)
        + transform(True, 4, 19)
    )
    proposal = struct.pack("!BxHBBBB", 0, 8 + len(transforms), 1, 1, 0, 4) + transforms
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    exchange = struct.pack("!HH", 19, 0) + point
    body = payload(34, proposal) + payload(40, exchange) + payload(0, os.urandom(32))
    return bytes(8) + struct.pack("!BBBBII", 33, 0x20, 34, 0x08, 0, 28 + len(body)) + body


def flood(world: ManyWorld, name: str) -> None:
    """Calls of an initiator that never goes on."""
    call = ike_sa_init()
    with Namespace(world.path(name)).run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
        sender.connect((VIP, 500))
        for number in range(FLOOD):
            sender.send(os.urandom(8) + call)
            if not number % AT_ONCE:
                time.sleep(PAUSE_S)


def unanswered_calls(world: ManyWorld, guest: Guest) -> int:
    """IKE_SAs of a tenant's charon that only have begun, and calls that it would not even take."""
    log = (world.folder / "gateway" / "state" / f"{guest.unit}.charon.log").read_text()
    return len(re.findall(r"is initiating an IKE_SA", log))


def test_a_flood_of_calls_by_a_site_ends_at_its_own_charon(world: ManyWorld) -> None:
    """Its tunnel stands all the while; charon takes few calls, and forgets them."""
    site = world.sites[BAD.name].charon
    site.apply({CONNECTION: as_the_gateway_wants(world)})
    eventually(lambda: world.connected([BAD]), UP_S)
    before = unanswered_calls(world, BAD)
    with world.quiet(*GOOD):
        flood(world, BAD.outside)
        world.connected([BAD])
    assert unanswered_calls(world, BAD) - before < FLOOD / 10
    eventually(lambda: world.connected([BAD, *GOOD]), UP_S)


def test_a_flood_of_calls_by_strangers_reaches_nobody(world: ManyWorld) -> None:
    ipsec = [guest for guest in (BAD, *GOOD) if guest.kind is Kind.IPSEC]
    before = [unanswered_calls(world, guest) for guest in ipsec]
    with world.quiet(*GOOD):
        flood(world, "internet")
    assert [unanswered_calls(world, guest) for guest in ipsec] == before
    tracked = world.run("gateway", "cat", "/proc/net/nf_conntrack").stdout
    assert not re.search(r"src=203\.0\.113\.1 .*dport=500", tracked), tracked


# -- BGP ---


def peer(world: ManyWorld, guest: Guest = TALKER) -> dict[str, Any]:
    """What the report says of a tenant's BGP peer."""
    found = [item for item in world.report().get("bgp_peers", []) if item["rdid"] == guest.rdid]
    return dict(found[0]) if found else {}


def learned(world: ManyWorld) -> list[str]:
    """Prefixes that the talking site has got through with."""
    found = [item for item in world.report().get("learned_routes", []) if item["rdid"] == TALKER.rdid]
    return [route["prefix"] for item in found for route in item.get("routes", [])]


@contextmanager
def opened(world: ManyWorld) -> Iterator[Speaker]:
    """A connection on which the router has said OPEN; after an error it takes none for a while."""

    def attempt() -> tuple[ExitStack, Speaker]:
        stack = ExitStack()
        try:
            speaker = stack.enter_context(speaking(world.path(TALKER.outside), SITE))
            assert speaker.hear()[0] == Message.OPEN
        except OSError as error:
            stack.close()
            raise AssertionError(f"not taken: {error}") from error
        return stack, speaker

    stack, speaker = eventually(attempt, UP_S)
    with stack:
        yield speaker


@contextmanager
def established(world: ManyWorld) -> Iterator[Speaker]:
    """A session that stands."""
    with opened(world) as speaker:
        speaker.say(opening(SITE_ASN, SITE), message(Message.KEEPALIVE))
        assert speaker.hear()[0] == Message.KEEPALIVE
        yield speaker


def offer(*prefixes: IPv4Network) -> bytes:
    """Take my word for these."""
    return update(SITE_ASN, SITE, prefixes)


def withdrawal(*prefixes: IPv4Network) -> bytes:
    """Forget these."""
    return update(SITE_ASN, SITE, (), prefixes)


BROKEN_OPENS = {
    "marker": (message(Message.OPEN, bytes(10), marker=bytes(16)), (1, 1), "synchroni"),
    "length": (message(Message.OPEN, bytes(10), length=18), (1, 2), "message length"),
    "kind": (message(77), (1, 3), "message type"),
    "version": (opening(SITE_ASN, SITE, version=3), (2, 1), "version"),
    "peer AS": (opening(65000, SITE), (2, 2), "another AS number"),
    "hold time": (opening(SITE_ASN, SITE, hold_time_s=1), (2, 6), "hold time"),
}


@pytest.mark.parametrize("what", BROKEN_OPENS)
def test_a_broken_open_ends_its_own_session(world: ManyWorld, what: str) -> None:
    said, code, cause = BROKEN_OPENS[what]

    def named() -> None:
        assert cause in peer(world).get("last_error", "").lower().replace("as number", "AS number")

    with world.quiet(*GOOD):
        with opened(world) as speaker:
            speaker.say(said)
            assert speaker.notified() == code
        eventually(named, UP_S)


BROKEN_UPDATES = {
    "too short": (message(Message.UPDATE, b"\0"), (1, 2), "message length"),
    "attributes too long": (
        message(Message.UPDATE, bytes((0, 0, 0xFF, 0xFF)) + bytes(4)),
        (3, 1),
        "attribute",
    ),
    "withdrawn too long": (message(Message.UPDATE, b"\xff\xff" + bytes(4)), (3, 1), "attribute"),
    "prefix too long": (
        message(Message.UPDATE, offer(ROUTE)[19:-4] + bytes((33, 192, 168, 77, 0, 0))),
        (3, 10),
        "network",
    ),
}


@pytest.mark.parametrize("what", BROKEN_UPDATES)
def test_a_broken_update_ends_its_own_session(world: ManyWorld, what: str) -> None:
    said, code, cause = BROKEN_UPDATES[what]

    def known() -> None:
        assert learned(world) == [str(ROUTE)]

    def named() -> None:
        assert cause in peer(world).get("last_error", "")
        assert learned(world) == []

    with world.quiet(*GOOD):
        with established(world) as speaker:
            speaker.say(offer(ROUTE))
            eventually(known, TAKEN_S)
            speaker.say(said)
            assert speaker.notified() == code
        eventually(named, UP_S)


def test_noise_in_place_of_bgp_ends_its_own_session(world: ManyWorld) -> None:
    with world.quiet(*GOOD):
        for _ in range(3):
            with opened(world) as speaker:
                speaker.say(os.urandom(4096))
                assert speaker.notified()[0] in (1, 2)
    assert peer(world)["state"] != "Connected"


def test_a_hundred_thousand_routes_are_not_taken(world: ManyWorld) -> None:
    """The limit's worth of them is; the session stands, and the state says what happened."""
    many = [IPv4Network((0x2C000000 + (number << 8), 24)) for number in range(100_000)]

    def named() -> None:
        assert f"more than {MOST_PREFIXES} prefixes" in peer(world).get("last_error", "")
        assert peer(world)["state"] == "Connected"
        assert len(learned(world)) == MOST_PREFIXES

    with world.quiet(*GOOD):
        with established(world) as speaker:
            speaker.say(*(offer(*batch) for batch in batches(many)))
            eventually(named, UP_S)
            routes = world.inside(TALKER.name, "ip", "route").stdout.count("proto bird")
            assert routes <= MOST_PREFIXES
        eventually(lambda: forgotten(world), UP_S)


def forgotten(world: ManyWorld) -> None:
    """Nothing of the session is left."""
    assert learned(world) == []
    assert peer(world)["state"] != "Connected"


def test_a_flapping_route_is_dampened_and_a_steady_one_is_not(world: ManyWorld) -> None:
    steady = IPv4Network("192.168.78.0/24")

    def both() -> None:
        assert learned(world) == [str(ROUTE), str(steady)]

    def damped() -> None:
        assert learned(world) == [str(steady)]
        assert "damped" in peer(world).get("last_error", "")

    def gone() -> None:
        assert learned(world) == [str(steady)]

    with world.quiet(*GOOD), established(world) as speaker:
        speaker.say(offer(ROUTE, steady))
        for _ in range(2):
            eventually(both, TAKEN_S)
            speaker.say(withdrawal(ROUTE))
            eventually(gone, TAKEN_S)
            speaker.say(offer(ROUTE))
        for _ in range(20):
            speaker.say(withdrawal(ROUTE), offer(ROUTE))
        eventually(damped, TAKEN_S)
