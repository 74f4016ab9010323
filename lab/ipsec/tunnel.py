"""One site-to-site IKEv2 connection, as VICI's load-conn and load-shared want it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.ipsec.authentication import Authentication
from lab.ipsec.dialling import Calls
from lab.ipsec.esp import EspBackend
from lab.ipsec.load import Load, ViciMessage

EVERYTHING = "0.0.0.0/0"
SOFT_SHARE = 0.9
"""Rekeying starts at this share of an SA's life, so that a new one stands before the old one ends."""
KIB = 1024


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A site-to-site connection, seen from one end.

    Attributes:
        name: of the connection; also of its one CHILD_SA.
        local, remote: addresses on the wire.
        local_id, remote_id: IKE identities; the peer must prove to have his.
        authentication: how both ends do.
        ike_proposals, esp_proposals: in strongSwan's words.
        backend: who encrypts.
        initiator: True: set up at once and again whenever it falls; False: wait for the peer.
        on_demand: it is called when somebody says so (`Charon.dial`), and by nobody else here.
        calls: how often, and in which intervals, the peer is called; None: charon's way, without end.
        dpd_delay_s: silence after which the peer is asked whether it lives.
        if_id: of the xfrm interface, with the kernel's ESP; 0: none.
        ike_life_s, child_life_s: lifetimes in seconds; 0: strongSwan's default.
        child_life_kb: lifetime in KiB of traffic; 0: unlimited.
        idle_s: an on-demand connection is closed after so many seconds without traffic; 0: never.
        local_ts, remote_ts: traffic selectors.
    """

    name: str
    local: str
    remote: str
    local_id: str
    remote_id: str
    authentication: Authentication
    ike_proposals: Sequence[str]
    esp_proposals: Sequence[str]
    backend: EspBackend
    initiator: bool = False
    on_demand: bool = False
    calls: Calls | None = None
    dpd_delay_s: int = 2
    if_id: int = 0
    ike_life_s: int = 0
    child_life_s: int = 0
    child_life_kb: int = 0
    idle_s: int = 0
    local_ts: Sequence[str] = (EVERYTHING,)
    remote_ts: Sequence[str] = (EVERYTHING,)

    @property
    def starts_itself(self) -> bool:
        """Whether charon calls without being told each time."""
        return self.initiator and not self.on_demand and self.calls is None

    def load(self) -> Load:
        """What charon must hold."""
        return self.authentication.load(self.name, self._connection(), (self.local_id, self.remote_id))

    def _connection(self) -> ViciMessage:
        """The message of load-conn.

        MOBIKE is off: addresses do not change, and libipsec cannot follow. Traffic selectors are 0.0.0.0/0 on
        both sides where nothing else is said: routes decide, as with a Windows S2S interface.
        """
        settings: ViciMessage = {
            "version": "2",
            "local_addrs": [self.local],
            "remote_addrs": [self.remote],
            "proposals": list(self.ike_proposals),
            "dpd_delay": f"{self.dpd_delay_s}s",
            "mobike": "no",
            "unique": "replace",
            "keyingtries": "0" if self.starts_itself else "1",
            "send_cert": "always",
            "encap": "yes" if self.backend is EspBackend.LIBIPSEC else "no",
            "local": self.authentication.local(self.local_id),
            "remote": self.authentication.remote(self.remote_id),
            "children": {self.name: self._child()},
        }
        settings |= _life("rekey_time", "over_time", self.ike_life_s, over=True)
        return settings

    def _child(self) -> ViciMessage:
        child: ViciMessage = {
            "local_ts": list(self.local_ts),
            "remote_ts": list(self.remote_ts),
            "mode": "tunnel",
            "esp_proposals": list(self.esp_proposals),
            "start_action": "start" if self.starts_itself else "none",
            "dpd_action": "restart" if self.starts_itself else "clear",
            "close_action": "start" if self.starts_itself else "none",
        }
        child |= _life("rekey_time", "life_time", self.child_life_s)
        child |= _life("rekey_bytes", "life_bytes", self.child_life_kb * KIB, unit="")
        if self.if_id:
            child["if_id_in"] = child["if_id_out"] = str(self.if_id)
        return child


def _life(soft: str, hard: str, value: int, *, over: bool = False, unit: str = "s") -> Mapping[str, str]:
    """Soft and hard limit; with `over`, the hard one is what may pass beyond the soft one."""
    if not value:
        return {}
    first = max(1, int(value * SOFT_SHARE))
    return {soft: f"{first}{unit}", hard: f"{value - first if over else value}{unit}"}
