"""Microsoft's words for IKE and ESP transforms, and what strongSwan calls them.

A pure table: the Network Controller may ask it before it accepts a connection, the gateway when it loads one.
Words: Add-VpnS2SInterface, parameters EncryptionMethod, IntegrityCheckMethod, DHGroup,
CipherTransformConstants, AuthenticationTransformConstants and PfsGroup (Windows Server 2016 RemoteAccess
module); GCMAES in main mode is newer (Set-VpnConnectionIPsecConfiguration).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lab.errors import LabError, Problem

DH_GROUPS: Mapping[str, str] = {
    "group1": "modp768",
    "group2": "modp1024",
    "group14": "modp2048",
    "group24": "modp2048s256",
    "ecp256": "ecp256",
    "ecp384": "ecp384",
}
PFS_GROUPS: Mapping[str, str] = {
    "pfs1": "modp768",
    "pfs2": "modp1024",
    "pfs2048": "modp2048",
    "pfs24": "modp2048s256",
    "ecp256": "ecp256",
    "ecp384": "ecp384",
}
PFS_OF_MAIN_MODE = "pfsmm"
"""The quick mode takes the main mode's group."""
CIPHERS: Mapping[str, str] = {"des3": "3des", "aes128": "aes128", "aes192": "aes192", "aes256": "aes256"}
AEAD_CIPHERS: Mapping[str, str] = {
    "gcmaes128": "aes128gcm16",
    "gcmaes192": "aes192gcm16",
    "gcmaes256": "aes256gcm16",
}
IKE_INTEGRITY: Mapping[str, str] = {"md5": "md5", "sha1": "sha1", "sha256": "sha256", "sha384": "sha384"}
ESP_AUTHENTICATION: Mapping[str, str] = {"md596": "md5", "sha196": "sha1", "sha256128": "sha256"}

QUICK_CIPHER = "quickMode.cipherTransformationConstant"
QUICK_AUTHENTICATION = "quickMode.authenticationTransformationConstant"

UNKNOWN_WORD = "HNV-VPN-001"
NOT_POSSIBLE = "HNV-VPN-002"


@dataclass(frozen=True, slots=True)
class Transforms:
    """The words of one connection, as Microsoft's API writes them; letter case does not matter.

    Attributes:
        encryption, integrity, dh_group: main mode (IKE SA).
        cipher, authentication, pfs: quick mode (CHILD SA); pfs may be empty or "None".
    """

    encryption: str
    integrity: str
    dh_group: str
    cipher: str
    authentication: str
    pfs: str


@dataclass(frozen=True, slots=True)
class Proposals:
    """The same in strongSwan's words: one IKE and one ESP proposal."""

    ike: str
    esp: str


OFFERED_IKE: tuple[str, ...] = (
    "aes128gcm16-aes256gcm16-prfsha256-prfsha384-ecp256-ecp384-modp2048-modp2048s256-modp1024",
    "aes128-aes192-aes256-3des-sha256-sha384-sha1-md5-ecp256-ecp384-modp2048-modp2048s256-modp1024",
)
"""What a site that may meet any hoster's policy offers for IKE."""
OFFERED_ESP: tuple[str, ...] = (
    "aes128gcm16-aes192gcm16-aes256gcm16-ecp256-ecp384-modp2048-modp2048s256-modp1024",
    "aes128gcm16-aes192gcm16-aes256gcm16",
    "aes128-aes192-aes256-3des-sha256-sha1-md5-ecp256-ecp384-modp2048-modp2048s256-modp1024",
    "aes128-aes192-aes256-3des-sha256-sha1-md5",
)
"""The same for ESP, with and without perfect forward secrecy: IKEv2 compares the groups at rekeying."""


def proposals(words: Transforms, place: str) -> Proposals:
    """Translate a connection's transforms.

    Parameters:
        words: what the connection's resource says.
        place: the resource's path or the record's key, given back with every problem.

    Raises:
        LabError: words that do not exist (HNV-VPN-001), or that strongSwan cannot do (HNV-VPN-002); the hint
            names the nearest choice. All problems at once.
    """
    found: list[Problem] = []
    ike = _ike(words, place, found)
    esp = _esp(words, place, found)
    if found:
        raise LabError(found)
    return Proposals(ike=ike, esp=esp)


def _ike(words: Transforms, place: str, found: list[Problem]) -> str:
    integrity = _word(words.integrity, IKE_INTEGRITY, "mainMode.integrityAlgorithm", place, found)
    group = _dh_group(words.dh_group, place, found)
    aead = AEAD_CIPHERS.get(words.encryption.lower())
    if aead:
        # An AEAD cipher brings its own integrity; the hash is left to derive keys with.
        return f"{aead}-prf{integrity}-{group}"
    encryption = _cipher(words.encryption, "mainMode.encryptionAlgorithm", place, found)
    return f"{encryption}-{integrity}-{group}"


def _esp(words: Transforms, place: str, found: list[Problem]) -> str:
    parts: list[str] = []
    cipher, authentication = words.cipher.lower(), words.authentication.lower()
    if aead := AEAD_CIPHERS.get(cipher):
        if authentication not in ("", "none", cipher):
            found.append(
                _refusal(
                    f"{words.cipher} authenticates by itself, {words.authentication} cannot be added to it",
                    QUICK_AUTHENTICATION,
                    place,
                    words.cipher,
                )
            )
        parts.append(aead)
    else:
        parts.append(_cipher(words.cipher, QUICK_CIPHER, place, found))
        parts.append(_esp_authentication(words.authentication, place, found))
    pfs = words.pfs.lower()
    if pfs == PFS_OF_MAIN_MODE:
        # A wrong main mode group has been reported already.
        parts.append(DH_GROUPS.get(words.dh_group.lower(), ""))
    elif pfs not in ("", "none"):
        parts.append(_word(words.pfs, PFS_GROUPS, "quickMode.perfectForwardSecrecy", place, found))
    return "-".join(parts)


def _cipher(word: str, name: str, place: str, found: list[Problem]) -> str:
    if word.lower() == "des":
        found.append(_refusal("strongSwan's libraries no longer have single DES", name, place, "DES3"))
        return ""
    if word.lower() == "none":
        found.append(_refusal("a tunnel without encryption is not offered", name, place, "GCMAES128"))
        return ""
    return _word(word, CIPHERS, name, place, found, also=AEAD_CIPHERS)


def _esp_authentication(word: str, place: str, found: list[Problem]) -> str:
    if word.lower() in ("", "none", *AEAD_CIPHERS):
        message = f"a cipher that does not authenticate by itself needs a hash, not {word or 'nothing'}"
        found.append(_refusal(message, QUICK_AUTHENTICATION, place, "SHA256128"))
        return ""
    return _word(word, ESP_AUTHENTICATION, QUICK_AUTHENTICATION, place, found)


def _dh_group(word: str, place: str, found: list[Problem]) -> str:
    name = "mainMode.diffieHellmanGroup"
    if word.lower() == "none":
        message = "IKEv2 cannot do without a Diffie-Hellman group"
        found.append(_refusal(message, name, place, "Group14"))
        return ""
    return _word(word, DH_GROUPS, name, place, found)


def _word(
    word: str,
    table: Mapping[str, str],
    name: str,
    place: str,
    found: list[Problem],
    also: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """strongSwan's word, or a problem; `also` are words that would be right but are looked up elsewhere."""
    known = table.get(word.lower())
    if known is None:
        choices = ", ".join(item.upper() for item in (*table, *also))
        message = f"{word!r} is no transform that {name} can name"
        found.append(Problem(code=UNKNOWN_WORD, message=message, place=place, expected=choices))
        return ""
    return known


def _refusal(message: str, name: str, place: str, nearest: str) -> Problem:
    return Problem(
        code=NOT_POSSIBLE, message=f"{name}: {message}", place=place, hint=f"the nearest choice is {nearest}"
    )
