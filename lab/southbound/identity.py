"""Who a node is: the file that the engine leaves in every fabric container and that its agent reads first."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

IDENTITY_PATH = Path("/etc/hnvlab/node.json")
TLS_DIRECTORY = Path("/etc/hnvlab/tls")
"""Holds ca.pem, cert.pem and key.pem; the certificate's common name is the node's name."""
SOUTHBOUND_PORT = 8570
"""TCP port of the controller's gRPC server on the management network."""
NORTHBOUND_PORT = 8443
"""TCP port of the controller's REST API inside its container."""


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """A fabric node's name, kind and way to the Network Controller.

    Attributes:
        lab: name of the lab.
        node: name of the node, unique in the lab.
        kind: "controller", "host", "gateway", "site", "router" or "internet".
        controller: management address of the Network Controller.
    """

    lab: str
    node: str
    kind: str
    controller: str

    def to_json(self) -> str:
        """The identity as it stands in the file."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, path: Path = IDENTITY_PATH) -> NodeIdentity:
        """Read the identity of the node that this process runs on.

        Raises:
            FileNotFoundError: this is no fabric node.
        """
        return cls(**json.loads(path.read_text()))


COMPARTMENT_PREFIX = "compartment/"
"""What interface ids of compartments' ports begin with: those carry what is outside of the VM network."""


def compartment_port(rdid: str, *, ipv6: bool = False) -> str:
    """Interface id of a compartment's port in its gateway subnet of an IP version."""
    return f"{COMPARTMENT_PREFIX}{rdid}{'/ipv6' if ipv6 else ''}"


def port_alias(lab: str, interface_id: str) -> str:
    """The interface alias that marks a vport as ours and ties it to its networkInterface resource.

    The same role as the port profile id of a Hyper-V switch port: that holds the NIC resource's InstanceId.
    """
    return f"hnvlab:{lab}:{interface_id}"
