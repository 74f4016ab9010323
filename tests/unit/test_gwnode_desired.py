"""Goal state in, what shall stand on a gateway out; and the rules between VIP and compartments."""

from __future__ import annotations

import json
from ipaddress import IPv4Network

import pytest

from gwnode.bgp.router import router_config
from gwnode.compartments import WantedRoute, fixed_routes
from gwnode.desired import ONE_TUNNEL, SHARED_NAME, SHARED_PEER, Transit, allocate, tenants
from gwnode.filter import compartment_ruleset
from gwnode.frontend import Flow, follows, pairs, ruleset
from gwnode.nft import transaction
from gwnode.report import report
from gwnode.runtime import Observation
from gwnode.services import Service
from lab.errors import LabError
from lab.ipsec.esp import EspBackend
from lab.ipsec.state import Phase, TunnelState
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState, record

POOL = IPv4Network("100.64.0.0/16")
VIP = "203.0.113.10"


def connection(name: str, peer: str) -> pb.Connection:
    return pb.Connection(
        name=name,
        routes=[pb.StaticRoute(prefix="192.168.50.1/32")],
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


def desired(*items: pb.Compartment, backend: EspBackend = EspBackend.LIBIPSEC) -> dict[str, object]:
    return dict(tenants(goal(*items), {}, POOL, backend, 2))


BLUE, RED = compartment("blue", "198.51.100.2"), compartment("red", "198.51.100.6")
TENANTS = tenants(goal(BLUE, RED), {}, POOL, EspBackend.LIBIPSEC, 2)


def test_a_tenant_keeps_its_transit_and_new_ones_take_the_lowest_that_is_free() -> None:
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


def test_libipsec_does_one_tunnel_for_each_tenant_and_the_kernel_any() -> None:
    two = compartment("blue", "198.51.100.2", connections=[connection("second", "198.51.100.10")])
    assert refused_code(two) == ONE_TUNNEL
    (tenant,) = tenants(goal(two), {}, POOL, EspBackend.KERNEL, 2).values()
    assert [tunnel.if_id for tunnel in tenant.tunnels.values()] == [1, 2]


def test_the_gateway_answers_with_its_public_identity() -> None:
    tunnel = TENANTS["blue"].tunnels["blue-hq"]
    assert (tunnel.local, tunnel.local_id, tunnel.remote_id) == ("100.64.0.1", VIP, "198.51.100.2")
    assert not tunnel.initiator


def test_a_compartment_routes_to_its_vms_and_its_sites_only() -> None:
    assert fixed_routes(TENANTS["blue"]) == [
        WantedRoute(IPv4Network("10.0.0.0/24"), "hnv0", TENANTS["blue"].router, TENANTS["blue"].address.ip),
        WantedRoute(IPv4Network("198.51.100.2"), "fe0", TENANTS["blue"].transit.outer),
    ]


def test_the_rules_do_not_grow_with_the_tenants() -> None:
    def rules(items: list[str]) -> int:
        table = ruleset([TENANTS[name] for name in items], "fe0")
        return sum("rule" in item["add"] for item in table)

    assert rules([]) == rules(["blue"]) == rules(["blue", "red"])


def test_a_table_is_replaced_in_one_transaction() -> None:
    commands = json.loads(transaction(compartment_ruleset(TENANTS["blue"], 1400)))["nftables"]
    assert [next(iter(command)) for command in commands[:3]] == ["add", "delete", "add"]
    assert '"value": 1360' in json.dumps(commands)


TRANSLATIONS = pairs(TENANTS.values())


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
    result = report([Observation(TENANTS["blue"])])
    assert not result.learned_routes
    assert not result.connections
    assert not result.bgp_peers


def test_an_empty_compartment_is_reported_empty() -> None:
    state = TunnelState(phase=Phase.CONNECTED, since_unix_s=7)
    result = report([Observation(TENANTS["blue"], {"blue-hq": state}, (), ())])
    assert [item.rdid for item in result.learned_routes] == ["rd-blue"]
    assert result.connections[0].state == "Connected"
    assert result.connections[0].since_unix_s == 7
    assert (result.bgp_peers[0].state, result.bgp_peers[0].last_error) == ("Stopped", "BIRD does not run")
    assert not result.faults


def test_a_peer_without_a_static_route_is_a_fault_as_in_the_product() -> None:
    item = compartment("blue", "198.51.100.2")
    item.bgp.peers.add(name="far", address="192.168.99.1", asn=1)
    (tenant,) = tenants(goal(item), {}, POOL, EspBackend.LIBIPSEC, 2).values()
    (fault,) = report([Observation(tenant)]).faults
    assert fault.code == "PolicyConfigurationFailure"
    assert fault.record_key == "compartment/rd-blue"
    assert "192.168.99.1/32" in fault.message


def test_a_run_script_quotes_its_words() -> None:
    assert Service("x", ("echo", "it's")).script() == "#!/bin/sh\nexec 2>&1\nexec 'echo' 'it'\\''s'\n"
