"""BIRD's configuration and what its control socket says."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest

from gwnode.bgp.config import RouterConfig, render
from gwnode.bgp.router import explained
from gwnode.bgp.routes import Kind, Learned, Route, learned, of_kind, routes
from gwnode.bgp.sessions import Connectivity, Session, plain, sessions
from gwnode.runtime import router_files
from gwnode.settings import Settings
from lab.southbound import southbound_pb2 as pb

GOLDEN = Path(__file__).parent.parent / "golden" / "gateway"
CONFIG = RouterConfig(
    address=IPv4Address("10.0.2.2"),
    asn=64512,
    router_id=IPv4Address("10.0.2.2"),
    networks=(IPv4Network("10.0.0.0/24"), IPv4Network("10.0.1.0/24")),
    refused=(IPv4Network("10.0.0.0/24"), IPv4Network("10.0.2.0/29"), IPv4Network("192.168.6.0/24")),
    peers=(
        pb.BgpPeer(name="hq", address="192.168.50.1", asn=64521, hold_time_s=9),
        pb.BgpPeer(name="branch", address="192.168.60.1", asn=64522),
    ),
    max_prefixes=1000,
)


def test_bird_conf() -> None:
    assert render(CONFIG) == (GOLDEN / "bird.conf").read_text()


@pytest.mark.skipif(not shutil.which("bird"), reason="BIRD is not installed on this machine")
@pytest.mark.parametrize("everything", [False, True])
def test_bird_understands_it(tmp_path: Path, everything: bool) -> None:
    path = tmp_path / "bird.conf"
    path.write_text(render(replace(full(), flaps=tmp_path / "flaps.log") if everything else CONFIG))
    ended = subprocess.run(["bird", "-p", "-c", str(path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


PROTOCOLS = """\
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     2026-11-21 09:04:59.193

kernel1    Kernel     master4    up     2026-11-21 09:04:59.193
  Channel ipv4
    State:          UP

peer_192_168_50_1 BGP        ---        up     2026-11-21 09:05:01.500  Established
  BGP state:          Established
    Last error:       Socket: Connection reset
  Channel ipv4
    Import limit:   1000
      Action:       block

peer_192_168_60_1 BGP        ---        start  2026-11-21 09:05:02.500  Active        Socket: No route to host
  BGP state:          Active
    Last error:       Socket: No route to host

peer_192_168_70_1 BGP        ---        down   2026-11-21 09:05:02.500
  BGP state:          Down
"""


def test_sessions_are_read() -> None:
    found = {session.protocol: session for session in sessions(PROTOCOLS.splitlines())}
    assert len(found) == 3
    assert found["peer_192_168_50_1"].status is Connectivity.CONNECTED
    assert found["peer_192_168_50_1"].last_error == ""
    assert found["peer_192_168_60_1"].status is Connectivity.CONNECTING
    assert found["peer_192_168_60_1"].last_error == "there is no way to the peer: its connection is down"
    assert found["peer_192_168_70_1"].status is Connectivity.STOPPED
    since = found["peer_192_168_60_1"].since_unix_s - found["peer_192_168_50_1"].since_unix_s
    assert since == 1


ROUTES = """\
Table master4:
192.168.50.0/24      unicast [peer_192_168_50_1 09:05:01.500 from 192.168.50.1] * (100/?) [AS64521i]
\tdev ipsec0
\tType: BGP univ
\tBGP.origin: IGP
\tBGP.med: 20
                     unicast [peer_192_168_60_1 09:05:01.500 from 192.168.60.1] (100/?) [AS64522i]
\tdev ipsec1
\tBGP.med: 5
192.168.60.0/24      unreachable [peer_192_168_60_1 09:05:01.500 from 192.168.60.1] * (100/-) [AS64522i]
\tType: BGP univ
\tBGP.med: 7
                     unicast [peer_192_168_50_1 09:05:01.500 from 192.168.50.1] (100/?) [AS64521i]
192.168.70.0/24      unicast [peer_192_168_50_1 09:05:01.500 from 192.168.50.1] * (100/?) [AS64521i]
\tdev ipsec0
192.168.80.0/24      unicast [peer_192_168_60_1 09:05:01.500 from 192.168.60.1] ! (100/?) [AS64522i]
\tvia 192.168.60.1 on gre-mpls
\tBGP.med: 9
"""


def test_only_the_best_and_reachable_routes_are_learned() -> None:
    assert learned(routes(ROUTES.splitlines())) == [
        Learned("192.168.50.0/24", "peer_192_168_50_1", 20),
        Learned("192.168.70.0/24", "peer_192_168_50_1", 0),
    ]


def test_what_the_kernel_refused_is_shown_and_not_learned() -> None:
    *_, refused = routes(ROUTES.splitlines())
    assert (refused.prefix, refused.best, refused.reachable, refused.med) == (
        "192.168.80.0/24",
        True,
        False,
        9,
    )


def test_no_routes() -> None:
    assert learned(routes([])) == []
    assert sessions([]) == []
    assert Session("x", Connectivity.STOPPED, 0, "") != Session("x", Connectivity.CONNECTED, 0, "")


def full() -> RouterConfig:
    """A router with everything."""
    return replace(
        CONFIG,
        peers=(
            pb.BgpPeer(
                name="hq",
                address="192.168.50.1",
                asn=64521,
                hold_time_s=9,
                weight=40000,
                max_prefixes=20,
                idle_hold_time_s=7,
                inbound=[
                    pb.BgpPolicy(
                        name="mark",
                        action="modify",
                        match_prefixes=["192.168.50.0/24", "2001:db8::/48"],
                        ignore_prefixes=["192.168.51.0/24"],
                        match_asns=[pb.AsnRange(first=64521, last=64530), pb.AsnRange(first=7, last=7)],
                        match_communities=["64521:1"],
                        match_next_hops=["192.168.50.1"],
                        set_local_preference=0,
                        set_med=0,
                        clear_med=True,
                        set_next_hop="10.0.2.5",
                        add_communities=["64512:100"],
                        remove_communities=["64521:1"],
                        remove_all_communities=True,
                    ),
                    pb.BgpPolicy(name="way out", action="allow", match_prefixes=["0.0.0.0/0"]),
                    pb.BgpPolicy(name="v6 only", action="deny", match_prefixes=["2001:db8::/48"]),
                ],
                outbound=[pb.BgpPolicy(name="nothing", action="deny")],
            ),
            pb.BgpPeer(name="idle", address="192.168.60.1", asn=64522, stopped=True, passive=True),
            pb.BgpPeer(name="inner", address="192.168.70.1", asn=64512, route_reflector_client=True),
        ),
        route_reflector=True,
        cluster_id=IPv4Address("10.0.2.9"),
        ecmp=True,
        transit=True,
        summarised=(IPv4Network("10.0.0.0/16"),),
        aggregates={IPv4Network("10.0.0.0/16"): (), IPv4Network("192.168.48.0/20"): (64521, 7)},
        damped={"192.168.50.1": ("192.168.52.0/24",)},
        flaps=Path("/run/hnvlab/blue.flaps.log"),
    )


def test_bird_conf_with_everything() -> None:
    assert render(full()) == (GOLDEN / "bird-full.conf").read_text()


@pytest.mark.parametrize(
    "policy",
    [
        pb.BgpPolicy(action="permit"),
        pb.BgpPolicy(action="deny", match_prefixes=["10.0.0.1/8"]),
        pb.BgpPolicy(action="deny", match_communities=["1:65536"]),
        pb.BgpPolicy(action="deny", match_communities=["1:1), (2,2"]),
        pb.BgpPolicy(action="deny", match_next_hops=["10.0.0.1 ]; accept"]),
        pb.BgpPolicy(action="deny", match_next_hops=["fe80::1%x ]; accept"]),
        pb.BgpPolicy(action="modify", set_next_hop="nowhere"),
    ],
)
def test_what_bird_would_not_understand_is_refused(policy: pb.BgpPolicy) -> None:
    peer = pb.BgpPeer(address="192.168.50.1", asn=1, inbound=[policy])
    with pytest.raises(ValueError, match=r"host bits|policy|community|address|scope"):
        render(replace(CONFIG, peers=(peer,)))


SIX = replace(
    CONFIG,
    address6=IPv6Address("fd00:2::2"),
    networks=(*CONFIG.networks, IPv6Network("fd00:1::/64")),
    refused=(*CONFIG.refused, IPv6Network("fd00:1::/64")),
)


def test_bird_conf_with_ipv6() -> None:
    """Beside what it says of IPv4 alone, and nowhere but there."""
    assert render(SIX) == (GOLDEN / "bird-ipv6.conf").read_text()
    assert render(replace(SIX, address6=None)) == render(CONFIG)


@pytest.mark.skipif(not shutil.which("bird"), reason="BIRD is not installed on this machine")
def test_bird_understands_everything_of_both_versions(tmp_path: Path) -> None:
    whole = replace(
        full(),
        address6=IPv6Address("fd00:2::2"),
        flaps=tmp_path / "flaps.log",
        summarised=(IPv4Network("10.0.0.0/16"), IPv6Network("fd00::/16")),
        aggregates={IPv4Network("10.0.0.0/16"): (), IPv6Network("fd00::/16"): (64521, 7)},
        damped={"192.168.50.1": ("192.168.52.0/24", "fd50::/64")},
    )
    path = tmp_path / "bird.conf"
    path.write_text(render(whole))
    ended = subprocess.run(["bird", "-p", "-c", str(path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


BOTH = """\
peer_192_168_50_1 BGP        ---        up     2026-11-21 09:05:01.500  Established
  BGP state:          Established
  Channel ipv4
    State:          UP
    Receive limit:  20
      Action:       block
    Routes:         7 imported, 1 filtered, 3 exported, 2 preferred
    Route change stats:     received   rejected   filtered    ignored   accepted
      Import updates:             12          0          1          0         11
  Channel ipv6
    State:          UP
    Receive limit:  20 [HIT]
      Action:       block
    Routes:         5 imported, 0 filtered, 4 exported, 5 preferred
    Route change stats:     received   rejected   filtered    ignored   accepted
      Import updates:              9          0          0          0          9
"""


def test_statistics_and_limits_are_of_each_version() -> None:
    (session,) = sessions(BOTH.splitlines())
    assert (session.limit, session.blocked, session.ipv6) == (20, ("ipv6",), True)
    assert (session.statistics.imported, session.statistics.updates_received) == (7, 12)
    assert (session.ipv6_statistics.imported, session.ipv6_statistics.updates_received) == (5, 9)
    down = BOTH.replace("State:          UP", "State:          DOWN")
    assert not sessions(down.splitlines())[0].ipv6


def test_of_two_next_hops_the_global_one_is_shown() -> None:
    (route,) = routes(
        [
            "fd50::/64            unicast [peer_192_168_50_1 2026-11-21 from 192.168.50.1] * (100/?) [AS7i]",
            "\tBGP.next_hop: fd50::1 fe80::1",
        ]
    )
    assert (route.prefix, route.next_hop) == ("fd50::/64", "fd50::1")


def test_routes_are_read_whole() -> None:
    text = """\
Table master4:
192.168.50.0/24      unicast [peer_192_168_50_1 2026-11-21 from 192.168.50.1] * (32768/?) [AS7i]
\tvia 192.168.50.1 on ipsec0
\tType: BGP univ
\tBGP.origin: Incomplete
\tBGP.as_path: 64521 {7 8}
\tBGP.next_hop: 192.168.50.1
\tBGP.med: 20
\tBGP.local_pref: 300
\tBGP.community: (64512,100) (1,2)
192.168.51.0/24      unicast [peer_192_168_50_1 2026-11-21 from 192.168.50.1] * (0/?) [AS7i]
10.0.0.0/24          unreachable [offered 2026-11-21] * (65535)
\tType: static univ
"""
    whole, damped, own = routes(text.splitlines())
    assert whole == Route(
        prefix="192.168.50.0/24",
        protocol="peer_192_168_50_1",
        best=True,
        reachable=True,
        damped=False,
        next_hop="192.168.50.1",
        origin="Incomplete",
        as_path=(64521, 7, 8),
        local_preference=300,
        med=20,
        communities=("64512:100", "1:2"),
    )
    assert (damped.damped, own.own, own.reachable) == (True, True, False)
    assert of_kind((whole, damped, own), Kind.BEST) == [whole, own]
    assert of_kind((whole, damped, own), Kind.DAMPED) == [damped]
    assert of_kind((whole, damped, own), Kind.ALL) == [whole, damped, own]


def test_sessions_have_their_figures() -> None:
    text = """\
peer_192_168_50_1 BGP        ---        up     2026-11-21 09:05:01  Established
  BGP state:          Established
    Neighbor address: 192.168.50.1
    Neighbor AS:      64521
    Hold timer:       7.970/9
  Channel ipv4
    Routes:         3 imported, 1 filtered, 2 exported, 3 preferred
    Route change stats:     received   rejected   filtered    ignored   accepted
      Import updates:              5          0          1          0          4
      Import withdraws:            2          0        ---          0          2
      Export updates:              6          3          0        ---          3
      Export withdraws:            1        ---        ---        ---          1
"""
    session = sessions(text.splitlines())[0]
    assert (session.address, session.asn, session.hold_time_s) == ("192.168.50.1", 64521, 9)
    found = session.to_json()["statistics"]
    assert found == {
        "updates_received": 5,
        "updates_sent": 3,
        "withdrawals_received": 2,
        "withdrawals_sent": 1,
        "imported": 3,
        "filtered": 1,
        "exported": 2,
    }


def test_errors_are_said_in_plain_words() -> None:
    assert "another AS number" in plain("BGP Error: Bad peer AS")
    assert plain("BGP Error: Something new") == "BGP Error: Something new"


def test_a_tenants_name_cannot_say_anything_to_bird() -> None:
    files = router_files(Settings(lab="x"), 'a";include"/etc/passwd')
    assert '"' not in str(files.flaps)
    assert files.flaps.parent == Settings(lab="x").state


def test_a_peer_that_is_held_back_says_why_in_its_state() -> None:
    standing = Session("peer_a", Connectivity.CONNECTED, 1, "", limit=500)
    flapping = [Route(f"10.{number}.0.0/16", "peer_a", False, True, True) for number in range(5)]
    others = [
        Route("10.9.0.0/16", "peer_b", False, True, True),
        Route("10.8.0.0/16", "peer_a", True, True, False),
    ]
    assert explained(standing, others) == standing
    blocked = explained(replace(standing, blocked=("ipv4",)), others)
    assert blocked.last_error == "the peer offers more than 500 prefixes: the others are not taken"
    damped = explained(standing, [*flapping, *others])
    assert damped.last_error == "damped, because they flap: 10.0.0.0/16, 10.1.0.0/16, 10.2.0.0/16, ..."
    down = replace(standing, status=Connectivity.CONNECTING, last_error="the peer does not answer")
    assert explained(down, flapping) == down
