"""`hnvlab down [LAB]`: remove everything of a lab."""

from __future__ import annotations

from lab.cli import options, output
from lab.errors import Problem, UsageError


def down(name: options.LabArgument = None, as_json: options.Json = False) -> None:
    """Remove everything of a lab, also of one whose `up` was killed. Images stay.

    Works by the marks on containers and networks, without the topology file. Where nothing is left, it says
    so.
    """
    from lab.cli.labs import chosen
    from lab.cli.progress import progress
    from lab.engine import observe
    from lab.engine.docker_engine import connect
    from lab.engine.down import down as remove
    from lab.engine.state import LabState

    with progress(quiet=as_json) as events:
        client = connect(events)
        if name is None and not observe.labs(client):
            removed, lab = 0, ""
        else:
            lab = name or chosen(client, None)
            if name is None and not LabState.of(lab).directory.exists():
                raise UsageError(
                    Problem(
                        "HNV-CLI-009",
                        f"the only lab that is up, {lab}, was not made by this user",
                        hint=f"hnvlab down {lab} removes it nevertheless",
                    )
                )
            removed = remove(client, lab, LabState.of(lab), events)
    if as_json:
        output.data({"lab": lab, "removed": removed})
    else:
        output.text(f"{lab}: removed" if removed else "nothing to remove")
