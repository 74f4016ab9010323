"""Rates of connections, measured where the payload arrives.

 vm --- hnv0 comp a0 --- site-a 192.168.1.1        one connection for each site
10.0.0.4         b0 --- site-b 192.168.2.1
                 ...
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from typing import Any

import pytest
from pyroute2 import IPRoute

from gwnode.netns import set_sysctl
from gwnode.nft import replace_table
from gwnode.shaping import Counters, Rate, counters, ensure, minors, priority_items
from lab.testing.eventually import eventually

from .netns import Namespace, namespaces

pytestmark = pytest.mark.root

SITES = ("a", "b", "c", "d")
VM = "10.0.0.4"
PORT = 5201
MEASURED_S = 10
TOLERANCE = 0.05
RTMGRP_TC = 8


class Rates:
    """The namespaces, and what the agent would do with them."""

    def __init__(self, made: dict[str, Namespace]) -> None:
        self.at = made

    def build(self) -> None:
        """Links, addresses, routes."""
        comp = self.at["comp"]
        comp.call(lambda: set_sysctl("net/ipv4/ip_forward", "1"))
        self.wire("hnv0", "vm", "10.0.0.1/24", f"{VM}/24", "10.0.0.1")
        for number, site in enumerate(SITES, 1):
            lan = f"192.168.{number}"
            self.wire(f"{site}0", f"site-{site}", f"{lan}.2/24", f"{lan}.1/24", f"{lan}.2")

    def wire(self, device: str, name: str, here: str, there: str, gateway: str) -> None:
        """A veth pair from the compartment."""
        comp, other = self.at["comp"], self.at[name]
        comp.ip(f"link add {device} type veth peer name eth0 netns {other.name}")
        comp.ip(f"address add {here} dev {device}")
        comp.ip(f"link set {device} up")
        other.ip(f"address add {there} dev eth0")
        other.ip("link set eth0 up")
        other.ip(f"route add default via {gateway}")

    def inside(self, function: Callable[[IPRoute], Any]) -> Any:
        """Call with a netlink socket of the compartment, in it."""

        def call() -> Any:
            with IPRoute() as kernel:
                return function(kernel)

        return self.at["comp"].call(call)

    def apply(self, *rates: Rate) -> frozenset[str]:
        """Have these rates; connections without a device."""
        self.at["comp"].call(lambda: replace_table(priority_items(rates)))
        missing: frozenset[str] = self.inside(lambda kernel: ensure(kernel, rates))
        return missing

    def counters(self, *rates: Rate) -> dict[str, Counters]:
        """What has passed."""
        found: dict[str, Counters] = self.inside(lambda kernel: counters(kernel, rates))
        return found

    def qdiscs(self) -> dict[str, str]:
        """Kind of each device's root queueing discipline that is none of the kernel's own."""
        told = self.at["comp"].run("tc qdisc show").stdout
        return {device: kind for kind, device in re.findall(r"qdisc (htb) \S+ dev (\S+) root", told)}

    @contextmanager
    def sending(self, site: str, *options: str, seconds: int) -> Iterator[subprocess.Popen[str]]:
        """iperf3 from the VM to a site's server, or back with -R; what it prints is JSON."""
        target = f"192.168.{SITES.index(site) + 1}.1"
        server = self.at[f"site-{site}"].popen(f"iperf3 -s -1 -J -p {PORT}")
        eventually(lambda: self.listening(site), 10)
        words = f"iperf3 -J --get-server-output -p {PORT} -c {target} -t {seconds} {' '.join(options)}"
        client = self.at["vm"].popen(words)
        try:
            yield client
        finally:
            for process in (client, server):
                process.kill()
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()

    def listening(self, site: str) -> None:
        """Whether a site's server does."""
        told = self.at[f"site-{site}"].run("ss -ltnH").stdout
        assert f":{PORT}" in told, told


@pytest.fixture(scope="module")
def built() -> Iterator[Rates]:
    with namespaces("vm", "comp", *(f"site-{site}" for site in SITES)) as made:
        world = Rates(made)
        world.build()
        yield world


@pytest.fixture
def world(built: Rates) -> Rates:
    """Without any rates."""

    def clean() -> None:
        built.apply()
        assert built.qdiscs() == {}

    eventually(clean, 5)
    return built


def arrived_kbps(client: subprocess.Popen[str]) -> float:
    """Payload that reached the receiver, in kbit/s, over MEASURED_S seconds after the first."""
    result = json.loads(client.communicate(timeout=60)[0])
    assert "error" not in result, result["error"]
    back = result["start"]["test_start"]["reverse"]
    intervals = (result if back else result["server_output_json"])["intervals"][1 : MEASURED_S + 1]
    assert len(intervals) == MEASURED_S
    octets = sum(item["sum"]["bytes"] for item in intervals)
    return float(octets / 125 / sum(item["sum"]["seconds"] for item in intervals))


def test_every_rate_is_reached_while_the_others_are(world: Rates) -> None:
    """TCP and UDP, out and in, each on a connection of its own, all at the same time, for ten seconds."""
    rates = (
        Rate("a", "a0", outbound_kbps=5120),
        Rate("b", "b0", inbound_kbps=20_000),
        Rate("c", "c0", outbound_kbps=10_000, inbound_kbps=500),
        Rate("d", "d0", outbound_kbps=500, inbound_kbps=5120),
    )
    assert not world.apply(*rates)
    seconds = MEASURED_S + 2
    with (
        world.sending("a", seconds=seconds) as a,
        world.sending("b", "-R", seconds=seconds) as b,
        world.sending("c", "-u", "-b13M", "-l1400", seconds=seconds) as c,
        world.sending("d", "-R", "-u", "-b7M", "-l1400", seconds=seconds) as d,
    ):
        told = [arrived_kbps(client) for client in (a, b, c, d)]
    ratios = [got / rate for got, rate in zip(told, (5120, 20_000, 10_000, 5120), strict=True)]
    assert ratios == [pytest.approx(1, abs=TOLERANCE)] * 4
    shown = world.counters(*rates)
    assert shown["a"].inbound is None
    assert shown["c"].outbound is not None
    assert shown["c"].outbound.drops > 0
    assert shown["d"].inbound is not None
    assert shown["d"].inbound.octets > 5120 * 125 * MEASURED_S * 0.95
    assert shown["d"].inbound.packets > shown["d"].inbound.octets / 1500
    assert shown["b"].outbound is None


def test_both_directions_reach_their_rates_together(world: Rates) -> None:
    """TCP's acknowledgements do not wait behind the other direction's data."""
    rate = Rate("a", "a0", outbound_kbps=5120, inbound_kbps=8000)
    world.apply(rate)

    def passed() -> tuple[int, int]:
        shown = world.counters(rate)["a"]
        assert shown.outbound is not None
        assert shown.inbound is not None
        return shown.outbound.octets, shown.inbound.octets

    seconds = MEASURED_S + 4
    with world.sending("a", "--bidir", seconds=seconds) as client:
        start = passed()
        eventually(lambda: longer_than(passed()[0] - start[0], 2 * 5120 * 125), 20)
        since, first = time.monotonic(), passed()
        eventually(lambda: longer_than(time.monotonic() - since, MEASURED_S), MEASURED_S + 5)
        took_s, last = time.monotonic() - since, passed()
        told = json.loads(client.communicate(timeout=60)[0])
    ratios = [(last[way] - first[way]) / 125 / took_s / kbps for way, kbps in enumerate((5120, 8000))]
    # A TCP that has lost a whole burst leaves its rate to nobody for a moment.
    assert all(0.9 < ratio < 1 + TOLERANCE for ratio in ratios), ratios
    # Headers and the other direction's acknowledgements are the rest.
    payload = [told["end"][name]["bytes"] / 125 / seconds for name in RECEIVED]
    assert payload == [pytest.approx(kbps, rel=0.12) for kbps in (5120, 8000)]


RECEIVED = ("sum_received", "sum_received_bidir_reverse")


def test_what_the_gateway_says_itself_does_not_wait(world: Rates) -> None:
    """Neither a ping of the compartment's own nor another connection's, while one's queues are full."""
    world.apply(Rate("a", "a0", outbound_kbps=1000, inbound_kbps=1000), Rate("b", "b0", outbound_kbps=1000))

    def waited_ms(name: str, target: str) -> float:
        told = world.at[name].run(f"ping -c5 -i0.05 -W3 {target}", check=False).stdout
        found = re.search(r"min/avg/max/mdev = ([\d.]+)", told)
        assert found, told
        return float(found[1])

    with world.sending("a", "-u", "-b3M", "-l1400", seconds=30):
        eventually(lambda: longer_than(waited_ms("vm", "192.168.1.1"), 200), 10)
        assert waited_ms("comp", "192.168.1.1") < 100
        assert waited_ms("vm", "192.168.2.1") < 100


def longer_than(value: float, limit: float) -> None:
    assert value > limit


def test_a_rate_changes_under_a_running_connection(world: Rates) -> None:
    """Up, down, and to none at all; the connection goes on, and so do the counters."""

    def passed(rate: Rate) -> int:
        shown = world.counters(rate)["a"].outbound
        assert shown is not None
        return shown.octets

    def after(rate: Rate, octets: int) -> int:
        """What has passed by the time that so many more octets have."""
        first = passed(rate)
        eventually(lambda: longer_than(passed(rate) - first, octets), 20)
        return passed(rate)

    last = 0
    with world.sending("a", seconds=60) as client:
        for kbps in (5120, 40_000, 5120):
            rate = Rate("a", "a0", outbound_kbps=kbps)
            world.apply(rate)
            # What the faster rate's queue still holds has to leave first, and TCP has to find the rate.
            first = after(rate, kbps * 250)
            assert first > last
            start = time.monotonic()
            last = after(rate, kbps * 250)
            assert (last - first) / 125 / (time.monotonic() - start) == pytest.approx(kbps, rel=0.1)
        assert client.poll() is None
        world.apply(Rate("a", "a0"))
        link = world.at["comp"].run
        start, first = time.monotonic(), sent_octets(link)
        eventually(lambda: longer_than(sent_octets(link) - first, 50_000_000), 10)
        assert (sent_octets(link) - first) / 125 / (time.monotonic() - start) > 80_000
        assert client.poll() is None


def sent_octets(run: Callable[[str], subprocess.CompletedProcess[str]]) -> int:
    """Of a0, whatever limits it."""
    return int(json.loads(run("ip -j -s link show a0").stdout)[0]["stats64"]["tx"]["bytes"])


def test_only_what_differs_is_changed(world: Rates) -> None:
    rates = [Rate("a", "a0", 5000, 6000), Rate("b", "b0", 7000), Rate("c", "c0")]
    world.apply(*rates)
    with Changes(world.at["comp"]) as watching:
        world.apply(*rates)
        assert watching.told() == []
        world.apply(Rate("a", "a0", 5000, 6001), *rates[1:])
        number = minors("abc")["a"]
        # The class, and for each of its queues class and limit.
        handles = [0x10000 | number]
        for queue in (number + 1, number + 2):
            handles += [0x10000 | queue, queue << 16]
        assert watching.told() == [("hnv0", handle) for handle in handles]


def test_what_is_no_more_is_removed(world: Rates) -> None:
    world.apply(Rate("a", "a0", 5000, 6000), Rate("b", "b0", 0, 7000), Rate("c", "c0", 7000))
    assert world.qdiscs().keys() == {"hnv0", "a0", "c0"}
    assert world.apply(Rate("b", "b0", 0, 7000), Rate("new", "ipsec9", 1, 1)) == {"new"}
    assert world.qdiscs().keys() == {"hnv0"}
    world.apply()
    assert world.qdiscs() == {}


def test_a_tunnel_device_has_its_rate(world: Rates) -> None:
    """A TUN, as charon makes them: without a link header, and made after the rates."""
    rate = Rate("tunnel", "ipsec0", outbound_kbps=8000)
    assert world.apply(rate) == {"tunnel"}
    comp = world.at["comp"]
    tunnel = comp.call(lambda: open_tun("ipsec0"))
    try:
        comp.ip("link set ipsec0 mtu 1400 up")
        comp.ip("route add 192.168.9.0/24 dev ipsec0")
        assert world.apply(rate) == set()
        octets, took_s = flood(world.at["vm"], ("192.168.9.9", 9), tunnel)
        assert octets / 125 / took_s == pytest.approx(8000, rel=TOLERANCE)
    finally:
        os.close(tunnel)


def open_tun(name: str) -> int:
    """A TUN device that lives as long as the descriptor."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    iff_tun, iff_no_pi, tunsetiff = 1, 0x1000, 0x400454CA
    ioctl(descriptor, tunsetiff, struct.pack("16sH22x", name.encode(), iff_tun | iff_no_pi))
    return descriptor


def flood(sender: Namespace, target: tuple[str, int], tunnel: int) -> tuple[int, float]:
    """Send more than the rate for five seconds; octets of IP that came out of the TUN, and in what time."""
    stop = threading.Event()
    sending = sender.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def send() -> None:
        while not stop.wait(0.005):  # ten times 1200 octets in five milliseconds: 19 Mbit/s
            for _ in range(10):
                sending.sendto(bytes(1200), target)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        while len(os.read(tunnel, 2000)) < 1228:
            pass
        octets, start = 0, time.monotonic()
        while (now := time.monotonic()) < start + 5:
            octets += len(os.read(tunnel, 2000))
    finally:
        stop.set()
        thread.join()
        sending.close()
    return octets, now - start


class Changes:
    """Listens to what changes in a namespace's queueing disciplines."""

    def __init__(self, namespace: Namespace) -> None:
        self._at = namespace
        words = (socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket = namespace.call(lambda: socket.socket(*words))
        self._socket.bind((0, RTMGRP_TC))

    def __enter__(self) -> Changes:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def told(self) -> list[tuple[str, int]]:
        """Device and handle of each change since the last call: the kernel tells before it answers."""
        names = dict(self._at.call(socket.if_nameindex))
        result: list[tuple[str, int]] = []
        while True:
            try:
                text = self._socket.recv(65536)
            except BlockingIOError:
                return result
            index, handle = struct.unpack_from("=iI", text, 20)
            result.append((names[index], handle))
