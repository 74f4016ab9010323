"""Applies a wiring to network namespaces, by netlink, and only where something differs.

One open socket per namespace and one RTM_NEWLINK per veth that names both namespaces: 1.5 ms a link, where
creating a pair in the machine's namespace and moving its ends costs 50 (namespace changes wait for RCU). Made
in place, half a pair cannot be left on the machine when we are killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from lab.engine.namespaces import Namespace, WiringError, namespaces
from lab.engine.wiring import Link, Outcome, Wiring

MS_REMOUNT_BIND = 32 | 4096
CARRIER_S = 1.0
"""So long is waited for a new cable's carrier, at most."""
ELSEWHERE = "it leads elsewhere"


def apply(wiring: Wiring, pids: Mapping[str, int]) -> Outcome:
    """Make the namespaces be as the wiring says; what is right already is left alone.

    Parameters:
        wiring: what shall be.
        pids: for each node of the wiring a process that lives in its network namespace.

    Raises:
        WiringError: the kernel refused, or a node has no process.
    """
    missing = sorted(wiring.nodes() - pids.keys())
    if missing:
        raise WiringError(f"no running process of {', '.join(missing)}")
    # A thread of its own: setns(2) changes the calling thread only, and pyroute2 opens a socket per thread,
    # so that a socket used from another thread would silently speak to another namespace.
    with ThreadPoolExecutor(1, thread_name_prefix="wiring") as pool:
        return pool.submit(_apply, wiring, pids).result()


def writable_sysctls() -> None:
    """Make /proc/sys writable, which Docker mounts read-only in a container. Needs CAP_SYS_ADMIN.

    Raises:
        OSError: the kernel refuses.
    """
    if os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"", b"/proc/sys", b"", MS_REMOUNT_BIND, None) != 0:
        raise OSError(ctypes.get_errno(), "cannot make /proc/sys writable")


def _apply(wiring: Wiring, pids: Mapping[str, int]) -> Outcome:
    changes: list[str] = []
    with namespaces({node: pids[node] for node in wiring.nodes()}, changes.append) as spaces:
        for absent in wiring.absent:
            spaces[absent.node].delete(absent.name, "the lab has it no more")
        for bridge in wiring.bridges:
            spaces[bridge.port.node].make_bridge(bridge)
        made = []
        for link in wiring.links:
            _fetch(link, spaces)
            if _make_link(link, spaces[link.a.node], spaces[link.b.node]):
                made.append(link)
        # Before the interfaces are up: an interface that comes up with IPv6 on has already spoken.
        for item in wiring.sysctls:
            spaces[item.node].set_sysctl(item)
        for port in wiring.ports():
            spaces[port.node].set_port(port)
        for route in wiring.routes:
            spaces[route.node].set_route(route)
        for link in made:
            for port, far in ((link.a, link.b), (link.b, link.a)):
                if far.bridge:
                    _await_carrier(link, spaces)
                    spaces[port.node].announce(port)
    return Outcome(tuple(changes))


def holder(name: str, alias: str, spaces: Mapping[str, Namespace]) -> str | None:
    """The node that holds the port of that name and alias; None: no one does."""
    for node, space in spaces.items():
        item = space.link(name)
        if item is not None and item.get("ifalias") == alias:
            return node
    return None


def _fetch(link: Link, spaces: Mapping[str, Namespace]) -> None:
    """Bring a link's first end that stands on another node to its own: a VM that has been migrated, or whose
    host another topology names, keeps its adapter.
    """
    port = link.a
    if not port.alias or spaces[port.node].link(port.name) is not None:
        return
    standing = holder(port.name, port.alias, spaces)
    if standing is not None:
        spaces[standing].move(port.name, spaces[port.node])
        if spaces[link.b.node].link(link.b.name) is not None:
            spaces[link.b.node].refresh(link.b.name)


def _make_link(link: Link, a: Namespace, b: Namespace) -> bool:
    """The pair, where it is missing; an end that leads elsewhere is removed first, and its peer with it.

    Returns:
        Whether it was.
    """
    first, second = a.link(link.a.name), b.link(link.b.name)
    # A veth end's IFLA_LINK is its peer's index, in the peer's namespace.
    if (
        first is not None
        and second is not None
        and first.get("link") == second["index"]
        and second.get("link") == first["index"]
    ):
        return False
    a.delete(link.a.name, ELSEWHERE)
    b.delete(link.b.name, ELSEWHERE)
    a.make_veth(link.a, link.b, b)
    a.refresh(link.a.name)
    b.refresh(link.b.name)
    return True


def _await_carrier(link: Link, spaces: Mapping[str, Namespace]) -> None:
    """The kernel tells queue and bridge of a new cable's carrier a moment later: until then frames are lost.

    A cable that stays dark is nobody's error here: what is announced on it is heard by no one.
    """
    ends = [(spaces[port.node], port.name) for port in (link.a, link.b)]
    Retrying(
        retry=retry_if_result(lambda lit: not lit),
        stop=stop_after_delay(CARRIER_S),
        wait=wait_fixed(0.002),
        retry_error_callback=lambda _: False,
    )(lambda: all(space.refresh(name).get("operstate") == "UP" for space, name in ends))


def main() -> int:
    """Apply the wiring that stands on stdin; answer on stdout with the changes, or with the error.

    stdin: `{"wiring": …, "pids": {NODE: PID}}`. stdout: `{"changes": […]}` or `{"error": "…"}`.
    """
    request = json.load(sys.stdin)
    try:
        writable_sysctls()
        outcome = apply(Wiring.from_json(request["wiring"]), request["pids"])
    except (OSError, WiringError) as error:
        json.dump({"error": str(error)}, sys.stdout)
        return 1
    json.dump({"changes": list(outcome.changes)}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
