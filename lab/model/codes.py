"""The stable codes of everything that can be wrong with a topology file, and the finding that carries one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

Path = tuple[str | int, ...]
"""Where something stands in the document: keys and indexes from the top."""


class Code(Enum):
    """A code, what it means, and what to do when a finding knows nothing better. Codes are never reused."""

    FILE = (
        "HNV-TOPO-001",
        "the file cannot be read",
        "check the path; topologies/ holds ready files",
    )
    YAML = (
        "HNV-TOPO-002",
        "the text is no YAML",
        "an editor with YAML support shows the place",
    )
    EMPTY = (
        "HNV-TOPO-003",
        "the file holds no mapping",
        "begin with a copy of topologies/hybrid-cloud.yml",
    )
    DUPLICATE_KEY = (
        "HNV-TOPO-004",
        "a name stands twice in one mapping",
        "rename or remove one of the two",
    )
    KEY = (
        "HNV-TOPO-005",
        "a key is no text",
        "put it in quotes",
    )
    ALIAS = (
        "HNV-TOPO-006",
        "an alias contains itself",
        "write the value out instead of the alias",
    )
    UNKNOWN_KEY = (
        "HNV-TOPO-010",
        "a key that no lab has",
        "remove it; docs/topology.md lists all keys",
    )
    MISSING_KEY = (
        "HNV-TOPO-011",
        "a key that must be there is not",
        "add it; docs/topology.md says what it means",
    )
    VALUE = (
        "HNV-TOPO-012",
        "a value of the wrong type or out of its range",
        "docs/topology.md lists what each key may hold",
    )
    NAME = (
        "HNV-TOPO-013",
        "a name that is no DNS label",
        "choose a name of letters, digits and hyphens",
    )
    ADDRESS = (
        "HNV-TOPO-014",
        "an address that no host can have",
        "write four numbers from 0 to 255 with dots, or, for customer addresses, an IPv6 address",
    )
    PREFIX = (
        "HNV-TOPO-015",
        "a prefix that is no network",
        "write the network's first address, a slash, and the length",
    )
    MAC = (
        "HNV-TOPO-016",
        "a MAC address that is none",
        "leave the key away: an address is derived",
    )
    GUID = (
        "HNV-TOPO-017",
        "a routing domain that is no GUID",
        "leave the key away: a routing domain is derived from the names",
    )
    ASN = (
        "HNV-TOPO-018",
        "an AS number that is not private",
        "take one of the private range, 64512 to 65534",
    )
    DUPLICATE_NODE = (
        "HNV-TOPO-020",
        "two nodes share a name",
        "rename one of them",
    )
    LONG_NAME = (
        "HNV-TOPO-021",
        "LAB-NODE is too long for a host name",
        "shorten the name of the lab or of the node",
    )
    MISSING_FILE = (
        "HNV-TOPO-022",
        "a file named under `files:` does not exist",
        "put the file there, or correct the path",
    )
    REFERENCE = (
        "HNV-TOPO-023",
        "a reference to something that does not exist",
        "correct the name, or add what it names",
    )
    INTERFACE = (
        "HNV-TOPO-024",
        "two interfaces of one node would have one name",
        "rename one of the two: Linux allows 15 characters, longer names are cut and end in a hash",
    )
    FABRIC_OVERLAP = (
        "HNV-TOPO-030",
        "networks of the fabric overlap",
        "give one of them another prefix",
    )
    POOL = (
        "HNV-TOPO-031",
        "the provider pool is not usable",
        "let the pool begin after the router's address and end before the network does",
    )
    POOL_SMALL = (
        "HNV-TOPO-032",
        "the provider pool is too small",
        "make the pool larger",
    )
    VIP = (
        "HNV-TOPO-033",
        "the VIP is not usable",
        "choose a free address of the front-end network",
    )
    PREFIX_SMALL = (
        "HNV-TOPO-034",
        "a network has too few addresses for its nodes",
        "make the network larger",
    )
    GATEWAY_COUNT = (
        "HNV-TOPO-035",
        "the number of gateways does not fit",
        "write one gateway under `gateways:`",
    )
    MTU = (
        "HNV-TOPO-036",
        "the provider network has no room for the encapsulation",
        "raise `mtu`, or choose the other encapsulation",
    )
    EXTERNAL_ROUTER = (
        "HNV-TOPO-037",
        "external router mode without a gateway that routes",
        "add `gateways: {gw01: {}}`, or write `router: distributed`",
    )
    TEAM = (
        "HNV-TOPO-038",
        "a team mode of a host that has one uplink",
        "write `uplinks: 2`, or remove `team`",
    )
    RESERVATION = (
        "HNV-TOPO-039",
        "bandwidth is reserved that is not there",
        "reserve less, or give the host more `uplink-mbps`",
    )
    VSID = (
        "HNV-TOPO-040",
        "a VSID is used twice in the datacenter",
        "give one of the subnets another VSID",
    )
    ROUTING_DOMAIN = (
        "HNV-TOPO-041",
        "a routing domain is used twice",
        "give one tenant another GUID, or none: one is derived",
    )
    SUBNET_OVERLAP = (
        "HNV-TOPO-042",
        "subnets of one VM network overlap",
        "give one of the subnets another prefix",
    )
    OUTSIDE = (
        "HNV-TOPO-043",
        "an address is not in its network",
        "choose an address of the network, or another network",
    )
    RESERVED = (
        "HNV-TOPO-044",
        "an address is reserved in its network",
        "choose an address between the second and the last but one",
    )
    DUPLICATE_ADDRESS = (
        "HNV-TOPO-045",
        "two machines of one network share an address",
        "give one of them another address",
    )
    DUPLICATE_MAC = (
        "HNV-TOPO-046",
        "two machines of one network share a MAC address",
        "leave the key away: an address is derived from the IP address",
    )
    GATEWAY_SUBNET = (
        "HNV-TOPO-047",
        "the gateway subnet holds a VM",
        "give the gateway a subnet of its own",
    )
    FAMILY = (
        "HNV-TOPO-048",
        "IPv4 and IPv6 where only one can be",
        "a subnet, and all that it names, is of one family",
    )
    PROVIDER_ADDRESS = (
        "HNV-TOPO-049",
        "the provider address of a partner appliance is not usable",
        "choose an address of the provider network that is not in the pool",
    )
    SITE_TWICE = (
        "HNV-TOPO-050",
        "two connections lead to one site",
        "add a site for the second connection",
    )
    SITE_UNUSED = (
        "HNV-TOPO-051",
        "no connection leads to a site",
        "add a connection to it, or remove the site",
    )
    LAN_OVERLAP = (
        "HNV-TOPO-052",
        "a site's network overlaps what the tenant must tell apart from it",
        "give the site another prefix",
    )
    WAN = (
        "HNV-TOPO-053",
        "a site's address towards the gateway is not usable",
        "take the second address of a /30",
    )
    WAN_OVERLAP = (
        "HNV-TOPO-054",
        "two public networks overlap",
        "give the site another public network",
    )
    SAME_ASN = (
        "HNV-TOPO-055",
        "tenant and site share one AS number",
        "give the site another AS number",
    )
    GRE_VIPS = (
        "HNV-TOPO-056",
        "the gateways have no usable addresses for GRE",
        "give the front-end network `gre-vips`, a part of its prefix such as 203.0.113.64/28",
    )
    PUBLIC_ADDRESS = (
        "HNV-TOPO-057",
        "an address of the front-end network is given away that is not free",
        "choose another address of the front-end network",
    )
    VLAN = (
        "HNV-TOPO-058",
        "a VLAN that two connections would share, or that its two ends do not fit",
        "give each L3 connection a VLAN of its own, and both ends addresses of one network there",
    )
    CONNECTION = (
        "HNV-TOPO-059",
        "a connection whose keys contradict each other",
        "docs/topology.md lists what each kind of connection may say",
    )
    CHECK = (
        "HNV-TOPO-060",
        "a check asserts nothing, or two things",
        "keep one assertion, and the node that it is tried from",
    )
    DUPLICATE_CHECK = (
        "HNV-TOPO-061",
        "two checks share a name",
        "rename one of them",
    )

    ACL_RULE = (
        "HNV-TOPO-070",
        "a rule of an access control list that cannot be meant",
        "docs/topology.md lists what a rule may say",
    )
    NEXT_HOP = (
        "HNV-TOPO-071",
        "a user-defined route leads to nobody that forwards",
        "name the address of a VM or appliance of the tenant with `forwarding: true`, or `none`",
    )
    CAPACITY = (
        "HNV-TOPO-081",
        "connections want more bandwidth than a gateway has",
        "give the gateway a larger `capacity-kbps`, or the connections less",
    )
    DIAL_IN = (
        "HNV-TOPO-080",
        "a remote access that nobody can use, or a road warrior that cannot call",
        "docs/topology.md lists what `dial-in` and `road-warriors` may say",
    )
    LINE = (
        "HNV-TOPO-082",
        "a line between two sites that cannot be, or a site that no route leads to",
        "a line joins two IPsec sites of one tenant; a site without `asn` wants `routes` of its connection",
    )
    IPV6 = (
        "HNV-TOPO-083",
        "IPv6 without all that it needs on its way",
        "give the tenant's gateway an IPv6 subnet, and what is outside a connection of type gre or l3",
    )

    def __init__(self, code: str, meaning: str, remedy: str) -> None:
        self.code = code
        self.meaning = meaning
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem whose place is still a path; the loader turns it into file and line."""

    code: Code
    path: Path
    message: str
    expected: str = ""
    hint: str = ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or all of them if none is near and they are few."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean `{near[0]}`?"
    if not names:
        return "there is none yet"
    shown = ", ".join(names[:10])
    return f"known: {shown}" + (", …" if len(names) > 10 else "")
