"""What decides an image's name, and what goes into its context."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from lab.engine import images
from lab.engine.context import archive, digest, files_below
from lab.engine.images import Sources, blueprints, references
from lab.engine.wheelhouse import Wheelhouse, requirements_of


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """A checkout in small."""
    contents = {
        "images/fabric/Dockerfile": "ARG BASE\nFROM ${BASE}\n",
        "images/fabric/start": "#!/bin/sh\n",
        "images/vm/Dockerfile": "ARG BASE\nFROM ${BASE}\n",
        "images/server/Dockerfile": "ARG BASE\nFROM ${BASE}\n",
        "lab/__init__.py": "",
        "lab/hvhost/agent.py": "pass\n",
        "lab/cli/main.py": "pass\n",
        "gwnode/agent.py": "pass\n",
        "constraints.txt": "vici==6.0.3\n",
    }
    for name, text in contents.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Sources(tmp_path)


def names(sources: Sources, architecture: str = "amd64") -> dict[str, str]:
    return {key: plan.reference for key, plan in blueprints(sources, architecture).items()}


def test_equal_inputs_have_equal_names(sources: Sources) -> None:
    before = names(sources)
    for path in sources.root.rglob("*"):
        os.utime(path, (1, 1))
    assert names(sources) == before


@pytest.mark.parametrize(
    ("changed", "renamed"),
    [
        ("images/fabric/start", {"fabric"}),
        ("lab/hvhost/agent.py", {"fabric"}),
        ("gwnode/agent.py", {"fabric"}),
        ("constraints.txt", {"fabric"}),
        ("images/vm/Dockerfile", {"vm", "server"}),
        ("images/server/Dockerfile", {"server"}),
        ("images/server/further", {"server"}),
        ("lab/cli/main.py", set()),
        ("lab/hvhost/__pycache__/agent.pyc", set()),
        ("lab/hvhost/agent.pyc", set()),
    ],
)
def test_an_input_renames_the_images_it_goes_into(sources: Sources, changed: str, renamed: set[str]) -> None:
    before = names(sources)
    path = sources.root / changed
    path.parent.mkdir(exist_ok=True)
    path.write_text("changed\n")
    after = names(sources)
    assert {key for key in after if after[key] != before[key]} == renamed


def test_a_program_that_became_executable_renames_its_image(sources: Sources) -> None:
    before = names(sources)
    (sources.root / "images/fabric/start").chmod(0o755)
    assert names(sources)["fabric"] != before["fabric"]


def test_architectures_have_images_of_their_own(sources: Sources) -> None:
    assert not set(names(sources, "amd64").values()) & set(names(sources, "arm64").values())


def test_parents_come_from_the_table(sources: Sources) -> None:
    plans = blueprints(sources, "amd64")
    assert plans["server"].parent == plans["vm"].reference
    assert plans["vm"].parent == plans["fabric"].parent == "hnvlab/base:bookworm"


def test_code_goes_into_the_fabric_image_only(sources: Sources) -> None:
    plans = blueprints(sources, "amd64")
    assert {file.name for file in plans["fabric"].files} == {
        "Dockerfile",
        "start",
        "src/lab/__init__.py",
        "src/lab/hvhost/agent.py",
        "src/gwnode/agent.py",
    }
    assert plans["fabric"].wheelhouse is not None
    assert [file.name for file in plans["vm"].files] == ["Dockerfile"]
    assert plans["vm"].wheelhouse is None


def test_a_topology_may_name_any_image(sources: Sources) -> None:
    plans = blueprints(sources, "amd64")
    assert references({"vm", "alpine:3"}, plans) == {"vm": plans["vm"].reference, "alpine:3": "alpine:3"}


def test_every_image_of_this_project_has_its_recipe() -> None:
    present = {
        path.parent.name for path in (Sources.of_this_installation().root / "images").glob("*/Dockerfile")
    }
    assert present == set(images.RECIPES)


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("alpine", ("alpine", "latest")),
        ("alpine:3", ("alpine", "3")),
        ("registry.example:5000/team/web", ("registry.example:5000/team/web", "latest")),
        ("registry.example:5000/team/web:2", ("registry.example:5000/team/web", "2")),
        ("alpine@sha256:00", ("alpine@sha256:00", None)),
    ],
)
def test_references_are_taken_apart_as_docker_does(reference: str, parts: tuple[str, str | None]) -> None:
    assert images._repository_and_tag(reference) == parts


def test_the_archive_is_the_same_for_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    (tmp_path / "b").chmod(0o700)
    files = list(files_below(tmp_path))
    first = archive(files)
    os.utime(tmp_path / "a", (1, 1))
    assert archive(files_below(tmp_path)) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        assert {item.name: item.mode for item in tar} == {"a": 0o644, "b": 0o755}


def test_a_hash_tells_a_file_from_its_neighbour(tmp_path: Path) -> None:
    """Moving a letter from one file to the next is a change."""
    (tmp_path / "a").write_text("xy")
    (tmp_path / "b").write_text("z")
    before = digest(files_below(tmp_path))
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("yz")
    assert digest(files_below(tmp_path)) != before


def test_wheels_are_named_by_what_was_asked_for() -> None:
    house = Wheelhouse(("vici>=5.9",), "vici==6.0.3\n", "amd64")
    assert house.key == Wheelhouse(("vici>=5.9",), "vici==6.0.3\n", "x86_64").key
    assert house.key != Wheelhouse(("vici>=5.9",), "vici==6.0.4\n", "amd64").key
    assert house.key != Wheelhouse(("vici>=6",), "vici==6.0.3\n", "amd64").key
    assert house.key != Wheelhouse(("vici>=5.9",), "vici==6.0.3\n", "arm64").key


def test_nodes_get_what_agents_need_and_no_development_tools() -> None:
    wanted = {text.split(">")[0] for text in requirements_of("hnvlab", ("node",))}
    assert {"vici", "exabgp", "fastapi", "grpcio", "pyroute2"} <= wanted
    assert not {"pytest", "ruff", "mypy"} & wanted
