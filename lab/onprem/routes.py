"""The site's routes into the cloud, whoever says which: its BGP router, or the topology file."""

from __future__ import annotations

from ipaddress import IPv4Network

from pyroute2 import IPRoute

from lab.model.lab import SiteConfig
from lab.onprem.config import LAN, TUNNEL_DEVICE
from lab.speaker.routes import KernelRoutes, Lan


def kernel_routes(kernel: IPRoute, site: SiteConfig) -> KernelRoutes:
    """Those by the tunnel; the LAN is told if a part of it has come up in the cloud.

    Parameters:
        kernel: netlink, in the site's namespace.
    """
    lan = Lan(LAN, IPv4Network(site.lan_prefix))
    return KernelRoutes(kernel, TUNNEL_DEVICE, site.lan_router, lan=lan)
