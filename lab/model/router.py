"""What the top-of-rack router's daemons must know. For their sake, only the standard library is imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

ROUTER_PATH = Path("/etc/hnvlab/router.json")
"""Where the engine leaves the `RouterConfig` of a router that does more than the kernel's routing."""


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """The content of /etc/hnvlab/router.json.

    Attributes:
        address: on the front-end network; BGP speaks from it, and it is the BGP identifier.
        asn: the router's AS number.
        gateways: the BGP neighbours, their addresses on the front-end network by name.
        gateway_asn: the AS number of all of them.
        announced: prefixes of which the gateways may announce single addresses (/32).
        access_ports: VLAN id by interface: ports of tenants' edges on the front-end bridge; 0: of none.
        hold_time_s: BGP hold time to propose.
    """

    address: str
    asn: int
    gateways: Mapping[str, str]
    gateway_asn: int
    announced: tuple[str, ...]
    access_ports: Mapping[str, int]
    hold_time_s: int = 9

    def to_json(self) -> str:
        """The configuration as it stands in the file."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, path: Path = ROUTER_PATH) -> RouterConfig:
        """Read the configuration of the router that this process runs on.

        Raises:
            FileNotFoundError: this node is none, or the kernel's routing is all that it does.
        """
        content = json.loads(path.read_text())
        return cls(**{**content, "announced": tuple(content["announced"])})
