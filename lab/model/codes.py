"""The stable codes of everything that can be wrong with a topology file, and the finding that carries one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

Path = tuple[str | int, ...]
"""Where something stands in the document: keys and indexes from the top."""


class Code(Enum):
    """A code with what it means; never reused, documented in docs/topology.md."""

    FILE = "HNV-TOPO-001", "the file cannot be read"
    YAML = "HNV-TOPO-002", "the text is no YAML"
    EMPTY = "HNV-TOPO-003", "the file holds no mapping"
    DUPLICATE_KEY = "HNV-TOPO-004", "a name stands twice in one mapping"
    KEY = "HNV-TOPO-005", "a key is no text"
    ALIAS = "HNV-TOPO-006", "an alias contains itself"
    UNKNOWN_KEY = "HNV-TOPO-010", "a key that no lab has"
    MISSING_KEY = "HNV-TOPO-011", "a key that must be there is not"
    VALUE = "HNV-TOPO-012", "a value of the wrong type or out of its range"
    NAME = "HNV-TOPO-013", "a name that is no DNS label"
    ADDRESS = "HNV-TOPO-014", "an address that is no IPv4 host address"
    PREFIX = "HNV-TOPO-015", "a prefix that is no IPv4 network"
    MAC = "HNV-TOPO-016", "a MAC address that is none"
    GUID = "HNV-TOPO-017", "a routing domain that is no GUID"
    ASN = "HNV-TOPO-018", "an AS number that is not private"
    DUPLICATE_NODE = "HNV-TOPO-020", "two nodes share a name"
    LONG_NAME = "HNV-TOPO-021", "LAB-NODE is too long for a host name"
    MISSING_FILE = "HNV-TOPO-022", "a file named under `files:` does not exist"
    REFERENCE = "HNV-TOPO-023", "a reference to something that does not exist"
    FABRIC_OVERLAP = "HNV-TOPO-030", "networks of the fabric overlap"
    POOL = "HNV-TOPO-031", "the provider pool is not usable"
    POOL_SMALL = "HNV-TOPO-032", "the provider pool is too small"
    VIP = "HNV-TOPO-033", "the VIP is not usable"
    PREFIX_SMALL = "HNV-TOPO-034", "a network has too few addresses for its nodes"
    GATEWAY_COUNT = "HNV-TOPO-035", "the number of gateways does not fit"
    VSID = "HNV-TOPO-040", "a VSID is used twice in the datacenter"
    ROUTING_DOMAIN = "HNV-TOPO-041", "a routing domain is used twice"
    SUBNET_OVERLAP = "HNV-TOPO-042", "subnets of one VM network overlap"
    OUTSIDE = "HNV-TOPO-043", "an address is not in its network"
    RESERVED = "HNV-TOPO-044", "an address is reserved in its network"
    DUPLICATE_ADDRESS = "HNV-TOPO-045", "two machines of one network share an address"
    DUPLICATE_MAC = "HNV-TOPO-046", "two machines of one network share a MAC address"
    GATEWAY_SUBNET = "HNV-TOPO-047", "the gateway subnet holds a VM"
    SITE_TWICE = "HNV-TOPO-050", "two connections lead to one site"
    SITE_UNUSED = "HNV-TOPO-051", "no connection leads to a site"
    LAN_OVERLAP = "HNV-TOPO-052", "a site's network overlaps what the tenant must tell apart from it"
    WAN = "HNV-TOPO-053", "a site's public address is not usable"
    WAN_OVERLAP = "HNV-TOPO-054", "two public networks overlap"
    SAME_ASN = "HNV-TOPO-055", "tenant and site share one AS number"
    CHECK = "HNV-TOPO-060", "a check asserts nothing, or two things"
    DUPLICATE_CHECK = "HNV-TOPO-061", "two checks share a name"

    def __init__(self, code: str, meaning: str) -> None:
        self.code = code
        self.meaning = meaning


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
