"""The Network Controller itself: takes changes in, keeps them, compiles them, hands them to the fleet.

Everything here is synchronous and runs on one thread, so a change is one step: checked against the resources
as they are, stored, and compiled, with nothing in between. The northbound and the southbound server are thin
edges to it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from lab.controller import observations as seen
from lab.controller.allocation import settle, settle_interface
from lab.controller.assembly import (
    domains_in,
    endpoint_of,
    endpoints_of,
    frame_of,
    networks_of,
    node_end,
    nodes_of,
)
from lab.controller.catalog import (
    ACCESS_CONTROL_LISTS,
    CREDENTIALS,
    GATEWAY_POOLS,
    GATEWAYS,
    LOGICAL_NETWORKS,
    NETWORK_INTERFACES,
    PUBLIC_IP_ADDRESSES,
    SERVERS,
    TOP_LEVEL,
    VIRTUAL_NETWORK_MANAGER,
    VIRTUAL_NETWORKS,
    Path,
    parse_path,
)
from lab.controller.checks import check, check_removal
from lab.controller.completion import complete
from lab.controller.documents import find, inherit, with_child
from lab.controller.domains import Endpoint, Frame, NodeEnd
from lab.controller.fleet import Fleet
from lab.controller.gateways import tenant_of
from lab.controller.inventory import PLACEMENT, Document, Inventory
from lab.controller.metering import Meters
from lab.controller.policy import Change, Policy
from lab.controller.refusals import IN_USE, Complaint, Refused, not_found, parent_missing, stale
from lab.controller.shapes import WITH_SECRETS, Resource
from lab.controller.store import Commit, Store, StoredDocument
from lab.southbound import southbound_pb2 as pb

_ALLOCATE_NOTHING = (CREDENTIALS, ACCESS_CONTROL_LISTS)
"""Types whose changes cannot change what the controller has given out."""
_CONCERN_ALL = (
    LOGICAL_NETWORKS,
    SERVERS,
    GATEWAYS,
    GATEWAY_POOLS,
    PUBLIC_IP_ADDRESSES,
    VIRTUAL_NETWORK_MANAGER,
)
"""Types whose changes can concern every node; the others concern the virtual networks that they name."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a PUT did."""

    path: Path
    created: bool
    etag: str


class Controller:
    """Desired state and what follows from it."""

    def __init__(self, store: Store) -> None:
        """Take over what the store holds and compile it; agents get it as they connect."""
        self._store = store
        self.inventory = Inventory()
        self.observations: dict[str, seen.Observation] = {}
        self.meters = Meters()
        self.policy = Policy()
        self.fleet = Fleet()
        contents = store.load()
        for key, stored in contents.documents.items():
            path = parse_path(key)
            if path is None:
                raise ValueError(f"the store holds {key}, which is no resource of this controller")
            resource = path.collection.model.model_validate_json(stored.body)
            path = Path(path.collections, (resource.resource_id,))
            self.inventory.replace(path, Document(path, stored.etag, resource))
        self.inventory.allocate(contents.allocations)
        self.observations.update({r: seen.from_json(body) for r, body in contents.observations.items()})
        self._make_singletons()
        acls = {item.resource_id: item for _, item in self.inventory.all(ACCESS_CONTROL_LISTS)}
        self._publish(Change(acls=acls), None)
        self._apply_all(None, ())

    def _make_singletons(self) -> None:
        """What is always there: clients read it before they have written it."""
        for collection in TOP_LEVEL:
            path = Path((collection,), (collection.only,))
            if collection.only and self.inventory.document(path) is None:
                properties = collection.model.model_fields["properties"].annotation
                assert properties is not None
                new = collection.model(resource_id=collection.only, properties=properties())
                document = Document(path, f'W/"{uuid4()}"', inherit(new, None))
                self.inventory.replace(path, document)
                self._store.commit(Commit(key=path.key, document=_stored(document)))

    # --- northbound ---

    def etag(self, path: Path) -> str:
        """The entity tag that covers a resource.

        Raises:
            Refused: 404.
        """
        document = self.inventory.document(path)
        if document is None or self.inventory.find(path) is None:
            raise not_found(path.ref)
        return document.etag

    def put(self, path: Path, resource: Resource[Any], if_match: str | None = None) -> Written:
        """Create or replace a resource and everything below it.

        Args:
            path: where.
            resource: the whole of it, as the client sent it.
            if_match: entity tags, comma-separated, of which the document must still have one; None: any.

        Raises:
            Refused: 400, 409 or 412; nothing has changed.
        """
        before = self.inventory.document(path)
        old = find(before.resource, path) if before else None
        _require(before if old is not None else None, path, if_match)
        if len(path.ids) == 1:
            root = resource
        else:
            above = Path(path.collections[:-1], path.ids[:-1])
            if before is None or find(before.resource, above) is None:
                raise parent_missing(above.ref)
            root = with_child(before.resource, path, resource)
        root = complete(path.root, inherit(root, before.resource if before else None), self.inventory)
        if before is not None and root == before.resource:
            return Written(path, created=False, etag=before.etag)
        _refuse_if(check(path.root, root, self.inventory))
        at = before.path if before else Path(path.root.collections, (root.resource_id,))
        document = Document(at, f'W/"{uuid4()}"', root)
        self._commit(at, before, document)
        return Written(path, created=old is None, etag=document.etag)

    def delete(self, path: Path, if_match: str | None = None) -> bool:
        """Remove a resource and everything below it; False if it was not there.

        Raises:
            Refused: 405 for what is always there, 409 while others refer to it, 412.
        """
        if path.root.collection.only:
            raise Refused(405, Complaint("MethodNotAllowed", f"{path.ref} is always there.", path.ref))
        before = self.inventory.document(path)
        if before is None or find(before.resource, path) is None:
            return False
        _require(before, path, if_match)
        if len(path.ids) == 1:
            complaints = check_removal(path, self.inventory)
            document = None
        else:
            root = with_child(before.resource, path, None)
            complaints = check(path.root, root, self.inventory)
            document = Document(before.path, f'W/"{uuid4()}"', root)
        _refuse_if(complaints)
        self._commit(before.path, before, document)
        return True

    def _commit(self, path: Path, before: Document | None, after: Document | None) -> None:
        """Store a change and everything that follows from it, then let it take effect."""
        allocated: Mapping[tuple[str, str], str | None] = {}
        forgotten: set[str] = set()
        self.inventory.replace(path, after)
        try:
            if path.collection is NETWORK_INTERFACES:
                allocated = settle_interface(path, self.inventory)
            elif path.collection not in _ALLOCATE_NOTHING:
                allocated = settle(self.inventory)
                forgotten = {
                    rdid
                    for rdid, seen_by in self.observations.items()
                    if self._gateway_of(rdid, allocated) != seen_by.node
                }
            self._store.commit(
                Commit(
                    key=path.key,
                    expected_etag=before.etag if before else "",
                    document=_stored(after) if after else None,
                    allocations=allocated,
                    observations=dict.fromkeys(forgotten),
                )
            )
        except BaseException:
            self.inventory.replace(path, before)
            raise
        self.inventory.allocate(allocated)
        for rdid in forgotten:
            del self.observations[rdid]
        self.fleet.forget(path.key)
        self._follow(path, before, after, moved=bool(allocated))

    def _follow(self, path: Path, before: Document | None, after: Document | None, *, moved: bool) -> None:
        """Compile what a change of a document concerns and hand it to the fleet.

        Args:
            path: of the document.
            before: as it was.
            after: as it is.
            moved: something has been given out anew; it can be another tenant's: room that one leaves is the
                next one's. An interface's home is its own.
        """
        gone = domains_in(before) - domains_in(after)
        if path.collection is NETWORK_INTERFACES:
            if before is not None and after is None:
                self.meters.forget(before.resource.resource_id)
            self._apply_interface(path, before, after)
        elif path.collection is ACCESS_CONTROL_LISTS:
            resource = after.resource if after else None
            self._publish(Change(acls={path.ids[0]: resource}), path)
        elif path.collection in _CONCERN_ALL or moved:
            self._apply_all(path, gone)
        else:
            networks = networks_of(before, self.inventory) | networks_of(after, self.inventory)
            self._publish(self._change(networks, gone), path)

    # --- southbound ---

    def observe(self, node: str, report: pb.Report) -> None:
        """Take over what an agent reports. Routing domains that are not on it are none of its business, and
        interfaces that no longer exist are nobody's.
        """
        self.meters.take(
            node, (m for m in report.meters if self.inventory.named(NETWORK_INTERFACES, m.interface_id))
        )
        known = self.observations
        current = {
            rdid: observation
            for rdid, observation in seen.from_report(node, report).items()
            if self._gateway_of(rdid, {}) == node
        }
        changed = {
            rdid: observation
            for rdid, observation in current.items()
            if rdid not in known or known[rdid].without_counters != observation.without_counters
        }
        if changed:
            self._store.commit(Commit(observations={rdid: seen.to_json(o) for rdid, o in changed.items()}))
        self.observations.update(current)
        if not changed:
            return
        refs = {ref for rdid in changed if (ref := self.inventory.holder("routing domain id", rdid))}
        found = (self.inventory.at(ref) for ref in refs)
        frames = [frame_of(network, self.inventory, self.observations) for network in found if network]
        self._publish(Change(frames={frame.rdid: frame for frame in frames}), None)

    def _gateway_of(self, rdid: str, allocated: Mapping[tuple[str, str], str | None]) -> str | None:
        """The gateway that carries a routing domain.

        Args:
            rdid: routing domain id.
            allocated: changes to the allocations that are about to take effect.
        """
        ref = self.inventory.holder("routing domain id", rdid)
        network = parse_path(ref) if ref else None
        tenant = tenant_of(network, self.inventory) if network else None
        if tenant is None:
            return None
        key = (PLACEMENT, tenant[0].key)
        return allocated[key] if key in allocated else self.inventory.allocations.get(key)

    # --- what follows from a change ---

    def _apply_all(self, cause: Path | None, gone: Collection[str]) -> None:
        """A change can concern every node and every virtual network.

        Args:
            cause: document that changed.
            gone: routing domains that are no more.
        """
        inventory = self.inventory
        kinds = nodes_of(inventory)
        ends: dict[str, NodeEnd | None] = dict.fromkeys(self.fleet.names)
        ends |= {node: node_end(node, inventory) for node in kinds}
        self.fleet.resize(kinds)
        networks = {path for path, _ in inventory.all(VIRTUAL_NETWORKS)}
        self._publish(replace(self._change(networks, gone), ends=ends), cause)

    def _change(self, networks: set[Path], gone: Collection[str]) -> Change:
        """Some virtual networks, all of each.

        Args:
            networks: where they are.
            gone: routing domains that are no more.
        """
        frames: dict[str, Frame | None] = dict.fromkeys(gone)
        endpoints: dict[str, Mapping[str, Endpoint | None]] = {}
        for network in filter(None, map(self.inventory.find, networks)):
            frame = frame_of(network, self.inventory, self.observations)
            frames[frame.rdid] = frame
            endpoints[frame.rdid] = endpoints_of(network, self.inventory, self.policy.endpoints(frame.rdid))
        return Change(frames=frames, endpoints=endpoints)

    def _apply_interface(self, path: Path, before: Document | None, after: Document | None) -> None:
        """A change of one interface concerns nothing but the address that it holds."""
        endpoints: dict[str, dict[str, Endpoint | None]] = {}
        for document, endpoint in ((before, None), (after, endpoint_of(path, self.inventory))):
            for network in filter(None, map(self.inventory.find, networks_of(document, self.inventory))):
                assert document is not None
                rdid: str = network[1].properties.routing_domain_id
                endpoints.setdefault(rdid, {})[document.resource.resource_id] = endpoint
        self._publish(Change(endpoints=endpoints), path)

    def _publish(self, change: Change, cause: Path | None) -> None:
        self.fleet.publish(self.policy.update(change), cause.key if cause else "")


def _require(before: Document | None, path: Path, if_match: str | None) -> None:
    if if_match is None:
        return
    given = {tag.strip() for tag in if_match.split(",")}
    if before is None or given.isdisjoint(("*", before.etag)):
        raise stale(path.ref)


def _refuse_if(complaints: list[Complaint]) -> None:
    if complaints:
        raise Refused(409 if all(c.code == IN_USE for c in complaints) else 400, complaints)


def _stored(document: Document) -> StoredDocument:
    body = document.resource.model_dump_json(by_alias=True, exclude_none=True, context=WITH_SECRETS)
    return StoredDocument(document.etag, body)
