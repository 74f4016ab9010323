"""A road warrior who does not keep to the rules: his own charon, asking for what he likes, and forged ESP."""

from __future__ import annotations

import re
import secrets
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.layers.inet import ICMP, IP
from vici import Session

from gwnode.netns import Namespace
from lab.ipsec.dial_in import Caller
from lab.ipsec.esp import EspBackend
from lab.ipsec.strongswan import CALLER_PLUGINS, CERTIFICATE_PLUGINS, EAP_PLUGINS, CharonConfig, render
from lab.testing.eventually import eventually

from .dial_in_world import PUBLIC, USERS, World

KEYS = """
charon-systemd {
  filelog {
    keys {
      path = %s
      default = -1
      flush_line = yes
      chd = 4
    }
  }
}
"""
NATT_PORT = 4500
FAR_AHEAD = 10_000
"""Sequence numbers beyond any that charon itself has used."""


@dataclass
class Rogue:
    """One such, in a namespace of the world's."""

    world: World
    namespace: str
    folder: Path

    def call(
        self, user: str, tenant: str = "blue", vips: tuple[str, ...] = ("0.0.0.0",), **child: Any
    ) -> None:
        """Call with a right password, and with what he likes in his connection and its CHILD_SA.

        Raises:
            CommandException: it did not come to stand.
        """
        caller = Caller(
            name="rogue",
            server=PUBLIC[tenant],
            server_id=f"vpn.{tenant}",
            authority=self.world.identities[f"vpn.{tenant}"].ca.decode(),
            backend=EspBackend.LIBIPSEC,
            user=user,
            password=USERS[tenant][user],
        )
        load = caller.load()
        settings: Any = load.connections["rogue"]
        settings |= {"vips": list(vips), "keyingtries": "1"}
        settings["children"]["rogue"] |= {"start_action": "none", "close_action": "none"} | child
        with self.session() as session:
            session.load_shared(load.secrets["rogue"])
            session.load_conn({"rogue": settings})
            list(session.initiate({"ike": "rogue", "child": "rogue", "timeout": "20000"}))

    def hang_up(self) -> None:
        """Close what stands."""
        with self.session() as session:
            list(session.terminate({"ike": "rogue", "timeout": "10000"}))

    def rekey(self) -> None:
        """Replace the CHILD_SA by a new one."""
        with self.session() as session:
            session.rekey({"child": "rogue"})

    def sas(self) -> list[Mapping[str, Any]]:
        """His IKE_SAs."""
        with self.session() as session:
            return [sa for entry in session.list_sas() for sa in entry.values()]

    def child(self) -> Mapping[str, Any]:
        """His one CHILD_SA."""
        (child,) = [child for sa in self.sas() for child in sa["child-sas"].values()]
        return dict(child)

    def forge(self, source: str, target: str, tenant: str = "blue", count: int = 3) -> None:
        """Send ping requests through the SA that no charon has looked at (RFC 4303, RFC 4106, RFC 3948)."""
        spi = bytes.fromhex(self.child()["spi-out"].decode())
        key, salt = self._outbound_key()
        cipher = AESGCM(key)
        packet = bytes(IP(src=source, dst=target) / ICMP())
        padding = bytes(range(1, 1 + -(len(packet) + 2) % 4))
        trailer = padding + bytes([len(padding), 4])

        def send() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as out:
                for _ in range(count):
                    self._sent += 1
                    header = spi + struct.pack("!I", FAR_AHEAD + self._sent)
                    vector = secrets.token_bytes(8)
                    esp = header + vector + cipher.encrypt(salt + vector, packet + trailer, header)
                    udp = struct.pack("!HHHH", NATT_PORT, NATT_PORT, 8 + len(esp), 0)
                    out.sendto(udp + esp, (PUBLIC[tenant], 0))

        Namespace(self.world.path(self.namespace)).run(send)

    _sent = 0

    def _outbound_key(self) -> tuple[bytes, bytes]:
        """Key and salt of the latest CHILD_SA, as charon writes them when it is asked to."""
        text = (self.folder / "keys").read_text()
        dump = text[text.rindex("encryption initiator key") :].splitlines()[1:3]
        found = [re.search(r"\d+: ((?:[0-9A-F]{2} )+) ", line) for line in dump]
        material = bytes.fromhex("".join(match[1] for match in found if match))
        assert len(material) == 20, dump
        return material[:16], material[16:]

    @contextmanager
    def session(self) -> Iterator[Session]:
        """VICI to his charon."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(self.folder / "vici"))
            yield Session(connection)


@contextmanager
def rogue(world: World, namespace: str) -> Iterator[Rogue]:
    """A rogue's charon, up."""
    folder = world.folder / f"rogue-{namespace}"
    folder.mkdir(exist_ok=True)
    config = CharonConfig(
        vici_socket=folder / "vici",
        log=folder / "causes",
        backend=EspBackend.LIBIPSEC,
        interfaces=("wan0",),
        plugins=(*CERTIFICATE_PLUGINS, *EAP_PLUGINS, *CALLER_PLUGINS),
        virtual_ip_device="ipsec0",
        name_servers=folder / "name-servers",
    )
    (folder / "strongswan.conf").write_text(render(config) + KEYS % (folder / "keys"))
    words = ("env", f"STRONGSWAN_CONF={folder}/strongswan.conf", "charon-systemd")
    process = world.start(f"rogue-{namespace}", namespace, *words)
    made = Rogue(world, namespace, folder)

    def answers() -> None:
        try:
            made.sas()
        except OSError as error:
            raise AssertionError(error) from error

    try:
        eventually(answers, 10)
        yield made
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
