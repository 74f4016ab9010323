"""A connection's kernel objects: its leg in the default compartment, and what the leg leads to.

Everything here is "ensure", as in `gwnode.compartments`: it looks first and changes only what differs. The
alias of a leg says whose it is, so that an agent that starts finds all that stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from socket import AF_INET

from pyroute2 import IPRoute

from gwnode import ipv6 as ipv6_settings
from gwnode.connections.filter import charon_ruleset
from gwnode.connections.wanted import (
    GRE_MTU,
    Connection,
    DialInEnd,
    ForwardingEnd,
    GreEnd,
    IpsecEnd,
    unit_name,
)
from gwnode.kernel import (
    MTU,
    WantedRoute,
    ensure_addresses,
    ensure_link,
    ensure_pair,
    ensure_routes,
    remove_links,
)
from gwnode.netns import Namespace, set_sysctl
from gwnode.nft import replace_table
from gwnode.settings import Settings
from gwnode.transit import Transit
from lab.ipsec.handover import selector_addresses

FRONT_SIDE = "fe0"
"""A charon's way to the outside, in its own namespace."""
LOOPBACK = IPv4Interface("127.0.0.1/8")


@dataclass(frozen=True, slots=True)
class Standing:
    """A leg that is there.

    Attributes:
        interface: its name.
        rdid, tenant, name: whose it is, as its alias tells.
        transit: as its address tells; None: it has none.
    """

    interface: str
    rdid: str
    tenant: str
    name: str
    transit: Transit | None

    @property
    def unit(self) -> str:
        """See `Connection.unit`."""
        return unit_name(self.tenant, self.name)


def _mark_prefix(settings: Settings) -> str:
    """Not a port's alias: the WNV filter takes every interface that has one for a vport, and closes it."""
    return f"hnvlab-leg:{settings.lab}:"


def mark(settings: Settings, rdid: str, connection: Connection) -> str:
    """Alias of a leg."""
    return f"{_mark_prefix(settings)}{rdid}/{connection.tenant}/{connection.name}"


def standing(settings: Settings) -> list[Standing]:
    """All legs of this node."""
    prefix = _mark_prefix(settings)
    found = []
    with IPRoute() as kernel:
        transits = _transits(settings, kernel)
        for link in kernel.get_links():
            alias = link.get("ifalias") or ""
            if alias.startswith(prefix):
                rdid, tenant, name = alias.removeprefix(prefix).split("/", 2)
                transit = transits.get(int(link["index"]))
                found.append(Standing(str(link.get("ifname")), rdid, tenant, name, transit))
    return found


def _transits(settings: Settings, kernel: IPRoute) -> dict[int, Transit]:
    """By index of the leg; one dump for all."""
    found = {}
    for address in kernel.get_addr(family=AF_INET):
        network = IPv4Interface(f"{address.get('address')}/{address['prefixlen']}").network
        if network.subnet_of(settings.transit):
            found[int(address["index"])] = Transit(network)
    return found


def unit_namespace(settings: Settings, unit: str) -> Namespace:
    """The namespace of a connection's charon."""
    return Namespace(settings.namespaces / unit)


def ensure(
    settings: Settings, rdid: str, connection: Connection, compartment: Namespace, *, ipv6: bool = False
) -> None:
    """Have a connection's leg, and all that it leads to but the device that charon makes.

    Parameters:
        ipv6: whether the tenant has IPv6.

    Raises:
        OSError, NetlinkError, CalledProcessError: the kernel refuses.
    """
    inside = unit_namespace(settings, connection.unit) if connection.has_charon else compartment
    if connection.has_charon:
        inside.ensure()
    inner = FRONT_SIDE if connection.has_charon else connection.device
    with IPRoute() as kernel, inside.path.open() as handle:
        ensure_pair(kernel, handle.fileno(), connection.leg, mark(settings, rdid, connection), inner)
        if connection.transit:
            ensure_addresses(kernel, connection.leg, [IPv4Interface(f"{connection.transit.outer}/31")])
    for key, value in (("rp_filter", "0"), ("send_redirects", "0")):
        set_sysctl(f"net/ipv4/conf/{connection.leg}/{key}", value)
    ipv6_settings.switch(connection.leg, on=False)
    if connection.has_charon:
        inside.run(lambda: _ensure_for_charon(connection))
    else:
        inside.run(lambda: _ensure_device(connection, ipv6=ipv6 and connection.carries_ipv6))


def _ensure_for_charon(connection: Connection) -> None:
    """Charon's namespace: one way out, to its peer or to everywhere, and nothing is forwarded."""
    end = connection.end
    assert isinstance(end, IpsecEnd | DialInEnd)
    with IPRoute() as kernel:
        ensure_link(kernel, "lo")
        # libipsec wants an address of its own in what it protects; nothing with it ever arrives here.
        ensure_addresses(kernel, "lo", [LOOPBACK, *map(IPv4Interface, selector_addresses(end.subnets))])
        ensure_link(kernel, FRONT_SIDE)
        ensure_addresses(kernel, FRONT_SIDE, [IPv4Interface(f"{end.transit.inner}/31")])
        prefixes = [IPv4Interface(f"{end.peer}/32" if isinstance(end, IpsecEnd) else "0.0.0.0/0").network]
        ways = [WantedRoute(prefix, FRONT_SIDE, end.transit.outer) for prefix in prefixes]
        ensure_routes(kernel, ways, {FRONT_SIDE})
    replace_table(charon_ruleset([end.peer] if isinstance(end, IpsecEnd) else None))


def _ensure_device(connection: Connection, *, ipv6: bool) -> None:
    """The device of a connection that has no charon, in the compartment."""
    end = connection.end
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    with IPRoute() as kernel:
        if isinstance(end, GreEnd):
            ensure_link(kernel, connection.device, mtu=GRE_MTU, address=connection.mac, no_arp=True)
        else:
            ensure_link(kernel, connection.device, mtu=MTU)
        # Before its addresses; a tunnel's device resolves none.
        ipv6_settings.switch(connection.device, on=ipv6, link_local=not isinstance(end, GreEnd))
        if isinstance(end, ForwardingEnd):
            addresses = tuple(address for address in end.addresses if ipv6 or address.version == 4)
        elif connection.transit:
            addresses = (IPv4Interface(f"{connection.transit.inner}/31"),)
        ensure_addresses(kernel, connection.device, addresses)
    for key in ("rp_filter", "send_redirects"):
        set_sysctl(f"net/ipv4/conf/{connection.device}/{key}", "0")


def remove(settings: Settings, legs: Iterable[Standing], kept: Collection[str]) -> None:
    """Take legs away, and with each what it leads to; what is gone already is no error.

    Parameters:
        kept: units whose namespaces are another leg's by now.
    """
    with IPRoute() as kernel:
        for leg in legs:
            remove_links(kernel, [leg.interface])
            if leg.unit not in kept:
                unit_namespace(settings, leg.unit).remove()
