"""BIRD's configuration and what its control socket says."""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from gwnode.bgp.config import RouterConfig, render
from gwnode.bgp.control import Connectivity, Learned, Session, learned, sessions
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
def test_bird_understands_it(tmp_path: Path) -> None:
    path = tmp_path / "bird.conf"
    path.write_text(render(CONFIG))
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
    assert found["peer_192_168_60_1"].last_error == "Socket: No route to host"
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
"""


def test_only_the_best_and_reachable_routes_are_learned() -> None:
    assert learned(ROUTES.splitlines()) == [
        Learned("192.168.50.0/24", "peer_192_168_50_1", 20),
        Learned("192.168.70.0/24", "peer_192_168_50_1", 0),
    ]


def test_no_routes() -> None:
    assert learned([]) == []
    assert sessions([]) == []
    assert Session("x", Connectivity.STOPPED, 0, "") != Session("x", Connectivity.CONNECTED, 0, "")
