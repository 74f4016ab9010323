"""Point-to-site in a topology file: a tenant's remote access, and who calls it.

Keys follow Set-RemoteAccessRoutingDomain: IPAddressRange, DnsIPAddress, MaximumVpnConnections,
InterimAccountingPeriodSec.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from lab.model.spec import Flag, Spec
from lab.model.topology_connections import RatedSpec
from lab.model.types import Address, Count, Interface, Name, Prefix

UserName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._@-]{1,64}$")]
Password = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class DialInSpec(RatedSpec):
    """A tenant's remote access: IKEv2 with EAP-MSCHAPv2 or machine certificates, into its VM network."""

    public_address: Address = Field(
        description="What is called: a free address of the front-end network, the tenant's own."
    )
    pool: Prefix = Field(description="Callers' addresses; other tenants may have the same.")
    dns: tuple[Address, ...] = Field(default=(), description="Name servers that callers are told.")
    maximum: Count = Field(default=0, description="Callers at a time; 0: as many as the pool has addresses.")
    interim_accounting_s: Count = Field(
        default=300, description="Seconds between two accounting records of a caller who stays; 0: none."
    )
    users: dict[UserName, Password] = Field(default={}, description="Passwords by user name.")
    certificates: Flag = Field(
        default=False, description="true: who has a certificate of the tenant's authority may call, too."
    )


class RoadWarriorSpec(Spec):
    """A machine somewhere on the internet that calls a tenant's gateway and stays connected.

    It calls by `user` and `password`, or by `certificate`. One that the tenant does not know is refused, and
    that is no mistake in the file: a lab may want to show it.
    """

    tenant: Name = Field(description="Whose gateway it calls.")
    wan: Interface = Field(
        description="Public address with prefix length; the internet takes another one of that network."
    )
    user: UserName | None = Field(default=None, description="User name.")
    password: Password | None = Field(default=None, description="The user's password.")
    certificate: Name | None = Field(
        default=None, description="The tenant whose authority issued its certificate."
    )
