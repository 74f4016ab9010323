"""What the gateway is compared with, on the same cables: routing alone, and strongSwan alone."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyroute2 import IPRoute

from gwnode.kernel import KERNEL_REFUSALS
from gwnode.netns import Namespace
from lab.ipsec.authentication import PreSharedKey
from lab.ipsec.charon import Charon
from lab.ipsec.device import TUNNEL_MTU, ensure_device
from lab.ipsec.esp import EspBackend
from lab.ipsec.proposals import Transforms, proposals
from lab.ipsec.strongswan import CharonConfig, render
from lab.ipsec.tunnel import Tunnel
from tests.datapath.many_world import ManyWorld

DEVICE, WAN, XFRM_IF_ID = "ipsec0", "wan0", 1
BARE = ("bare-vm", "bare-compartment", "bare-gateway", "bare-internet", "bare-site")
ALONE = {"alone-a": ("192.0.2.1", "10.99.0.1"), "alone-b": ("192.0.2.2", "10.99.0.2")}
"""Address on the cable between the two, and behind each."""


def route_bare(world: ManyWorld) -> str:
    """The cables of a GRE or L3 connection, and IP routers in place of all that the gateway does.

    Returns: the address of the last one.
    """
    for name in BARE:
        Namespace(world.path(name)).ensure()
        world.run(name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    for number, (near, far) in enumerate(itertools.pairwise(BARE)):
        world.batch(
            near,
            f"link add right type veth peer name left netns {world.path(far)}",
            f"address add 10.98.{number}.1/24 dev right",
            "link set right up",
        )
        world.batch(far, f"address add 10.98.{number}.2/24 dev left", "link set left up")
    last = len(BARE) - 2
    for number, name in enumerate(BARE):
        if number < last:
            world.batch(name, f"route add 10.98.{last}.0/24 via 10.98.{number}.2")
        if number > 1:
            world.batch(name, f"route add 10.98.0.0/24 via 10.98.{number - 1}.1")
    return f"10.98.{last}.2"


@contextmanager
def strongswan_alone(world: ManyWorld) -> Iterator[str]:
    """Two namespaces with a cable and a charon each, configured as a gateway's.

    Yields: the address behind the second one.
    """
    one, other = ALONE
    for name in ALONE:
        Namespace(world.path(name)).ensure()
    world.batch(one, f"link add {WAN} type veth peer name {WAN} netns {world.path(other)}")
    for name, (outer, inner) in ALONE.items():
        world.batch(
            name,
            "link set lo up",
            f"address add {inner}/32 dev lo",
            f"address add {outer}/24 dev {WAN}",
            f"link set {WAN} up",
        )
    stop = threading.Event()
    threads = [
        threading.Thread(target=_drive, args=(world, name, far, stop, name == one), daemon=True)
        for name, far in ((one, other), (other, one))
    ]
    for thread in threads:
        thread.start()
    try:
        yield ALONE[other][1]
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


def _drive(world: ManyWorld, name: str, far: str, stop: threading.Event, calls: bool) -> None:
    """One end, from its configuration on, until told to stop."""
    state = world.folder / name
    state.mkdir()
    config = CharonConfig(state / "charon.vici", state / "charon.log", world.backend, (WAN,))
    (state / "strongswan.conf").write_text(render(config))
    world.start(name, name, "env", f"STRONGSWAN_CONF={state}/strongswan.conf", "charon-systemd")
    charon = Charon(config.vici_socket, config.log)
    wanted = _tunnel(world, name, far, calls)
    charon.apply({wanted.name: wanted})
    space = Namespace(world.path(name))

    def look(_changed: bool) -> None:
        with contextlib.suppress(*KERNEL_REFUSALS):
            space.run(lambda: _ensure_route(ALONE[far][1], ALONE[name][1], wanted.if_id))

    charon.watch(stop, lambda: None, look)


def _tunnel(world: ManyWorld, name: str, far: str, calls: bool) -> Tunnel:
    words = proposals(Transforms("AES256", "SHA256", "ECP256", "GCMAES128", "GCMAES128", "None"), name)
    return Tunnel(
        name="alone",
        local=ALONE[name][0],
        remote=ALONE[far][0],
        local_id=ALONE[name][0],
        remote_id=ALONE[far][0],
        authentication=PreSharedKey("a secret of the two"),
        ike_proposals=(words.ike,),
        esp_proposals=(words.esp,),
        backend=world.backend,
        initiator=calls,
        if_id=XFRM_IF_ID if world.backend is EspBackend.KERNEL else 0,
    )


def _ensure_route(far: str, own: str, if_id: int) -> None:
    with IPRoute() as kernel:
        index = ensure_device(kernel, DEVICE, mtu=TUNNEL_MTU, if_id=if_id, lower=WAN)
        if index is not None:
            kernel.route("replace", dst=f"{far}/32", oif=index, scope=253, prefsrc=own)
