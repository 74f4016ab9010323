"""From a topology file to a `Topology`, or to every problem that the file has."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from lab.errors import InvalidTopologyError, Problem
from lab.model.codes import Code, Finding, did_you_mean
from lab.model.document import Document, parse
from lab.model.mending import known_keys, made_whole, plain, renamed
from lab.model.rules import broken_rules
from lab.model.topology import Topology
from lab.model.topology_connections import CONNECTION_TYPES

_CODES = {code.code: code for code in Code}


def load(path: FilePath) -> Topology:
    """Read, type and validate a topology file.

    Parameters:
        path: the file; paths under `files:` are relative to its directory.

    Raises:
        InvalidTopologyError: with every problem of the file, in the order of its lines.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        message = f"cannot read the topology: {why}"
        problem = Problem(Code.FILE.code, message, str(path), "a YAML file", Code.FILE.remedy)
        raise InvalidTopologyError(problem) from error
    return parse_topology(text, str(path), path.resolve().parent)


def parse_topology(text: str, name: str, base: FilePath) -> Topology:
    """The topology that a text describes.

    Parameters:
        text: YAML 1.2.
        name: of the file, for messages.
        base: the absolute directory that paths under `files:` are relative to.

    Raises:
        InvalidTopologyError: with every problem of the text, in the order of its lines.
    """
    document = parse(text)
    findings = list(document.findings)
    topology: Topology | None = None
    if isinstance(document.data, dict):
        topology, wrong = _judged(document.data, base)
        findings += wrong
    if findings or topology is None:
        raise InvalidTopologyError(_problems(findings, document, name))
    return topology


def _problems(findings: Iterable[Finding], document: Document, name: str) -> list[Problem]:
    """The findings with their lines, in the order of lines; what an alias repeats is said once."""
    ordered = sorted(findings, key=lambda finding: document.line(finding.path))
    found = (
        Problem(
            f.code.code, f.message, f"{name}:{document.line(f.path)}", f.expected, f.hint or f.code.remedy
        )
        for f in ordered
    )
    return list(dict.fromkeys(found))


def _judged(data: dict[str, Any], base: FilePath) -> tuple[Topology | None, list[Finding]]:
    """The topology and everything that is wrong with it; it is one only if nothing is."""
    context = {"base": base}
    try:
        topology = Topology.model_validate(data, context=context)
    except ValidationError as error:
        return None, _all_wrong(data, error, context)
    return topology, broken_rules(topology)


def _all_wrong(data: dict[str, Any], error: ValidationError, context: dict[str, Any]) -> list[Finding]:
    """What is wrong with the types, and what the rules say about the rest."""
    findings = [
        _finding(item, data) for item in error.errors(include_url=False) if item["type"] == "extra_forbidden"
    ]
    mended = renamed(data, [finding.path for finding in findings])
    try:
        Topology.model_validate(mended.data, context=context)
    except ValidationError as remaining:
        findings += [_finding(item, data) for item in remaining.errors(include_url=False)]
    topology = made_whole(mended, context)
    return findings + (list(mended.believed(broken_rules(topology))) if topology else [])


def _finding(error: Any, data: Any) -> Finding:
    """Pydantic's error in our words."""
    path = plain(error["loc"])
    context = error.get("ctx") or {}
    if error["type"] in _CODES:
        return Finding(_CODES[error["type"]], path, error["msg"], context["expected"], context["hint"])
    key = str(path[-1]) if path else "the file"
    match error["type"]:
        case "extra_forbidden":
            known = known_keys(path[:-1], data)
            if not known:
                return Finding(Code.UNKNOWN_KEY, path, f"`{key}` means nothing here", "no keys at all")
            return Finding(
                Code.UNKNOWN_KEY, path, f"`{key}` means nothing here", "", did_you_mean(key, known)
            )
        case "missing":
            above = f"`{path[-2]}`" if len(path) > 1 else "the file"
            return Finding(Code.MISSING_KEY, path, f"`{key}` is missing in {above}", f"`{key}: …`")
        case "union_tag_not_found":
            kinds = ", ".join(CONNECTION_TYPES)
            return Finding(Code.MISSING_KEY, (*path, "type"), f"`type` is missing in `{key}`", kinds)
        case "union_tag_invalid":
            return Finding(
                Code.VALUE,
                (*path, "type"),
                f"`{key}` is of no type that there is",
                ", ".join(CONNECTION_TYPES),
                did_you_mean(str(error["input"]["type"]), CONNECTION_TYPES),
            )
        case "model_type" | "dict_type":
            return Finding(Code.VALUE, path, f"`{key}` holds no mapping", "`name: value` lines, indented")
        case "tuple_type":
            return Finding(
                Code.VALUE, path, f"`{key}` holds no list", "lines that begin with `- `, or [a, b]"
            )
    shown = "" if isinstance(error["input"], dict | list) else f", not `{error['input']}`"
    expected = error["msg"][0].lower() + error["msg"][1:] + shown
    return Finding(Code.VALUE, path, f"`{key}` has a value that it cannot have", expected)
