"""An edge's GRE tunnel: the kernel's device where it has one, else a veth pair before our front end."""

from __future__ import annotations

import errno
import logging
import subprocess
from ipaddress import IPv4Address
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lab.datapath.build import FRONT_END_OBJECT
from lab.datapath.front_end import GRE_OVERHEAD, INNER_FLAGS, FrontEnd, GreLeg
from lab.datapath.pins import FRONT_END_PINS
from lab.model.edge import EdgeConfig

log = logging.getLogger(__name__)

DEVICE, LEG = "tunnel0", "tunnel0-leg"
TTL = 64
IPV6 = {"accept_ra": "0", "autoconf": "0", "accept_dad": "0", "addr_gen_mode": "1", "disable_ipv6": "0"}
"""addr_gen_mode 1: without a link-local address."""
_UP = 1


class GreTunnel:
    """The tunnel device of an edge, `tunnel0`.

    Parameters:
        config: the edge's; it has a key.
        pins: directory on bpffs of the front end.
        object_file: the front end's programs, as `lab.datapath.build` writes them.
    """

    def __init__(
        self, config: EdgeConfig, pins: Path = FRONT_END_PINS, object_file: Path = FRONT_END_OBJECT
    ) -> None:
        if config.gre_key is None:
            raise ValueError("an edge without a key has no tunnel")
        self._config = config
        self._key = config.gre_key
        self._pins = pins
        self._object_file = object_file
        self._front_end: FrontEnd | None = None

    def ensure(self, kernel: IPRoute) -> int:
        """Have the device up.

        Returns: its index.

        Raises:
            NetlinkError: the kernel refuses; also while the interface towards the gateway is not there.
        OSError: IPv6 is wanted, and cannot be switched on.
            LabError: the front end cannot be loaded, or refuses.
        """
        index = _index(kernel, DEVICE) or self._make(kernel)
        leg = _index(kernel, LEG)
        if self._config.ipv6 is not None:
            _switch_ipv6_on()
        if leg is not None:
            self._serve(kernel, index)
        _set_up(kernel, index if leg is None else leg)
        return index

    def close(self) -> None:
        """Let go of the kernel's objects; the tunnel stays as it is."""
        if self._front_end is not None:
            self._front_end.close()

    def _make(self, kernel: IPRoute) -> int:
        config = self._config
        ends = ["local", config.wan_address, "remote", config.gateway, "key", str(self._key)]
        done = subprocess.run(
            ["ip", "link", "add", DEVICE, "type", "gre", *ends, "ttl", str(TTL)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            log.info("no GRE of the kernel (%s): eBPF", done.stderr.strip())
            kernel.link("add", ifname=LEG, kind="veth", peer={"ifname": DEVICE})
        return _there(kernel, DEVICE)

    def _serve(self, kernel: IPRoute, index: int) -> None:
        """The front end knows the leg before the leg is up: until then it would be an interface like any."""
        (link,) = kernel.get_links(index)
        (wan,) = kernel.get_links(_there(kernel, self._config.wan))
        mtu = int(wan.get("mtu")) - GRE_OVERHEAD
        if link.get("mtu") != mtu or not link["flags"] & INNER_FLAGS or not link["flags"] & _UP:
            flags = INNER_FLAGS | _UP
            kernel.link("set", index=index, mtu=mtu, flags=flags, change=flags)
        if self._front_end is None:
            self._front_end = FrontEnd(self._config.wan, self._pins, self._object_file)
        self._front_end.apply(
            [
                GreLeg(
                    interface=LEG,
                    mac=str(link.get("address")),
                    local=IPv4Address(self._config.wan_address),
                    remote=IPv4Address(self._config.gateway),
                    key=self._key,
                )
            ]
        )


def _switch_ipv6_on() -> None:
    """The node has it off but where it is asked for; in the tunnel nobody resolves or advertises anything."""
    settings = Path("/proc/sys/net/ipv6/conf") / DEVICE
    for key, value in IPV6.items():
        path = settings / key
        if path.read_text().strip() != value:
            path.write_text(value)


def _set_up(kernel: IPRoute, index: int) -> None:
    (link,) = kernel.get_links(index)
    if not link["flags"] & _UP:
        kernel.link("set", index=index, state="up")


def _there(kernel: IPRoute, name: str) -> int:
    index = _index(kernel, name)
    if index is None:
        raise NetlinkError(errno.ENODEV, f"no device {name}")
    return index


def _index(kernel: IPRoute, name: str) -> int | None:
    found = kernel.link_lookup(ifname=name)
    return int(found[0]) if found else None
