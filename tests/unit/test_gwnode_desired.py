"""Goal state in, what shall stand on a gateway out; and the rules between VIP and compartments."""

from __future__ import annotations

import json
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from urllib.parse import quote

import pytest

from gwnode.bgp.router import router_config
from gwnode.compartments import chosen, fixed_routes, routes_of
from gwnode.connections.ipsec import tunnel_report
from gwnode.connections.wanted import GRE_MTU, GreEnd, IpsecDefaults, IpsecEnd, leg_name
from gwnode.desired import MALFORMED, SHARED_NAME, SHARED_PEER, Tenant, allocate, tenants
from gwnode.filter import compartment_ruleset
from gwnode.filter_ipv6 import ipv6_ruleset
from gwnode.frontend import Flow, Translations, follows, ruleset
from gwnode.kernel import WantedRoute
from gwnode.nft import transaction
from gwnode.report import report
from gwnode.runtime import Observation
from gwnode.services import Service
from gwnode.transit import Transit
from lab.errors import LabError
from lab.ipsec.authentication import MachineCertificate
from lab.ipsec.esp import EspBackend
from lab.ipsec.state import Phase, TunnelState
from lab.ipsec.strongswan import Timers
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState, record

POOL = IPv4Network("100.64.0.0/16")
GRE = pb.Gre(local="203.0.113.20", peer="203.0.113.60", key=7)
VIP = "203.0.113.10"
LIBIPSEC = IpsecDefaults(EspBackend.LIBIPSEC, Timers())
KERNEL = IpsecDefaults(EspBackend.KERNEL, Timers())


def connection(name: str, peer: str) -> pb.Connection:
    return pb.Connection(
        name=name,
        routes=[pb.StaticRoute(prefix="192.168.50.1/32", metric=10)],
        ipsec=pb.Ipsec(
            peer=peer,
            shared_secret="s",
            main_mode=pb.MainMode(encryption="AES256", integrity="SHA256", dh_group="Group14"),
            quick_mode=pb.QuickMode(cipher="GCMAES128", authentication="GCMAES128"),
        ),
    )


def compartment(tenant: str, peer: str, **values: object) -> pb.Compartment:
    item = pb.Compartment(
        rdid=f"rd-{tenant}",
        tenant=tenant,
        customer_address="10.0.2.2",
        prefix_length=29,
        router_address="10.0.2.1",
        vm_prefixes=["10.0.0.0/24", "10.0.2.0/29"],
        vip=VIP,
        connections=[connection(f"{tenant}-hq", peer)],
        bgp=pb.BgpRouter(
            asn=64512,
            networks=["10.0.0.0/24"],
            peers=[pb.BgpPeer(name="hq", address="192.168.50.1", asn=64521)],
        ),
    )
    item.MergeFrom(pb.Compartment(**values))  # type: ignore[arg-type]
    return item


def goal(*items: pb.Compartment) -> GoalState:
    return {wrapped.key: wrapped for wrapped in map(record, items)}


def desired(*items: pb.Compartment, ipsec: IpsecDefaults = LIBIPSEC) -> dict[str, Tenant]:
    return tenants(goal(*items), {}, POOL, ipsec)


BLUE, RED = compartment("blue", "198.51.100.2"), compartment("red", "198.51.100.6")
TENANTS = desired(BLUE, RED)


def test_a_leg_keeps_its_transit_and_new_ones_take_the_lowest_that_is_free() -> None:
    standing = {"red": Transit(IPv4Network("100.64.0.0/31")), "gone": Transit(IPv4Network("100.64.0.2/31"))}
    found = allocate(["blue", "red"], standing, POOL)
    assert found["red"] == standing["red"]
    assert found["blue"].network == IPv4Network("100.64.0.4/31")


def test_an_exhausted_pool_is_refused() -> None:
    with pytest.raises(LabError, match="HNV-GW-003"):
        allocate(["a", "b"], {}, IPv4Network("100.64.0.0/31"))


def refused_code(*items: pb.Compartment) -> str:
    with pytest.raises(LabError) as caught:
        desired(*items)
    assert {problem.place for problem in caught.value.problems} <= set(goal(*items))
    return caught.value.problems[0].code


def test_two_tenants_cannot_share_a_peer() -> None:
    assert refused_code(BLUE, compartment("red", "198.51.100.2")) == SHARED_PEER


def test_two_compartments_cannot_share_a_name() -> None:
    other = compartment("blue", "198.51.100.6")
    other.rdid = "rd-other"
    assert refused_code(BLUE, other) == SHARED_NAME


def test_a_tenant_has_as_many_tunnels_as_it_wants_each_with_a_charon_of_its_own() -> None:
    two = compartment("blue", "198.51.100.2", connections=[connection("second", "198.51.100.10")])
    for ipsec, if_id in ((LIBIPSEC, 0), (KERNEL, 1)):
        connections = desired(two, ipsec=ipsec)["blue"].connections.values()
        ends = [item.end for item in connections if isinstance(item.end, IpsecEnd)]
        assert [end.tunnel.if_id for end in ends] == [if_id, if_id]
        assert len({end.transit for end in ends}) == len({item.leg for item in connections}) == 2


def test_the_gateway_answers_with_its_public_identity() -> None:
    tunnel = end_of("blue", "blue-hq").tunnel
    assert (tunnel.local, tunnel.local_id, tunnel.remote_id) == ("100.64.0.1", VIP, "198.51.100.2")
    assert not tunnel.initiator


def end_of(tenant: str, name: str) -> IpsecEnd:
    end = TENANTS[tenant].connections[name].end
    assert isinstance(end, IpsecEnd)
    return end


def test_silence_counts_as_an_outage_after_the_time_that_the_connection_says() -> None:
    item = compartment("blue", "198.51.100.2")
    item.connections[0].ipsec.network_outage_s = 15
    end = desired(item)["blue"].connections["blue-hq"].end
    assert isinstance(end, IpsecEnd)
    timers = end.timers
    assert timers.retransmit_base == 1.0
    asked_s = timers.retransmit_timeout_s * (timers.retransmit_tries + 1)
    assert timers.dpd_delay_s + asked_s == pytest.approx(15)
    assert end.tunnel.dpd_delay_s == timers.dpd_delay_s


def test_a_compartment_routes_to_its_vms_and_each_connection_to_what_is_behind_it() -> None:
    blue = TENANTS["blue"]
    assert fixed_routes(blue) == [
        WantedRoute(IPv4Network("10.0.0.0/24"), "hnv0", blue.router, blue.address.ip),
    ]
    assert routes_of(blue, blue.connections["blue-hq"]) == [
        WantedRoute(IPv4Network("192.168.50.1/32"), "ipsec-blue-hq", None, blue.address.ip, 10),
    ]


def test_every_kind_of_connection_has_its_own_end() -> None:
    others = [
        pb.Connection(name="rack", gre=pb.Gre(local="203.0.113.20", peer="203.0.113.60", key=7)),
        pb.Connection(name="mpls", forwarding=pb.Forwarding(vlan=1001, addresses=["10.127.134.55/25"])),
        pb.Connection(name="internet", nat=pb.Nat(public_address="203.0.113.30")),
        pb.Connection(
            name="laptops",
            dial_in=pb.DialIn(
                public_address="203.0.113.31",
                pool="10.9.0.0/24",
                users=[pb.DialInUser(name="ann", password="secret")],
                certificate="its certificate",
                private_key="its key",
                identity="vpn.blue.example",
            ),
        ),
    ]
    connections = desired(compartment("blue", "198.51.100.2", connections=others))["blue"].connections
    assert isinstance(connections["rack"].end, GreEnd)
    with_transit = {name for name, item in connections.items() if item.transit}
    assert with_transit == {"blue-hq", "internet", "laptops"}
    assert {name for name, item in connections.items() if item.has_charon} == {"blue-hq", "laptops"}
    devices = [item.device for item in connections.values()]
    assert devices == ["ipsec-blue-hq", "gre-rack", "vlan-mpls", "nat-internet", "p2s-laptops"]


def test_a_connection_of_no_kind_is_refused() -> None:
    nothing = compartment("blue", "198.51.100.2", connections=[pb.Connection(name="what")])
    assert refused_code(nothing) == "HNV-GW-002"


def test_legs_of_many_tenants_that_call_theirs_the_same_stay_apart() -> None:
    names = {leg_name(f"tenant-{number}", "headquarters", "gre") for number in range(1000)}
    assert len(names) == 1000
    assert max(map(len, names)) <= 15


def test_the_rules_do_not_grow_with_the_tenants() -> None:
    def rules(items: list[str]) -> int:
        table = ruleset([TENANTS[name] for name in items], "fe0")
        return sum("rule" in item["add"] for item in table)

    assert rules([]) == rules(["blue"]) == rules(["blue", "red"])


def test_a_table_is_replaced_in_one_transaction() -> None:
    commands = json.loads(transaction(compartment_ruleset(TENANTS["blue"], 1400)))["nftables"]
    assert [next(iter(command)) for command in commands[:3]] == ["add", "delete", "add"]
    assert '"value": 1360' in json.dumps(commands)


SIX = pb.CompartmentIpv6(
    customer_address="fd00:2::2",
    prefix_length=64,
    mac="00:15:5d:0a:02:03",
    router_address="fd00:2::1",
    vm_prefixes=["fd00:1::/64"],
)


def with_ipv6(**values: object) -> pb.Compartment:
    """Blue with a GRE connection that leads to an IPv6 prefix."""
    gre = pb.Connection(
        name="far",
        gre=pb.Gre(local="203.0.113.65", peer="198.51.100.77", key=7),
        routes=[pb.StaticRoute(prefix="fd60::/64")],
    )
    return compartment("blue", "198.51.100.2", connections=[gre], **values)


def test_ipv6_routes_need_a_compartment_and_a_connection_that_have_it() -> None:
    assert refused_code(with_ipv6()) == MALFORMED
    bad = with_ipv6(ipv6=SIX)
    bad.connections[0].routes.add(prefix="fd61::/64")
    assert refused_code(bad) == MALFORMED
    blue = desired(with_ipv6(ipv6=SIX))["blue"]
    (route,) = routes_of(blue, blue.connections["far"])
    assert (route.prefix, route.source, route.priority) == (
        *(IPv6Network("fd60::/64"), IPv6Address("fd00:2::2")),
        1,
    )
    assert IPv6Network("fd00:1::/64") in {item.prefix for item in fixed_routes(blue)}


def test_the_tables_of_both_versions_are_replaced_together() -> None:
    blue = desired(with_ipv6(ipv6=SIX))["blue"]
    rules = ipv6_ruleset(blue, 1400)
    commands = json.loads(transaction([], rules))["nftables"]
    parts = [part for command in commands[3:] for item in command.values() for part in item.values()]
    families = {part["family"] for part in parts}
    assert families == {"ip6"}
    sets = {item["add"]["set"]["name"]: item["add"]["set"] for item in rules if "set" in item["add"]}
    assert sets["connections"]["elem"] == ["gre-far"], "IPsec carries IPv4 alone"
    # GRE's MTU less the headers of IPv6 and TCP.
    assert f'"value": {GRE_MTU - 60}' in json.dumps(commands)
    assert ipv6_ruleset(TENANTS["blue"], 1400) == []
    without = json.loads(transaction([], []))["nftables"]
    assert [next(iter(command)) for command in without[3:]] == ["add", "delete"]


def test_names_that_would_meet_are_kept_apart() -> None:
    """Resource ids may hold nearly every sign."""
    red, other = compartment("red", "198.51.100.6"), compartment("red+red-hq", "198.51.100.10")
    found = desired(red, other)
    units = {item.unit for tenant in found.values() for item in tenant.connections.values()}
    assert len(units) == 2
    assert "red+red-hq" in units
    assert quote("red+red-hq") not in units


def test_a_connection_that_becomes_of_another_kind_is_another_one() -> None:
    kinds = [connection("hq", "198.51.100.2"), pb.Connection(name="hq", gre=GRE)]
    legs = set()
    for item in kinds:
        wanted = compartment("blue", "198.51.100.2")
        wanted.connections[0].CopyFrom(item)
        legs.add(desired(wanted)["blue"].connections["hq"].leg)
    assert len(legs) == 2


def test_what_cannot_be_read_is_refused_and_not_raised() -> None:
    item = compartment("blue", "198.51.100.2", connections=[pb.Connection(name="rack", gre=pb.Gre(key=7))])
    assert refused_code(item) == "HNV-GW-006"
    without = compartment("blue", "198.51.100.2")
    without.ClearField("connections")
    without.vip = ""
    assert desired(without)["blue"].vip is None


def test_of_two_routes_alike_one_is_chosen() -> None:
    one, other = (WantedRoute(IPv4Network("10.9.0.0/16"), device, metric=10) for device in ("a", "b"))
    assert chosen([one, other]) == chosen([other, one]) == [one]


TRANSLATIONS = Translations.of(TENANTS.values())


@pytest.mark.parametrize(
    ("flow", "good"),
    [
        # From outside, translated to blue's compartment.
        (Flow("198.51.100.2", VIP, "100.64.0.1", "198.51.100.2"), True),
        # The same, but taken before there was a tenant, or for a compartment that is gone.
        (Flow("198.51.100.2", VIP, VIP, "198.51.100.2"), False),
        (Flow("198.51.100.2", VIP, "100.64.0.9", "198.51.100.2"), False),
        # A stranger's: never translated.
        (Flow("198.51.100.99", VIP, VIP, "198.51.100.99"), True),
        (Flow("198.51.100.99", VIP, "100.64.0.1", "198.51.100.99"), False),
        # From a compartment, behind the VIP.
        (Flow("100.64.0.1", "198.51.100.2", "198.51.100.2", VIP), True),
        (Flow("100.64.0.1", "198.51.100.2", "198.51.100.2", "100.64.0.1"), False),
        (Flow("100.64.0.9", "198.51.100.2", "198.51.100.2", VIP), False),
        # The node's own.
        (Flow("172.16.0.20", "172.16.0.10", "172.16.0.10", "172.16.0.20"), True),
    ],
)
def test_tracked_flows_must_follow_todays_translation(flow: Flow, good: bool) -> None:
    assert follows(flow, TRANSLATIONS, {VIP}, POOL) is good


def test_a_site_may_not_offer_the_hosters_networks_nor_the_tenants_own() -> None:
    config = router_config(TENANTS["blue"], BLUE.bgp, [POOL], 10)
    assert {str(prefix) for prefix in config.refused} == {
        "10.0.0.0/24",
        "10.0.2.0/29",
        "198.51.100.2/32",
        "100.64.0.0/16",
    }
    assert str(config.router_id) == "10.0.2.2"


def test_what_was_not_looked_at_is_not_reported() -> None:
    result = report([Observation(TENANTS["blue"], {})])
    assert not result.learned_routes
    assert not result.connections
    assert not result.bgp_peers


def test_an_empty_compartment_is_reported_empty() -> None:
    state = TunnelState(phase=Phase.CONNECTED, since_unix_s=7)
    seen = {"blue-hq": tunnel_report("rd-blue", "blue-hq", state)}
    result = report([Observation(TENANTS["blue"], seen, (), ())])
    assert [item.rdid for item in result.learned_routes] == ["rd-blue"]
    assert result.connections[0].state == "Connected"
    assert result.connections[0].since_unix_s == 7
    assert (result.bgp_peers[0].state, result.bgp_peers[0].last_error) == ("Stopped", "BIRD does not run")
    assert not result.faults


def test_a_peer_without_a_static_route_is_a_fault_as_in_the_product() -> None:
    item = compartment("blue", "198.51.100.2")
    item.bgp.peers.add(name="far", address="192.168.99.1", asn=1)
    (tenant,) = desired(item).values()
    (fault,) = report([Observation(tenant, {})]).faults
    assert fault.code == "PolicyConfigurationFailure"
    assert fault.record_key == "compartment/rd-blue"
    assert "192.168.99.1/32" in fault.message


def test_a_link_leads_to_no_peer() -> None:
    item = compartment("blue", "198.51.100.2")
    item.bgp.peers.add(name="far", address="10.1.0.4", asn=1)
    link = item.connections.add(name="green", routes=[pb.StaticRoute(prefix="10.1.0.0/24")])
    link.link.CopyFrom(pb.Link(peer_rdid="rd-green", local_prefixes=["10.0.0.0/24"]))
    (tenant,) = desired(item).values()
    (fault,) = report([Observation(tenant, {})]).faults
    assert "10.1.0.4/32" in fault.message


def test_a_run_script_quotes_its_words() -> None:
    assert Service("x", ("echo", "it's")).script() == "#!/bin/sh\nexec 2>&1\nexec 'echo' 'it'\\''s'\n"


def test_no_site_gets_what_is_for_a_road_warrior() -> None:
    """A site could offer one address of the pool: the most specific route wins."""
    callers = pb.Connection(
        name="dial-in",
        dial_in=pb.DialIn(
            public_address="203.0.113.40",
            pool="10.99.0.0/24",
            users=[pb.DialInUser(name="alice", password="a")],
            certificate="CERTIFICATE",
            private_key="KEY",
            identity="blue.vpn",
        ),
    )
    (tenant,) = desired(compartment("blue", "198.51.100.2", connections=[callers])).values()
    config = router_config(tenant, BLUE.bgp, [], 10)
    assert IPv4Network("10.99.0.0/24") in config.refused


def test_no_site_gets_what_is_for_a_linked_network() -> None:
    """Whether the link is up or not: its routes would lose to a more specific one."""
    link = pb.Connection(
        name="green",
        routes=[pb.StaticRoute(prefix="10.1.0.0/24", metric=10)],
        link=pb.Link(peer_rdid="rd-green", local_prefixes=["10.0.0.0/24"]),
    )
    (tenant,) = desired(compartment("blue", "198.51.100.2", connections=[link])).values()
    assert IPv4Network("10.1.0.0/24") in router_config(tenant, BLUE.bgp, [], 10).refused


def test_a_connection_by_certificates_goes_by_the_names_in_them() -> None:
    item = compartment("blue", "198.51.100.2")
    wanted = item.connections[0].ipsec
    wanted.shared_secret = ""
    wanted.machine_certificate.CopyFrom(
        pb.MachineCertificate(
            ca_certificate="CA",
            certificate="OWN",
            private_key="KEY",
            identity="blue.gateway",
            remote_identity="blue-hq.site",
        )
    )
    end = desired(item)["blue"].connections["blue-hq"].end
    assert isinstance(end, IpsecEnd)
    assert end.tunnel.authentication == MachineCertificate("OWN", "KEY", "CA")
    assert (end.tunnel.local_id, end.tunnel.remote_id) == ("blue.gateway", "blue-hq.site")
    wanted.machine_certificate.remote_identity = ""
    with pytest.raises(LabError, match="without the site's identity") as refused:
        desired(item)
    assert refused.value.problems[0].place == "compartment/rd-blue"
