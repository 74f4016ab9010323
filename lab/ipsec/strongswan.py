"""strongswan.conf for one charon that stands in one network namespace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.ipsec.esp import EspBackend

Section = Mapping[str, "str | Section"]

COMMON_PLUGINS = ("random", "nonce", "aesni", "openssl", "aes", "sha1", "sha2", "hmac", "kdf", "gcm")
"""Order decides which implementation serves: aesni and openssl before gcm give six times the throughput."""
NEVER_MARKED = "0x68766e6c"
"""libipsec 5.9.8 routes its selectors into the TUN whatever `install_routes` says, the peer's own address
included, which makes IKE and ESP run in a circle. Its routing table is bound to a mark that nobody sets."""
LINES = {"ike_name": "yes", "flush_line": "yes"}
CERTIFICATE_PLUGINS = ("mgf1", "pem", "pkcs1", "pkcs8", "x509", "constraints")
"""To authenticate by certificates. There is no "revocation": the lab's authority publishes no list."""
EAP_PLUGINS = ("eap-identity", "eap-mschapv2")
"""To authenticate users; MD4 and DES, which MSCHAPv2 wants, come from openssl's legacy provider."""
CALLER_PLUGINS = ("resolve",)
"""To take name servers from the gateway."""
LAST_PLUGINS = ("socket-default", "vici", "updown", "counters")


@dataclass(frozen=True, slots=True)
class Timers:
    """How fast a dead peer is noticed, and how soon one that has just come up.

    Many short waits instead of few long ones: the first request mostly finds a gateway still starting.

    Attributes:
        dpd_delay_s: silence after which the peer is asked whether it lives.
        retransmit_timeout_s: wait before the first repetition of a request.
        retransmit_tries: repetitions before the peer counts as dead; charon's own give 165 s, these 7.
        retransmit_base: factor from one wait to the next.
    """

    dpd_delay_s: int = 2
    retransmit_timeout_s: float = 0.4
    retransmit_tries: int = 10
    retransmit_base: float = 1.1

    @classmethod
    def for_outage(cls, outage_s: int) -> Timers:
        """What notices a silent peer within a time: a third of it passes before it is asked, six times.

        Parameters:
            outage_s: NetworkOutageTime of Add-VpnS2SInterface, in seconds, at least 3.
        """
        delay_s = max(1, outage_s // 3)
        return cls(delay_s, (outage_s - delay_s) / 6, 5, 1.0)


@dataclass(frozen=True, slots=True)
class CharonConfig:
    """What one charon is told by file; everything else goes through VICI.

    Attributes:
        vici_socket: where it listens for VICI.
        backend: who encrypts.
        log: file that lines of the groups ike and cfg are appended to, for the agent to read.
        interfaces: IKE is spoken on these only; empty: on all.
        half_open_s: a call that has not got through is forgotten after so long; 0: strongSwan's 30. Five of
            them block the address that they come from.
        plugins: more than a connection with pre-shared keys needs.
        virtual_ip_device: interface that gets the address which a gateway assigns; empty: none is asked for.
        name_servers: file that a gateway's name servers are written to; None: they are not taken.
    """

    vici_socket: Path
    log: Path
    backend: EspBackend
    interfaces: Sequence[str] = ()
    timers: Timers = field(default_factory=Timers)
    half_open_s: int = 0
    plugins: Sequence[str] = ()
    virtual_ip_device: str = ""
    name_servers: Path | None = None


def render(config: CharonConfig) -> str:
    """The file's text.

    Routes are never charon's (`install_routes`): its selectors are 0.0.0.0/0 and the routing table decides,
    as with a Windows S2S interface. Logs go to stderr with the connection's name, for the supervisor to keep.
    """
    kernel = (
        ("kernel-libipsec", "kernel-netlink")
        if config.backend is EspBackend.LIBIPSEC
        else ("kernel-netlink",)
    )
    plugins: dict[str, str | Section] = {"vici": {"socket": f"unix://{config.vici_socket}"}}
    if config.backend is EspBackend.LIBIPSEC:
        # 0.0.0.0/0 holds the peer's own address, which the plugin refuses otherwise.
        plugins["kernel-libipsec"] = {"allow_peer_ts": "yes"}
        plugins["kernel-netlink"] = {"fwmark": NEVER_MARKED}
    if config.name_servers:
        # resolvconf(8) would speak for the whole machine.
        plugins["resolve"] = {"file": str(config.name_servers), "resolvconf": {"path": "/nonexistent"}}
    options: dict[str, str | Section] = {
        "load_modular": "no",
        "load": " ".join((*COMMON_PLUGINS, *config.plugins, *kernel, *LAST_PLUGINS)),
        "install_routes": "no",
        "install_virtual_ip": "yes" if config.virtual_ip_device else "no",
        "retransmit_timeout": f"{config.timers.retransmit_timeout_s:g}",
        "retransmit_tries": str(config.timers.retransmit_tries),
        "retransmit_base": f"{config.timers.retransmit_base:g}",
        "plugins": plugins,
        "journal": {"default": "-1"},
        # Every dead-peer probe writes lines of the enc and net groups at level 1.
        "filelog": {
            "stderr": {"default": "1", "enc": "0", "net": "0", **LINES},
            "causes": {
                "path": str(config.log),
                "append": "yes",
                "default": "-1",
                "ike": "1",
                "cfg": "1",
                **LINES,
            },
        },
    }
    if config.half_open_s:
        options["half_open_timeout"] = str(config.half_open_s)
    if config.interfaces:
        options["interfaces_use"] = ", ".join(config.interfaces)
    if config.virtual_ip_device:
        options["install_virtual_ip_on"] = config.virtual_ip_device
    return "\n".join(_lines({"charon-systemd": options}, 0)) + "\n"


def _lines(section: Section, depth: int) -> list[str]:
    indent = "  " * depth
    lines: list[str] = []
    for name, value in section.items():
        if isinstance(value, str):
            lines.append(f"{indent}{name} = {value}")
        else:
            lines += [f"{indent}{name} {{", *_lines(value, depth + 1), f"{indent}}}"]
    return lines
