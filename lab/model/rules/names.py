"""Names and files."""

from __future__ import annotations

from collections.abc import Iterator

from lab.model.attachment import Attachment, attachment_of
from lab.model.codes import Code, Finding, Path
from lab.model.names import interface_name
from lab.model.topology import Topology
from lab.model.topology_tenants import Machine

MAX_HOST_NAME = 63
"""Of a DNS label (RFC 1035 section 2.3.4): LAB-NODE is one."""


def nodes(topology: Topology) -> Iterator[tuple[str, Path]]:
    """Every node's name, with the place that gives it, in the order of the lab."""
    fabric = topology.fabric
    yield fabric.controller, ("fabric", "controller")
    yield fabric.router, ("fabric", "router")
    yield fabric.internet, ("fabric", "internet")
    yield from ((name, ("hosts", name)) for name in topology.hosts)
    yield from ((name, ("gateways", name)) for name in topology.gateways)
    yield from ((name, ("sites", name)) for name in topology.sites)
    yield from ((name, ("road-warriors", name)) for name in topology.road_warriors)
    for tenant, spec in topology.tenants.items():
        yield from ((name, ("tenants", tenant, "vms", name)) for name in spec.vms)
        yield from ((name, ("tenants", tenant, "appliances", name)) for name in spec.appliances)
    for site, site_spec in topology.sites.items():
        yield from ((name, ("sites", site, "servers", name)) for name in site_spec.servers)


def unique_node_names(topology: Topology) -> Iterator[Finding]:
    """All containers of a lab share one name space."""
    seen: dict[str, Path] = {}
    for name, path in nodes(topology):
        if name in seen:
            yield Finding(
                Code.DUPLICATE_NODE,
                path,
                f"`{name}` is the name of two nodes",
                "every node of the lab has a name of its own",
                f"the other one is {' / '.join(map(str, seen[name]))}",
            )
        seen.setdefault(name, path)


def short_node_names(topology: Topology) -> Iterator[Finding]:
    """LAB-NODE names the container and must be a host name."""
    for name, path in nodes(topology):
        whole = f"{topology.lab}-{name}"
        if len(whole) > MAX_HOST_NAME:
            yield Finding(
                Code.LONG_NAME,
                path,
                f"`{whole}` has {len(whole)} characters",
                f"LAB-NODE has at most {MAX_HOST_NAME}",
                "shorten the name of the lab or of the node",
            )


def existing_files(topology: Topology) -> Iterator[Finding]:
    """What stands under `files:` is copied into the container, so it must be there."""
    for path, machine in _machines(topology):
        for target, source in machine.files.items():
            if not source.is_file():
                yield Finding(
                    Code.MISSING_FILE,
                    (*path, "files", target),
                    f"there is no file {source}",
                    "a file, relative to the topology file",
                )


def _machines(topology: Topology) -> Iterator[tuple[Path, Machine]]:
    for tenant, spec in topology.tenants.items():
        yield from ((("tenants", tenant, "vms", name), vm) for name, vm in spec.vms.items())
        yield from ((("tenants", tenant, "appliances", name), item) for name, item in spec.appliances.items())
    for site, site_spec in topology.sites.items():
        yield from ((("sites", site, "servers", name), server) for name, server in site_spec.servers.items())


def distinct_interfaces(topology: Topology) -> Iterator[Finding]:
    """Interfaces are named after what they lead to; cut to Linux's length, two long names may become one."""
    seen: dict[tuple[str, str], tuple[str, Path]] = {}
    for node, prefix, name, path in _named_interfaces(topology):
        interface = interface_name(prefix, name)
        other, other_path = seen.setdefault((node, interface), (name, path))
        if other != name:
            yield Finding(
                Code.INTERFACE,
                path,
                f"`{node}` would have two interfaces `{interface}`: to `{name}` and to `{other}`",
                "names that stay apart when they are cut to an interface's 15 characters",
                f"rename one of the two; the other one is {' / '.join(map(str, other_path))}",
            )


def _named_interfaces(topology: Topology) -> Iterator[tuple[str, str, str, Path]]:
    """Node, prefix, what the interface is named after, and the place that names that.

    Of prefixes that go with the same names (m- with p- and f-, v- with c-) one is enough: the rest of
    the name is cut alike.
    """
    fabric = topology.fabric
    yield fabric.router, "m-", fabric.controller, ("fabric", "controller")
    for kind, names in (("hosts", topology.hosts), ("gateways", topology.gateways)):
        yield from ((fabric.router, "m-", name, (kind, name)) for name in names)
    for name, host in topology.hosts.items():
        if host.uplinks > 1:
            yield fabric.router, "p2-", name, ("hosts", name)
    for name in topology.road_warriors:
        yield fabric.internet, "s-", name, ("road-warriors", name)
    for site, site_spec in topology.sites.items():
        if attachment_of(topology, site) is Attachment.INTERNET:
            yield fabric.internet, "s-", site, ("sites", site)
        else:
            yield fabric.router, "m-", site, ("sites", site)
        yield from ((site, "l-", name, ("sites", site, "servers", name)) for name in site_spec.servers)
    for tenant, spec in topology.tenants.items():
        yield from ((vm.host, "v-", name, ("tenants", tenant, "vms", name)) for name, vm in spec.vms.items())
        for name in spec.appliances:
            yield fabric.router, "m-", name, ("tenants", tenant, "appliances", name)
        if spec.gateway is not None:
            yield from ((gateway, "v-", tenant, ("tenants", tenant)) for gateway in topology.gateways)


RULES = (unique_node_names, short_node_names, distinct_interfaces, existing_files)
