"""From a topology file to a `Topology`, or to every problem that the file has."""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Iterable
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, ValidationError

from lab.errors import InvalidTopologyError, Problem
from lab.model.codes import Code, Finding, Path, did_you_mean
from lab.model.document import Document, parse
from lab.model.rules import broken_rules
from lab.model.topology import Topology

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
        hint = "topologies/ holds ready ones" if isinstance(error, FileNotFoundError) else ""
        problem = Problem(Code.FILE.code, f"cannot read the topology: {why}", str(path), "a YAML file", hint)
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
        topology, typed = _typed(document.data, base)
        findings += typed
    if topology is not None:
        findings += broken_rules(topology)
    if findings or topology is None:
        raise InvalidTopologyError(_problems(findings, document, name))
    return topology


def _problems(findings: Iterable[Finding], document: Document, name: str) -> list[Problem]:
    """The findings with their lines, in the order of lines; what an alias repeats is said once."""
    ordered = sorted(findings, key=lambda finding: document.line(finding.path))
    found = (
        Problem(f.code.code, f.message, f"{name}:{document.line(f.path)}", f.expected, f.hint)
        for f in ordered
    )
    return list(dict.fromkeys(found))


def _typed(data: dict[str, Any], base: FilePath) -> tuple[Topology | None, list[Finding]]:
    """The topology and what is wrong with its types.

    A mistyped or unknown key must not hide what the rules would find: it is mended or left away, and the
    rest is tried again. None: too much is missing to go on.
    """
    context = {"base": base}
    try:
        return Topology.model_validate(data, context=context), []
    except ValidationError as error:
        errors = error.errors(include_url=False)
        unknown = [_finding(item) for item in errors if item["type"] == "extra_forbidden"]
    mended = copy.deepcopy(data)
    for finding in unknown:
        _mend(mended, finding.path)
    try:
        return Topology.model_validate(mended, context=context), unknown
    except ValidationError as error:
        return None, unknown + [_finding(item) for item in error.errors(include_url=False)]


def _mend(data: Any, path: Path) -> None:
    """Give an unknown key the name that it was meant to have, or remove it."""
    for part in path[:-1]:
        data = data[part]
    key = str(path[-1])
    value = data.pop(key)
    meant = _nearest(key, path[:-1])
    if meant is not None:
        data.setdefault(meant, value)


def _nearest(key: str, path: Path) -> str | None:
    hint = did_you_mean(key, _known_keys(path))
    return hint.split("`")[1] if hint.startswith("did you mean") else None


def _known_keys(path: Path) -> list[str]:
    """The keys that the mapping at a path may have."""
    model = _model_at(Topology, path)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _model_at(annotation: Any, path: Path) -> type[BaseModel] | None:
    """The model that describes what stands at a path below an annotation."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return next((found for a in arguments if (found := _model_at(a, path)) is not None), None)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return annotation
        for name, field in annotation.model_fields.items():
            if (field.alias or name) == path[0]:
                return _model_at(field.annotation, path[1:])
        return None
    if path and origin is dict:
        return _model_at(arguments[1], path[1:])
    if path and origin is tuple:
        return _model_at(arguments[0], path[1:])
    return None


def _finding(error: Any) -> Finding:
    """Pydantic's error in our words."""
    path: Path = tuple(error["loc"])
    if path and path[-1] == "[key]":
        path = path[:-1]
    context = error.get("ctx") or {}
    if error["type"] in _CODES:
        return Finding(_CODES[error["type"]], path, error["msg"], context["expected"], context["hint"])
    key = str(path[-1]) if path else "the file"
    match error["type"]:
        case "extra_forbidden":
            known = _known_keys(path[:-1])
            if not known:
                return Finding(Code.UNKNOWN_KEY, path, f"`{key}` means nothing here", "no keys at all")
            return Finding(
                Code.UNKNOWN_KEY, path, f"`{key}` means nothing here", "", did_you_mean(key, known)
            )
        case "missing":
            above = f"`{path[-2]}`" if len(path) > 1 else "the file"
            return Finding(Code.MISSING_KEY, path, f"`{key}` is missing in {above}", f"`{key}: …`")
        case "model_type" | "dict_type":
            return Finding(Code.VALUE, path, f"`{key}` holds no mapping", "`name: value` lines, indented")
        case "tuple_type":
            return Finding(
                Code.VALUE, path, f"`{key}` holds no list", "lines that begin with `- `, or [a, b]"
            )
    shown = "" if isinstance(error["input"], dict | list) else f", not `{error['input']}`"
    expected = error["msg"][0].lower() + error["msg"][1:] + shown
    return Finding(Code.VALUE, path, f"`{key}` has a value that it cannot have", expected)
