"""Site-to-site IKEv2: from the goal state to charon's tunnel. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address

from lab.ipsec.authentication import MachineCertificate, authentication
from lab.ipsec.dialling import RETRY_S, Calls
from lab.ipsec.esp import EspBackend
from lab.ipsec.proposals import Transforms, proposals
from lab.ipsec.tunnel import EVERYTHING, Tunnel
from lab.southbound import southbound_pb2 as pb


def tunnel(
    key: str,
    vip: str,
    connection: pb.Connection,
    local: IPv4Address,
    backend: EspBackend,
    *,
    dpd_delay_s: int,
    if_id: int,
) -> Tunnel:
    """A connection of kind ipsec as charon's. The site calls, the gateway answers, and calls too if told to.

    Identities are the public addresses, as the real product's are; of certificates, names in them.

    Parameters:
        key: of the compartment's record: the place of every problem.
        vip: the gateways' public address.
        local: charon's own address, which the front end translates the public one to.
        backend: who encrypts ESP here.
        dpd_delay_s: silence after which the site is asked whether it lives.
        if_id: of the xfrm interface, with the kernel's ESP; 0: none.

    Raises:
        LabError: it cannot be: HNV-VPN-001, -002 and -013.
    """
    ipsec, machine = connection.ipsec, _machine(connection.ipsec)
    shown = ipsec.machine_certificate
    identities = (vip, ipsec.peer) if machine is None else (shown.identity, shown.remote_identity)
    calls = Calls(ipsec.tries, ipsec.retry_interval_s or RETRY_S)
    words = proposals(
        Transforms(
            encryption=ipsec.main_mode.encryption,
            integrity=ipsec.main_mode.integrity,
            dh_group=ipsec.main_mode.dh_group,
            cipher=ipsec.quick_mode.cipher,
            authentication=ipsec.quick_mode.authentication,
            pfs=ipsec.quick_mode.pfs,
        ),
        key,
    )
    return Tunnel(
        name=connection.name,
        local=str(local),
        remote=ipsec.peer,
        local_id=identities[0],
        remote_id=identities[1],
        authentication=authentication(ipsec.shared_secret, machine, identities, key),
        ike_proposals=(words.ike,),
        esp_proposals=(words.esp,),
        backend=backend,
        initiator=ipsec.initiator,
        on_demand=ipsec.on_demand,
        calls=calls if ipsec.on_demand or ipsec.tries or ipsec.retry_interval_s else None,
        dpd_delay_s=dpd_delay_s,
        if_id=if_id,
        ike_life_s=ipsec.main_mode.sa_life_time_s,
        child_life_s=ipsec.quick_mode.sa_life_time_s,
        child_life_kb=ipsec.quick_mode.sa_life_time_kb,
        idle_s=ipsec.quick_mode.idle_disconnect_s,
        local_ts=tuple(ipsec.local_selectors) or (EVERYTHING,),
        remote_ts=tuple(ipsec.remote_selectors) or (EVERYTHING,),
    )


def _machine(ipsec: pb.Ipsec) -> MachineCertificate | None:
    if not ipsec.HasField("machine_certificate"):
        return None
    given = ipsec.machine_certificate
    return MachineCertificate(given.certificate, given.private_key, given.ca_certificate)
