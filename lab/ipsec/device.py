"""The device that plaintext goes into: charon's TUN, or an xfrm interface where the kernel encrypts."""

from __future__ import annotations

from typing import Any

from pyroute2 import IPRoute

TUNNEL_MTU = 1400
"""Bytes: 1500 less the outer headers of ESP in UDP (62 to 65 with AES-GCM), rounded as Azure does."""
_UP = 1


def ensure_device(kernel: IPRoute, name: str, *, mtu: int, if_id: int, lower: str) -> int | None:
    """Have a tunnel's device up.

    Parameters:
        kernel: open in the namespace of the device.
        name: of the device; a TUN is called ipsec0 by charon.
        mtu: in bytes.
        if_id: of the SAs that the xfrm interface stands for; 0: charon's TUN, which only charon makes.
        lower: interface under the xfrm interface.

    Returns: its index; None where charon's TUN is not there, because charon is not.

    Raises:
        NetlinkError: the kernel refuses.
    """
    if if_id and not kernel.link_lookup(ifname=name):
        (below,) = kernel.link_lookup(ifname=lower)
        kernel.link("add", ifname=name, kind="xfrm", xfrm_link=below, xfrm_if_id=if_id)
    for link in kernel.get_links():
        if link.get("ifname") != name:
            continue
        changes: dict[str, Any] = {}
        if link.get("mtu") != mtu:
            changes["mtu"] = mtu
        if not link["flags"] & _UP:
            changes["state"] = "up"
        if changes:
            kernel.link("set", index=link["index"], **changes)
        return int(link["index"])
    return None
