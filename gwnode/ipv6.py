"""IPv6 of a compartment: on where the tenant has it, else not there at all.

It advertises nothing and believes no advertisement: its addresses and routes are policy. Link-local addresses
are there, as neighbour discovery needs them, on Ethernet devices only; the kernel forwards none.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pyroute2 import IPRoute

from gwnode.netns import set_sysctl

ROOT = Path("/proc/sys/net/ipv6")
QUIET = ("accept_ra", "accept_redirects", "autoconf", "accept_dad", "dad_transmits")
"""All 0. Addresses are given out once, so that nobody waits to see whether another has one."""
BY_MAC, NONE = "0", "1"
"""addr_gen_mode: how a device gets its link-local address."""


def prepare() -> None:
    """Settings of the thread's namespace: new devices have no IPv6, and between those that have it is routed.

    A kernel without IPv6 has nothing to set.

    Raises:
        OSError: /proc/sys is read-only.
    """
    if not ROOT.is_dir():
        return
    # A node may have switched it off for all that is on it, and a namespace may have taken that over.
    set_sysctl("net/ipv6/conf/all/disable_ipv6", "0")
    set_sysctl("net/ipv6/conf/default/disable_ipv6", "1")
    for scope in ("all", "default"):
        for key in ("accept_ra", "accept_redirects", "autoconf"):
            set_sysctl(f"net/ipv6/conf/{scope}/{key}", "0")
    set_sysctl("net/ipv6/conf/all/forwarding", "1")


def switch(device: str, *, on: bool, link_local: bool = True) -> None:
    """Have IPv6 on a device, or not.

    Parameters:
        device: in the thread's namespace.
        link_local: whether it resolves addresses, for which it needs a link-local one.

    Raises:
        OSError: there is no such device, or the kernel has no IPv6 to switch on.
    """
    if not on and not ROOT.is_dir():
        return
    if on:
        for key in QUIET:
            set_sysctl(f"net/ipv6/conf/{device}/{key}", "0")
        set_sysctl(f"net/ipv6/conf/{device}/addr_gen_mode", BY_MAC if link_local else NONE)
    set_sysctl(f"net/ipv6/conf/{device}/disable_ipv6", "0" if on else "1")


def switch_all_off(kernel: IPRoute) -> None:
    """Have IPv6 on no device of the thread's namespace but its loopback. For good: new devices have none.

    Not by `all`, which would have it on everywhere as soon as it were taken back.

    Raises:
        OSError: /proc/sys is read-only.
    """
    for link in kernel.get_links():
        # A tunnel's device goes with its charon, at any time.
        with suppress(FileNotFoundError):
            if (name := str(link.get("ifname"))) != "lo":
                switch(name, on=False)
