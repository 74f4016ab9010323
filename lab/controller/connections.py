"""Connections as records, kind by kind: what a tenant wants, in the words of the southbound protocol."""

from __future__ import annotations

from lab.controller.domains import Compartment
from lab.controller.models_connection import (
    MACHINE_CERTIFICATES,
    IpsecConfiguration,
    NetworkConnection,
    prefixes_of,
)
from lab.controller.shapes import Resource
from lab.prefixes import version_of
from lab.southbound import southbound_pb2 as pb


def connection_record(item: Resource[NetworkConnection], place: Compartment) -> pb.Connection:
    """A connection of a compartment.

    Args:
        item: as the client wants it; checked.
        place: where the compartment stands, and what the connection's references lead to.
    """
    wanted = item.properties
    result = pb.Connection(
        name=item.resource_id,
        outbound_kbps=wanted.outbound_kilo_bits_per_second,
        inbound_kbps=wanted.inbound_kilo_bits_per_second,
        routes=[
            pb.StaticRoute(
                prefix=route.destination_prefix, metric=route.metric, next_hop=route.next_hop or ""
            )
            for route in wanted.routes
        ],
    )
    # The type decides, as it does in the claims and in the checks.
    match wanted.connection_type:
        case "IPSec" if wanted.ip_sec_configuration is not None:
            result.ipsec.CopyFrom(_ipsec(wanted.destination_ip_address or "", wanted.ip_sec_configuration))
        case "GRE" if wanted.gre_configuration is not None:
            result.gre.local = place.gre_vip
            result.gre.peer = wanted.destination_ip_address or ""
            result.gre.key = wanted.gre_configuration.gre_key
        case "L3" if wanted.l3_configuration is not None:
            result.forwarding.vlan = place.vlans[item.resource_id]
            result.forwarding.addresses.extend(
                f"{address.ip_address}/{address.prefix_length}" for address in wanted.ip_addresses
            )
            for route in result.routes:
                # The product's L3 connection has one peer, the tenant's router in the VLAN; it may have two
                # addresses.
                version = version_of(route.prefix)
                peers = (peer for peer in wanted.peer_ip_addresses if version_of(peer) == version)
                route.next_hop = route.next_hop or next(peers, "")
        case "NAT" if wanted.nat_configuration is not None:
            result.nat.CopyFrom(place.nats[item.resource_id])
        case "Link" if wanted.link_configuration is not None:
            result.link.peer_rdid = place.links[item.resource_id]
            result.link.local_prefixes.extend(wanted.link_configuration.local_prefixes)
    return result


def _ipsec(peer: str, wanted: IpsecConfiguration) -> pb.Ipsec:
    main, quick = wanted.main_mode, wanted.quick_mode
    return pb.Ipsec(
        peer=peer,
        shared_secret=wanted.shared_secret or "",
        machine_certificate=_machine_certificate(wanted),
        main_mode=pb.MainMode(
            encryption=main.encryption_algorithm,
            integrity=main.integrity_algorithm,
            dh_group=main.diffie_hellman_group,
            sa_life_time_s=main.sa_life_time_seconds,
        ),
        quick_mode=pb.QuickMode(
            cipher=quick.cipher_transformation_constant,
            authentication=quick.authentication_transformation_constant,
            pfs=quick.perfect_forward_secrecy,
            sa_life_time_s=quick.sa_life_time_seconds,
            sa_life_time_kb=quick.sa_life_time_kilo_bytes,
            # What is always up is not closed for silence; the API's default says 300 s all the same.
            idle_disconnect_s=0 if wanted.persistent else quick.idle_disconnect_seconds,
        ),
        on_demand=not wanted.persistent,
        network_outage_s=wanted.network_outage_seconds or 0,
        tries=wanted.number_of_tries,
        retry_interval_s=wanted.retry_interval_seconds,
        local_selectors=prefixes_of(wanted.local_vpn_traffic_selector),
        remote_selectors=prefixes_of(wanted.remote_vpn_traffic_selector),
    )


def _machine_certificate(wanted: IpsecConfiguration) -> pb.MachineCertificate | None:
    if wanted.authentication_method != MACHINE_CERTIFICATES:
        return None
    return pb.MachineCertificate(
        ca_certificate=wanted.ca_certificate or "",
        certificate=wanted.certificate or "",
        private_key=wanted.private_key or "",
        identity=wanted.identity or "",
        remote_identity=wanted.remote_identity or "",
    )
