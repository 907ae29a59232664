"""The glossary is kept: one name for one thing, no old words, short sentences."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from paths import ROOT

PACKAGE = sorted((ROOT / "orchestrator").rglob("*.py"))
CODE = [*PACKAGE, *sorted(path for name in ("tests", "benchmarks") for path in (ROOT / name).rglob("*.py"))]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "orchestrator").rglob("*.md")])

NAMES = {
    "place": "path, slot, address, index or position",
    "places": "paths, slots, addresses, indices or positions",
    "behind": "after",
    "told": "message, text or label",
    "said": "message, text or label",
    "shown": "message, text or label",
    "felt": "live",
    "unfelt": "dead",
    "walk": "loop",
    "nobody": "no trials",
    "desk": "control loop",
    "grave": "tombstone",
    "manned": "last worker seen",
    "welcome": "admit",
    "hopeless": "permanent",
}
"""Words that are not part of a name, and what the glossary has instead."""

WORDS = re.compile(
    r"\b(behind|felt|unfelt|fed up|hopeless|given up|stillborn|manned|desk|graves?|buried|told"
    r"|in (the )?places? of)\b",
    re.IGNORECASE,
)
"""Words that no text uses: metaphors for mechanisms, and what reads as translated."""

MOST_WORDS = 30
"""A sentence has fewer."""

Text = tuple[str, str]
"""Where a text stands, and the text."""


def names(path: Path) -> Iterator[tuple[int, str]]:
    """Every name that a file gives to something."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def strings(path: Path) -> Iterator[Text]:
    """The strings of a file: docstrings, messages, descriptions of options."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


def docstrings(path: Path) -> Iterator[Text]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def paragraphs(text: str) -> Iterator[str]:
    """What is read as one: a paragraph, an item of a list, an argument; no examples, tables or figures."""
    text = re.sub(r"```.*?```|^ *>>>.*?(?=\n\s*\n|\Z)", "\n\n", text, flags=re.DOTALL | re.MULTILINE)
    for part in re.split(r"\n\s*\n|\n\s*(?:[-*#>] ?|\d+\. |[\w ,]+: )", text):
        if not re.search(r"\||──|==|\S {3,}\S", part):
            yield " ".join(part.split())


def sentences(text: str) -> Iterator[str]:
    for paragraph in paragraphs(text):
        yield from re.split(r"(?<=[.!?])(?:[\"”)]|\*\*)?\s+(?=[A-Z`*\"(])", paragraph)


def pages() -> Iterator[Text]:
    """The prose of the pages; a line indented by four is code."""
    for page in PAGES:
        yield str(page.relative_to(ROOT)), re.sub("^    .*$", "", page.read_text(), flags=re.MULTILINE)


def test_no_name_has_an_old_word_in_it() -> None:
    found = ((path, line, name) for path in CODE for line, name in names(path))
    parts = ((*at, part.lower()) for *at, name in found for part in re.findall("[A-Z]?[a-z]+|[A-Z]+", name))
    old = [f"{path}:{line}: {part}: {NAMES[part]}" for path, line, part in parts if part in NAMES]
    assert not old, "\n".join(old)


def test_no_text_has_an_old_word_in_it() -> None:
    texts = [*pages(), *(text for path in PACKAGE for text in strings(path))]
    old = [f"{where}: {match[0]}" for where, text in texts for match in WORDS.finditer(text)]
    assert not old, "\n".join(old)


def test_a_class_does_not_share_its_name() -> None:
    found = defaultdict(set)
    for path in PACKAGE:
        for node in ast.parse(path.read_text()).body:
            match node:
                case ast.ClassDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
                    found[name].add(str(path.relative_to(ROOT)))
    shared = [f"{name}: {sorted(files)}" for name, files in found.items() if len(files) > 1]
    types = [line for line in shared if re.match("[A-Z][a-z]", line)]
    assert not types, "\n".join(types)


def test_sentences_are_short() -> None:
    texts = [*pages(), *(text for path in PACKAGE for text in docstrings(path))]
    found = ((where, sentence) for where, text in texts for sentence in sentences(text))
    long = [f"{where}: {sentence}" for where, sentence in found if len(sentence.split()) >= MOST_WORDS]
    assert not long, "\n".join(long)
