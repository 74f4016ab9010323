"""Remote access into a VM network: from the goal state to charon's server, and back to the report. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from gwnode.nft import Json, field, match, meta, rule
from lab.errors import LabError, Problem
from lab.ipsec.clients import DialInState
from lab.ipsec.dial_in import BAD_POOL, DialInServer, checked
from lab.ipsec.esp import EspBackend
from lab.ipsec.state import Phase
from lab.ipsec.strongswan import CERTIFICATE_PLUGINS, EAP_PLUGINS
from lab.southbound import southbound_pb2 as pb

PLUGINS = (*CERTIFICATE_PLUGINS, *EAP_PLUGINS)
"""What the charon of a dial-in server has besides (`CharonConfig.plugins`)."""

HALF_OPEN_S = 10
"""`CharonConfig.half_open_s`: a caller with a wrong password leaves a half-open IKE_SA behind each time that
he tries, and five of those block all who share his public address."""


def server(
    key: str,
    item: pb.Compartment,
    connection: pb.Connection,
    local: IPv4Address,
    backend: EspBackend,
    *,
    dpd_delay_s: int,
    if_id: int,
) -> DialInServer:
    """A connection of kind dial_in as charon's server. Callers are offered the VM network.

    Parameters:
        key: of the compartment's record: the place of every problem.
        local: charon's own address, which the front end translates the public one to.
        backend: who encrypts ESP here.
        dpd_delay_s: silence after which a caller is asked whether he lives.
        if_id: of the xfrm interface, with the kernel's ESP; 0: none.

    Raises:
        LabError: it cannot be: HNV-VPN-010 to -012.
    """
    wanted = connection.dial_in
    try:
        pool = IPv4Network(wanted.pool)
    except ValueError as error:
        raise LabError(Problem(BAD_POOL, f"{connection.name}: {error}", place=key)) from error
    return checked(
        DialInServer(
            name=connection.name,
            local=str(local),
            identity=wanted.identity,
            certificate=wanted.certificate,
            key=wanted.private_key,
            pool=pool,
            subnets=tuple(IPv4Network(prefix) for prefix in item.vm_prefixes),
            backend=backend,
            users={user.name: user.password for user in wanted.users},
            authority=wanted.ca_certificate,
            dns=tuple(IPv4Address(address) for address in wanted.dns_servers),
            maximum=wanted.maximum_connections,
            interim_s=wanted.interim_accounting_s,
            dpd_delay_s=dpd_delay_s,
            if_id=if_id,
        ),
        [user.name for user in wanted.users],
        key,
    )


def source_rules(chain: str, device: str, pool: IPv4Network) -> list[Json]:
    """Rules that drop what enters by the server's device from outside its pool, before anything is accepted.

    Which address of the pool a caller may use is checked by the SA's selector; this is for who got in
    without an address, until his connection is closed.
    """
    prefix: Json = {"prefix": {"addr": str(pool.network_address), "len": pool.prefixlen}}
    return [
        rule(chain, match(meta("iifname"), device), match(field("ip", "saddr"), prefix, "!="), {"drop": None})
    ]


def connection_state(rdid: str, name: str, state: DialInState) -> pb.ConnectionState:
    """What the Network Controller is told: a server that listens is connected, whoever has called."""
    return pb.ConnectionState(
        rdid=rdid,
        name=name,
        state=(Phase.CONNECTED if state.listening else Phase.DISCONNECTED).value,
        since_unix_s=state.since_unix_s,
        bytes_in=state.bytes_in,
        bytes_out=state.bytes_out,
        last_error=state.last_error,
        clients=[
            pb.DialInClient(
                user=client.user,
                address=client.address,
                **{"from": client.source},
                since_unix_s=client.tunnel.since_unix_s,
                bytes_in=client.tunnel.bytes_in,
                bytes_out=client.tunnel.bytes_out,
            )
            for client in state.clients.values()
        ],
    )
