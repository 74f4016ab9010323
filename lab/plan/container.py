"""A node's container, described to the last detail: what the engine hands to Docker. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from lab.model.edge import EDGE_PATH
from lab.model.lab import SITE_PATH, Lab, Node
from lab.model.roadwarrior import ROAD_WARRIOR_PATH
from lab.model.router import ROUTER_PATH
from lab.plan import marks
from lab.plan.certificates import TenantCertificates, road_warrior_config, site_config
from lab.plan.kinds import properties_of
from lab.southbound.identity import IDENTITY_PATH, NodeIdentity

KIND_VARIABLE = "HNVLAB_KIND"


NO_NAME_SERVER = "127.0.0.1"
"""For a node that the topology gives no name server: a lookup ends at once. Docker would copy the machine's
own, which no node can reach: a program that looks up its host's name would wait five seconds."""


@dataclass(frozen=True, slots=True)
class Materials:
    """What stands on the machine and goes into containers.

    Attributes:
        images: image key ("fabric", "vm", "server") or Docker reference -> id of the image; a key that is
            missing is taken as a reference that Docker knows.
        digests: local file -> digest of its content, for every file of `files_of(lab)`; a changed file
            replaces its container.
        credentials: identifies certificates and token of the lab; when they are made anew, the containers
            that hold the old ones are replaced.
        certificates: of tenants' own authorities, by tenant.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[Path, str] = field(default_factory=dict)
    credentials: str = ""
    certificates: Mapping[str, TenantCertificates] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container.

    Attributes:
        name: LAB-NODE.
        node: name of the node; also the container's host name.
        image: what Docker is asked to run: an image id, or a reference.
        command: None: the image's own.
        environment: variables.
        capabilities, devices, security_options: see `KindProperties`.
        labels: the lab's marks, the hash of this specification among them.
        dns: name servers.
        sysctls: of the network namespace.
        files: absolute path in the container -> file of this machine that is copied there before the start.
        texts: absolute path in the container -> content that is written there before the start.
        tls, token: the lab's credentials are put there before the start.
        network: the Docker network; None: `network_mode: none`.
        published_ports: TCP ports published on 127.0.0.1, each under a port that Docker picks.
        spec_hash: of all the rest; a container whose hash differs is replaced.
    """

    name: str
    node: str
    image: str
    command: tuple[str, ...] | None
    environment: Mapping[str, str]
    capabilities: tuple[str, ...]
    devices: tuple[str, ...]
    security_options: tuple[str, ...]
    labels: Mapping[str, str]
    dns: tuple[str, ...]
    sysctls: Mapping[str, str]
    files: Mapping[str, Path]
    texts: Mapping[str, str]
    tls: bool
    token: bool
    network: str | None
    published_ports: tuple[int, ...]
    spec_hash: str = ""


def files_of(lab: Lab) -> frozenset[Path]:
    """Every file of this machine that some container gets a copy of."""
    return frozenset(path for node in lab.nodes.values() for path in node.files.values())


def container_spec(lab: Lab, node: Node, materials: Materials) -> ContainerSpec:
    """The container of a node.

    Raises:
        KeyError: the materials lack the digest of one of the node's files, or a road warrior's or a site's
            certificate.
    """
    kind = properties_of(node)
    texts: dict[str, str] = {}
    environment = dict(node.environment)
    if kind.fabric:
        identity = NodeIdentity(lab.name, node.name, node.kind.value, str(lab.fabric.controller_address))
        texts[str(IDENTITY_PATH)] = identity.to_json()
        environment[KIND_VARIABLE] = node.kind.value
    if node.site is not None:
        texts[str(SITE_PATH)] = site_config(node.site, materials.certificates).to_json()
    if node.edge is not None:
        texts[str(EDGE_PATH)] = node.edge.to_json()
    if node.router is not None:
        texts[str(ROUTER_PATH)] = node.router.to_json()
    if node.road_warrior is not None:
        config = road_warrior_config(node.road_warrior, materials.certificates)
        texts[str(ROAD_WARRIOR_PATH)] = config.to_json()
    spec = ContainerSpec(
        name=marks.container_name(lab.name, node.name),
        node=node.name,
        image=materials.images.get(node.image, node.image),
        command=node.command,
        environment=environment,
        capabilities=kind.capabilities,
        devices=kind.devices,
        security_options=kind.security_options,
        labels={marks.LAB: lab.name, marks.NODE: node.name, marks.KIND: node.kind.value},
        dns=tuple(str(address) for address in node.dns) or (NO_NAME_SERVER,),
        sysctls=node.sysctls,
        files=node.files,
        texts=texts,
        tls=kind.tls,
        token=kind.token,
        network=marks.network_name(lab.name) if kind.published_ports else None,
        published_ports=kind.published_ports,
    )
    spec_hash = _hash(spec, materials)
    return replace(spec, spec_hash=spec_hash, labels={**spec.labels, marks.SPEC: spec_hash})


def _hash(spec: ContainerSpec, materials: Materials) -> str:
    """Where a file lies on the machine does not matter, its content does."""
    content = asdict(spec)
    content["files"] = {target: materials.digests[source] for target, source in spec.files.items()}
    content["credentials"] = materials.credentials if spec.tls or spec.token else ""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
