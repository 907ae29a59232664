"""YAML with line numbers: scalars of YAML 1.2's core schema, no key twice, a line for every value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import yaml
from yaml.resolver import Resolver

from orchestrator.config.files import read_regular_file
from orchestrator.config.text import show
from orchestrator.errors import Fault, InputError
from orchestrator.sweep.paths import Path, dotted

_MOST_DIGITS = 25
"""Of a whole number, leading zeros included. 64 bits hold no more, and Python converts some thousands."""

if TYPE_CHECKING:
    from yaml import SafeLoader as _FastBase
else:
    _FastBase = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # without libyaml, in Python: slower

MOST_BYTES = 4 << 20
"""Largest size of a sweep file."""
_FAST_FROM = 200_000
"""Characters from which on libyaml parses the text, for speed."""
MOST_VALUES = 250_000
"""Keys and values of a file; PyYAML reads about 100,000 per second. Aliases count as their content."""


@dataclass(frozen=True)
class Document:
    """A parsed file.

    Attributes:
        file: its name as the user wrote it.
        data: mappings, lists and scalars.
        lines: for every path in ``data``, its line, from 1, or the override that wrote it.
    """

    file: str
    data: Any
    lines: Mapping[Path, int | str]

    def where(self, path: Path) -> tuple[str, int]:
        """Returns file and line of the value at ``path`` or its nearest parent; line 0 for an override."""
        above = (path[:length] for length in range(len(path), -1, -1))
        line = next((self.lines[known] for known in above if known in self.lines), 0)
        return (line, 0) if isinstance(line, str) else (self.file, line)


def read(path: str | FilePath) -> Document:
    """Reads a YAML file.

    Raises:
        InputError: the file does not exist, is not text, is not YAML, or gives a key twice.
    """
    name = str(path)
    try:
        text = read_regular_file(path, MOST_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError([Fault("", "is not a text file (UTF-8); a sweep file is YAML", name)]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError([Fault("", f"cannot be read: {reason}", name)]) from None
    return parse(text, name)


def parse(text: str, name: str) -> Document:
    """Parses YAML text, which messages call ``name``.

    Raises:
        InputError: the text is not YAML, gives a key twice, or has more than ``MOST_VALUES`` keys and values.

    Example:
        >>> parse("steps: 1e2", "a.yaml").data
        {'steps': 100.0}
    """
    reader = _Reader(name)
    try:
        data = reader.value(yaml.compose(text, Loader=_Loader if len(text) < _FAST_FROM else _FastLoader), ())
    except _TooManyError:
        legal = "for many values write {range: n} or samples"
        message = f"has more than {MOST_VALUES:,} keys and values; {legal}"
        raise InputError([Fault("", message, name)]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise InputError([Fault("", f"is not YAML: {reason}", name, mark.line + 1 if mark else 0)]) from None
    except yaml.YAMLError:  # the check of characters, which has no line
        raise InputError([Fault("", "is not a text file; a sweep file is YAML", name)]) from None
    except RecursionError:
        raise InputError([Fault("", "is nested too deeply", name)]) from None
    if reader.faults:
        raise InputError(reader.faults)
    return Document(name, data, reader.lines)


def dump(data: Any) -> str:
    """Returns YAML text that ``parse`` reads back as ``data``."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _TooManyError(yaml.YAMLError):
    """A file has more than ``MOST_VALUES`` keys and values."""


class _CountingResolver(Resolver):
    """Stops at a file with too many keys and values."""

    nodes = 0

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        """Returns the tag of a node; called for each node without an explicit one."""
        self.nodes += 1
        if self.nodes > MOST_VALUES:
            raise _TooManyError
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


class _Loader(_CountingResolver, yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema: ``1e-3`` is a number, ``yes`` a string."""


class _FastLoader(_CountingResolver, _FastBase):
    """``_Loader`` in C; its messages about faulty text are less clear."""


class _Dumper(yaml.SafeDumper):
    """SafeDumper without anchors that quotes strings which ``_Loader`` would read as other scalars."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - signature of the base class
        return True


_SCALARS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
)
"""Core schema, chapter 10.3.2 of YAML 1.2.2: tag, pattern, first characters."""

for _class in (_Loader, _FastLoader, _Dumper):
    _class.yaml_implicit_resolvers = {}
    for _tag, _pattern, _first in _SCALARS:
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
        )


def _integer(text: str) -> int:
    """Returns the whole number; raises OverflowError if it does not fit into 64 bits."""
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    if len(text) > _MOST_DIGITS or not -(2**63) <= (value := int(text, base)) < 2**63:
        raise OverflowError
    return value


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    "null": lambda text: None,  # noqa: ARG005 - one signature for all
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
    "str": str,
}


def _surrogate_message(text: str) -> str | None:
    """Returns why a string with a lone surrogate cannot be written as text, or None."""
    half = re.search("[\ud800-\udfff]", text)
    return f"holds \\u{ord(half[0]):04x}, half of a character: write the character itself" if half else None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


@dataclass
class _Reader:
    """Converts nodes into values, and stores the line of each."""

    name: str
    lines: dict[Path, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    values: int = 0

    def value(self, node: yaml.Node | None, path: Path) -> Any:
        if node is None:
            return None
        self.lines.setdefault(path, _line(node))
        self.values += 1
        if self.values > MOST_VALUES:
            raise _TooManyError
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            self.check_tag(node, "seq", path)
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, path)

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        self.check_tag(node, "map", path)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.fault(path, "has a key that is not plain text", key_node)
                continue
            key = str(key_node.value)
            below = (*path, key)
            if key == "<<":
                self.fault(below, "is YAML's merge key, which is not supported: write its keys out", key_node)
            elif message := _surrogate_message(key):
                self.fault(path, f"has a key that {message}", key_node)
            elif key in result:
                self.fault(below, f"key given twice (first in line {self.lines[below]})", key_node)
            else:
                self.lines[below] = _line(key_node)
                result[key] = self.value(value_node, below)
        return result

    def scalar(self, node: yaml.Node, path: Path) -> Any:
        kind, text = node.tag.rpartition(":")[2], str(node.value)
        if message := _surrogate_message(text):
            self.fault(path, message, node)
            return None
        try:
            return _CONVERTERS[kind](text)
        except KeyError:
            self.check_tag(node, "str", path)
        except ValueError:
            self.fault(path, f"is {show(text)}, must be a YAML {kind}", node)
        except OverflowError:
            number = text if len(text) <= 2 * _MOST_DIGITS else f"a number of {len(text):,} digits"
            self.fault(path, f"is {number}, must lie from -2^63 to 2^63 - 1 as a whole number", node)
        return text

    def check_tag(self, node: yaml.Node, expected: str, path: Path) -> None:
        if node.tag != f"tag:yaml.org,2002:{expected}":
            self.fault(path, f"has the tag {node.tag}, which a sweep file does not support", node)

    def fault(self, path: Path, message: str, node: yaml.Node) -> None:
        self.faults.append(Fault(dotted(path), message, self.name, _line(node)))
