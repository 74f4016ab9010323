"""What every resource of the northbound API has in common, and how leniently bodies are read.

Conventions: MS-NCNBI §2.2 and §3.1.5; the words of Microsoft's own clients (SDN Express, SdnDiagnostics).

- Field names are read in any letter case and answered in Microsoft's camel case.
- Numbers and truth values may come as strings ("vlanID": "7", "networkVirtualizationEnabled": "True").
- `null` means "not given", as PowerShell's ConvertTo-Json writes unset members.
- Read-only fields (provisioningState, configurationState, etag, instanceId, ...) and fields that are not
  documented are dropped without a word: clients PUT back what they got. A GET shows what was kept.
- Secrets are write-only. A PUT that does not carry one keeps the one that is stored, so that GET, change, PUT
  works.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

VSID_MIN = 4096
"""Virtual subnet ids below are reserved (RFC 7637 §3.3)."""
VSID_MAX = 16_777_214
"""2^24 - 2; 0xFFFFFF is the vendor's NVE-to-NVE channel (RFC 7637 §3.3)."""
MAX_MBPS = 4_294_967
"""What fits into the goal state's 32 bits of kbit/s."""
WITH_SECRETS = {"secrets": True}
"""Serialisation context that writes secrets out: for the store, never for an answer."""


@cache
def _spelling(shape: type[BaseModel]) -> dict[str, str]:
    aliases = (field.alias or name for name, field in shape.model_fields.items())
    return {alias.lower(): alias for alias in aliases}


def _alias(name: str) -> str:
    """Microsoft's spelling: camel case, with IP in capitals (privateIPAddress, but ipConfigurations)."""
    first, *rest = name.split("_")
    return first + "".join("IP" if part == "ip" else part.capitalize() for part in rest)


class Shape(BaseModel):
    """Base of every part of a body."""

    model_config = ConfigDict(alias_generator=_alias, populate_by_name=True, extra="ignore", frozen=True)

    write_only: ClassVar[frozenset[str]] = frozenset()
    """Fields that are stored but never answered."""
    inherited: ClassVar[frozenset[str]] = frozenset()
    """Fields that a PUT without them leaves as they are: secrets, and what the controller gave out."""

    def inherits(self, _old: Shape) -> frozenset[str]:
        """The fields that a PUT without them leaves as they are in what stood before."""
        return self.inherited

    @model_validator(mode="before")
    @classmethod
    def _any_letter_case(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        spelling = _spelling(cls)
        return {
            key if key in cls.model_fields else spelling.get(str(key).lower(), key): value
            for key, value in data.items()
            if value is not None
        }

    @model_serializer(mode="wrap")
    def _without_secrets(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
        data = handler(self)
        if self.write_only and not (info.context or {}).get("secrets"):
            for name in self.write_only:
                data.pop(type(self).model_fields[name].alias, None)
        return data


class Reference(Shape):
    """`{"resourceRef": "/type/id[/child/id]"}`: how one resource names another."""

    resource_ref: str


class Refers:
    """Marks a field whose references must lead to a resource of one of these collections."""

    def __init__(self, *collections: str) -> None:
        self.collections = frozenset(name.lower() for name in collections)


PropertiesT = TypeVar("PropertiesT", bound=Shape)


def _one_segment(resource_id: str) -> str:
    if resource_id in (".", ".."):
        raise ValueError("clients take '.' and '..' out of a path")
    if not resource_id.isprintable():
        raise ValueError("an id is of characters that can be seen")
    return resource_id


ResourceId = Annotated[
    str,
    Field(pattern=r"^[^/?#%\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]{1,200}$"),
    AfterValidator(_one_segment),
]
"""Whatever can be one segment of a path, and cannot disturb a terminal that shows a log."""


class Resource(Shape, Generic[PropertiesT]):
    """A resource: the client's id, the controller's GUID, and its properties."""

    resource_id: ResourceId
    instance_id: str = ""
    tags: dict[str, Any] | None = None
    resource_metadata: dict[str, Any] | None = None
    properties: PropertiesT


def _ipv4(text: object) -> str:
    return str(IPv4Address(str(text).strip()))


def _ipv6(text: object) -> str:
    address = IPv6Address(str(text).strip())
    if address.scope_id is not None:
        raise ValueError("an address of the compartment has no scope")
    return str(address)


def _prefix(text: object) -> str:
    return str(IPv4Network(str(text).strip()))


def _any_address(text: object) -> str:
    address = ip_address(str(text).strip())
    if "%" in str(address):
        raise ValueError("a customer address has no scope")
    return str(address)


def _any_prefix(text: object) -> str:
    return str(ip_network(str(text).strip()))


def _guid(text: object) -> str:
    return str(UUID(str(text).strip()))


def _mac(text: object) -> str:
    """`001DD8B71C00`, Microsoft's form, from any usual one."""
    digits = re.sub(r"[-:.]", "", str(text).strip()).upper()
    if not re.fullmatch(r"[0-9A-F]{12}", digits):
        raise ValueError("a MAC address has 12 hexadecimal digits")
    if int(digits[:2], 16) & 1:
        raise ValueError("this is a multicast MAC address")
    return digits


def empty_is_none(value: object) -> object:
    return None if value in ({}, "") or value == {"resourceRef": ""} else value


def as_number(text: str) -> int:
    """An autonomous system number from Microsoft's "high.low" form ("0.64512") or a plain number.

    Raises:
        ValueError: no number of 1 to 4294967295.
    """
    high, dot, low = text.strip().rpartition(".")
    if dot and not (0 <= int(high) < 1 << 16 and 0 <= int(low) < 1 << 16):
        raise ValueError("both halves of an AS number are 16 bits wide")
    number = (int(high) << 16 | int(low)) if dot else int(low)
    if not 0 < number < 1 << 32:
        raise ValueError("an AS number is 1 to 4294967295")
    return number


def _as_text(value: object) -> str:
    number = as_number(str(value))
    return f"{number >> 16}.{number & 0xFFFF}"


def _text_schema(**schema: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **schema})


Ipv4 = Annotated[str, BeforeValidator(_ipv4), _text_schema(format="ipv4")]
Ipv6 = Annotated[str, BeforeValidator(_ipv6), _text_schema(format="ipv6")]
Prefix = Annotated[str, BeforeValidator(_prefix), _text_schema(description="as 10.0.0.0/24")]
Address = Annotated[str, BeforeValidator(_any_address), _text_schema(description="IPv4 or IPv6 address")]
"""Of a customer: provider addresses are IPv4."""
AnyPrefix = Annotated[
    str, BeforeValidator(_any_prefix), _text_schema(description="as 10.0.0.0/24 or 2001:db8::/64")
]
Guid = Annotated[str, BeforeValidator(_guid), _text_schema(format="uuid")]
Mac = Annotated[str, BeforeValidator(_mac), _text_schema(description="as 001DD8B71C00, any separators")]
AsNumber = Annotated[str, BeforeValidator(_as_text), _text_schema(description="high.low, as 0.64512")]
PositiveUint32 = Annotated[int, Field(gt=0, le=0xFFFFFFFF)]
"""What a number of a goal state can hold (southbound.proto)."""
Vsid = Annotated[int, Field(ge=VSID_MIN, le=VSID_MAX)]
OptionalReference = Annotated[Reference | None, BeforeValidator(empty_is_none)]


def one_of(*words: str) -> Callable[[str], str]:
    """A validator that accepts these words in any letter case and answers them as written here."""
    spelling = {word.lower(): word for word in words}

    def canonical(text: str) -> str:
        try:
            return spelling[text.lower()]
        except KeyError:
            raise ValueError(f"one of {', '.join(words)}") from None

    return canonical


def word(*words: str) -> AfterValidator:
    """The same as an annotation."""
    return AfterValidator(one_of(*words))


def mac_text(mac: str) -> str:
    """`00:1d:d8:b7:1c:00` from `001DD8B71C00`: the southbound protocol's form."""
    return ":".join(mac[i : i + 2] for i in range(0, 12, 2)).lower()
