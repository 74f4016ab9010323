"""The marks of every Docker object of a lab: by them `down` and `gc` find it, without the topology."""

from __future__ import annotations

LAB = "hnvlab.lab"
"""Label: name of the lab."""
NODE = "hnvlab.node"
"""Label: name of the node."""
KIND = "hnvlab.kind"
"""Label: kind of the node."""
SPEC = "hnvlab.spec"
"""Label: hash of everything that the container was made from."""


def container_name(lab: str, node: str) -> str:
    """The name of a node's container."""
    return f"{lab}-{node}"


def network_name(lab: str) -> str:
    """The Docker network that publishes the Network Controller's API."""
    return f"hnvlab-{lab}"
