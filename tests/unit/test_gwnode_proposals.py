"""Microsoft's transform words in strongSwan's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.errors import LabError
from lab.ipsec.proposals import NOT_POSSIBLE, UNKNOWN_WORD, Transforms, proposals

WORDS = Transforms("AES256", "SHA256", "Group14", "GCMAES128", "GCMAES128", "None")


@pytest.mark.parametrize(
    ("words", "ike", "esp"),
    [
        (WORDS, "aes256-sha256-modp2048", "aes128gcm16"),
        (replace(WORDS, cipher="gcmaes128", authentication=""), "aes256-sha256-modp2048", "aes128gcm16"),
        (replace(WORDS, encryption="GCMAES128"), "aes128gcm16-prfsha256-modp2048", "aes128gcm16"),
        # The transforms of every sample in MS-NCNBI and Microsoft's pages.
        (
            Transforms("AES256", "SHA256", "Group2", "DES3", "SHA256128", "PFS2048"),
            "aes256-sha256-modp1024",
            "3des-sha256-modp2048",
        ),
        (replace(WORDS, dh_group="ECP384", pfs="PFSMM"), "aes256-sha256-ecp384", "aes128gcm16-ecp384"),
        (
            replace(WORDS, dh_group="Group24", pfs="PFS24"),
            "aes256-sha256-modp2048s256",
            "aes128gcm16-modp2048s256",
        ),
        (
            replace(WORDS, cipher="AES192", authentication="SHA196", pfs="ECP256"),
            "aes256-sha256-modp2048",
            "aes192-sha1-ecp256",
        ),
    ],
)
def test_words_become_proposals(words: Transforms, ike: str, esp: str) -> None:
    result = proposals(words, "connection")
    assert (result.ike, result.esp) == (ike, esp)


@pytest.mark.parametrize(
    ("words", "code", "nearest"),
    [
        (replace(WORDS, encryption="DES"), NOT_POSSIBLE, "DES3"),
        (replace(WORDS, cipher="DES", authentication="MD596"), NOT_POSSIBLE, "DES3"),
        (replace(WORDS, dh_group="None"), NOT_POSSIBLE, "Group14"),
        (replace(WORDS, cipher="None", authentication="SHA196"), NOT_POSSIBLE, "GCMAES128"),
        (replace(WORDS, authentication="SHA256128"), NOT_POSSIBLE, "GCMAES128"),
        (replace(WORDS, cipher="AES128", authentication="None"), NOT_POSSIBLE, "SHA256128"),
        (replace(WORDS, cipher="AES128", authentication="GCMAES128"), NOT_POSSIBLE, "SHA256128"),
        (replace(WORDS, integrity="SHA512"), UNKNOWN_WORD, "SHA384"),
        (replace(WORDS, pfs="PFS3"), UNKNOWN_WORD, "PFS2048"),
    ],
)
def test_what_cannot_be_is_refused_with_the_nearest_choice(
    words: Transforms, code: str, nearest: str
) -> None:
    with pytest.raises(LabError) as caught:
        proposals(words, "compartment/1")
    (problem,) = caught.value.problems
    assert problem.code == code
    assert nearest in problem.hint + problem.expected
    assert problem.place == "compartment/1"


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(LabError) as caught:
        proposals(Transforms("DES", "SHA3", "Group5", "DES", "MD4", "PFSMM"), "x")
    assert len(caught.value.problems) == 5
