"""Network namespaces for tests: made under a unique prefix, entered by a thread, removed whole."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")
_CLONE_NEWNET = 0x40000000


class Namespace:
    """A network namespace, and a thread of ours that lives in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        subprocess.run(["ip", "netns", "add", name], check=True)
        self._ident = 0
        self._thread = ThreadPoolExecutor(max_workers=1, initializer=self._enter)
        self.ip("link set lo up")

    def _enter(self) -> None:
        descriptor = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(descriptor)
        self._ident = threading.get_ident()

    def call(self, function: Callable[[], Result]) -> Result:
        """Call in the namespace; file systems stay the same. What is called there may call again."""
        if threading.get_ident() == self._ident:
            return function()
        return self._thread.submit(function).result()

    def run(
        self, command: str, *, check: bool = True, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespace (nsenter keeps /sys/fs/bpf, `ip netns exec` does not)."""
        return subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.name}", *command.split()],
            capture_output=True,
            text=True,
            check=check,
            timeout=timeout_s,
        )

    def popen(self, command: str) -> subprocess.Popen[str]:
        """Start a command in the namespace."""
        return subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.name}", *command.split()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ip(self, arguments: str) -> str:
        """iproute2 in the namespace."""
        done = subprocess.run(
            ["ip", "-n", self.name, *arguments.split()], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"ip {arguments}: {done.stderr}"
        return done.stdout

    def ifindex(self, interface: str) -> int:
        """Index of an interface."""
        return int(self.ip(f"-o link show {interface}").split(":")[0])

    def close(self) -> None:
        """Remove the namespace and all its devices."""
        self._thread.shutdown()
        subprocess.run(["ip", "netns", "del", self.name], check=False)


@contextmanager
def namespaces(*names: str) -> Iterator[dict[str, Namespace]]:
    """Namespaces by short name, under a prefix of this call's own."""
    prefix = f"hnvt{uuid.uuid4().hex[:6]}"
    made: dict[str, Namespace] = {}
    try:
        for name in names:
            made[name] = Namespace(f"{prefix}-{name}")
        yield made
    finally:
        for namespace in made.values():
            namespace.close()


@contextmanager
def pin_directory() -> Iterator[Path]:
    """A directory on bpffs of this call's own, made when first used and removed with its pins."""
    pins = Path("/sys/fs/bpf") / f"hnvt-{uuid.uuid4().hex[:8]}"
    try:
        yield pins
    finally:
        shutil.rmtree(pins, ignore_errors=True)
