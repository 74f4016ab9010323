"""docs/cli.md, made from the command itself; `python -m lab.cli.reference` writes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click

from lab.cli.main import build
from lab.errors import ExitCode

REFERENCE_PATH = Path(__file__).parents[2] / "docs" / "cli.md"

_CONVENTIONS = f"""\
Made by `python -m lab.cli.reference`; do not edit.

stdout is data, stderr is everything else: progress, hints, errors. With `--json` a verb prints one JSON
document, and where it fails `{{"errors": [{{"code", "message", "place", "expected", "hint"}}]}}`;
[errors.md](errors.md) lists the codes. On a terminal `up` and `down` redraw a table, elsewhere (or with `CI`
or `TERM=dumb`) they write lines; `NO_COLOR` takes the colours away.

| exit code | means |
|---|---|
| {ExitCode.OK:d} | done; for `check` and `status`: everything is as it should be |
| {ExitCode.FAILED:d} | a check or an operation failed |
| {ExitCode.USAGE:d} | wrong usage, or an invalid file; nothing was touched |
| {ExitCode.UNFIT:d} | this machine cannot run a lab |
| {ExitCode.TIMED_OUT:d} | a wait expired; what is missing is named |
| {ExitCode.INTERRUPTED:d} | interrupted |

`exec` ends with the command's own exit code.

## Examples

    hnvlab up topologies/hybrid-cloud.yml          # bring a lab up; again: repair it
    hnvlab check                                   # run the assertions of its file
    hnvlab exec blue-pc -- curl -s http://10.0.0.4/
    hnvlab exec -i blue-web -- bash                # a shell
    hnvlab exec -i blue-web -- sh -s <script.sh    # stdin
    hnvlab capture gw01:pa0 ip proto 47            # packets as text; all behind the place is tcpdump's filter
    hnvlab capture -w tunnel.pcap gw01:fe0         # or for Wireshark; `-w -` writes to stdout
    hnvlab bgp gw01 blue --routes best             # a tenant's BGP router: peers and routes
    hnvlab logs -f gw01                            # what a node's daemons write
    hnvlab exec --lab tour hv01 -- ip address      # where several labs are up
    hnvlab down

"""


def reference_text() -> str:
    """The reference as it stands in docs/cli.md: conventions, then a section for each verb."""
    command = typer.main.get_command(build())
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="hnvlab")
    title, introduction, rest = text.split("\n\n", 2)
    # The library cuts what it says of each verb to half a line.
    usage, first, sections = rest.partition("## ")
    usage = usage.partition("**Commands**")[0]
    return f"{title}\n\n{introduction}\n\n{_CONVENTIONS}{usage}{_verbs(command)}\n{first}{sections.strip()}\n"


def _verbs(command: Any) -> str:
    lines = [
        f"* [`{name}`](#hnvlab-{name}): {' '.join((verb.help or '').partition(chr(10) * 2)[0].split())}\n"
        for name, verb in command.commands.items()
    ]
    return "**Verbs**:\n\n" + "".join(lines)


def main() -> int:
    """Write docs/cli.md."""
    REFERENCE_PATH.write_text(reference_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
