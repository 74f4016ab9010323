"""Which lab and which node a verb means."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from lab.errors import Problem, UsageError

if TYPE_CHECKING:
    import docker

    from lab.engine.observe import StandingNode
    from lab.engine.trace_ends import End
    from lab.model.lab import Lab
    from lab.model.tenants import Tenant, Vm


def chosen(client: docker.DockerClient, name: str | None) -> str:
    """The lab of that name, or the only one that is up.

    Raises:
        UsageError: there is none, or the choice is not clear.
    """
    from lab.engine import observe

    standing = observe.labs(client)
    if name is not None:
        if name in standing:
            return name
        raise UsageError(
            Problem(
                "HNV-CLI-001",
                f"there is no lab {name}",
                expected=_listed(standing),
                hint="hnvlab up FILE",
            )
        )
    if len(standing) == 1:
        return standing[0]
    if not standing:
        raise UsageError(Problem("HNV-CLI-002", "no lab is up", hint="hnvlab up FILE"))
    raise UsageError(
        Problem("HNV-CLI-003", "several labs are up: say which one you mean", expected=_listed(standing))
    )


def node(client: docker.DockerClient, lab: str, name: str) -> StandingNode:
    """The container of a node.

    Raises:
        UsageError: the lab has no such node.
    """
    from lab.engine import observe

    standing: Mapping[str, StandingNode] = {item.node: item for item in observe.nodes(client, lab)}
    if name in standing:
        return standing[name]
    near = get_close_matches(name, standing, n=1)
    raise UsageError(
        Problem(
            "HNV-CLI-004",
            f"the lab {lab} has no node {name}",
            expected=_listed(standing),
            hint=f"did you mean {near[0]}?" if near else "",
        )
    )


def topology(name: str) -> Lab:
    """The lab as its topology file, which `up` has remembered, says.

    Raises:
        UsageError: nothing is remembered of the lab.
        InvalidTopologyError: the file has changed since, and is not valid any more.
    """
    from lab.engine.state import LabState
    from lab.model.loader import load
    from lab.model.resolve import resolve

    record = LabState.of(name).load()
    if record is None:
        raise UsageError(
            Problem(
                "HNV-CLI-005",
                f"it is not known from which topology file the lab {name} was made",
                hint="it was made by another user, or `up` did not get far: hnvlab up FILE",
            )
        )
    return resolve(load(record.topology))


def vm(lab: Lab, name: str) -> tuple[Tenant, Vm]:
    """A VM of a lab and its tenant.

    Raises:
        UsageError: the lab has no such VM.
    """
    known = {item.name: (tenant, item) for tenant in lab.tenants for item in tenant.vms}
    return known[_known("VM", name, known, lab)]


def tenant(lab: Lab, name: str) -> Tenant:
    """A tenant of a lab.

    Raises:
        UsageError: the lab has no such tenant.
    """
    known = {item.name: item for item in lab.tenants}
    return known[_known("tenant", name, known, lab)]


def end(lab: Lab, name: str, tenant: Tenant | None = None) -> End:
    """One end of a trace: a VM, a site, a site's server, or, where it is the destination, an address.

    Parameters:
        name: of a node, or an address.
        tenant: whose network an address is looked up in; None: it is no destination, and needs a name.

    Raises:
        UsageError: there is no such machine, or it is another tenant's.
    """
    from lab.engine.trace_ends import end_at, ends

    every = ends(lab)
    if tenant is not None:
        found = end_at(every.values(), name, tenant)
        if found is not None:
            return found
    known = every[_known("machine of a tenant", name, every, lab)]
    if tenant is not None and known.tenant.name != tenant.name:
        # Its address means another machine, or none, in the sender's network: a verdict would be of that one.
        raise UsageError(
            Problem(
                "HNV-CLI-014",
                f"{name} is a machine of the tenant {known.tenant.name}, the sender one of {tenant.name}",
                name,
                expected=f"a machine of {tenant.name}, or an address",
                hint=f"give the address instead: {known.address} may be somebody else's in {tenant.name}",
            )
        )
    return known


def host(lab: Lab, name: str) -> str:
    """The name of a host of a lab.

    Raises:
        UsageError: the lab has no such host.
    """
    return _known("host", name, {item.name: item for item in lab.hosts}, lab)


def vsid(lab: Lab, number: int) -> int:
    """The VSID of a virtual subnet of a lab.

    Raises:
        UsageError: no subnet of the lab has it.
    """
    known = {str(subnet.vsid): subnet for tenant in lab.tenants for subnet in tenant.subnets}
    return int(_known("virtual subnet", str(number), known, lab))


def _known(kind: str, name: str, known: Mapping[str, object], lab: Lab) -> str:
    if name in known:
        return name
    near = get_close_matches(name, known, n=1)
    raise UsageError(
        Problem(
            "HNV-CLI-010",
            f"the lab {lab.name} has no {kind} {name}",
            expected=_listed(known),
            hint=f"did you mean {near[0]}?" if near else "",
        )
    )


def _listed(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return "one of " + ", ".join(sorted(names)) if names else ""
