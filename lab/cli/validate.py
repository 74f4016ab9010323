"""`hnvlab validate FILE`: everything that is wrong with a topology file, at once."""

from __future__ import annotations

from lab.cli import options, output


def validate(file: options.File, as_json: options.Json = False) -> None:
    """Say everything that is wrong with a topology file. Touches nothing."""
    from lab.model.loader import load
    from lab.model.resolve import resolve

    lab = resolve(load(file))
    if as_json:
        output.data({"lab": lab.name, "nodes": list(lab.nodes), "links": len(lab.links), "errors": []})
    else:
        output.text(f"{file}: the lab {lab.name}, {len(lab.nodes)} nodes, {len(lab.links)} links, no errors")
