"""Desired against observed: which steps, in which order, and when none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.model.lab import Lab, NodeKind
from lab.model.loader import load, parse_topology
from lab.model.resolve import resolve
from lab.plan import marks
from lab.plan.container import ContainerSpec, Materials, container_spec, files_of
from lab.plan.kinds import KINDS, properties_of
from lab.plan.observed import Observed, ObservedContainer, ObservedNetwork
from lab.plan.planner import BUSY_NAME, BusyNameError, plan
from lab.plan.steps import (
    CreateContainer,
    CreateNetwork,
    RemoveContainer,
    RemoveNetwork,
    StartContainer,
    Step,
    Wire,
    waves,
)

ROOT = Path(__file__).parents[2]
TEXT = (Path(__file__).parents[1] / "golden" / "topology_small.yml").read_text()
LAB = resolve(parse_topology(TEXT, "small.yml", Path("/nowhere")))
MATERIALS = Materials(images={"fabric": "sha256:f", "vm": "sha256:v"}, credentials="one")
NETWORK = ObservedNetwork(marks.network_name("small"), "small")


def specs(lab: Lab = LAB, materials: Materials = MATERIALS) -> dict[str, ContainerSpec]:
    return {node.name: container_spec(lab, node, materials) for node in lab.nodes.values()}


def standing(lab: Lab = LAB, materials: Materials = MATERIALS) -> Observed:
    """The machine when the lab is up."""
    containers = tuple(
        ObservedContainer(spec.name, lab.name, node, spec.spec_hash, running=True)
        for node, spec in specs(lab, materials).items()
    )
    return Observed(containers, (NETWORK,))


def applied(observed: Observed, steps: list[Step]) -> Observed:
    """The machine after the steps: what an engine that does as it is told leaves."""
    containers = {item.name: item for item in observed.containers}
    networks = {item.name: item for item in observed.networks}
    unwired = set(observed.unwired)
    for step in steps:
        match step:
            case RemoveContainer():
                del containers[step.name]
                unwired.discard(step.node)
            case CreateNetwork():
                assert step.name not in networks
                networks[step.name] = ObservedNetwork(step.name, step.lab)
            case RemoveNetwork():
                del networks[step.name]
            case CreateContainer():
                spec = step.spec
                assert spec.name not in containers
                assert spec.network is None or spec.network in networks
                made = ObservedContainer(spec.name, spec.labels[marks.LAB], spec.node, spec.spec_hash, False)
                containers[spec.name] = made
            case StartContainer():
                assert not containers[step.name].running
                containers[step.name] = replace(containers[step.name], running=True)
                unwired |= {end.node for link in LAB.links_of(step.node) for end in link.ends} | {step.node}
            case Wire():
                running = {item.node for item in containers.values() if item.running}
                assert step.nodes <= running
                unwired -= step.nodes
    return Observed(tuple(containers.values()), tuple(networks.values()), frozenset(unwired))


def test_a_bare_machine_gets_everything_in_order() -> None:
    steps = plan(LAB, Observed(), MATERIALS)
    fabric = [node.name for node in LAB.nodes.values() if KINDS[node.kind].fabric]
    machines = [name for name in LAB.nodes if name not in fabric]
    in_order: list[type[Step]] = [CreateNetwork]
    for wave in (fabric, machines):
        in_order += [CreateContainer] * len(wave) + [StartContainer] * len(wave) + [Wire]
    assert [type(step) for step in steps] == in_order
    first, rest = waves(steps)
    assert first[-1] == Wire(frozenset(fabric))
    assert rest[-1] == Wire(frozenset(LAB.nodes))


def test_one_wiring_alone_is_one_wave() -> None:
    steps = plan(LAB, replace(standing(), unwired=frozenset({"blue-pc"})), MATERIALS)
    assert waves(steps) == (steps, [])


def test_a_lab_that_stands_needs_no_steps() -> None:
    assert plan(LAB, standing(), MATERIALS) == []


def test_a_changed_container_is_replaced_and_its_neighbours_are_wired_again() -> None:
    changed = resolve(
        parse_topology(
            TEXT.replace(
                "subnet: web, address: 10.0.0.4,", "subnet: web, address: 10.0.0.4, dns: 10.9.9.9,", 1
            ),
            "small.yml",
            Path("/nowhere"),
        )
    )
    spec = specs(changed)["blue-web"]
    assert plan(changed, standing(), MATERIALS) == [
        RemoveContainer("small-blue-web", "blue-web"),
        CreateContainer(spec),
        StartContainer("small-blue-web", "blue-web"),
        Wire(frozenset({"blue-web", "hv01"})),
    ]


def test_a_stopped_container_is_started_and_wired_again() -> None:
    observed = standing()
    stopped = tuple(replace(item, running=item.node != "blue-sql") for item in observed.containers)
    assert plan(LAB, replace(observed, containers=stopped), MATERIALS) == [
        StartContainer("small-blue-sql", "blue-sql"),
        Wire(frozenset({"blue-sql", "blue-hq"})),
    ]


def test_a_node_that_left_the_file_is_removed() -> None:
    observed = standing()
    gone = ObservedContainer("small-old", "small", "old", "x", running=True)
    steps = plan(LAB, replace(observed, containers=(*observed.containers, gone)), MATERIALS)
    assert steps == [RemoveContainer("small-old", "old")]


def test_only_what_is_unwired_is_wired_with_its_neighbours() -> None:
    observed = replace(standing(), unwired=frozenset({"blue-pc", "somebody-else"}))
    assert plan(LAB, observed, MATERIALS) == [Wire(frozenset({"blue-pc", "blue-hq"}))]


@pytest.mark.parametrize(
    ("owner", "remedy"), [(None, "docker rm --force small-hv01"), ("other", "hnvlab down other")]
)
def test_a_busy_name_touches_nothing_and_says_what_to_do(owner: str | None, remedy: str) -> None:
    foreign = ObservedContainer("small-hv01", owner, "", "", running=True)
    with pytest.raises(BusyNameError) as caught:
        plan(LAB, Observed((foreign,)), MATERIALS)
    (problem,) = caught.value.problems
    assert problem.code == BUSY_NAME
    assert remedy in problem.hint


def test_a_busy_network_name_is_refused_too() -> None:
    with pytest.raises(BusyNameError) as caught:
        plan(LAB, Observed(networks=(ObservedNetwork(NETWORK.name, None),)), MATERIALS)
    assert "docker network rm" in caught.value.problems[0].hint


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_from_any_state_the_steps_lead_to_the_lab(data: st.DataObject) -> None:
    """Whatever subset stands, is stale or stopped: one plan converges, and a second has nothing to do."""
    containers = []
    for spec in specs().values():
        state = data.draw(st.sampled_from(["absent", "stale", "stopped", "right"]))
        if state != "absent":
            spec_hash = "stale" if state == "stale" else spec.spec_hash
            containers.append(ObservedContainer(spec.name, "small", spec.node, spec_hash, state == "right"))
    running = [item.node for item in containers if item.running]
    unwired = data.draw(st.frozensets(st.sampled_from(running)) if running else st.just(frozenset()))
    networks = (NETWORK,) if data.draw(st.booleans()) else ()
    observed = Observed(tuple(containers), networks, unwired)
    after = applied(observed, plan(LAB, observed, MATERIALS))
    assert plan(LAB, after, MATERIALS) == []


def test_a_specification_is_complete() -> None:
    spec = specs()["gw01"]
    assert (spec.name, spec.image, spec.network) == ("small-gw01", "sha256:f", None)
    assert spec.environment == {"HNVLAB_KIND": "gateway"}
    assert '"controller": "172.16.0.2"' in spec.texts["/etc/hnvlab/node.json"]
    assert spec.labels == {
        "hnvlab.lab": "small",
        "hnvlab.node": "gw01",
        "hnvlab.kind": "gateway",
        "hnvlab.spec": spec.spec_hash,
    }
    assert "/etc/hnvlab/site.json" in specs()["blue-hq"].texts
    assert specs()["nc"].network == "hnvlab-small"
    assert specs()["nc"].published_ports == (8443,)


def test_only_what_unpacks_policy_may_administer_the_system() -> None:
    mighty = {kind for kind, properties in KINDS.items() if "SYS_ADMIN" in properties.capabilities}
    assert mighty == {NodeKind.HOST, NodeKind.GATEWAY}
    assert set(KINDS) == set(NodeKind)
    lab = resolve(load(ROOT / "topologies" / "connections.yml"))
    also = {
        name
        for name, node in lab.nodes.items()
        if "SYS_ADMIN" in properties_of(node).capabilities and node.kind not in mighty
    }
    assert also == {"tor", "blue-mpls", "red-mpls"}, "tunnels and VLANs may need eBPF; no other edge does"


def test_what_edges_and_the_router_must_know_stands_in_their_containers() -> None:
    lab = resolve(load(ROOT / "topologies" / "connections.yml"))
    materials = Materials(digests=dict.fromkeys(files_of(lab), "d"))
    texts = {name: container_spec(lab, node, materials).texts for name, node in lab.nodes.items()}
    assert [name for name in texts if "/etc/hnvlab/edge.json" in texts[name]] == [
        "blue-mpls",
        "blue-dc",
        "red-mpls",
        "red-dc",
    ]
    assert [name for name in texts if "/etc/hnvlab/router.json" in texts[name]] == ["tor"]
    assert all("/etc/hnvlab/router.json" not in spec.texts for spec in specs().values())


def test_the_hash_follows_content_not_place(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("one")
    text = TEXT.replace("{address: 192.168.50.100}", "{address: 192.168.50.100, files: {/srv/page: page}}")
    lab = resolve(parse_topology(text, "small.yml", tmp_path))
    (source,) = files_of(lab)

    def hash_with(node: str, materials: Materials) -> str:
        return container_spec(lab, lab.nodes[node], materials).spec_hash

    one, two = Materials(digests={source: "1"}), Materials(digests={source: "2"})
    assert hash_with("blue-pc", one) != hash_with("blue-pc", two)
    assert hash_with("blue-sql", one) == hash_with("blue-sql", two)
    with pytest.raises(KeyError):
        hash_with("blue-pc", Materials())
    renewed = replace(one, credentials="renewed")
    assert hash_with("hv01", one) != hash_with("hv01", renewed)
    assert hash_with("blue-pc", one) == hash_with("blue-pc", renewed)
