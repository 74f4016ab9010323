"""The JSON Schema of topology files, for editors; `python -m lab.model.schema` writes it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lab.model.reference import REFERENCE_PATH, reference_text
from lab.model.topology import Topology

SCHEMA_PATH = Path(__file__).parents[2] / "docs" / "topology.schema.json"


def schema_text() -> str:
    """The schema (JSON Schema 2020-12) as it stands in docs/topology.schema.json."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Topology.model_json_schema(by_alias=True),
        "title": "hnvlab topology",
    }
    _only_these_names(schema)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _only_these_names(schema: Any) -> None:
    """JSON Schema lets keys pass that fit no pattern; the model does not."""
    if isinstance(schema, list):
        for item in schema:
            _only_these_names(item)
    elif isinstance(schema, dict):
        if "patternProperties" in schema:
            schema["additionalProperties"] = False
        for item in schema.values():
            _only_these_names(item)


def main() -> int:
    """Write docs/topology.schema.json and docs/topology.md."""
    SCHEMA_PATH.write_text(schema_text(), encoding="utf-8")
    REFERENCE_PATH.write_text(reference_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
