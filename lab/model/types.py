"""The field types of a topology file: strict, with messages that say what was expected."""

from __future__ import annotations

import re
import uuid
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from lab.model.codes import Code

VSID_MIN, VSID_MAX = 4096, 16_777_214
"""0 to 0xFFF are reserved, 0xFFFFFF is the vendor's (RFC 7637 section 3.4); Microsoft's cmdlets agree."""
NVGRE_BYTES = 42
"""Outer IPv4, GRE with key, inner Ethernet (RFC 7637 section 3.2): 20 + 8 + 14."""
VXLAN_BYTES = 50
"""Outer IPv4, UDP, VXLAN, inner Ethernet (RFC 7348 section 5): 20 + 8 + 8 + 14."""
VM_MTU = 1500
LAST_PORT = 65_535
MIN_PRIORITY, MAX_PRIORITY = 100, 65_000
"""Of a rule of an access control list."""
LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_MAC = re.compile(r"([0-9a-f]{2})[-:]?" * 5 + r"([0-9a-f]{2})")
_OCTET = r"(25[0-5]|2[0-4]\d|1?\d?\d)"
_IPV4 = rf"{_OCTET}(\.{_OCTET}){{3}}"
IPV6_PATTERN = r"[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*"
"""Only what a schema can say of it; the types read the address itself."""

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network
IpInterface = IPv4Interface | IPv6Interface


class PortRange(NamedTuple):
    """TCP or UDP ports, both ends included."""

    first: int
    last: int


class Socket(NamedTuple):
    """Where a service is; `port` None: the one that it is asked for at."""

    address: IPv4Address
    port: int | None


def refusal(code: Code, message: str, expected: str, hint: str = "") -> PydanticCustomError:
    """A validation error that carries one of our codes."""
    shown = message.replace("{", "{{").replace("}", "}}")
    return PydanticCustomError(code.code, "{text}", {"text": shown, "expected": expected, "hint": hint})


def _name(value: Any) -> str:
    expected = "a DNS label: lower-case letters, digits and inner hyphens, at most 63 (RFC 1123 section 2.1)"
    if not isinstance(value, str):
        raise refusal(Code.NAME, f"{value!r} is no name", expected, "put it in quotes")
    if not re.fullmatch(LABEL, value):
        better = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:63]
        raise refusal(Code.NAME, f"`{value}` is no name", expected, f"write `{better}`" if better else "")
    return value


def _address(value: Any) -> IPv4Address:
    expected = "an IPv4 address such as 10.0.0.4"
    try:
        address = IPv4Address(_text(value, Code.ADDRESS, expected))
    except ValueError:
        hint = "leave the prefix length away" if "/" in str(value) else ""
        raise refusal(Code.ADDRESS, f"`{value}` is no IPv4 address", expected, hint) from None
    if not _is_unicast(address):
        raise refusal(Code.ADDRESS, f"{address} is no address of a host", expected)
    return address


def customer_address(value: Any) -> IpAddress:
    """Read an address that a tenant's machine can have.

    Raises:
        PydanticCustomError: it is none.
    """
    expected = "an IPv4 or IPv6 address such as 10.0.0.4 or fd00:1::4"
    try:
        address = ip_address(_text(value, Code.ADDRESS, expected))
    except ValueError:
        hint = "leave the prefix length away" if "/" in str(value) else ""
        raise refusal(Code.ADDRESS, f"`{value}` is no IP address", expected, hint) from None
    if not _is_unicast(address) or "%" in value:
        raise refusal(Code.ADDRESS, f"{address} is no address of a host", expected)
    return address


def _prefix(value: Any) -> IPv4Network:
    expected = "an IPv4 network such as 10.0.0.0/24, at most /30"
    text = _text(value, Code.PREFIX, expected)
    try:
        network = IPv4Network(text, strict=False)
    except ValueError:
        raise refusal(Code.PREFIX, f"`{value}` is no IPv4 network", expected) from None
    if "/" not in text or network.prefixlen > 30:
        raise refusal(Code.PREFIX, f"`{value}` has no room for a router and a host", expected)
    if IPv4Interface(text).ip != network.network_address:
        raise refusal(Code.PREFIX, f"`{value}` has host bits set", expected, f"write {network}")
    if not _is_unicast(network.network_address):
        raise refusal(Code.PREFIX, f"{network} holds no addresses of hosts", expected)
    return network


def customer_prefix(value: Any) -> IpNetwork:
    """Read a network that has room for a router and a machine.

    Raises:
        PydanticCustomError: it is none, or has not.
    """
    expected = "an IPv4 network of at most /30 or an IPv6 network of at most /126, such as 10.0.0.0/24"
    text = _text(value, Code.PREFIX, expected)
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise refusal(Code.PREFIX, f"`{value}` is no IP network", expected) from None
    if "/" not in text or network.num_addresses < 4:
        raise refusal(Code.PREFIX, f"`{value}` has no room for a router and a host", expected)
    if ip_interface(text).ip != network.network_address:
        raise refusal(Code.PREFIX, f"`{value}` has host bits set", expected, f"write {network}")
    if not _is_unicast(network.network_address):
        raise refusal(Code.PREFIX, f"{network} holds no addresses of hosts", expected)
    return network


def _route_prefix(value: Any) -> IpNetwork:
    expected = "an IPv4 or IPv6 prefix such as 192.168.50.0/24"
    try:
        return ip_network(_text(value, Code.PREFIX, expected))
    except ValueError:
        raise refusal(Code.PREFIX, f"`{value}` is no IP prefix", expected) from None


def _next_hop(value: Any) -> IpAddress | None:
    return None if value == "none" else customer_address(value)


def _port_range(value: Any) -> PortRange:
    expected = "a port, or two with a hyphen between them: 443, 8000-8099"
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", str(value))
    if isinstance(value, bool) or not isinstance(value, int | str) or not found:
        raise refusal(Code.VALUE, f"`{value}` is no port and no range of ports", expected)
    first, last = int(found[1]), int(found[2] or found[1])
    if not first <= last <= LAST_PORT:
        raise refusal(Code.VALUE, f"`{value}` is no range of ports", expected)
    return PortRange(first, last)


def _socket(value: Any) -> Socket:
    expected = "a customer address, and where it is another one the port: 10.0.0.4, 10.0.0.4:80"
    address, colon, port = _text(value, Code.ADDRESS, expected).partition(":")
    if colon and (not re.fullmatch(r"\d{1,5}", port) or not 1 <= int(port) <= LAST_PORT):
        raise refusal(Code.VALUE, f"`{value}` ends in no port", expected)
    return Socket(_address(address), int(port) if colon else None)


def _interface(value: Any) -> IPv4Interface:
    expected = "an IPv4 address with its prefix length, such as 198.51.100.2/30"
    text = _text(value, Code.ADDRESS, expected)
    try:
        interface = IPv4Interface(text)
    except ValueError:
        raise refusal(Code.ADDRESS, f"`{value}` is no address with a prefix length", expected) from None
    if "/" not in text or not _is_unicast(interface.ip):
        raise refusal(Code.ADDRESS, f"`{value}` is no address of a host with a prefix length", expected)
    return interface


def _mac(value: Any) -> str:
    expected = "a unicast MAC address such as 00-15-5D-0A-00-04"
    found = _MAC.fullmatch(_text(value, Code.MAC, expected).lower())
    if not found:
        raise refusal(Code.MAC, f"`{value}` is no MAC address", expected)
    mac = ":".join(found.groups())
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise refusal(Code.MAC, f"{mac} is no unicast MAC address", expected, "the first octet must be even")
    return mac


def _guid(value: Any) -> str:
    expected = "a GUID such as 5d0c4d4a-0b1e-4000-8000-0000000000b1"
    text = _text(value, Code.GUID, expected).strip("{}").lower()
    try:
        guid = uuid.UUID(text)
    except ValueError:
        raise refusal(Code.GUID, f"`{value}` is no GUID", expected) from None
    if str(guid) != text or guid.int == 0:
        raise refusal(Code.GUID, f"`{value}` is no GUID", expected)
    return text


def _asn(value: Any) -> int:
    expected = "a private AS number: 64512 to 65534, or 4200000000 to 4294967294 (RFC 6996 section 5)"
    if not isinstance(value, int) or isinstance(value, bool):
        raise refusal(Code.ASN, f"`{value}` is no AS number", expected)
    if not (64_512 <= value <= 65_534 or 4_200_000_000 <= value <= 4_294_967_294):
        raise refusal(Code.ASN, f"{value} is no private AS number", expected)
    return value


def _word(value: Any) -> str:
    """Texts of commands and environments: a number there is meant as its digits."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise refusal(Code.VALUE, f"{value!r} is no text", "a text", "put it in quotes")
    return str(value)


def _text(value: Any, code: Code, expected: str) -> str:
    if not isinstance(value, str):
        raise refusal(code, f"`{value}` is no text", expected)
    return value


def _is_unicast(address: IpAddress) -> bool:
    if address.is_multicast or address.is_loopback or address.is_link_local or address.is_unspecified:
        return False
    if isinstance(address, IPv6Address):
        # ::/96, and the mapped range, which the switch keeps IPv4 addresses in.
        return address.ipv4_mapped is None and int(address) >> 32 != 0
    return int(address) >> 28 != 0xF and int(address) >> 24 != 0


def string_schema(pattern: str, **extra: Any) -> WithJsonSchema:
    """What a schema says of a text."""
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", **extra})


def _nothing_is_empty(value: Any) -> Any:
    """`hv01:` with nothing behind it means a host without options."""
    return {} if value is None else value


def length_pattern(maximum: int) -> str:
    """A prefix length, as a regular expression."""
    return "(" + "|".join(str(n) for n in range(maximum, -1, -1)) + ")"


Name = Annotated[str, BeforeValidator(_name), string_schema(LABEL)]
Address = Annotated[IPv4Address, BeforeValidator(_address), string_schema(_IPV4)]
Prefix = Annotated[IPv4Network, BeforeValidator(_prefix), string_schema(rf"{_IPV4}/{length_pattern(30)}")]
CustomerAddress = Annotated[
    IpAddress, BeforeValidator(customer_address), string_schema(rf"({_IPV4}|{IPV6_PATTERN})")
]
CustomerPrefix = Annotated[
    IpNetwork,
    BeforeValidator(customer_prefix),
    string_schema(rf"({_IPV4}/{length_pattern(30)}|{IPV6_PATTERN}/{length_pattern(126)})"),
]
RoutePrefix = Annotated[
    IpNetwork,
    BeforeValidator(_route_prefix),
    string_schema(rf"({_IPV4}/{length_pattern(32)}|{IPV6_PATTERN}/{length_pattern(128)})"),
]
NextHop = Annotated[
    IpAddress | None, BeforeValidator(_next_hop), string_schema(rf"(none|{_IPV4}|{IPV6_PATTERN})")
]
Ports = Annotated[
    PortRange,
    BeforeValidator(_port_range),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": LAST_PORT},
                {"type": "string", "pattern": r"^\d{1,5}(-\d{1,5})?$"},
            ]
        }
    ),
]
Interface = Annotated[
    IPv4Interface, BeforeValidator(_interface), string_schema(rf"{_IPV4}/{length_pattern(32)}")
]
SocketAddress = Annotated[Socket, BeforeValidator(_socket), string_schema(rf"{_IPV4}(:\d{{1,5}})?")]
Mac = Annotated[str, BeforeValidator(_mac), string_schema(r"[0-9A-Fa-f]{2}([-:]?[0-9A-Fa-f]{2}){5}")]
Guid = Annotated[
    str, BeforeValidator(_guid), string_schema(r"\{?[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}?")
]
Asn = Annotated[
    int,
    BeforeValidator(_asn),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 64512, "maximum": 65534},
                {"type": "integer", "minimum": 4200000000, "maximum": 4294967294},
            ]
        }
    ),
]
Word = Annotated[str, BeforeValidator(_word), WithJsonSchema({"type": ["string", "number"]})]
Vsid = Annotated[int, Strict(), Field(ge=VSID_MIN, le=VSID_MAX)]
Kbps = Annotated[int, Strict(), Field(ge=1, le=4_294_967_295)]
Mbps = Annotated[int, Strict(), Field(ge=1, le=4_000_000)]
Pps = Annotated[int, Strict(), Field(ge=1, le=10_000_000)]
Priority = Annotated[int, Strict(), Field(ge=MIN_PRIORITY, le=MAX_PRIORITY)]
Port = Annotated[int, Strict(), Field(ge=1, le=LAST_PORT)]
Vlan = Annotated[int, Strict(), Field(ge=1, le=4094)]
GreKey = Annotated[int, Strict(), Field(ge=0, le=4_294_967_295)]
Metric = Annotated[int, Strict(), Field(ge=1, le=9999)]
LifetimeSeconds = Annotated[int, Strict(), Field(ge=10, le=4_294_967_295)]
LifetimeKilobytes = Annotated[int, Strict(), Field(ge=1024, le=4_294_967_295)]
Count = Annotated[int, Strict(), Field(ge=0, le=4_294_967_295)]


def empty_as_mapping(model: type[BaseModel]) -> BeforeValidator:
    """Lets a key with nothing behind it stand for a mapping that says nothing, in the schema too."""
    return BeforeValidator(_nothing_is_empty, json_schema_input_type=model | None)
