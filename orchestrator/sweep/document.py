"""YAML with line numbers: YAML 1.2's core scalars, no key twice, every value's place remembered."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from orchestrator.config import show
from orchestrator.errors import Fault, InputError

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A parsed file.

    Attributes:
        file: its name as the user gave it.
        data: mappings, lists and scalars.
        lines: the line, from 1, of every place in ``data``.
    """

    file: str
    data: Any
    lines: dict[Place, int]

    def fault(self, place: Iterable[str | int], message: str) -> Fault:
        """A fault at ``place``, with the line of the nearest place that the file has."""
        place = tuple(place)
        known = next(place[:n] for n in range(len(place), -1, -1) if place[:n] in self.lines)
        return Fault(dotted(place), message, self.file, self.lines[known])


def dotted(place: Iterable[str | int]) -> str:
    """``("updates", 0, "limit")`` as ``updates.0.limit``."""
    return ".".join(str(part) for part in place)


def read(path: str | Path) -> Document:
    """Reads a sweep file.

    Raises:
        InputError: it is not there, not text, not YAML, or gives a key twice.
    """
    name = str(path)
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise InputError([Fault("", "is not a text file (UTF-8); a sweep file is YAML", name)]) from None
    except OSError as error:
        raise InputError([Fault("", f"cannot be read: {error.strerror}", name)]) from None
    return parse(text, name)


def parse(text: str, name: str) -> Document:
    """Parses YAML text; ``name`` is what messages call it."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"is not YAML: {error.problem or error.context}"
        raise InputError([Fault("", message, name, mark.line + 1 if mark else 0)]) from None
    except yaml.YAMLError as error:
        raise InputError([Fault("", f"is not YAML: {' '.join(str(error).split())}", name)]) from None
    reader = _Reader(name)
    data = reader.value(node, ())
    if reader.faults:
        raise InputError(reader.faults)
    return Document(name, data, reader.lines or {(): 1})


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema: ``1e-3`` is a number, ``yes`` a string."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
):
    _first_list = [c if c != "\0" else "" for c in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first_list)


class _Reader:
    """Turns nodes into values and notes where each one stands."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Place, int] = {}
        self.faults: list[Fault] = []

    def value(self, node: yaml.Node | None, place: Place) -> Any:
        if node is None:
            return None
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, place)

    def mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            line = key_node.start_mark.line + 1
            if key in result:
                first = self.lines[(*place, key)]
                self.fault((*place, key), f"key given twice (first in line {first})", line)
                continue
            self.lines[(*place, key)] = line
            result[key] = self.value(value_node, (*place, key))
        return result

    def scalar(self, node: yaml.Node, place: Place) -> Any:
        kind, text = node.tag.rpartition(":")[2], str(node.value)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if kind == "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if kind != "str":
            self.fault(
                place,
                f"{show(text)} has the tag {node.tag}, which a sweep file does not know",
                node.start_mark.line + 1,
            )
        return text

    def fault(self, place: Place, message: str, line: int) -> None:
        self.faults.append(Fault(dotted(place), message, self.name, line))
