"""A YAML document as plain data, with the line of everything, through anchors, aliases and merge keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from lab.model.codes import Code, Finding, Path

MAX_NODES = 100_000
"""More values than any lab has: what nested aliases that multiply themselves end at."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a YAML text says, and where.

    Attributes:
        data: plain dict, list, str, int, float, bool and None.
        lines: path of every key and element -> its line, from 1. Below an alias: the line of the definition.
        findings: what is wrong with the YAML itself.
    """

    data: Any
    lines: Mapping[Path, int]
    findings: tuple[Finding, ...]

    def line(self, path: Path) -> int:
        """The line of a path, or of the nearest path above it that the text has."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def parse(text: str) -> Document:
    """Read a YAML 1.2 text; never raises, everything wrong is among the findings."""
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        return _broken(error)
    except YAMLError as error:
        return Document(None, {(): 1}, (Finding(Code.YAML, (), f"this is no YAML: {error}"),))
    if root is None:
        empty = Finding(
            Code.EMPTY, (), "the file is empty", expected="a mapping that begins with `lab: NAME`"
        )
        return Document(None, {(): 1}, (empty,))
    builder = _Builder(yaml)
    data = builder.value(root, (), ())
    builder.lines[()] = root.start_mark.line + 1
    if not isinstance(data, dict):
        builder.findings.append(
            Finding(
                Code.EMPTY, (), "the file holds no mapping", expected="a mapping that begins with `lab: NAME`"
            )
        )
    return Document(data, builder.lines, tuple(builder.findings))


def _broken(error: MarkedYAMLError) -> Document:
    """A document that cannot be read, with the line at which reading ended."""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    what = " ".join(part.strip() for part in (error.context, error.problem) if part)
    hint = (
        "indent with spaces, never with tabs"
        if "\\t" in what
        else "quote the text if it holds `: `, `#` or braces"
    )
    return Document(None, {(): line}, (Finding(Code.YAML, (), f"this is no YAML: {what}", hint=hint),))


@dataclass(slots=True)
class _Builder:
    """Turns the node graph of a document into data and lines."""

    yaml: YAML
    lines: dict[Path, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    _count: int = 0

    def value(self, node: Node, path: Path, above: tuple[Node, ...]) -> Any:
        """The data of a node; `above` are the nodes that hold it."""
        self._count += 1
        if self._count > MAX_NODES or node in above:
            if not any(f.code is Code.ALIAS for f in self.findings):
                self.findings.append(
                    Finding(Code.ALIAS, path, "an alias here contains itself or multiplies without end")
                )
            return None
        match node:
            case MappingNode():
                return self._mapping(node, path, (*above, node))
            case SequenceNode():
                items = []
                for index, item in enumerate(node.value):
                    self.lines[(*path, index)] = item.start_mark.line + 1
                    items.append(self.value(item, (*path, index), (*above, node)))
                return items
        return self._scalar(node)

    def _scalar(self, node: Node) -> Any:
        try:
            value = self.yaml.constructor.construct_object(node)
        except (YAMLError, ValueError, LookupError, AttributeError):
            value = node.value  # a lone `=` or `<<`, or a tag such as `!!int` before what is none
        if isinstance(value, str) and not value.isascii():
            # JSON writes one character as two escapes, "\\ud83d\\ude00"; a lone half is no text at all.
            value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        # Dates and binaries are no types of a topology: the text as it stands says more.
        return value if isinstance(value, str | int | float | bool | None) else node.value

    def _mapping(self, node: MappingNode, path: Path, above: tuple[Node, ...]) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merges: list[Node] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if isinstance(key_node, ScalarNode) and key_node.value == "<<" and key_node.style is None:
                merges += value_node.value if isinstance(value_node, SequenceNode) else [value_node]
                continue
            key = self._scalar(key_node) if isinstance(key_node, ScalarNode) else None
            if not isinstance(key, str):
                shown = key_node.value if isinstance(key_node, ScalarNode) else "this key"
                self.lines[(*path, str(shown))] = line
                self.findings.append(
                    Finding(
                        Code.KEY,
                        (*path, str(shown)),
                        f"{shown} is no name",
                        expected="a text",
                        hint="put it in quotes",
                    )
                )
                continue
            if key in own:
                self._duplicate(path, key, line)
                continue
            self.lines[(*path, key)] = line
            own[key] = self.value(value_node, (*path, key), above)
        return self._merged(own, merges, path, above)

    def _duplicate(self, path: Path, key: str, line: int) -> None:
        place = (*path, f"{key} (again)")
        self.lines[place] = line
        self.findings.append(
            Finding(
                Code.DUPLICATE_KEY,
                place,
                f"`{key}` stands here a second time",
                expected="each name once",
                hint=f"the first is in line {self.lines[(*path, key)]}: rename or remove one",
            )
        )

    def _merged(
        self, own: dict[str, Any], merges: list[Node], path: Path, above: tuple[Node, ...]
    ) -> dict[str, Any]:
        """Add what `<<` brings in: own keys win, then the earlier of several sources (YAML merge type)."""
        for source in merges:
            if not isinstance(source, MappingNode):
                self.findings.append(
                    Finding(Code.YAML, path, "`<<` merges mappings only", expected="an alias of a mapping")
                )
                continue
            sub = _Builder(self.yaml, _count=self._count)
            for key, value in (sub.value(source, path, above) or {}).items():
                if key not in own:
                    own[key] = value
                    prefix = (*path, key)
                    self.lines.update({p: n for p, n in sub.lines.items() if p[: len(prefix)] == prefix})
            self._count = sub._count
            self.findings += sub.findings
        return own
