"""charon's TUN in another namespace than charon's: IKE on one side, the tenant's plaintext on the other.

The TUN works wherever it is, as it belongs to charon's open file. But kernel-libipsec hangs a route on it, by
name, for each CHILD_SA, whatever `install_routes` says, and without a device of that name in charon's own
namespace no CHILD_SA comes to stand. So a stand-in is left there: the routes are behind a mark that nobody
sets (`NEVER_MARKED`), so nothing ever goes into it.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import Any

from pyroute2 import IPRoute

TUN = "tun"
STAND_IN = "bridge"
"""A kind that every kernel here has; "dummy" is missing in some."""
_ON_THE_WAY = "m-"


def hand_over(kernel: IPRoute, target: int, name: str) -> bool:
    """Move charon's TUN into another namespace, if it is still in charon's.

    May be called again after an end at any point: each step finds what the one before has left. Call it
    before the connections are loaded, in `Charon.watch`'s `on_attach`. The kernel takes the TUN away when
    charon ends; the one after it has another name here ("ipsec1"), as the stand-in has the first.

    Parameters:
        kernel: open in charon's namespace.
        target: open file descriptor of the namespace that it goes to.
        name: of the device there. Addresses, MTU and routes are the caller's; it arrives down.

    Returns: whether there was one to move; otherwise charon is down, or it has been moved.

    Raises:
        NetlinkError: the kernel refuses.
    """
    links = kernel.get_links()
    moving = next((link for link in links if _kind(link) == TUN), None)
    if moving is None:
        return False
    own = str(moving.get("ifname")).removeprefix(_ON_THE_WAY)
    stand_ins = [link for link in links if _kind(link) == STAND_IN]
    kernel.link("set", index=moving["index"], state="down")
    if moving.get("ifname") == own:
        kernel.link("set", index=moving["index"], ifname=_ON_THE_WAY + own)
    if own not in [link.get("ifname") for link in stand_ins]:
        kernel.link("add", ifname=own, kind=STAND_IN)
        kernel.link("set", index=kernel.link_lookup(ifname=own)[0], state="up")
    for link in stand_ins:
        if link.get("ifname") != own:
            kernel.link("del", index=link["index"])
    kernel.link("set", index=moving["index"], net_ns_fd=target, ifname=name)
    return True


def selector_addresses(subnets: Iterable[IPv4Network]) -> list[str]:
    """One address out of each local selector, for `lo` of charon's namespace.

    libipsec installs a policy only if an address of its own namespace is in the local selector. Nothing with
    that address ever gets there, as all plaintext is in the other namespace.

    Parameters:
        subnets: the local selectors, as IPv4Network; 0.0.0.0/0 needs none.
    """
    return [f"{subnet.network_address}/32" for subnet in subnets if subnet.prefixlen]


def _kind(link: Any) -> str:
    info = link.get("linkinfo")
    return str(info.get("kind")) if info else ""
