"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Timings = Annotated[bool, typer.Option("--timings", help="Say how long each phase took.")]
LabArgument = Annotated[
    str | None, typer.Argument(metavar="LAB", help="Name of the lab; by default the only one that is up.")
]
LabOption = Annotated[
    str | None, typer.Option("--lab", "-l", help="Name of the lab; by default the only one that is up.")
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="Topology file.")]
Node = Annotated[str, typer.Argument(metavar="NODE", help="Name of a node, as in the topology file.")]
