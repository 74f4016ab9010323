"""A gateway and two sites of Blue's that show each other certificates, and what is said of them.

`one` leads to site-blue and `two` to site-red, which is Blue's here; both have one network, without BGP.
Blue's authority issues for the gateway, both sites and a laptop; Red's is another, with the same names.
"""

from __future__ import annotations

import datetime
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lab.engine.pki import VALID_DAYS, NodeTls
from lab.model.certificates import SiteCertificates
from lab.southbound import southbound_pb2 as pb

from .gateway_world import World, compartment

LAN = "192.168.50.10"
SITES = {"one": "blue", "two": "red"}
GATEWAY = "blue.gateway"
HQ, BRANCH, LAPTOP = "blue-hq", "blue-branch", "blue-laptop"
IDENTITIES = {"one": HQ, "two": BRANCH}
CLOUD = ["10.0.0.0/24"]
LONG_AGO = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=VALID_DAYS + 1)
RENEWED = "renewed"
LATE_HQ, LATE_GATEWAY = "late-hq", "late-gateway"


@dataclass(frozen=True)
class Bench:
    """The world, and what each authority has issued, by name.

    Of Blue's, RENEWED holds the gateway's name, too; LATE_HQ and LATE_GATEWAY have expired.
    """

    world: World
    blue: Mapping[str, NodeTls]
    red: Mapping[str, NodeTls]


def tenant(*connections: pb.Connection) -> pb.Compartment:
    item = compartment("blue")
    item.ClearField("bgp")
    del item.connections[:]
    item.connections.extend(connections)
    return item


def shown(own: NodeTls, identity: str, **more: Any) -> dict[str, Any]:
    """What a site's configuration says of certificates."""
    proof = SiteCertificates(
        issuer="blue",
        identity=identity,
        gateway_identity=GATEWAY,
        authority=own.ca.decode(),
        certificate=own.certificate.decode(),
        key=own.key.decode(),
    )
    return {"shared_secret": "", "certificates": replace(proof, **more)}


def by_certificate(name: str, own: NodeTls, metric: int = 10, **more: Any) -> pb.Connection:
    """A connection as the Network Controller would send it."""
    made = by_secret(name, metric)
    made.ipsec.shared_secret = ""
    made.ipsec.machine_certificate.CopyFrom(
        pb.MachineCertificate(
            **{
                "ca_certificate": own.ca.decode(),
                "certificate": own.certificate.decode(),
                "private_key": own.key.decode(),
                "identity": GATEWAY,
                "remote_identity": IDENTITIES[name],
                **more,
            }
        )
    )
    return made


def by_secret(name: str, metric: int = 10) -> pb.Connection:
    ipsec = compartment(SITES[name]).connections[0].ipsec
    route = pb.StaticRoute(prefix="192.168.50.0/24", metric=metric)
    return pb.Connection(name=name, routes=[route], ipsec=ipsec)


def reconfigure(world: World, name: str, **values: Any) -> None:
    """Another configuration for a site, as when its container is replaced."""
    site = f"site-{SITES[name]}"
    world.service(site, "onprem", "d")
    world.service(site, "charon", "d")
    world.configure_site(SITES[name], cloud=CLOUD, **values)
    world.service(site, "charon", "u")
    world.service(site, "onprem", "u")


def state(world: World, name: str) -> dict[str, Any]:
    """What the report says about a connection; empty: nothing."""
    return next((i for i in world.report().get("connections", []) if i["name"] == name), {})


def connected(world: World, name: str) -> None:
    assert world.answer()["error"] == ""
    assert state(world, name).get("state") == "Connected", state(world, name)


def carries(world: World, name: str) -> None:
    """The connection is up, and the VM's packets go by it and are answered."""
    connected(world, name)
    route = world.inside("blue", "ip", "route", "get", LAN, check=False).stdout
    assert f"dev ipsec-{name}" in route, route
    assert world.pings("vm-blue", LAN)


def refused(world: World, name: str, why: str) -> None:
    assert world.answer()["error"] == ""
    seen = state(world, name)
    assert seen.get("state") != "Connected", seen
    assert why in seen.get("last_error", ""), seen


def swanctl(world: World, name: str, *words: str) -> str:
    uri = f"unix://{world.folder}/gateway/state/blue+{name}.vici"
    ended = subprocess.run(["swanctl", *words, "--uri", uri], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{words}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def ike_ids(world: World, name: str) -> set[str]:
    """charon's numbers of a connection's IKE_SAs."""
    return set(re.findall(rf"{{{name} {{uniqueid=(\d+)", swanctl(world, name, "--list-sas", "--raw")))
