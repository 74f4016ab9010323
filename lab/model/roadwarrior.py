"""A road warrior and what its daemons must know. For the agent's sake: standard library only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROAD_WARRIOR_PATH = Path("/etc/hnvlab/roadwarrior.json")
"""Where the engine leaves a road warrior's `RoadWarriorConfig` in its container."""


@dataclass(frozen=True, slots=True)
class RoadWarrior:
    """A road warrior as the topology file says it; certificates are made when the lab comes up.

    Attributes:
        name: of the node.
        tenant: whose gateway it calls.
        address: its public address.
        server, server_id: the gateway's public address, and the name that its certificate must have.
        user, password: empty: by certificate.
        issuer: tenant whose authority issued its certificate; empty: by password.
        welcome: the tenant knows it; else it is refused, as the file wants it.
        wan: interface towards the internet.
    """

    name: str
    tenant: str
    address: str
    server: str
    server_id: str
    user: str
    password: str = field(repr=False)
    issuer: str
    welcome: bool
    wan: str


@dataclass(frozen=True, slots=True)
class RoadWarriorConfig:
    """The content of /etc/hnvlab/roadwarrior.json.

    Attributes:
        name: name of the node.
        server: the tenant's public address, which is called.
        server_id: the name that the gateway's certificate must have.
        authority: certificate of the authority that vouches for it, PEM.
        user, password: empty: by certificate.
        certificate, key: our own, PEM; empty: by password.
        wan: interface towards the internet.
    """

    name: str
    server: str
    server_id: str
    authority: str
    user: str = ""
    password: str = field(default="", repr=False)
    certificate: str = ""
    key: str = field(default="", repr=False)
    wan: str = "wan0"

    def to_json(self) -> str:
        """The configuration as it stands in the file."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, path: Path = ROAD_WARRIOR_PATH) -> RoadWarriorConfig:
        """Read the configuration of the road warrior that this process runs on.

        Raises:
            FileNotFoundError: this node is none.
        """
        return cls(**json.loads(path.read_text()))
