"""The console script `hnvlab`: its verbs, and the one place where errors become words and exit codes.

Verbs import what they work with when they run: `hnvlab --help` must not wait for the libraries of Docker or
gRPC.
"""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable
from errno import EACCES
from types import FrameType
from typing import Annotated, ParamSpec

import typer

from lab.cli import output
from lab.cli.bgp import bgp
from lab.cli.capture import capture
from lab.cli.check import check
from lab.cli.doctor import doctor
from lab.cli.down import down
from lab.cli.engine_stop import engine_stop
from lab.cli.exec import exec_
from lab.cli.gc import gc
from lab.cli.logs import logs
from lab.cli.migrate import migrate
from lab.cli.show import show
from lab.cli.status import status
from lab.cli.trace import trace
from lab.cli.up import up
from lab.cli.validate import validate
from lab.errors import ExitCode, LabError, Problem

P = ParamSpec("P")
Verb = Callable[P, int | None]
"""Does its work, and returns what to end with; nothing means 0."""


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        output.text(version("hnvlab"))
        raise typer.Exit


def build() -> typer.Typer:
    """The command with all its verbs."""
    app = typer.Typer(
        name="hnvlab",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for verb in (up, down, status, logs, capture, trace, show, bgp, migrate, validate, check, doctor, gc):
        app.command()(guarded(verb))
    # What follows the node is the command's own, its options too.
    app.command("exec", context_settings={"allow_interspersed_args": False})(guarded(exec_))
    app.command("engine-stop")(guarded(engine_stop))
    return app


def _root(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Hyper-V Network Virtualization and its multitenant gateway as a lab of containers."""


def guarded(verb: Verb[P]) -> Callable[P, None]:
    """The verb, its refusals told to the user, and its end as the command's exit code."""

    @functools.wraps(verb)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            code = verb(*arguments, **options) or ExitCode.OK
        except LabError as failure:
            output.error(failure, as_json=options.get("as_json") is True)
            code = failure.exit_code
        except KeyboardInterrupt:
            output.note("interrupted")
            code = ExitCode.INTERRUPTED
        except BrokenPipeError:  # hnvlab logs NODE | head
            sys.stderr.close()  # else Python complains about stdout once more when it ends
            code = ExitCode.OK
        except (
            OSError
        ) as failure:  # the machine's refusals, and (requests' errors are OSErrors too) the engine's
            output.error(_refused(failure), as_json=options.get("as_json") is True)
            code = ExitCode.FAILED
        raise typer.Exit(code)

    return run


def _refused(failure: OSError) -> LabError:
    place = failure.filename if isinstance(failure.filename, str) else ""
    hint = "a file of root's from an earlier sudo? Look at its owner" if failure.errno == EACCES else ""
    return LabError(Problem("HNV-CLI-008", failure.strerror or str(failure), place, hint=hint))


def main() -> None:
    """What the console script calls."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    build()(prog_name="hnvlab")


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM means what Ctrl-C means: stop cleanly."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
