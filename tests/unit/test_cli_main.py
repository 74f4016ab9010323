"""The command's edge: exit codes, where words go, and what it costs to ask for help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import requests
import typer
from typer.testing import CliRunner

from lab.cli import output
from lab.cli.down import down
from lab.cli.main import build, guarded
from lab.engine import docker_engine, observe
from lab.engine import down as engine_down
from lab.engine.state import LabRecord, LabState
from lab.errors import ExitCode, LabError, Problem, UnfitEnvironmentError, UsageError, WaitTimeoutError

ROOT = Path(__file__).parents[2]
TOPOLOGY = ROOT / "topologies" / "hybrid-cloud.yml"
PROBLEM = Problem("HNV-X-001", "it cannot be", "trial.yml:3", "something else", "write it otherwise")


def hnvlab(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def ends_with(failure: BaseException, *arguments: str) -> tuple[int, str, str]:
    """What a verb that fails so ends with, and what it wrote to stdout and stderr."""
    app = typer.Typer(pretty_exceptions_enable=False)

    def verb(as_json: bool = typer.Option(False, "--json")) -> None:
        raise failure

    app.command()(guarded(verb))
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (LabError(PROBLEM), 1),
        (UsageError(PROBLEM), 2),
        (UnfitEnvironmentError(PROBLEM), 4),
        (WaitTimeoutError(PROBLEM), 5),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(failure: BaseException, code: int) -> None:
    assert ends_with(failure)[0] == code


def test_a_failure_is_told_on_stderr_with_place_expectation_and_hint() -> None:
    _, stdout, stderr = ends_with(LabError([PROBLEM, PROBLEM]))
    assert stdout == ""
    assert stderr.count("error: trial.yml:3: it cannot be [HNV-X-001]") == 2
    assert "expected: something else" in stderr
    assert "hint: write it otherwise" in stderr


def test_a_failure_is_data_for_who_asked_for_json() -> None:
    code, stdout, stderr = ends_with(LabError(PROBLEM), "--json")
    assert code == 1
    assert json.loads(stdout) == {"errors": [PROBLEM.to_json()]}
    assert stderr == ""


def test_what_the_machine_refuses_is_told_without_a_traceback() -> None:
    code, _, stderr = ends_with(PermissionError(13, "Permission denied", "/var/lib/x"))
    assert code == 1
    assert stderr.startswith("error: /var/lib/x: Permission denied [HNV-CLI-008]")
    code, stdout, _ = ends_with(requests.ConnectionError("the engine has gone"), "--json")
    assert code == 1
    assert json.loads(stdout)["errors"][0]["message"] == "the engine has gone"


@pytest.mark.parametrize(
    ("arguments", "helps"),
    [
        (("exec", "hv01", "--lab", "trial", "--", "true"), "options stand before the node"),
        (("exec", "hv01", "--"), "COMMAND"),
        (("capture", "hv01:pa0", "--json"), "--write FILE"),
        (("logs", "hv01", "--json", "--follow"), "one of them"),
        (("capture", "hv01"), "hv01:pa0"),
        (("trace", "blue-web", "blue-app", "--proto", "tcp"), "tcp needs a port"),
        (("trace", "blue-web", "blue-app", "--port", "80"), "an echo request has no port"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(arguments: tuple[str, ...], helps: str) -> None:
    done = hnvlab(*arguments, DOCKER_HOST="unix:///nowhere")
    assert done.returncode == 2, done
    assert helps in done.stdout + done.stderr


def test_the_version_is_data() -> None:
    done = hnvlab("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{metadata.version('hnvlab')}\n", "")


def test_down_without_a_name_leaves_the_lab_of_another_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(docker_engine, "connect", lambda _events: None)
    monkeypatch.setattr(observe, "labs", lambda _client: ("theirs",))
    removed: list[str] = []

    def remove(_client: object, lab: str, *_rest: object) -> int:
        removed.append(lab)
        return 1

    monkeypatch.setattr(engine_down, "down", remove)
    with pytest.raises(UsageError) as caught:
        down(None)
    assert "hnvlab down theirs" in caught.value.problems[0].hint
    down("theirs")
    LabState.of("theirs").save(LabRecord(TOPOLOGY))
    down(None)
    assert removed == ["theirs", "theirs"]


def test_every_verb_speaks_json() -> None:
    commands = typer.main.get_group(build()).commands
    assert set(commands) == {
        *("up", "down", "status", "exec", "logs", "capture", "trace", "show", "bgp", "migrate"),
        *("validate", "check", "doctor", "gc", "engine-stop"),
    }
    for name, command in commands.items():
        assert any("--json" in parameter.opts for parameter in command.params), name


def test_asking_for_help_loads_none_of_the_heavy_libraries() -> None:
    heavy = ("docker", "grpc", "scapy", "pydantic", "pyroute2", "requests", "cryptography")
    code = f"import sys, lab.cli.main; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_validate_counts_what_a_good_file_describes() -> None:
    done = hnvlab("validate", str(TOPOLOGY), "--json")
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert (answer["lab"], answer["errors"]) == ("hybrid-cloud", [])
    assert {"nc", "hv01", "blue-web", "red-sql"} <= set(answer["nodes"])


def test_validate_says_everything_that_is_wrong(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_text(TOPOLOGY.read_text().replace("vsid: 5001", "vsid: 12").replace("vsid: 6002", "vsid: 13"))
    done = hnvlab("validate", str(bad))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("error: ") >= 2
    errors = json.loads(hnvlab("validate", str(bad), "--json").stdout)["errors"]
    assert len(errors) == done.stderr.count("error: ")
    assert all(error["place"].startswith(str(bad)) for error in errors)


def test_an_invalid_file_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    """Not even an engine is looked for."""
    done = hnvlab("up", str(tmp_path / "missing.yml"), DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 2
    assert "missing.yml" in done.stderr


def test_a_missing_engine_ends_with_4_and_a_hint(tmp_path: Path) -> None:
    done = hnvlab(
        "up", str(TOPOLOGY), DOCKER_HOST=f"unix://{tmp_path}/none.sock", XDG_STATE_HOME=str(tmp_path)
    )
    assert done.returncode == ExitCode.UNFIT
    assert "no Docker engine answers" in done.stderr
    assert "hint: " in done.stderr


def test_an_unknown_verb_is_wrong_usage() -> None:
    done = hnvlab("stauts")
    assert done.returncode == 2
    assert "status" in done.stderr


def test_an_engine_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    done = hnvlab("engine-stop", "--json", XDG_STATE_HOME=str(tmp_path))
    assert (done.returncode, json.loads(done.stdout)) == (0, {"stopped": False})


def test_a_table_is_padded_and_has_no_trailing_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("NODE", "STATE", ""), [("hv01", "running", ""), ("blue-web", "exited", "x")])
    assert capsys.readouterr().out == "NODE      STATE\nhv01      running\nblue-web  exited   x\n"
