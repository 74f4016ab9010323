"""Links between compartments: a veth pair from one to the other, without a leg in the default compartment.

Everything here is "ensure", as in `gwnode.compartments`. The alias of each end says which routing domain the
pair leads to, so that an agent that starts finds what stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from pyroute2 import IPRoute

from gwnode.compartments import namespace
from gwnode.desired import Tenant
from gwnode.kernel import ensure_link, ensure_pair, remove_links
from gwnode.link import LinkEnd
from gwnode.netns import set_sysctl
from gwnode.settings import Settings


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a link.

    Attributes:
        tenant: whose compartment it is in.
        device: there.
        peer: routing domain at the other end.
        mac: of both ends.
    """

    tenant: str
    device: str
    peer: str
    mac: str


def pairs(tenants: Iterable[Tenant]) -> list[tuple[Side, Side]]:
    """The links that both sides want, once each. Pure."""
    sides = {(tenant.rdid, side.peer): side for tenant in tenants for side in _sides(tenant)}
    return [
        (side, sides[peer, rdid])
        for (rdid, peer), side in sorted(sides.items())
        if rdid < peer and (peer, rdid) in sides
    ]


def _sides(tenant: Tenant) -> list[Side]:
    """Of two links to one VM network, which the Network Controller refuses, the last."""
    return [
        Side(tenant.name, item.device, item.end.peer, item.end.mac)
        for item in tenant.connections.values()
        if isinstance(item.end, LinkEnd)
    ]


def wants(tenant: Tenant) -> bool:
    """Whether a tenant wants a link."""
    return bool(_sides(tenant))


def remove_stale(settings: Settings, wanted: Iterable[tuple[Side, Side]], tenant: str) -> None:
    """Cut a tenant off from whom not both sides want it linked to any more. To be called before anything of a
    side is changed.

    Parameters:
        wanted: all pairs.

    Raises:
        OSError, NetlinkError: the kernel refuses.
    """
    own = (side for pair in wanted for side in pair if side.tenant == tenant)
    keep = {(side.device, _alias(settings, side)) for side in own}
    space = namespace(settings, tenant)
    if space.exists():
        space.run(partial(_remove_but, settings, keep))


def _remove_but(settings: Settings, keep: set[tuple[str, str]]) -> None:
    with IPRoute() as kernel:
        for link in kernel.get_links():
            name, alias = str(link.get("ifname")), link.get("ifalias") or ""
            if alias.startswith(_mark(settings)) and (name, alias) not in keep:
                remove_links(kernel, [name])


def ensure(settings: Settings, one: Side, other: Side) -> None:
    """Have a link that both sides want.

    Raises:
        OSError, NetlinkError: the kernel refuses, or a compartment is not there.
    """

    def make() -> None:
        with IPRoute() as kernel, namespace(settings, other.tenant).path.open() as handle:
            ensure_pair(kernel, handle.fileno(), one.device, _alias(settings, one), other.device)

    namespace(settings, one.tenant).run(make)
    for side in (one, other):
        namespace(settings, side.tenant).run(partial(_ensure_end, settings, side))


def _ensure_end(settings: Settings, side: Side) -> None:
    with IPRoute() as kernel:
        ensure_link(kernel, side.device, no_arp=True, address=side.mac, ifalias=_alias(settings, side))
    for key in ("rp_filter", "send_redirects"):
        set_sysctl(f"net/ipv4/conf/{side.device}/{key}", "0")


def _mark(settings: Settings) -> str:
    return f"hnvlab-link:{settings.lab}:"


def _alias(settings: Settings, side: Side) -> str:
    return _mark(settings) + side.peer
