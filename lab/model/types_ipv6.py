"""Types of fields that are IPv6 beside a field of IPv4; those of either version are in `lab.model.types`."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Interface, IPv6Network, ip_interface
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from lab.model.codes import Code
from lab.model.types import (
    IPV6_PATTERN,
    IpAddress,
    IpNetwork,
    customer_address,
    customer_prefix,
    length_pattern,
    refusal,
    string_schema,
)


def _address(value: Any) -> IPv6Address:
    found = customer_address(value)
    if not isinstance(found, IPv6Address):
        raise _of_ipv4(found, "an IPv6 address such as fd00:1::4")
    return found


def _prefix(value: Any) -> IPv6Network:
    found = customer_prefix(value)
    if not isinstance(found, IPv6Network):
        raise _of_ipv4(found, "an IPv6 network such as fd00:1::/64")
    return found


def _interface(value: Any) -> IPv6Interface:
    expected = "an IPv6 address with its prefix length, such as fd00:1::4/64"
    address, slash, _ = value.partition("/") if isinstance(value, str) else ("", "", "")
    try:
        found = ip_interface(value if slash else "")
    except ValueError:
        message = f"`{value}` is no address with a prefix length"
        raise refusal(Code.ADDRESS, message, expected) from None
    if not isinstance(found, IPv6Interface):
        raise _of_ipv4(found.ip, expected)
    customer_address(address)
    return found


def _of_ipv4(found: IpAddress | IpNetwork, expected: str) -> PydanticCustomError:
    return refusal(Code.FAMILY, f"{found} is IPv4", expected, "the key without `ipv6-` is that of IPv4")


Ipv6Address = Annotated[IPv6Address, BeforeValidator(_address), string_schema(IPV6_PATTERN)]
Ipv6Prefix = Annotated[
    IPv6Network, BeforeValidator(_prefix), string_schema(f"{IPV6_PATTERN}/{length_pattern(126)}")
]
Ipv6WithLength = Annotated[
    IPv6Interface, BeforeValidator(_interface), string_schema(f"{IPV6_PATTERN}/{length_pattern(128)}")
]
