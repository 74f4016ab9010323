"""What a lab needs of the machine, looked at one by one. Nothing is changed."""

from __future__ import annotations

import gzip
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from lab.engine.docker_engine import connect, endpoint
from lab.engine.local_engine import is_debian_like
from lab.errors import LabError

MIN_KERNEL = (5, 15)
"""bpf_skb_adjust_room, BPF links and bpf_redirect as the data plane uses them.

The oldest that is tried is Debian's 6.1.
"""
MIN_DISK_GB = 5


class Verdict(StrEnum):
    """How a finding counts."""

    OK = "ok"
    WARNING = "warning"
    """The lab works, but something is slower or missing."""
    FAILED = "failed"
    """No lab can run here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what.
        verdict: how it is.
        detail: what was seen.
        hint: what to do about it; empty when nothing is to be done.
    """

    subject: str
    verdict: Verdict
    detail: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """The same as JSON data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of the kernel.

    Attributes:
        subject: what it is for.
        options: configuration options that must all be set, to y or m.
        without: what becomes of a lab where it is missing.
        needed: whether no lab can run without it.
    """

    subject: str
    options: tuple[str, ...]
    without: str
    needed: bool = True


FEATURES = (
    Feature("eBPF", ("BPF_SYSCALL", "BPF_JIT", "NET_CLS_BPF"), "the data plane is eBPF"),
    Feature("BTF", ("DEBUG_INFO_BTF",), "the loader does without", needed=False),
    Feature("TCX", ("NET_XGRESS",), "programs are attached by cls_bpf instead", needed=False),
    Feature("veth and bridge", ("VETH", "BRIDGE"), "links and segments are made of them"),
    Feature("network namespaces", ("NET_NS",), "nodes and compartments are namespaces"),
    Feature("nftables with NAT", ("NF_TABLES", "NFT_NAT"), "the gateway translates its public address"),
    Feature("TUN", ("TUN",), "strongSwan's user-space ESP needs it"),
    Feature(
        "ESP in the kernel",
        ("XFRM_USER", "INET_ESP"),
        "strongSwan's user-space ESP is used instead: slower, the same on the wire",
        needed=False,
    ),
    Feature("GRE", ("NET_IPGRE",), "the data plane makes NVGRE itself and does without", needed=False),
    Feature("shaping", ("NET_SCH_HTB", "NET_SCH_TBF"), "connections have no rates", needed=False),
)


def examine() -> Iterator[Finding]:
    """Look at everything, cheapest first."""
    yield _kernel()
    yield from _features(kernel_options())
    yield _rights()
    yield _disk()
    yield _engine()


def kernel_options(release: str | None = None) -> Mapping[str, str] | None:
    """The running kernel's configuration; None: the machine does not tell."""
    packed = Path("/proc/config.gz")
    plain = Path(f"/boot/config-{release or platform.release()}")
    if packed.exists():
        text = gzip.decompress(packed.read_bytes()).decode()
    elif plain.exists():
        text = plain.read_text()
    else:
        return None
    lines = (
        line.removeprefix("CONFIG_").split("=", 1) for line in text.splitlines() if line.startswith("CONFIG_")
    )
    return {line[0]: line[1] for line in lines}


def _features(options: Mapping[str, str] | None) -> Iterator[Finding]:
    if options is None:
        hint = "e.g. on WSL2 or in Docker Desktop's machine; `hnvlab up` tells"
        yield Finding("kernel features", Verdict.WARNING, "the kernel's configuration cannot be read", hint)
        return
    for feature in FEATURES:
        absent = [name for name in feature.options if options.get(name) not in ("y", "m")]
        if not absent:
            yield Finding(feature.subject, Verdict.OK, "there")
            continue
        verdict = Verdict.FAILED if feature.needed else Verdict.WARNING
        hint = "use a kernel that has it" if feature.needed else ""
        yield Finding(feature.subject, verdict, f"no {', '.join(absent)}: {feature.without}", hint)


def _kernel() -> Finding:
    release = platform.release()
    if platform.system() != "Linux":
        detail = f"{platform.system()} {release}: the lab runs in the Docker engine's Linux"
        return Finding("kernel", Verdict.WARNING, detail)
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2])
    if numbers >= MIN_KERNEL:
        return Finding("kernel", Verdict.OK, release)
    wanted = ".".join(str(number) for number in MIN_KERNEL)
    return Finding("kernel", Verdict.FAILED, release, f"the data plane needs Linux {wanted} or newer")


def _rights() -> Finding:
    if os.geteuid() == 0:
        return Finding("rights", Verdict.OK, "root: links are made directly")
    return Finding("rights", Verdict.OK, "ordinary user: links are made by a container beside the lab")


def _disk() -> Finding:
    place = Path("/var/lib/docker") if Path("/var/lib/docker").exists() else Path("/")
    free_gb = shutil.disk_usage(place).free / 1e9
    if free_gb >= MIN_DISK_GB:
        return Finding("disk", Verdict.OK, f"{free_gb:.0f} GB free on {place}")
    hint = f"the images need about {MIN_DISK_GB} GB while they are built: hnvlab gc, docker system prune"
    return Finding("disk", Verdict.WARNING, f"{free_gb:.1f} GB free on {place}", hint)


def _engine() -> Finding:
    try:
        client = connect(lambda _event: None)
    except LabError as error:
        problem = error.problems[0]
        verdict = Verdict.WARNING if os.geteuid() == 0 and is_debian_like() else Verdict.FAILED
        return Finding("Docker engine", verdict, problem.message, problem.hint)
    version = client.version()["Version"]
    client.close()
    return Finding("Docker engine", Verdict.OK, f"{version} at {endpoint().address}")
