"""`hnvlab check [LAB]`: run the assertions that stand in the lab's topology file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli import options, output
from lab.errors import ExitCode

if TYPE_CHECKING:
    import docker

    from lab.checks.probes import ExecResult


class NodesOf:
    """Runs the checks' commands in the nodes of a lab."""

    def __init__(self, client: docker.DockerClient, lab: str) -> None:
        self._client = client
        self._lab = lab

    def run(self, node: str, argv: Sequence[str], timeout_s: float) -> ExecResult:
        """Run a command in a node and wait for its end; see `lab.engine.access.run`."""
        from lab.checks.probes import ExecResult
        from lab.engine import access
        from lab.plan.marks import container_name

        done = access.run(self._client, container_name(self._lab, node), argv, timeout_s)
        return ExecResult(done.exit_code, done.stdout, done.stderr)


def check(
    name: options.LabArgument = None,
    as_json: options.Json = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0, help="Seconds within which each assertion must come true.")
    ] = 30,
) -> ExitCode:
    """Run the assertions that stand in the lab's topology file; 1 if one does not hold."""
    from lab.checks.runner import Pace, run_checks
    from lab.cli.labs import chosen, topology
    from lab.cli.progress import Silence
    from lab.engine.docker_engine import connect

    client = connect(Silence())
    lab = topology(chosen(client, name))
    results = []
    for result in run_checks(lab.checks, NodesOf(client, lab.name), Pace(within_s=timeout_s)):
        results.append(result)
        if as_json:
            continue
        output.text(f"{'pass' if result.passed else 'FAIL'}  {result.name}")
        if not result.passed:
            output.text(f"      expected: {result.expected}\n      seen: {result.seen}")
    failed = sum(not result.passed for result in results)
    if as_json:
        output.data({"lab": lab.name, "failed": failed, "checks": [result.to_json() for result in results]})
    else:
        output.note(f"{len(results) - failed} of {len(results)} checks pass")
    return ExitCode.FAILED if failed else ExitCode.OK
