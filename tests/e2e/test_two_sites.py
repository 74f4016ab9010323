"""Two sites of one tenant: the first is cut off, and traffic returns by the second, by metric and by BGP.

Each outage is printed: it is what docs/scenarios/two-sites.md tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from lab.testing import RunningLab, hnvlab
from lab.testing.eventually import eventually

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
HQ_SERVER = "192.168.50.10"
HQ, BRANCH = "192.168.50.1", "192.168.51.1"
INTERVAL_S = 0.05
STEADY_S = 2
"""So long the probe is answered before a site is cut off, and after."""
LONGEST_S = 60


BY_METRIC, BY_BGP = "two-sites", "two-sites-bgp"


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[RunningLab]:
    """The topology by metric, then the one by BGP."""
    hnvlab("down", request.param, check=False)
    running = RunningLab.bring_up(TOPOLOGIES / f"{request.param}.yml")
    yield running
    running.take_down()


PROBE = f"""
import select, socket, struct, sys, time
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
raw.connect(("{HQ_SERVER}", 0))
began = time.monotonic()
number = 0
while (now := time.monotonic()) - began < {LONGEST_S}:
    number += 1
    data = struct.pack("!BBHHH", 8, 0, 0, 0x4856, number & 0xFFFF)
    total = sum(struct.unpack("!4H", data)); total = (total & 0xFFFF) + (total >> 16)
    try:
        raw.send(struct.pack("!BBHHH", 8, 0, ~total & 0xFFFF, 0x4856, number & 0xFFFF))
    except OSError:
        pass
    while select.select([raw], [], [], max(0, now + {INTERVAL_S} - time.monotonic()))[0]:
        try:
            packet = raw.recv(2048)
        except OSError:
            continue
        if packet[20] == 0 and packet[24:26] == b"HV":
            print(f"{{time.monotonic() - began:.3f}}", flush=True)
"""
"""An echo request each 50 ms; prints when each answer came, in seconds since it began."""


def outage_s(lab: RunningLab, cut: Callable[[], None]) -> float:
    """The longest gap between two answers from before a cut until the second site answers."""
    lab.run("blue-web", "python3", "-c", f"open('/tmp/probe.py', 'w').write({PROBE!r})").check()
    lab.run("blue-web", "rm", "-f", "/tmp/answers").check()
    lab.container("blue-web").exec_run(["sh", "-c", "python3 /tmp/probe.py >/tmp/answers"], detach=True)

    def answers(since_s: float = 0) -> list[float]:
        found = [float(line) for line in lab.run("blue-web", "cat", "/tmp/answers").stdout.split()]
        steady = [at for at in found if at > since_s]
        assert len(steady) >= STEADY_S / INTERVAL_S / 2, f"{len(steady)} answers"
        return found

    last = eventually(answers, 15)[-1]
    cut()
    eventually(lambda: by(lab, BRANCH), LONGEST_S)
    # As many again: the gap is over.
    seen = [at for at in eventually(lambda: answers(last + STEADY_S), LONGEST_S) if at >= last]
    return max(later - earlier for earlier, later in pairwise(seen))


def by(lab: RunningLab, router: str) -> None:
    """Assert which site's router leads to the headquarters' server."""
    path = lab.run("blue-web", "traceroute", "-n", "-q1", "-w1", "-m6", HQ_SERVER).check()
    hops = [line.split()[1] for line in path.splitlines()[1:]]
    assert hops[2:3] == [router], path
    assert hops[-1] == HQ_SERVER, path


RENAME = """
sed -i s/{0}/{1}/ /etc/hnvlab/site.json
cd /run/service && s6-svc -wD -d onprem && s6-svc -wr -r charon && s6-svc -u onprem
"""


@pytest.mark.parametrize("lab", [BY_METRIC], indirect=True)
def test_the_branch_is_who_its_certificate_says(lab: RunningLab) -> None:
    """By another name it is refused, though its certificate is of the right authority."""
    uri = "unix:///run/hnvlab/blue+branch.vici"
    listed = lab.run("gw01", "swanctl", "--list-sas", "--uri", uri).check()
    assert "'blue.gateway'" in listed
    assert "'blue-branch.site'" in listed

    def is_in(state: str, error: str = "") -> None:
        with lab.controller() as api:
            (branch,) = (item for item in api.connection_states() if item.name == "branch")
        assert branch.state == state, branch
        assert error in branch.error, branch

    own, other = "blue-branch.site", "blue-laptop.site"
    lab.run("blue-branch", "sh", "-ec", RENAME.format(own, other)).check()
    try:
        eventually(lambda: is_in("Disconnected", "identity is not expected"), LONGEST_S)
        by(lab, HQ)
    finally:
        lab.run("blue-branch", "sh", "-ec", RENAME.format(other, own)).check()
    eventually(lambda: is_in("Connected"), LONGEST_S)
    hnvlab("check", lab.name)


@pytest.mark.parametrize(
    ("lab", "what"),
    # Without BGP, nobody notices that a site's BGP router has gone.
    [(BY_METRIC, "wan"), (BY_METRIC, "charon"), (BY_BGP, "wan"), (BY_BGP, "charon"), (BY_BGP, "exabgp")],
    indirect=["lab"],
)
def test_the_second_site_takes_over_and_gives_back(lab: RunningLab, what: str) -> None:
    """Its line to the internet, which nobody tells of; its VPN and its BGP router, which say good-bye."""

    def cut() -> None:
        if what == "wan":
            lab.run("internet", "ip", "link", "set", "s-blue-hq", "down").check()
        else:
            lab.run("blue-hq", "s6-svc", "-wD", "-d", f"/run/service/{what}").check()

    hnvlab("check", lab.name)
    try:
        took = outage_s(lab, cut)
    finally:
        lab.run("internet", "ip", "link", "set", "s-blue-hq", "up").check()
        for service in ("charon", "exabgp"):
            lab.run("blue-hq", "s6-svc", "-u", f"/run/service/{service}").check()
    began = time.monotonic()
    eventually(lambda: by(lab, HQ), 90)
    back = time.monotonic() - began
    print(
        f"{lab.name}: {what} of the first site cut: no answer for {took:.1f} s; it is back {back:.0f} s after"
    )
    # Dead peers and hold timers have nine seconds each here; both ends must notice.
    assert took < (15 if what == "wan" else 3)
    hnvlab("check", lab.name)
