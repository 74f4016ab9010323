"""The table of resource types, and paths through it.

A top-level resource and its children are one document: children inside the parent's body are the child
resources (MS-NCNBI §1.3.2.6), one entity tag covers them all, and a PUT of a child is a change of the
document. Type names and ids are compared without regard to letter case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from lab.controller import models_bgp as bgp
from lab.controller import models_connection as connection
from lab.controller import models_fabric as fabric
from lab.controller import models_policy as policy
from lab.controller import models_tenant as tenant
from lab.controller.shapes import Resource, Shape

P = TypeVar("P", bound=Shape)


@dataclass(frozen=True)
class Collection(Generic[P]):
    """A resource type.

    Attributes:
        segment: its name in paths, as Microsoft writes it.
        model: shape of one resource.
        attribute: field of the parent's properties that holds the children; empty for a top-level type.
        children: types below it.
        only: the id of the one resource that there is, always; empty: clients make as many as they like.
    """

    segment: str
    model: type[Resource[P]]
    attribute: str = ""
    children: tuple[Collection[Any], ...] = ()
    only: str = ""

    def child(self, segment: str) -> Collection[Any] | None:
        """The child type of that name, if there is one."""
        return next((c for c in self.children if c.segment.lower() == segment.lower()), None)


LOGICAL_NETWORKS = Collection(
    "logicalNetworks",
    Resource[fabric.LogicalNetwork],
    children=(
        Collection(
            "subnets",
            Resource[fabric.LogicalSubnet],
            "subnets",
            (Collection("ipPools", Resource[fabric.IpPool], "ip_pools"),),
        ),
    ),
)
CREDENTIALS = Collection("credentials", Resource[fabric.Credential])
SERVERS = Collection(
    "servers",
    Resource[fabric.Server],
    children=(Collection("networkInterfaces", Resource[fabric.ServerInterface], "network_interfaces"),),
)
VIRTUAL_SERVERS = Collection("virtualServers", Resource[fabric.VirtualServer])
PUBLIC_IP_ADDRESSES = Collection("publicIPAddresses", Resource[fabric.PublicIpAddress])
GATEWAY_POOLS = Collection("gatewayPools", Resource[fabric.GatewayPool])
GATEWAYS = Collection("gateways", Resource[fabric.Gateway])
VIRTUAL_NETWORKS = Collection(
    "virtualNetworks",
    Resource[tenant.VirtualNetwork],
    children=(Collection("subnets", Resource[tenant.VirtualSubnet], "subnets"),),
)
NETWORK_INTERFACES = Collection(
    "networkInterfaces",
    Resource[tenant.NetworkInterface],
    children=(Collection("ipConfigurations", Resource[tenant.IpConfiguration], "ip_configurations"),),
)
VIRTUAL_GATEWAYS = Collection(
    "virtualGateways",
    Resource[tenant.VirtualGateway],
    children=(
        Collection("networkConnections", Resource[connection.NetworkConnection], "network_connections"),
        Collection(
            "bgpRouters",
            Resource[bgp.BgpRouter],
            "bgp_routers",
            (Collection("bgpPeers", Resource[bgp.BgpPeer], "bgp_peers"),),
        ),
        Collection("policyMaps", Resource[bgp.PolicyMap], "policy_maps"),
    ),
)
ACCESS_CONTROL_LISTS = Collection(
    "accessControlLists",
    Resource[policy.AccessControlList],
    children=(Collection("aclRules", Resource[policy.AclRule], "acl_rules"),),
)
ROUTE_TABLES = Collection(
    "routeTables",
    Resource[policy.RouteTable],
    children=(Collection("routes", Resource[policy.UserRoute], "routes"),),
)
VIRTUAL_NETWORK_MANAGER = Collection(
    "virtualNetworkManager", Resource[policy.VirtualNetworkManager], only="configuration"
)

TOP_LEVEL: tuple[Collection[Any], ...] = (
    LOGICAL_NETWORKS,
    CREDENTIALS,
    SERVERS,
    VIRTUAL_SERVERS,
    PUBLIC_IP_ADDRESSES,
    GATEWAY_POOLS,
    GATEWAYS,
    VIRTUAL_NETWORK_MANAGER,
    ACCESS_CONTROL_LISTS,
    ROUTE_TABLES,
    VIRTUAL_NETWORKS,
    NETWORK_INTERFACES,
    VIRTUAL_GATEWAYS,
)
BY_SEGMENT: Mapping[str, Collection[Any]] = {c.segment.lower(): c for c in TOP_LEVEL}


@dataclass(frozen=True)
class Path:
    """A way to a resource, or to a collection when the last id is missing.

    Attributes:
        collections: types from the top down.
        ids: resource ids from the top down, in the letter case they were given in.
    """

    collections: tuple[Collection[Any], ...]
    ids: tuple[str, ...]

    @property
    def collection(self) -> Collection[Any]:
        """The type at the end."""
        return self.collections[-1]

    @property
    def is_collection(self) -> bool:
        """Whether it leads to a whole collection."""
        return len(self.ids) < len(self.collections)

    @cached_property
    def ref(self) -> str:
        """As Microsoft writes a resourceRef: `/virtualNetworks/blue/subnets/web`."""
        parts = [f"/{c.segment}/{i}" for c, i in zip(self.collections, self.ids, strict=False)]
        return "".join(parts) + (f"/{self.collection.segment}" if self.is_collection else "")

    @cached_property
    def key(self) -> str:
        """The ref in the form that two spellings of one resource share."""
        return self.ref.lower()

    @cached_property
    def root(self) -> Path:
        """The document that holds it."""
        return self if len(self.ids) == 1 else Path(self.collections[:1], self.ids[:1])

    @cached_property
    def kind(self) -> str:
        """The types on the way, lower case: `virtualnetworks/subnets`."""
        return "/".join(c.segment for c in self.collections).lower()

    def below(self, collection: Collection[Any], resource_id: str) -> Path:
        """The path of a child."""
        return Path((*self.collections, collection), (*self.ids, resource_id))


def parse_path(text: str) -> Path | None:
    """Read a path or a resourceRef, with or without the `/networking/v1` in front; None if no such type
    exists.
    """
    parts = [part for part in text.split("/") if part]
    if [part.lower() for part in parts[:2]] == ["networking", "v1"]:
        parts = parts[2:]
    if not parts:
        return None
    collections: list[Collection[Any]] = []
    for segment in parts[::2]:
        found = collections[-1].child(segment) if collections else BY_SEGMENT.get(segment.lower())
        if found is None:
            return None
        collections.append(found)
    if len(parts) > 1 and collections[0].only not in ("", parts[1].lower()):
        return None
    return Path(tuple(collections), tuple(parts[1::2]))


def children(path: Path, resource: Resource[Any]) -> Iterator[tuple[Path, Resource[Any]]]:
    """The direct children of a resource."""
    for collection in path.collection.children:
        for child in getattr(resource.properties, collection.attribute):
            yield path.below(collection, child.resource_id), child


def tree(path: Path, resource: Resource[Any]) -> Iterator[tuple[Path, Resource[Any]]]:
    """A resource and everything below it."""
    yield path, resource
    for below, child in children(path, resource):
        yield from tree(below, child)
