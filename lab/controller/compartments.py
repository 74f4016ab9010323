"""Compartments as records: a tenant's connections and BGP router in the words of the southbound protocol."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network

from lab.controller.bgp import router_record
from lab.controller.completion import derived_mac, router_address
from lab.controller.domains import Compartment, Frame, Subnet
from lab.controller.models_tenant import NetworkConnection
from lab.controller.shapes import Resource
from lab.southbound import southbound_pb2 as pb


def compartment_record(frame: Frame, place: Compartment) -> pb.Compartment:
    """What the gateway's agent builds a compartment from.

    Args:
        frame: the routing domain.
        place: where its compartment stands.
    """
    prefixes = _vm_prefixes(frame.subnets, place)
    return pb.Compartment(
        rdid=frame.rdid,
        tenant=place.tenant,
        vsid=place.vsid,
        customer_address=place.address,
        prefix_length=IPv4Network(place.prefix).prefixlen,
        mac=derived_mac("compartment", frame.rdid),
        router_address=router_address(place.prefix),
        vm_prefixes=prefixes,
        vip=place.vip,
        connections=[_connection(item) for item in place.resource.network_connections],
        bgp=router_record(place, prefixes),
    )


def _vm_prefixes(subnets: tuple[Subnet, ...], place: Compartment) -> list[str]:
    """Everything but the gateway subnet: reached through the distributed router, offered to the sites. A
    compartment is IPv4.
    """
    return [s.prefix for s in subnets if s.vsid != place.vsid and ip_network(s.prefix).version == 4]


def _connection(item: Resource[NetworkConnection]) -> pb.Connection:
    wanted = item.properties
    result = pb.Connection(
        name=item.resource_id,
        outbound_kbps=wanted.outbound_kilo_bits_per_second,
        inbound_kbps=wanted.inbound_kilo_bits_per_second,
        routes=[pb.StaticRoute(prefix=r.destination_prefix, metric=r.metric) for r in wanted.routes],
    )
    ipsec = wanted.ip_sec_configuration
    if ipsec is not None:
        main, quick = ipsec.main_mode, ipsec.quick_mode
        result.ipsec.CopyFrom(
            pb.Ipsec(
                peer=wanted.destination_ip_address or "",
                shared_secret=ipsec.shared_secret or "",
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
                    idle_disconnect_s=quick.idle_disconnect_seconds,
                ),
            )
        )
    return result
