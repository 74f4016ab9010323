"""Machine certificates of site-to-site connections: one way to authenticate, and names that fit."""

from __future__ import annotations

from collections.abc import Iterator

from lab.model.attachment import site_connections
from lab.model.codes import Code, Finding, Path
from lab.model.topology import Topology
from lab.model.topology_connections import CERTIFICATE, IpsecConnectionSpec

LONGEST_TENANT = 40
"""The common name of a certificate has 64 characters (RFC 5280 appendix A.1): the tenant's authority's is
`hnvlab tenant TENANT CA`."""
LONGEST_SITE = 59
"""The same, of `SITE.site`."""


def _ipsec(topology: Topology) -> Iterator[tuple[str, str, Path, IpsecConnectionSpec]]:
    for tenant, name, spec in site_connections(topology):
        if isinstance(spec, IpsecConnectionSpec):
            yield tenant, name, ("tenants", tenant, "gateway", "connections", name), spec


def one_way(topology: Topology) -> Iterator[Finding]:
    """Both ends know a secret, or both have a certificate."""
    for _, name, path, spec in _ipsec(topology):
        if spec.authentication == CERTIFICATE and spec.shared_secret is not None:
            yield Finding(
                Code.CONNECTION,
                (*path, "shared-secret"),
                f"`{name}` authenticates by certificate, and has a shared secret",
                "one of the two",
                "remove `shared-secret`, or `authentication: certificate`",
            )
        elif spec.authentication != CERTIFICATE and spec.shared_secret is None:
            yield Finding(
                Code.MISSING_KEY,
                (*path, "shared-secret"),
                f"`shared-secret` is missing in `{name}`",
                "a secret of both ends, or certificates",
                "add `shared-secret: …`, or `authentication: certificate`",
            )


def names(topology: Topology) -> Iterator[Finding]:
    """A certificate's common name is short."""
    for tenant, _, path, spec in _ipsec(topology):
        if spec.authentication != CERTIFICATE:
            continue
        for what, name, longest in (
            ("tenant", tenant, LONGEST_TENANT),
            ("site", spec.site, LONGEST_SITE),
        ):
            if len(name) > longest:
                yield Finding(
                    Code.CONNECTION,
                    (*path, "authentication"),
                    f"`{name}` has {len(name)} characters, which no certificate can name",
                    f"a {what}'s name of at most {longest}",
                )


RULES = (one_way, names)
