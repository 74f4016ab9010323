"""The IP versions that a router carries, and how BIRD calls what there is of each. Pure.

One session, over IPv4, carries both (RFC 4760): a channel, tables and filters for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from lab.prefixes import Network

SHORTEST = 8
"""Nobody is assigned more than a /8; two halves of everything would be a default route by another name."""


@dataclass(frozen=True, slots=True)
class Family:
    """An IP version.

    Attributes:
        version: 4 or 6.
        channel: BIRD's name for it.
        suffix: of the names of what there is of each family.
        bits: of an address.
        martians: prefixes that no router may offer (RFC 6890).
    """

    version: int
    channel: str
    suffix: str
    bits: int
    martians: tuple[Network, ...]

    @property
    def default_route(self) -> str:
        """The prefix that everything is in."""
        return "0.0.0.0/0" if self.version == 4 else "::/0"

    @property
    def offered(self) -> str:
        """BIRD's name for the protocol of the networks and..."""
        return f"offered{self.suffix}"

    @property
    def aggregates(self) -> str:
        """... for that of the aggregates that stand."""
        return f"aggregates{self.suffix}"

    @property
    def refused(self) -> str:
        """BIRD's name for the prefixes that no peer may offer."""
        return f"REFUSED{self.suffix}"

    def of(self, networks: Iterable[Network]) -> list[Network]:
        """Those of this version, in their order."""
        return [network for network in networks if network.version == self.version]

    def ordered(self, networks: Iterable[Network]) -> list[Network]:
        """The same by address, and the wider before the narrower."""
        return sorted(self.of(networks), key=lambda item: (int(item.network_address), item.prefixlen))

    def prefixes(self, texts: Iterable[str]) -> list[str]:
        """The same of texts.

        Raises:
            ValueError: one of them, of whatever version, is no prefix.
        """
        return [str(network) for network in self.of(map(ip_network, texts))]

    def addresses(self, texts: Iterable[str]) -> list[str]:
        """The addresses of this version.

        Raises:
            ValueError: one of them, of whatever version, is no address, or has a scope, which can be any
                text.
        """
        found = [ip_address(text) for text in texts]
        for item in found:
            if getattr(item, "scope_id", None) is not None:
                raise ValueError(f"{str(item)!r} is no address of a next hop: it has a scope")
        return [str(item) for item in found if item.version == self.version]


def _networks(*prefixes: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, prefixes))


IPV4 = Family(*(4, "ipv4", "", 32), _networks("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"))
IPV6 = Family(
    *(6, "ipv6", "6", 128),
    # Unspecified, loopback and IPv4-compatible; IPv4-mapped, which the switch writes IPv4 as; discard-only.
    _networks("::/96", "::ffff:0:0/96", "100::/64", "fe80::/10", "ff00::/8"),
)
FAMILIES = (IPV4, IPV6)
