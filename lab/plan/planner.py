"""Desired against observed: the steps between them. Pure; nothing to do means no steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lab.errors import LabError, Problem
from lab.model.lab import Lab
from lab.plan import marks
from lab.plan.container import ContainerSpec, Materials, container_spec
from lab.plan.kinds import KINDS
from lab.plan.observed import Observed, ObservedContainer
from lab.plan.steps import (
    CreateContainer,
    CreateNetwork,
    RemoveContainer,
    RemoveNetwork,
    StartContainer,
    Step,
    Wire,
)

BUSY_NAME = "HNV-PLAN-001"


class BusyNameError(LabError):
    """Something that is not this lab's has a name that the lab needs."""


def plan(lab: Lab, observed: Observed, materials: Materials) -> list[Step]:
    """The steps from what stands on the machine to the lab, in the order in which they must be done.

    Fabric nodes come first and are wired before the first VM is made: the controller takes its intent, and
    tunnels come up, while VMs start. A container that was made from something else is replaced; its links
    and their far ends are wired again. One that was stopped is started: its namespace is new, so it too is
    wired again. Containers with the lab's mark that the lab does not name are removed.

    Parameters:
        lab: what shall be.
        observed: what is.
        materials: images, digests of files, and credentials; decide whether a container is as it should be.

    Raises:
        BusyNameError: a container or network of that name is not this lab's; nothing may be touched.
        KeyError: the materials lack the digest of a file.
    """
    _refuse_busy_names(lab, observed)
    specs = {node.name: container_spec(lab, node, materials) for node in lab.nodes.values()}
    ours = [item for item in observed.containers if item.lab == lab.name]
    kept = {item.node: item for item in ours if _is_as_wanted(item, specs)}
    created = [spec for spec in specs.values() if spec.node not in kept]
    stopped = [item for item in kept.values() if not item.running]
    steps: list[Step] = [RemoveContainer(item.name, item.node) for item in ours if item not in kept.values()]
    steps += _networks(lab, specs.values(), observed)
    fabric = frozenset(node.name for node in lab.nodes.values() if KINDS[node.kind].fabric)
    fresh: frozenset[str] = frozenset()
    for wave in (fabric, lab.nodes.keys() - fabric):
        new = [spec for spec in created if spec.node in wave]
        begun = [(spec.name, spec.node) for spec in new]
        begun += [(item.name, item.node) for item in stopped if item.node in wave]
        steps += [CreateContainer(spec) for spec in new]
        steps += [StartContainer(name, node) for name, node in begun]
        fresh |= {node for _, node in begun}
        if wave is fabric and begun:
            steps.append(Wire(_with_far_ends(lab, fresh) & fabric))
    nodes = _with_far_ends(lab, fresh | (observed.unwired & lab.nodes.keys()))
    return [*steps, Wire(nodes)] if nodes else steps


def _is_as_wanted(item: ObservedContainer, specs: dict[str, ContainerSpec]) -> bool:
    spec = specs.get(item.node)
    return spec is not None and (item.name, item.spec_hash) == (spec.name, spec.spec_hash)


def _networks(lab: Lab, specs: Iterable[ContainerSpec], observed: Observed) -> Iterator[Step]:
    wanted = {spec.network for spec in specs if spec.network is not None}
    present = {item.name for item in observed.networks if item.lab == lab.name}
    yield from (RemoveNetwork(name) for name in sorted(present - wanted))
    yield from (CreateNetwork(name, lab.name) for name in sorted(wanted - present))


def _with_far_ends(lab: Lab, nodes: frozenset[str]) -> frozenset[str]:
    """A link is made with both its ends, so a node is wired together with its neighbours."""
    return nodes | {end.node for node in nodes for link in lab.links_of(node) for end in link.ends}


def _refuse_busy_names(lab: Lab, observed: Observed) -> None:
    containers = {marks.container_name(lab.name, node) for node in lab.nodes}
    network = marks.network_name(lab.name)
    problems = [
        _busy("container", item.name, item.lab, f"docker rm --force {item.name}")
        for item in observed.containers
        if item.name in containers and item.lab != lab.name
    ] + [
        _busy("network", item.name, item.lab, f"docker network rm {item.name}")
        for item in observed.networks
        if item.name == network and item.lab != lab.name
    ]
    if problems:
        raise BusyNameError(problems)


def _busy(what: str, name: str, owner: str | None, removal: str) -> Problem:
    remedy = f"hnvlab down {owner}" if owner else removal
    return Problem(
        code=BUSY_NAME,
        message=f"the {what} name {name} is taken" + (f" by the lab {owner}" if owner else ""),
        place=name,
        expected=f"no {what} of that name, or one that this lab made",
        hint=f"remove it ({remedy}), or change `lab:` in the topology file",
    )
