"""The policy of any datacenter: who gets what, said once more without the compiler's shortcuts, and that
changes add up to what compiling everything gives."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.controller.domains import (
    Compartment,
    Domain,
    Endpoint,
    Frame,
    Hop,
    NodeEnd,
    PortRules,
    ProviderInterface,
    Router,
    Subnet,
)
from lab.controller.models_policy import AccessControlList
from lab.controller.models_tenant import VirtualGateway
from lab.controller.observations import LearnedRoute
from lab.controller.policy import Change, Policy, compile_all
from lab.controller.shapes import Resource
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState

HOSTS = ("hv01", "hv02", "hv03")
NODES = (*HOSTS, "gw01")
PA = {node: f"192.168.6.{i}" for i, node in enumerate(NODES, 1)}
SECOND_PA = {node: f"192.168.6.{i}" for i, node in enumerate(HOSTS, 11)}
PARTNER = "192.168.6.200"
ENDS = {node: NodeEnd((ProviderInterface(address, 24, ""),)) for node, address in PA.items()}
GATEWAY = VirtualGateway.model_validate(
    {
        "gatewayPools": [{"resourceRef": "/gatewayPools/p"}],
        "gatewaySubnets": [{"resourceRef": "/virtualNetworks/blue/subnets/gateway"}],
    }
)


def acl(name: str, priority: int = 100) -> Resource[AccessControlList]:
    rule = {"protocol": "TCP", "action": "Deny", "type": "Inbound", "priority": priority}
    rules = [{"resourceId": "r", "properties": rule}]
    return Resource[AccessControlList].model_validate({"resourceId": name, "properties": {"aclRules": rules}})


@st.composite
def endpoint(draw: st.DrawFn, tenant: int, number: int, subnets: tuple[Subnet, ...]) -> Endpoint:
    place = draw(st.integers(0, len(subnets) - 1))
    node = draw(st.sampled_from((*HOSTS, "")))
    address = draw(st.sampled_from((PA[node], SECOND_PA[node]))) if node else PARTNER
    return Endpoint(
        interface_id=f"vm-{tenant}-{number}",
        node=node,
        vsid=subnets[place].vsid,
        address=f"10.0.{place}.{4 + number}",
        mac=f"00:15:5d:00:00:{number:02x}",
        provider_address=address,
        acls=tuple(draw(st.lists(st.sampled_from(("web", "app")), unique=True, max_size=2))) if node else (),
        rules=PortRules(forwarding=draw(st.booleans())),
    )


@st.composite
def domain(draw: st.DrawFn, tenant: int, external: bool) -> Domain:
    """One tenant of a random datacenter; the addresses of all tenants overlap."""
    count = draw(st.integers(1, 3))
    hops = draw(st.sampled_from(((), (Hop("0.0.0.0/0", "10.0.0.4", 5000 + 10 * tenant),))))
    subnets = tuple(Subnet(5000 + 10 * tenant + i, f"10.0.{i}.0/24", hops) for i in range(count))
    numbers = draw(st.sets(st.integers(0, 4), max_size=4))
    endpoints = [draw(endpoint(tenant, number, subnets)) for number in sorted(numbers)]
    place = None
    if draw(st.booleans()):
        last = subnets[-1]
        address = last.prefix.replace(".0/24", ".2")
        place = Compartment("gw01", f"t{tenant}", last.vsid, last.prefix, address, "203.0.113.10", GATEWAY)
    learned = draw(st.lists(st.integers(0, 3), unique=True, max_size=2)) if place else []
    frame = Frame(
        rdid=f"{tenant:08x}-0000-0000-0000-000000000000",
        subnets=subnets,
        compartment=place,
        router=Router("gw01", PA["gw01"]) if place or external else None,
        routes=tuple(LearnedRoute(f"192.168.{n}.0/24", 10) for n in learned),
        external=external,
    )
    return Domain(frame, {e.interface_id: e for e in endpoints})


@st.composite
def datacenter(draw: st.DrawFn) -> list[Domain]:
    external = draw(st.booleans())
    return [draw(domain(tenant, external)) for tenant in range(3) if draw(st.booleans())]


def carriers(d: Domain) -> set[str]:
    nodes = {e.node for e in d.endpoints.values() if e.node}
    if d.frame.compartment or (d.frame.external and nodes):
        nodes.add("gw01")
    return nodes


def known_vsids(d: Domain, node: str) -> set[int]:
    """The virtual subnets that a node is to know."""
    if d.frame.external and node != "gw01":
        return {e.vsid for e in d.endpoints.values() if e.node == node}
    return {s.vsid for s in d.frame.subnets} if node in carriers(d) else set()


def bodies(state: GoalState, kind: str) -> list[pb.Record]:
    return [item for item in state.values() if item.WhichOneof("body") == kind]


@given(datacenter())
def test_a_node_knows_the_virtual_subnets_that_it_needs_and_no_others(domains: list[Domain]) -> None:
    for node, state in compile_all(domains, ENDS, (acl("web"), acl("app"))).items():
        vsids = {vsid for d in domains for vsid in known_vsids(d, node)}
        assert {item.virtual_subnet.vsid for item in bodies(state, "virtual_subnet")} == vsids
        places = {
            (e.vsid, e.address, e.mac, e.provider_address)
            for d in domains
            for e in d.endpoints.values()
            if e.vsid in known_vsids(d, node)
        }
        found = {
            (r.vsid, r.customer_address, r.mac, r.provider_address)
            for r in (item.lookup_record for item in bodies(state, "lookup_record"))
        }
        compartments = {
            (d.frame.compartment.vsid, d.frame.compartment.address)
            for d in domains
            if d.frame.compartment and d.frame.compartment.vsid in known_vsids(d, node)
        }
        assert {record for record in found if record[:2] not in compartments} == places
        assert compartments <= {record[:2] for record in found}


@given(datacenter())
def test_a_node_takes_from_those_who_may_send_to_it(domains: list[Domain]) -> None:
    for node, state in compile_all(domains, ENDS, (acl("web"), acl("app"))).items():
        wanted = set()
        for d in domains:
            vsids, remote = known_vsids(d, node), d.frame.external and node != "gw01"
            addresses = {e.provider_address for e in d.endpoints.values() if e.vsid in vsids}
            appliances = {e.provider_address for e in d.endpoints.values() if e.rules.forwarding}
            if d.frame.compartment and d.frame.compartment.vsid in vsids:
                addresses.add(PA["gw01"])
            if remote and vsids:
                addresses.add(PA["gw01"])
            router = PA["gw01"] if d.frame.router else ""
            wanted |= {
                (
                    d.frame.rdid,
                    a,
                    a == router or a in appliances,
                    a in appliances or bool(remote and a == router),
                )
                for a in addresses
            }
        members = (item.provider_member for item in bodies(state, "provider_member"))
        assert {(m.rdid, m.provider_address, m.gateway, m.forwarder) for m in members} == wanted


@given(datacenter())
def test_a_node_has_its_own_ports_and_the_lists_that_they_name(domains: list[Domain]) -> None:
    for node, state in compile_all(domains, ENDS, (acl("web"), acl("app"))).items():
        mine = [e for d in domains for e in d.endpoints.values() if e.node == node]
        ports = {
            item.port.interface_id: item.port
            for item in bodies(state, "port")
            if not item.port.interface_id.startswith("compartment/")
        }
        assert {name: (p.provider_address, p.forwarding) for name, p in ports.items()} == {
            e.interface_id: (e.provider_address, e.rules.forwarding) for e in mine
        }
        lists = {item.access_control_list.id for item in bodies(state, "access_control_list")}
        assert lists == {name for e in mine for name in e.acls}


@given(datacenter())
def test_a_host_in_external_router_mode_leaves_routing_to_the_gateway(domains: list[Domain]) -> None:
    for node, state in compile_all(domains, ENDS, (acl("web"), acl("app"))).items():
        routes = [item.customer_route for item in bodies(state, "customer_route")]
        hops = [item.user_route for item in bodies(state, "user_route")]
        for d in domains:
            mine = {r.prefix: r.external_router for r in routes if r.rdid == d.frame.rdid}
            here = known_vsids(d, node)
            if not here:
                assert not mine
            elif d.frame.external and node != "gw01":
                on_link = {s.prefix: s.vsid for s in d.frame.subnets if s.vsid in here}
                assert mine == dict.fromkeys(on_link, "") | {"0.0.0.0/0": PA["gw01"]}
                across = {(r.vsid, r.prefix, r.external_router) for r in hops if r.vsid in here}
                assert across == {
                    (vsid, prefix, PA["gw01"])
                    for vsid in here
                    for prefix, other in on_link.items()
                    if other != vsid
                }
                assert not any(r.next_hop for r in hops if r.vsid in here)
            else:
                assert mine.keys() == {s.prefix for s in d.frame.subnets} | {r.prefix for r in d.frame.routes}
                assert not any(mine.values())
                assert all(any(r.vsid == s.vsid for r in hops) == bool(s.hops) for s in d.frame.subnets)


@settings(max_examples=100)
@given(st.lists(st.tuples(datacenter(), st.integers(100, 101)), min_size=1, max_size=5))
def test_changes_add_up_to_what_compiling_everything_gives(steps: list[tuple[list[Domain], int]]) -> None:
    policy = Policy()
    held: dict[str, GoalState] = {node: {} for node in NODES}
    known: dict[str, Domain] = {}
    for step, priority in steps:
        now = {d.frame.rdid: d for d in step}
        lists = {name: acl(name, priority) for name in ("web", "app")}
        frames: dict[str, Frame | None] = dict.fromkeys(known.keys() - now.keys())
        endpoints: dict[str, dict[str, Endpoint | None]] = {}
        for rdid, d in now.items():
            if rdid not in known or known[rdid].frame != d.frame:
                frames[rdid] = d.frame
            before = known[rdid].endpoints if rdid in known else {}
            endpoints[rdid] = dict.fromkeys(before) | dict(d.endpoints)
        changes = policy.update(Change(ENDS, frames, endpoints, lists))
        known = now
        for node, records in changes.items():
            assert records, "a node that nothing changed for is not named"
            for key, item in records.items():
                assert held[node].get(key) != item, "a record that did not change is not sent"
                held[node].pop(key, None)
                if item is not None:
                    held[node][key] = item
        expected = compile_all(step, ENDS, lists.values())
        assert held == expected
        assert {node: policy.goal_state(node) for node in NODES} == expected


def test_a_vm_that_moves_is_known_where_it_goes_first() -> None:
    subnet = Subnet(5001, "10.0.0.0/24")
    frame = Frame(rdid="00000000-0000-0000-0000-000000000001", subnets=(subnet,))

    def vm(name: str, node: str) -> Endpoint:
        return Endpoint(name, node, 5001, f"10.0.0.{ord(name)}", "00:15:5d:00:00:01", PA[node])

    policy = Policy()
    others = {"a": vm("a", "hv01"), "b": vm("b", "hv02"), "c": vm("c", "hv03"), "d": vm("d", "hv01")}
    policy.update(Change(ENDS, {frame.rdid: frame}, {frame.rdid: others}))
    changes = policy.update(Change(endpoints={frame.rdid: {"a": vm("a", "hv03")}}))
    assert list(changes) == ["hv03", "hv02", "hv01"]
    lookup = f"lookup/5001/10.0.0.{ord('a')}"
    for records in changes.values():
        moved = records[lookup]
        assert moved is not None
        assert moved.lookup_record.provider_address == PA["hv03"]
    assert changes["hv01"]["port/a"] is None
