"""Remote access by IKEv2, seen from both ends, as VICI wants it: the gateway's server and who calls it. Pure.

Set-RemoteAccessRoutingDomain gives each routing domain its pool (IPAddressRange), its name servers
(DnsIPAddress) and its MaximumVpnConnections; users authenticate by EAP-MSCHAPv2 (RFC 2759, RFC 7296 §2.16),
machines by certificate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from lab.errors import LabError, Problem
from lab.ipsec.authentication import demanded, shown
from lab.ipsec.esp import EspBackend
from lab.ipsec.load import Load, ViciMessage
from lab.ipsec.tunnel import EVERYTHING

BAD_POOL = "HNV-VPN-010"
BAD_USERS = "HNV-VPN-011"
NO_CERTIFICATE = "HNV-VPN-012"

IKE_PROPOSALS: Sequence[str] = (
    "aes128gcm16-aes256gcm16-prfsha256-prfsha384-ecp256-ecp384-modp2048",
    "aes128-aes256-sha256-sha384-ecp256-ecp384-modp2048",
)
ESP_PROPOSALS: Sequence[str] = ("aes128gcm16-aes256gcm16", "aes128-aes256-sha256")
MACHINES = "-certificate"
"""Ends charon's name for the connection that certificates open; the product knows one connection only."""


@dataclass(frozen=True, slots=True)
class DialInServer:
    """A tenant's remote access.

    Attributes:
        name: of the connection.
        local: address on the wire, where charon stands; the front end may translate a public one to it.
        identity: what the gateway calls itself: a name in its certificate.
        certificate, key: the gateway's own, PEM.
        pool: callers get their addresses from here.
        subnets: what they are offered: the VM network.
        backend: who encrypts.
        users: passwords by user name; nobody calls with a password where there are none.
        authority: PEM; who has a certificate of it may call, too; empty: nobody.
        dns: name servers that callers are told.
        maximum: of callers at a time; 0: as many as the pool has addresses.
        interim_s: between two accounting records of a caller who stays; 0: none.
        dpd_delay_s: silence after which a caller is asked whether he lives.
        if_id: of the xfrm interface, with the kernel's ESP; 0: none.
    """

    name: str
    local: str
    identity: str
    certificate: str
    key: str = field(repr=False)
    pool: IPv4Network
    subnets: tuple[IPv4Network, ...]
    backend: EspBackend
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    authority: str = ""
    dns: tuple[IPv4Address, ...] = ()
    maximum: int = 0
    interim_s: int = 0
    dpd_delay_s: int = 2
    if_id: int = 0

    @property
    def starts_itself(self) -> bool:
        """A server waits."""
        return False

    @property
    def capacity(self) -> int:
        """Callers that can be connected at a time."""
        addresses = max(0, self.pool.num_addresses - 2)
        return min(self.maximum, addresses) if self.maximum else addresses

    @property
    def limited(self) -> bool:
        """Whether the maximum ends before the pool does."""
        return 0 < self.maximum < self.pool.num_addresses - 2

    @property
    def connections(self) -> tuple[str, ...]:
        """Names of charon's connections for it."""
        machines = (self.name + MACHINES,) if self.authority else ()
        return (*((self.name,) if self.users else ()), *machines)

    def load(self) -> Load:
        """What charon must hold. A changed list of users disturbs no caller who is still on it."""
        return Load(
            connections={name: self._connection(name) for name in self.connections},
            users={self._secret_id(user): self._secret(user) for user in self.users},
            pools={self.name: self._pool()},
            keys=(self.key,),
        )

    def _connection(self, name: str) -> ViciMessage:
        """A caller's selector is the one address that he was given ("dynamic"), whatever he asks for.

        The selector is all by which libipsec chooses an SA and all that it checks of a source, so this keeps
        callers apart. A user may call from several machines ("never"), as with RRAS: if the second call
        closed the first, both machines would call again and close each other's without end.
        """
        remote: ViciMessage = {"auth": "eap-mschapv2", "eap_id": "%any"}
        if name != self.name:
            remote = demanded(self.authority)
        return {
            "version": "2",
            "local_addrs": [self.local],
            "proposals": list(IKE_PROPOSALS),
            "pools": [self.name],
            "dpd_delay": f"{self.dpd_delay_s}s",
            "mobike": "no",
            "unique": "never",
            "send_cert": "always",
            "encap": "yes" if self.backend is EspBackend.LIBIPSEC else "no",
            "local": shown(self.certificate, self.identity),
            "remote": remote,
            "children": {
                name: _child(self.if_id)
                | {"local_ts": [str(item) for item in self.subnets], "remote_ts": ["dynamic"]}
            },
        }

    def _pool(self) -> ViciMessage:
        """As many addresses as callers are wanted: the pool itself is the limit."""
        first, last = self.pool[1], self.pool[self.capacity]
        pool: ViciMessage = {"addrs": f"{first}-{last}"}
        if self.dns:
            pool["dns"] = [str(server) for server in self.dns]
        return pool

    def _secret_id(self, user: str) -> str:
        return f"{self.name}/{user}"

    def _secret(self, user: str) -> ViciMessage:
        return {"id": self._secret_id(user), "type": "EAP", "data": self.users[user], "owners": [user]}


@dataclass(frozen=True, slots=True)
class Caller:
    """A road warrior's connection to his gateway: with user name and password, or with a certificate.

    Attributes:
        name: of the connection; also of its one CHILD_SA.
        server: the gateway's public address.
        server_id: name that its certificate must have.
        authority: whom we trust to say so, PEM.
        backend: who encrypts.
        user, password: empty: by certificate.
        certificate, key: our own, PEM; empty: by password.
        dpd_delay_s: silence after which the gateway is asked whether it lives.
        if_id: of the xfrm interface, with the kernel's ESP; 0: none.
    """

    name: str
    server: str
    server_id: str
    authority: str
    backend: EspBackend
    user: str = ""
    password: str = field(default="", repr=False)
    certificate: str = ""
    key: str = field(default="", repr=False)
    dpd_delay_s: int = 2
    if_id: int = 0

    @property
    def starts_itself(self) -> bool:
        """He calls."""
        return True

    def load(self) -> Load:
        """What charon must hold. He asks for everything; the gateway's answer says what it offers."""
        local: ViciMessage = {"auth": "eap-mschapv2", "id": self.user, "eap_id": self.user}
        secrets: dict[str, ViciMessage] = {
            self.name: {"id": self.name, "type": "EAP", "data": self.password, "owners": [self.user]}
        }
        if self.certificate:
            local, secrets = shown(self.certificate), {}
        settings: ViciMessage = {
            "version": "2",
            "remote_addrs": [self.server],
            "proposals": list(IKE_PROPOSALS),
            "vips": ["0.0.0.0"],
            "dpd_delay": f"{self.dpd_delay_s}s",
            "mobike": "no",
            "unique": "replace",
            "keyingtries": "0",
            "send_cert": "always",
            "encap": "yes" if self.backend is EspBackend.LIBIPSEC else "no",
            "local": local,
            "remote": demanded(self.authority, self.server_id),
            "children": {
                self.name: _child(self.if_id)
                | {
                    "local_ts": ["dynamic"],
                    "remote_ts": [EVERYTHING],
                    "dpd_action": "restart",
                    "close_action": "start",
                    "start_action": "start",
                }
            },
        }
        return Load(connections={self.name: settings}, secrets=secrets, keys=(self.key,) if self.key else ())


def checked(server: DialInServer, users: Sequence[str], place: str) -> DialInServer:
    """The server, if it can be one.

    Parameters:
        users: the names as they were given, of which some may be there twice.
        place: the record's key or the resource's path, given back with every problem.

    Raises:
        LabError: a pool without room or in the way of the VM network (HNV-VPN-010), users that cannot be told
            apart (HNV-VPN-011), no certificate or nobody who might call (HNV-VPN-012). All problems at once.
    """
    found: list[Problem] = []
    if server.capacity < 1:
        message = f"the address pool {server.pool} has no address for a caller"
        found.append(Problem(BAD_POOL, message, place=place, expected="a prefix of /30 or shorter"))
    for subnet in server.subnets:
        if server.pool.overlaps(subnet):
            message = f"the address pool {server.pool} overlaps {subnet} of the VM network"
            found.append(
                Problem(BAD_POOL, message, place=place, hint="take a prefix that is used nowhere else")
            )
    for user, count in Counter(users).items():
        if not user or count > 1:
            message = f"the user {user!r} is there {count} times" if user else "a user has no name"
            found.append(Problem(BAD_USERS, message, place=place, hint="each user needs a name of his own"))
    if not (server.certificate and server.key and server.identity):
        message = (
            "the gateway needs a certificate, its key and the name in it: IKEv2 callers accept no password"
        )
        found.append(Problem(NO_CERTIFICATE, message, place=place))
    if not server.connections:
        message = "nobody can call: there are neither users nor an authority"
        found.append(Problem(NO_CERTIFICATE, message, place=place, hint="give a user, or a caCertificate"))
    if found:
        raise LabError(found)
    return server


def _child(if_id: int) -> ViciMessage:
    child: ViciMessage = {
        "mode": "tunnel",
        "esp_proposals": list(ESP_PROPOSALS),
        "start_action": "none",
        "dpd_action": "clear",
        "close_action": "none",
    }
    if if_id:
        child["if_id_in"] = child["if_id_out"] = str(if_id)
    return child
