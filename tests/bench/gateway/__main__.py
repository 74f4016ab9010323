"""Measure the gateway, and write docs/performance.md.

python -m tests.bench.gateway [--rounds 7] [--tenants 100] [--no-write]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from lab.testing import eventually
from tests.bench import document
from tests.bench.statistic import Spread, machine
from tests.datapath.guests import SITE, Guest, Kind, guests
from tests.datapath.many_world import ManyWorld, many_world

from .baselines import ALONE, BARE, route_bare, strongswan_alone

STREAM_S = 2
PASSES = 4
"""Streams of each way in a round, of which the median counts: a charon's threads share two CPUs with those of
the other, and single streams differ by a factor of two."""
UP_S = 60
PORT = 5201
MANY_UP_S = 300
RECEIVER_CPU = 1


@dataclass(frozen=True)
class Way:
    """A path that is measured: from a namespace to an address in another."""

    source: str
    target: str
    address: str


@dataclass(frozen=True)
class Target:
    """A ratio, and what it should be."""

    way: str
    base: str
    bound: float


TARGETS = (
    Target("IPsec connection", "strongSwan alone", 0.9),
    Target("GRE connection", "routing alone", 0.8),
    Target("L3 connection", "routing alone", 0.8),
)


def stream_mbits(world: ManyWorld, way: Way) -> float:
    """One TCP stream, cubic; median of its tenths of a second, Mbit/s."""
    server = world.command(
        way.target, "iperf3", "-s", "-1", "-B", way.address, "-p", str(PORT), "--forceflush"
    )
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        while "listening" not in serving.stdout.readline():
            pass
        words = (
            "-C",
            "cubic",
            "-t",
            str(STREAM_S),
            "-O",
            "0.5",
            "-i",
            "0.1",
            "-J",
            "-A",
            f"0,{RECEIVER_CPU}",
        )
        done = world.run(way.source, "iperf3", "-c", way.address, "-p", str(PORT), *words)
        serving.communicate(timeout=30)
    intervals = [item["sum"] for item in json.loads(done.stdout)["intervals"]]
    rates: list[float] = [item["bits_per_second"] for item in intervals if not item["omitted"]]
    return statistics.median(rates) / 1e6


def measure_streams(rounds: int, console: Console) -> dict[str, list[float]]:
    """All ways in each pass, forwards and backwards in turn; for each round the median of its passes."""
    wanted = [Guest(kind, 1) for kind in (Kind.IPSEC, Kind.GRE, Kind.L3)]
    with (
        tempfile.TemporaryDirectory(prefix="hnvt-") as folder,
        many_world(Path(folder), wanted) as world,
        strongswan_alone(world) as alone,
    ):
        world.serve(*wanted)
        eventually(lambda: world.connected(wanted), UP_S)
        one, other = ALONE
        ways = {
            "strongSwan alone": Way(one, other, alone),
            "IPsec connection": Way("vm-ipsec01", "site-ipsec01", SITE),
            "routing alone": Way(BARE[0], BARE[-1], route_bare(world)),
            "GRE connection": Way("vm-gre01", "site-gre01", SITE),
            "L3 connection": Way("vm-l301", "site-l301", SITE),
        }
        for path in (*(world.folder / "netns").iterdir(), *(world.folder / "compartments").iterdir()):
            in_order(path)
        for way in ways.values():
            eventually(partial(reaches, world, way), UP_S)
        samples: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds):
            passes: dict[str, list[float]] = {name: [] for name in ways}
            for turn in range(PASSES):
                for name in list(ways) if turn % 2 == 0 else list(reversed(ways)):
                    passes[name].append(stream_mbits(world, ways[name]))
            for name, values in passes.items():
                samples[name].append(statistics.median(values))
            told = ", ".join(f"{name} {values[-1]:.0f}" for name, values in samples.items())
            console.print(f"round {number + 1}, Mbit/s: {told}")
    return samples


def in_order(path: Path) -> None:
    """Let one CPU take up all that arrives in a namespace (RPS); the data path's bench says why."""
    script = (
        "mount -t sysfs none /sys; for mask in /sys/class/net/*/queues/rx-*/rps_cpus; do "
        f"echo {1 << RECEIVER_CPU:x} > $mask; done"
    )
    subprocess.run(["nsenter", f"--net={path}", "unshare", "--mount", "sh", "-c", script], check=True)


def reaches(world: ManyWorld, way: Way) -> None:
    """Assert that a way is open."""
    assert world.pings(way.source, way.address), f"{way.source} does not reach {way.address}"


def bring_up_s(tenants: int) -> float:
    """From the goal state to the last connection that is connected, a quarter of each kind; seconds."""
    each = tenants // 4
    wanted = guests(ipsec=each, gre=each, l3=each, nat=each)
    with tempfile.TemporaryDirectory(prefix="hnvt-") as folder, many_world(Path(folder), wanted) as world:
        began = time.monotonic()
        world.serve(*wanted)
        eventually(lambda: world.connected(wanted), MANY_UP_S)
        return time.monotonic() - began


def text_of(samples: dict[str, list[float]], few: int, few_s: float, many: int, many_s: float) -> str:
    """The generated section."""
    rows = []
    for target in TARGETS:
        ratio = Spread.of_ratios(samples[target.way], samples[target.base])
        verdict = "yes" if ratio.median >= target.bound else "no"
        rows.append([f"{target.way} / {target.base}", f"≥ {target.bound:.1f}", ratio.text(2), verdict])
    rates = [[name, Spread.of(values).text(0)] for name, values in samples.items()]
    times = [
        [f"{few} tenants", f"{few_s:.1f}", f"{few_s / few:.2f}"],
        [f"{many} tenants", f"{many_s:.1f}", f"{many_s / many:.2f}"],
    ]
    rounds = len(next(iter(samples.values())))
    return "\n\n".join(
        (
            f"Median of {rounds} rounds of {PASSES} interleaved passes, in brackets lowest and highest round;"
            " TCP uses cubic.\n"
            f"{machine()}.",
            document.table(["one TCP stream, taken round by round", "target", "measured", "met"], rows),
            document.table(["", "Mbit/s"], rates),
            document.table(["from the goal state to the last connection", "s", "s each"], times),
        )
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--no-write", action="store_true", help="leave docs/ as it is")
    options = parser.parse_args()
    console = Console(width=200, highlight=False)
    samples = measure_streams(options.rounds, console)
    few = max(4, options.tenants // 10)
    few_s, many_s = bring_up_s(few), bring_up_s(options.tenants)
    text = text_of(samples, few, few_s, options.tenants, many_s)
    console.print(text, markup=False)
    if not options.no_write:
        document.write("gateway", text)


if __name__ == "__main__":
    main()
