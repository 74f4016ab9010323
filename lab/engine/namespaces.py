"""The network namespaces of nodes, open for netlink: one interface, address, route or setting at a time."""

from __future__ import annotations

import ctypes
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, ip_interface
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lab import arp
from lab.engine.wiring import Bridge, Port, Route, Sysctl

CLONE_NEWNET = 0x40000000
IFF_UP = 1
RT_SCOPE_LINK = 253
"""Of link-local addresses, which are the kernel's own."""


class WiringError(Exception):
    """The kernel refused a part of the wiring; the message names the node and the interface."""


@contextmanager
def namespaces(pids: Mapping[str, int], note: Callable[[str], None]) -> Iterator[dict[str, Namespace]]:
    """Open the namespaces of nodes. For the calling thread only, which is in the last one of them then.

    Parameters:
        pids: for each node a process that lives in its network namespace.
        note: is told of each change.

    Raises:
        WiringError: a process is gone.
    """
    with ExitStack() as stack:
        yield {node: stack.enter_context(_namespace(node, pids[node], note)) for node in sorted(pids)}


class Namespace:
    """One node's network namespace: an open netlink socket and what is known of its interfaces."""

    def __init__(
        self,
        node: str,
        file_descriptor: int,
        socket: Any,
        enter: Callable[[], None],
        note: Callable[[str], None],
    ) -> None:
        self.node = node
        self.file_descriptor = file_descriptor
        self._socket = socket
        self._enter = enter
        self._note = note
        self._links: dict[str, Any] = {item.get("ifname"): item for item in socket.get_links()}
        self._addresses: dict[int, set[str]] | None = None

    def link(self, name: str) -> Any | None:
        """The interface as it was last seen."""
        return self._links.get(name)

    @property
    def highest_index(self) -> int:
        """The highest index of an interface, as they were last seen."""
        return max(int(item["index"]) for item in self._links.values())

    def enter(self) -> None:
        """Bring the calling thread into the namespace.

        Raises:
            WiringError: the kernel refuses.
        """
        self._enter()

    def refresh(self, name: str) -> Any:
        """Look at one interface anew."""
        # Asked for by name: a filtered dump would still read all interfaces, for each new one again.
        self._links[name] = self._socket.link("get", ifname=name)[0]
        return self._links[name]

    def request(self, what: str, function: str, *arguments: Any, **values: Any) -> None:
        """One change, noted; the kernel's refusal names the node and what was tried."""
        with _refusal(f"{self.node}: {what}"):
            getattr(self._socket, function)(*arguments, **values)
        self._note(f"{self.node}: {what}")

    def delete(self, name: str, why: str) -> None:
        """Remove an interface that is not what it should be, and with it the far end."""
        item = self._links.pop(name, None)
        if item is not None:
            self.request(f"{name} removed: {why}", "link", "del", index=item["index"])

    def index_at(self, destination: Namespace) -> int:
        """The index that an interface gets when it moves to another node: one that neither of them uses.

        What the source's switch knows of the old index must not come true on the destination.
        """
        return 1 + max(self.highest_index, destination.highest_index)

    def move(self, name: str, destination: Namespace) -> None:
        """Move one end of a link to another node, with its name and alias; it is up there at once.

        One message: the far end never sees a link that is down, so nobody's neighbours are forgotten.
        """
        index = self.index_at(destination)
        item = self._links.pop(name)
        self.request(
            f"{name} moved to {destination.node}",
            "link",
            "set",
            index=item["index"],
            net_ns_fd=destination.file_descriptor,
            new_ifindex=index,
            state="up",
        )
        destination.refresh(name)

    def make_veth(self, port: Port, peer: Port, peer_space: Namespace) -> None:
        """Both ends of a link in one message."""
        values: dict[str, Any] = {"ifname": port.name, "kind": "veth", "mtu": port.mtu}
        other: dict[str, Any] = {
            "ifname": peer.name,
            "mtu": peer.mtu,
            "net_ns_fd": peer_space.file_descriptor,
        }
        if port.mac:
            values["address"] = port.mac
        if peer.mac:
            other["address"] = peer.mac
        self.request(f"{port.name} linked to {peer.node}:{peer.name}", "link", "add", **values, peer=other)

    def make_bridge(self, bridge: Bridge) -> None:
        """The bridge, where there is none.

        Its hardware address is one that is given: else it would be that of one of its ports, and change with
        them, while neighbours go on sending to the old one.
        """
        name = bridge.port.name
        if self.link(name) is None:
            own = f"02:{secrets.token_bytes(5).hex(':')}"
            self.request(f"{name} made", "link", "add", ifname=name, kind="bridge", address=own)
            self.refresh(name)

    def set_port(self, port: Port) -> None:
        """Make an interface that exists be as it should: one message for all that differs."""
        item = self.link(port.name) or self.refresh(port.name)
        wanted: dict[str, Any] = {}
        if port.mac and item.get("address") != port.mac:
            wanted["address"] = port.mac
        if item.get("mtu") != port.mtu:
            wanted["mtu"] = port.mtu
        if port.alias and item.get("ifalias") != port.alias:
            wanted["ifalias"] = port.alias
        if port.bridge:
            bridge = self.link(port.bridge)
            if bridge is None:
                raise WiringError(
                    f"{self.node}: {port.name} wants the bridge {port.bridge}, which is not there"
                )
            if item.get("master") != bridge["index"]:
                wanted["master"] = bridge["index"]
        if not item["flags"] & IFF_UP:
            wanted["state"] = "up"
        if wanted:
            described = ", ".join(f"{key} {value}" for key, value in wanted.items())
            self.request(f"{port.name} {described}", "link", "set", index=item["index"], **wanted)
        self._ensure_addresses(port, item["index"])

    def announce(self, port: Port) -> None:
        """Tell the segment of a new port who is there: another may have had the address, at another place."""
        addresses = (ip_interface(address).ip for address in port.addresses)
        self._enter()
        try:
            arp.announce(
                port.name,
                self.refresh(port.name).get("address"),
                *(address for address in addresses if isinstance(address, IPv4Address)),
            )
        except OSError as error:
            raise WiringError(f"{self.node}: cannot announce {port.name}: {error.strerror}") from error

    def _ensure_addresses(self, port: Port, index: int) -> None:
        if not port.addresses:
            return
        present = self._present_addresses().get(index, set())
        for address in port.addresses:
            if address in present:
                continue
            parsed = ip_interface(address)
            values: dict[str, Any] = {"address": str(parsed.ip), "prefixlen": parsed.network.prefixlen}
            if parsed.version == 4 and parsed.network.prefixlen < 31:
                values["broadcast"] = str(parsed.network.broadcast_address)
            self.request(f"{port.name} address {address}", "addr", "add", index=index, **values)
        for address in sorted(present - set(port.addresses)) if port.fixed else ():
            parsed = ip_interface(address)
            values = {"address": str(parsed.ip), "prefixlen": parsed.network.prefixlen}
            self.request(f"{port.name} address {address} removed", "addr", "del", index=index, **values)

    def _present_addresses(self) -> Mapping[int, set[str]]:
        """Addresses by interface index, as they were when they were first asked for.

        One dump, not one a port.
        """
        if self._addresses is None:
            self._addresses = {}
            for item in self._socket.get_addr():
                if item["scope"] == RT_SCOPE_LINK:
                    continue
                text = f"{item.get('address')}/{item['prefixlen']}"
                self._addresses.setdefault(item["index"], set()).add(text)
        return self._addresses

    def set_route(self, route: Route) -> None:
        """The route, where it is missing or leads elsewhere."""
        for item in self._socket.get_routes(family=2 if ":" not in route.prefix else 10, table=254):
            prefix = f"{item.get('dst') or _any(route.prefix)}/{item['dst_len']}"
            same_metric = not route.metric or item.get("priority") == route.metric
            if prefix == route.prefix and item.get("gateway") == route.via and same_metric:
                return
        self.request(
            f"route {route.prefix} via {route.via}",
            "route",
            "replace",
            dst=route.prefix,
            gateway=route.via,
            **({"priority": route.metric} if route.metric else {}),
        )

    def set_sysctl(self, item: Sysctl) -> None:
        """One setting; IPv6's are passed over where the kernel has no IPv6."""
        # /proc/sys/net shows the namespace of the thread that opens the file.
        self._enter()
        if item.key.startswith("net.ipv6.") and not Path("/proc/sys/net/ipv6").exists():
            return
        path = Path("/proc/sys") / item.key.replace(".", "/")
        try:
            if path.read_text().split() == item.value.split():
                return
            path.write_text(item.value)
        except OSError as error:
            raise WiringError(f"{self.node}: {item.key} = {item.value}: {error.strerror}") from error
        self._note(f"{self.node}: {item.key} = {item.value}")


def _any(prefix: str) -> str:
    return "::" if ":" in prefix else "0.0.0.0"


@contextmanager
def _refusal(what: str) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        raise WiringError(f"{what}: {error}") from error


@contextmanager
def _namespace(node: str, pid: int, note: Callable[[str], None]) -> Iterator[Namespace]:
    """Open a node's namespace from the calling thread, which stays in it; closed at the end."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise WiringError(f"{node}: its first process ({pid}) is gone: {error.strerror}") from error

    def enter() -> None:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise WiringError(f"{node}: cannot enter its namespace: {os.strerror(ctypes.get_errno())}")

    with ExitStack() as stack:
        stack.callback(os.close, descriptor)
        enter()
        socket = stack.enter_context(IPRoute())
        yield Namespace(node, descriptor, socket, enter, note)
