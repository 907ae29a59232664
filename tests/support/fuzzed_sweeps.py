"""Sweep files mutated from those in ``jobs/``: seeded, by structure and by text."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from paths import ROOT

JOBS = tuple(sorted((ROOT / "jobs").glob("*.yaml")))

SCALARS = (
    *(
        None,
        True,
        False,
        "",
        " ",
        "~",
        "null",
        "yes",
        "1e400",
        "-0",
        "x",
        "a.b",
        "a..b",
        ".",
        "..",
        "/",
        "-",
        "$HOME",
    ),
    *(0, -1, 1, 2, 3, 7, 100, 2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**30, 10**400),
    *(0.0, -0.0, 0.5, -1.5, 1e-320, 1e308, -1e308, float("inf"), float("-inf"), float("nan")),
    *(
        "<<",
        "<kind=mlp>",
        "=",
        "*",
        "&a",
        "!x",
        "kind",
        "case",
        "seed",
        "0",
        "1",
        "updates",
        "updates.1",
        "model.layers",
    ),
    *(
        "θ",
        "é",
        "日本",
        "𝔘",
        "\u200b",
        "\u202e",
        "\x1b[31m",
        "\x00",
        "\x7f",
        "\x85",
        "\u2028",
        "\ufeff",
        "\udc80",
    ),
    *("a" * 300, "9" * 5000, "a/b", "../up", "/dev/null", "/proc/self/mem", "nope.csv", "ftp://", "://"),
)
"""Values that somebody might write by mistake, or that break parsers."""

TOKENS = (
    *(
        "&a ",
        "*a",
        "<<: *a",
        "<<: {seed: 1}",
        "!!python/object/apply:os.system [true]",
        "!!binary aGk=",
        "!!set {a}",
    ),
    *(
        "!x",
        "!!float 1",
        "!!int x",
        "!!str 1",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "\t",
        "\r",
        "\r\n",
        "\0",
        "\x1b",
    ),
    *("\ufeff", "'", '"', "[", "]", "{", "}", ": ", "- ", "? ", "| ", "> ", "#", ",", "`", "@", "%"),
    *(
        "0x" + "f" * 5000,
        "9" * 5000,
        "0o" + "7" * 5000,
        "1e999999999",
        "-1e400",
        ".nan",
        ".inf",
        "0o8",
        "1_000",
        "012",
    ),
    *(
        "9223372036854775808",
        "100000000000000000000",
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '"\\x00"',
        '"\\e[31m"',
        '"\\u202e"',
    ),
    *(
        "[" * 2000,
        "{a: " * 500,
        "- " * 1500,
        "a" * 100_000,
        "&a [*a]",
        "&a {x: *a}",
        "{<<: [*a, *a]}",
        "\N{SNOWMAN}",
    ),
)
"""Text that has a meaning in YAML, or breaks parsers."""


def fuzzed(seed: int) -> bytes:
    """The content of one mutated sweep file; the same for the same seed."""
    chance = random.Random(seed)
    text = chance.choice(JOBS).read_text("utf-8")
    if chance.random() < 0.7:
        data = yaml.safe_load(text)
        for _ in range(chance.choice((1, 1, 2, 3, 6))):
            data = _restructured(data, chance)
        text = yaml.dump(data, sort_keys=False, allow_unicode=chance.random() < 0.5)
    if chance.random() < 0.5:
        for _ in range(chance.choice((1, 1, 2, 4))):
            text = chance.choice(_TEXTUAL)(text, chance)
    content = text.encode("utf-8", "surrogatepass")
    return _flipped(content, chance) if chance.random() < 0.03 else content


def _paths(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    members = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in members:
        yield from _paths(value, (*path, key))


def _at(data: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        data = data[part]
    return data


def _restructured(data: Any, chance: random.Random) -> Any:
    """The data with one member changed."""
    paths = list(_paths(data))
    path = chance.choice(paths[1:] or paths)
    if not path:
        return _other(data, chance)
    above, key = _at(data, path[:-1]), path[-1]
    kind = chance.randrange(5)
    if kind == 0:
        del above[key]
    elif kind == 1 and isinstance(above, dict):
        named = chance.choice(SCALARS) if chance.random() < 0.7 else _at(data, chance.choice(paths))
        above[named if named.__hash__ else str(named)] = above.pop(key)
    elif kind == 2 and isinstance(above, list):
        above.insert(chance.randrange(len(above) + 1), copy.deepcopy(above[key]))
    elif kind == 3:
        above[key] = copy.deepcopy(_at(data, chance.choice(paths)))  # may be a parent of its own
    else:
        above[key] = _other(above[key], chance)
    return data


def _other(value: Any, chance: random.Random) -> Any:
    """Another value instead of this one."""
    scalar = chance.choice(SCALARS)
    made: tuple[Callable[[], Any], ...] = (
        lambda: scalar,
        lambda: scalar,
        lambda: scalar,
        lambda: [value],
        lambda: {"value": value, "label": scalar},
        lambda: {str(scalar): value},
        lambda: [value, scalar],
        lambda: {"range": scalar},
        lambda: {"range": [scalar, chance.choice(SCALARS), chance.choice((1, -1, scalar))]},
        lambda: {"samples": scalar, "seed": {"integers": [0, chance.choice(SCALARS)]}},
        lambda: {"samples": 3, "updates.1.learning_rate": {"log_uniform": [scalar, chance.choice(SCALARS)]}},
        lambda: {"cases": {str(scalar): value}},
        lambda: chance.choice(([], {}, [[]], [{}], [None])),
    )
    return chance.choice(made)()


def _inserted(text: str, chance: random.Random) -> str:
    start = chance.randrange(len(text) + 1)
    return text[:start] + chance.choice(TOKENS) + text[start:]


def _replaced(text: str, chance: random.Random) -> str:
    """Replaces a value, up to the end of the line or of the member, by a token."""
    starts = [
        index + 2 for index in range(len(text) - 2) if text[index : index + 2] in (": ", "- ", "[ ", ", ")
    ]
    if not starts:
        return _inserted(text, chance)
    start = chance.choice(starts)
    stop = min((found for end in ",]}\n" if (found := text.find(end, start)) >= 0), default=len(text))
    return text[:start] + chance.choice(TOKENS) + text[stop:]


def _lines_moved(text: str, chance: random.Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    index, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    if chance.random() < 0.5:
        lines.insert(other, lines[index])
    else:
        lines[index], lines[other] = lines[other], lines[index]
    return "".join(lines)


def _indented(text: str, chance: random.Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    index = chance.randrange(len(lines))
    lines[index] = chance.choice(("  ", "\t", " ", "- ", "? ")) + lines[index]
    return "".join(lines)


def _cut(text: str, chance: random.Random) -> str:
    start = chance.randrange(len(text) + 1)
    return text[:start] + text[start + chance.choice((1, 2, 10, 100, 10_000)) :]


_TEXTUAL = (_inserted, _replaced, _replaced, _lines_moved, _indented, _cut)


def _flipped(content: bytes, chance: random.Random) -> bytes:
    index = chance.randrange(max(1, len(content)))
    return content[:index] + bytes([chance.randrange(256)]) + content[index + 1 :]
