"""Network namespaces with a name: a bind mount of the namespace keeps it, with or without processes."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MNT_DETACH = 2
OWN_NAMESPACE = "/proc/thread-self/ns/net"


class Namespace:
    """A network namespace that stands under a path, as `ip netns` makes them under /run/netns.

    Parameters:
        path: where it is mounted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether a namespace is mounted there; a file left by a crash is none."""
        return os.path.ismount(self.path)

    def ensure(self) -> bool:
        """Make it if it is not there; True if it was made.

        Raises:
            OSError: the kernel refuses; CAP_SYS_ADMIN is needed.
        """
        if self.exists():
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        _in_thread(self._make)
        return True

    def _make(self) -> None:
        _call("unshare", CLONE_NEWNET)
        _call("mount", OWN_NAMESPACE.encode(), str(self.path).encode(), b"none", MS_BIND, None)

    def remove(self) -> None:
        """Let go of it; the kernel ends it, with all interfaces, after the last process that lives there."""
        with suppress(FileNotFoundError):
            if self.exists():
                _call("umount2", str(self.path).encode(), MNT_DETACH)
            self.path.unlink()

    def run(self, function: Callable[[], T]) -> T:
        """Run a function in a thread that has entered the namespace; so have subprocesses that it starts.

        A thread of its own, because setns(2) changes the calling thread for good.

        Raises:
            OSError: there is no such namespace.
        """

        def entered() -> T:
            with self.path.open() as handle:
                _call("setns", handle.fileno(), CLONE_NEWNET)
            return function()

        return _in_thread(entered)


def set_sysctl(name: str, value: str) -> None:
    """Write a sysctl of the calling thread's namespace, if it has another value.

    Parameters:
        name: as a path below /proc/sys, "net/ipv4/ip_forward".

    Raises:
        OSError: there is no such sysctl, or /proc/sys is read-only.
    """
    path = Path("/proc/sys") / name
    if path.read_text().strip() != value:
        path.write_text(value)


def run_tool(command: list[str], text: str = "") -> str:
    """Run a tool to its end and give back what it printed.

    Raises:
        subprocess.CalledProcessError: it failed; the message holds what it said.
    """
    ended = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise subprocess.CalledProcessError(
            ended.returncode, [*command, ended.stderr.strip()], stderr=ended.stderr
        )
    return ended.stdout


def _in_thread(function: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1, thread_name_prefix="netns") as pool:
        return pool.submit(function).result()


def _call(name: str, *arguments: int | bytes | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
