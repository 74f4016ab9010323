"""What an edge router's daemons must know. For the agent's sake, only the standard library is imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

EDGE_PATH = Path("/etc/hnvlab/edge.json")
"""Where the engine leaves an edge's `EdgeConfig` in its container."""


@dataclass(frozen=True, slots=True)
class Ipv6End:
    """The IPv6 side of a site, whose BGP session is over IPv4.

    Attributes:
        lan_prefix: the site's own network, offered to the tenant.
        lan_router: the router's address on that network: next hop of what it offers.
        compartment_address: next hop of what the tenant offers.
        gateway: the compartment's address in the VLAN; empty: a tunnel leads there.
    """

    lan_prefix: str
    lan_router: str
    compartment_address: str
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """The content of /etc/hnvlab/edge.json.

    Attributes:
        name: name of the node.
        lan_prefix: the site's own network, offered to the tenant by BGP.
        lan_router: the edge's address on that network; BGP speaks from it.
        wan_address: the edge's address towards the gateway: the tunnel's end, or in the VLAN.
        gateway: the other end: the gateway's GRE VIP, or the compartment's address in the VLAN.
        gre_key: of the tunnel; None: no tunnel, a VLAN.
        local_asn: the site's AS number.
        peer_asn: the tenant's AS number.
        compartment_address: the compartment's CA in the gateway subnet: the BGP neighbour.
        router_id: BGP identifier of the edge.
        hold_time_s: BGP hold time to propose.
        wan: interface towards the gateway.
        carried: networks of other sites that are reached through this one, and whose AS each is.
        ipv6: None: the site is IPv4 alone.
    """

    name: str
    lan_prefix: str
    lan_router: str
    wan_address: str
    gateway: str
    gre_key: int | None
    local_asn: int
    peer_asn: int
    compartment_address: str
    router_id: str
    hold_time_s: int
    wan: str = "wan0"
    carried: Mapping[str, int] = field(default_factory=dict)
    ipv6: Ipv6End | None = None

    def to_json(self) -> str:
        """The configuration as it stands in the file."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, path: Path = EDGE_PATH) -> EdgeConfig:
        """Read the configuration of the edge that this process runs on.

        Raises:
            FileNotFoundError: this node is none.
        """
        values = json.loads(path.read_text())
        ipv6 = values.get("ipv6")
        return cls(**{**values, "ipv6": Ipv6End(**ipv6) if ipv6 else None})
