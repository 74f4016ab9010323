"""What a container of each kind of node needs beyond Docker's defaults: the least that its work asks for.

Docker's default capabilities stay (among them CHOWN, SETUID, NET_BIND_SERVICE); nothing runs privileged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from lab.model.lab import Node, NodeKind
from lab.southbound.identity import NORTHBOUND_PORT

UNCONFINED = ("seccomp=unconfined", "apparmor=unconfined")
"""Docker's default profiles refuse bpf(2), mount(2) and setns(2) even to who has the capability."""
TUN = "/dev/net/tun"
"""Where strongSwan's user-space ESP (kernel-libipsec) gets its packets from."""


@dataclass(frozen=True, slots=True)
class KindProperties:
    """Container properties of a kind of node.

    Attributes:
        capabilities: added to Docker's default set.
        devices: device files of the machine.
        security_options: as `docker run --security-opt` takes them.
        tls: has a certificate of the lab's CA (/etc/hnvlab/tls).
        token: has the API's token (/etc/hnvlab/token).
        published_ports: TCP ports that Docker publishes on 127.0.0.1; the container is then on the lab's
            Docker network, all others are on none.
        fabric: is one of ours: gets `node.json`, HNVLAB_KIND, and runs the image's services.
    """

    capabilities: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    security_options: tuple[str, ...] = ()
    tls: bool = False
    token: bool = False
    published_ports: tuple[int, ...] = ()
    fabric: bool = True


KINDS: Mapping[NodeKind, KindProperties] = MappingProxyType(
    {
        NodeKind.CONTROLLER: KindProperties(tls=True, token=True, published_ports=(NORTHBOUND_PORT,)),
        NodeKind.ROUTER: KindProperties(capabilities=("NET_ADMIN",)),
        NodeKind.INTERNET: KindProperties(capabilities=("NET_ADMIN",)),
        # SYS_ADMIN: bpffs and, before Linux 5.8, bpf(2) itself; it contains CAP_BPF and CAP_PERFMON.
        NodeKind.HOST: KindProperties(
            capabilities=("NET_ADMIN", "NET_RAW", "SYS_ADMIN"), security_options=UNCONFINED, tls=True
        ),
        # SYS_ADMIN: the same, and network namespaces for compartments.
        NodeKind.GATEWAY: KindProperties(
            capabilities=("NET_ADMIN", "NET_RAW", "SYS_ADMIN"),
            devices=(TUN,),
            security_options=UNCONFINED,
            tls=True,
        ),
        NodeKind.SITE: KindProperties(capabilities=("NET_ADMIN", "NET_RAW"), devices=(TUN,)),
        # A VM by its place, a router by its work.
        NodeKind.GATEWAY_VM: KindProperties(capabilities=("NET_ADMIN", "NET_RAW"), devices=(TUN,)),
        NodeKind.EDGE: KindProperties(capabilities=("NET_ADMIN",)),
        NodeKind.ROADWARRIOR: KindProperties(capabilities=("NET_ADMIN", "NET_RAW"), devices=(TUN,)),
        NodeKind.VM: KindProperties(capabilities=("NET_RAW",), fabric=False),
        NodeKind.SERVER: KindProperties(capabilities=("NET_RAW",), fabric=False),
        # A partner's own program speaks GRE or UDP by raw socket.
        NodeKind.APPLIANCE: KindProperties(capabilities=("NET_RAW",), fabric=False),
    }
)


def properties_of(node: Node) -> KindProperties:
    """What the container of one node needs.

    An edge with a GRE tunnel, and a router that has access ports of VLANs, may have to load eBPF for them:
    not every kernel has devices for either.
    """
    kind = KINDS[node.kind]
    tunnel = node.edge is not None and node.edge.gre_key is not None
    vlans = node.router is not None and bool(node.router.access_ports)
    if not (tunnel or vlans):
        return kind
    return replace(kind, capabilities=(*kind.capabilities, "SYS_ADMIN"), security_options=UNCONFINED)
