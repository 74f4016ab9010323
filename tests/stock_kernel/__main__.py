"""Boot Debian's stock kernel and run tests in it.

virtme-ng emulates a machine (no KVM is needed) with this one's files, read-only below overlays.

    python -m tests.stock_kernel [PYTEST ARGUMENT...]
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

SELECTION = (
    "tests/datapath/test_switch_verifier.py",
    "tests/datapath/test_switch_kernel.py",
    "tests/datapath/test_switch_vm.py",
    "tests/datapath/test_switch_wire.py",
    "tests/datapath/test_switch_router.py",
    "tests/datapath/test_switch_out.py",
    "tests/datapath/test_switch_network.py",
    "tests/datapath/test_front_end_frames.py",
    "tests/datapath/test_access_port.py",
    "tests/stock_kernel",
)
"""What is run when nothing else is asked for."""
WITHOUT = (
    # It looks at the pins of TCX links, which Linux has from 6.6 on.
    "tests/datapath/test_switch_kernel.py::test_an_interface_that_is_gone_takes_its_attachment_along",
)
"""Tests of the selection that an older kernel cannot pass."""
KERNELS = "vmlinuz-6.1.0-*-amd64"
_ENDED = re.compile(r"stock kernel \S+: pytest ended with (\d+)")
_NEVER_ENDED = 1
_CHUNK = 65536
_UNFIT = 4


def newest_kernel(boot: Path = Path("/boot")) -> Path | None:
    """The stock kernel to boot; None: there is none installed."""

    def number(path: Path) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", path.name)]

    return max(boot.glob(KERNELS), key=number, default=None)


def command(kernel: Path, arguments: list[str]) -> list[str]:
    """What boots the kernel and runs pytest in it. virtme-ng wants a terminal: script(1) gives it one."""
    guest = Path(__file__).with_name("guest")
    inside = shlex.join([str(guest), sys.executable, *arguments])
    machine = ["--disable-kvm", "--user", "root", "--memory", "2G", "--cpus", "2"]
    return [
        "script",
        "-qec",
        shlex.join(["vng", "-r", str(kernel), *machine, "--", inside]),
        "/dev/null",
    ]


def run(arguments: list[str]) -> int:
    """Run pytest in the stock kernel; its output goes to stdout as it comes.

    Returns:
        pytest's exit code; 1 when the machine ended before pytest did, 4 when there is no such kernel.
    """
    kernel = newest_kernel()
    if kernel is None:
        sys.stderr.write(f"there is no /boot/{KERNELS}: apt-get install linux-image-amd64\n")
        return _UNFIT
    # virtme-ng looks for its own programs in PATH.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    heard = ""
    with subprocess.Popen(
        command(kernel, arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "PATH": path},
    ) as machine:
        assert machine.stdout is not None
        # Not by lines: pytest's dots are to be seen as they come.
        while data := os.read(machine.stdout.fileno(), _CHUNK):
            text = data.decode(errors="replace")
            sys.stdout.write(text)
            sys.stdout.flush()
            heard = (heard + text)[-_CHUNK:]
    ended = _ENDED.search(heard)
    return int(ended[1]) if ended else _NEVER_ENDED


if __name__ == "__main__":
    left_out = [f"--deselect={name}" for name in WITHOUT]
    sys.exit(run(sys.argv[1:] or ["-q", "--durations=5", *left_out, *SELECTION]))
