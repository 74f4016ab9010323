"""docs/cli.md is what the command itself says."""

from __future__ import annotations

import typer

from lab.cli.main import build
from lab.cli.reference import REFERENCE_PATH, reference_text


def test_the_reference_is_that_of_the_command() -> None:
    assert REFERENCE_PATH.read_text() == reference_text(), "make docs"


def test_every_verb_has_a_section() -> None:
    text = reference_text()
    for name in typer.main.get_group(build()).commands:
        assert f"\n## `hnvlab {name}`\n" in text
