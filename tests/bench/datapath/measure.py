"""The figures: each takes a place and gives one number."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .variants import Place

SOURCE = Path(__file__).with_name("traffic.c")
PORT = 5201
TCP_S = 1
UDP_S = 0.5
RR_S = 0.5
_ENDS = (0, 1)
"""The CPUs of the sender and of the receiver: left alone, the scheduler decides the result."""
_CABLE_ENDS = ("eth0", "pa0", "v-*")


class MeasureError(Exception):
    """A tool of the benchmark failed: there is no figure."""


@dataclass(frozen=True)
class Tools:
    """The programs that make the traffic.

    Attributes:
        traffic: compiled from traffic.c.
    """

    traffic: Path

    @classmethod
    def compiled(cls, directory: Path) -> Tools:
        """Compile them.

        Raises:
            CalledProcessError: clang is missing or does not like it.
        """
        target = directory / "traffic"
        subprocess.run(["clang", "-O2", "-Wall", "-Wextra", "-Werror", "-o", target, SOURCE], check=True)
        return cls(target)


@dataclass(frozen=True)
class Figure:
    """One thing that is measured.

    Attributes:
        unit: of the value.
        better: "more" or "less".
        measure: takes the measurement once.
        passes: how often in a round; its value is their median. Even: forwards and backwards as often.
    """

    unit: str
    better: str
    measure: Callable[[Tools, Place], float]
    passes: int = 1


@contextmanager
def _in_order(place: Place) -> Iterator[None]:
    """Let the receiver's CPU take up whatever arrives at any cable's end (RPS).

    A veth hands its frames on where they were sent, and TCP sends from the CPU of the application as well as
    from that of the last acknowledgement: two CPUs take up one stream's segments out of order. TCP takes that
    for loss, and goes at a third of its rate for no fault of what stands between.
    """
    _steer(place, 1 << _ENDS[1])
    try:
        yield
    finally:
        _steer(place, 0)


def _steer(place: Place, cpus: int) -> None:
    for namespace in (place.client, place.server, *place.hosts):
        # Unlike nsenter, this shows the namespace's own /sys.
        enter = ["ip", "netns", "exec", namespace.name, "sh", "-c"]
        masks = " ".join(f"/sys/class/net/{name}/queues/rx-*/rps_cpus" for name in _CABLE_ENDS)
        script = f"for mask in {masks}; do [ ! -e $mask ] || echo {cpus:x} > $mask; done"
        subprocess.run([*enter, script], check=True)


def tcp_gbits(tools: Tools, place: Place) -> float:
    """One TCP stream, cubic: median of its tenths of a second: an interruption does not count; Gbit/s.

    Raises:
        MeasureError: iperf3 failed.
    """
    client = (
        f"iperf3 -c {place.address} -p {PORT} -C cubic -t {TCP_S} -O 0.3 -i 0.1 -J -A {_ENDS[0]},{_ENDS[1]}"
    )
    with _in_order(place):
        _, report = _between(place, f"iperf3 -s -1 -p {PORT} --forceflush", "listening", client)
    intervals = [item["sum"] for item in report["intervals"]]
    rates: list[float] = [item["bits_per_second"] for item in intervals if not item["omitted"]]
    return statistics.median(rates) / 1e9


def udp_kpps(tools: Tools, place: Place) -> float:
    """Datagrams of 64 octets that arrive in a second, the sender never waiting; thousands.

    Raises:
        MeasureError: the tools failed.
    """
    sink = f"taskset -c {_ENDS[1]} {tools.traffic} udp-sink {PORT} {UDP_S * 1000:.0f}"
    blast = f"taskset -c {_ENDS[0]} {tools.traffic} udp-blast {place.address} {PORT} {UDP_S * 1000 + 400:.0f}"
    counted, _ = _between(place, sink, "ready", blast)
    return float(counted["packets"]) / float(counted["seconds"]) / 1000


def tcp_rr_us(tools: Tools, place: Place) -> float:
    """Median of one octet there and back over a TCP connection; µs.

    Raises:
        MeasureError: the tools failed.
    """
    server = f"taskset -c {_ENDS[1]} {tools.traffic} rr-server {PORT}"
    client = f"taskset -c {_ENDS[0]} {tools.traffic} rr {place.address} {PORT} {RR_S * 1000:.0f}"
    _, measured = _between(place, server, "ready", client)
    return float(measured["median_us"])


FIGURES: dict[str, Figure] = {
    "TCP stream": Figure("Gbit/s", "more", tcp_gbits),
    "UDP 64 octets": Figure("kpps", "more", udp_kpps, passes=4),
    "TCP_RR": Figure("µs", "less", tcp_rr_us),
}


def _between(place: Place, server: str, ready: str, client: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a server, then its client; what each says in JSON at the end.

    Raises:
        MeasureError: one of them failed.
    """
    serving = place.server.popen(server)
    try:
        assert serving.stdout is not None
        for line in serving.stdout:
            if ready in line:
                break
        asked = place.client.run(client, check=False, timeout_s=30)
        rest, _ = serving.communicate(timeout=30)
    except subprocess.TimeoutExpired as error:
        raise MeasureError(f"{server} and {client} did not end") from error
    finally:
        serving.kill()
    if asked.returncode or serving.returncode:
        raise MeasureError(f"{client}: {asked.stdout[-500:]}{asked.stderr}; {server}: {rest[-500:]}")
    return _document(rest), _document(asked.stdout)


def _document(text: str) -> dict[str, Any]:
    begin = text.find("{")
    found: dict[str, Any] = json.loads(text[begin:]) if begin >= 0 else {}
    return found
