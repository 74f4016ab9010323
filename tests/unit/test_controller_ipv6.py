"""IPv6 in virtual networks: a virtual subnet is of one IP version, the fabric is IPv4."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .controller_support import Datacenter, hybrid_cloud, interface

NETWORK = "/virtualNetworks/six"


def network(*prefixes: str, space: str = "2001:db8::/48") -> dict[str, Any]:
    subnets = [
        {"resourceId": f"s{n}", "properties": {"addressPrefix": prefix}} for n, prefix in enumerate(prefixes)
    ]
    return {"properties": {"addressSpace": {"addressPrefixes": [space, "10.0.0.0/8"]}, "subnets": subnets}}


def on(host: str, address: str | None, subnet: int = 0) -> dict[str, Any]:
    return interface(address, f"{NETWORK}/subnets/s{subnet}", server={"resourceRef": f"/servers/{host}"})


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Datacenter]:
    result = Datacenter(tmp_path, hybrid_cloud())
    result.put(NETWORK, network("2001:DB8:0:0::/64", "10.6.0.0/24", "2001:db8:0:1::/64"))
    yield result
    result.store.close()


def test_records_of_an_ipv6_subnet(lab: Datacenter) -> None:
    lab.put("/networkInterfaces/a", on("hv01", "2001:0DB8::0:A"))
    lab.put("/networkInterfaces/b", on("hv02", "2001:db8:0:1::b", 2))
    subnets = {s.prefix: s.router_address for s in lab.records("hv01", "virtual_subnet") if ":" in s.prefix}
    assert subnets == {"2001:db8::/64": "2001:db8::1", "2001:db8:0:1::/64": "2001:db8:0:1::1"}
    places = {r.customer_address for r in lab.records("hv01", "lookup_record") if ":" in r.customer_address}
    assert places == {"2001:db8::a", "2001:db8:0:1::b"}
    assert "2001:db8::a" in {port.customer_address for port in lab.records("hv01", "port")}


def test_dynamic_addresses_begin_behind_the_router(lab: Datacenter) -> None:
    lab.put("/networkInterfaces/a", on("hv01", None))
    lab.put("/networkInterfaces/b", on("hv01", None))
    given = [
        lab.properties(f"/networkInterfaces/{name}")["ipConfigurations"][0]["properties"]["privateIPAddress"]
        for name in "ab"
    ]
    assert given == ["2001:db8::2", "2001:db8::3"]


@pytest.mark.parametrize(
    ("prefix", "space", "says"),
    [
        ("2001:db8::/64", "2001:db9::/48", "outside of the address space"),
        ("2001:db8::/127", "2001:db8::/48", "no room"),
        ("2001:db8::1/64", "2001:db8::/48", "host bits"),
        ("fe80::/64", "fe80::/16", "no prefix of unicast addresses"),
        ("ff02::/64", "ff00::/8", "no prefix of unicast addresses"),
        ("::ffff:0:0/112", "::/0", "no prefix of unicast addresses"),
        ("::/64", "::/0", "no prefix of unicast addresses"),
    ],
)
def test_subnets_that_cannot_be(lab: Datacenter, prefix: str, space: str, says: str) -> None:
    assert says in lab.refusal("/virtualNetworks/bad", network(prefix, space=space))


def test_subnets_do_not_overlap(lab: Datacenter) -> None:
    body = network("2001:db8::/63", "10.6.0.0/24", "2001:db8:0:1::/64")
    assert "overlaps with" in lab.refusal("/virtualNetworks/bad", body)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("2001:db8::1", "the distributed router's"),
        ("2001:db8::", "subnet-router anycast"),
        ("2001:db8:0:2::5", "outside of 2001:db8::/64"),
        ("10.6.0.5", "outside of 2001:db8::/64"),
        ("fe80::1%eth0", "has no scope"),
    ],
)
def test_addresses_that_cannot_be(lab: Datacenter, address: str, says: str) -> None:
    assert says in lab.refusal("/networkInterfaces/x", on("hv01", address))


def test_a_gateways_compartment_is_ipv4(lab: Datacenter) -> None:
    pool = {"resourceRef": "/gatewayPools/default"}
    body = {
        "properties": {
            "gatewayPools": [pool],
            "gatewaySubnets": [{"resourceRef": f"{NETWORK}/subnets/s0"}],
        }
    }
    assert "compartment is IPv4" in lab.refusal("/virtualGateways/six", body)
    body["properties"]["gatewaySubnets"] = [{"resourceRef": f"{NETWORK}/subnets/s1"}]
    lab.put("/virtualGateways/six", body)
    place = next(c for c in lab.records("gw01", "compartment") if c.tenant == "six")
    assert list(place.vm_prefixes) == []
    changed = network("2001:db8::/64", "2001:db8:0:9::/64", "2001:db8:0:1::/64")
    assert "its compartment has an interface in an IPv4 subnet first" in lab.refusal(NETWORK, changed)


def test_external_router_mode_has_a_default_route_for_each_ip_version(lab: Datacenter) -> None:
    lab.put("/virtualNetworkManager/configuration", {"properties": {"useExternalRouter": True}})
    lab.put("/networkInterfaces/a", on("hv01", "2001:db8::a"))
    rdid = lab.properties(NETWORK)["routingDomainId"]

    def defaults() -> set[str]:
        routes = [r for r in lab.records("hv01", "customer_route") if r.rdid == rdid]
        return {r.prefix for r in routes if r.prefix.endswith("/0")}

    assert defaults() == {"::/0"}
    lab.put("/networkInterfaces/b", on("hv01", "10.6.0.5", 1))
    assert defaults() == {"::/0", "0.0.0.0/0"}
    assert not lab.records("hv01", "user_route"), "no subnet reaches one of the other IP version"
