"""docs/sweep-file.md names every key of a sweep file, with its default and its legal words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from paths import ROOT

from orchestrator.sweep.document import parse
from orchestrator.sweep.schema import json_schema

PAGE = (ROOT / "docs" / "sweep-file.md").read_text()
SCHEMA = json_schema()
DEFINITIONS = {"file": SCHEMA, "trial": SCHEMA["properties"]["base"], **SCHEMA["$defs"]}

SECTIONS: dict[str, tuple[str, ...]] = {
    "Keys of the file": ("file",),
    "A trial": ("trial",),
    "Data": ("Bundled", "Circles", "File", "Moons", "Parity", "Sine"),
    "Networks": ("Mlp",),
    "Circuits": ("Circuit", "PythonCircuit", "QasmCircuit"),
    "Hybrids": ("Hybrid", "Dense"),
    "Engines": ("Adjoint", "Backprop", "FiniteDifference", "ParameterShift", "Spsa"),
    "Backends": ("Aer", "Batched", "Noise"),
    "Clips": ("ClipNorm", "ClipValue"),
    "Optimizers": ("Adam", "AdamW", "Momentum", "Sgd"),
    "Natural gradients": ("Qng", "QuantumAdam"),
    "Mini-batches": ("Batch",),
    "Recording": ("Record",),
    "Placement": ("Placement",),
    "Stopping early": ("StopAfter",),
}
"""The configurations whose keys are in the tables of a section, subsections included."""

Entry = tuple[str, Any]
"""A key and its default; None if it may be left out without one."""

REQUIRED = "required"


def words(schema: Any) -> Iterator[str]:
    """Every key that a JSON Schema names, and every word that is a legal value, at any depth."""
    if isinstance(schema, dict):
        yield from (*schema.get("properties", ()), *schema.get("enum", ()))
        if "const" in schema:
            yield schema["const"]
        for part in schema.values():
            yield from words(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from words(part)


def section(title: str) -> str:
    """The text from a heading to the next one of the same or a higher level."""
    (level,) = re.findall(rf"^(#+) {re.escape(title)}$", PAGE, re.MULTILINE)
    text = PAGE.partition(f"\n{level} {title}\n")[2]
    return re.split(rf"^#{{1,{len(level)}}} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> Iterator[Entry]:
    """The entries in tables with the columns key and default."""
    for table in re.findall(r"^\| key \| default \|.*\n\|.*\n((?:\|.*\n)+)", text, re.MULTILINE):
        for key, default in re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE):
            yield key, None if default == "–" else parse(default, "docs/sweep-file.md").data


def entries(definition: dict[str, Any]) -> Iterator[Entry]:
    """The keys of a configuration."""
    for key, value in definition["properties"].items():
        yield key, REQUIRED if key in definition.get("required", ()) else value.get("default")


def equal(written: Entry, entry: Entry) -> bool:
    """Whether a row gives an entry; a mapping may leave out what is a default itself."""
    if isinstance(written[1], dict) and isinstance(entry[1], dict):
        return written[0] == entry[0] and written[1].items() <= entry[1].items()
    return written == entry


@pytest.mark.parametrize("word", sorted(set(words(SCHEMA))))
def test_word_of_a_sweep_file_is_on_the_page(word: str) -> None:
    assert re.search(rf"`{word}[`:]", PAGE)


def test_every_configuration_has_a_section() -> None:
    placed = {name for names in SECTIONS.values() for name in names}
    assert placed == DEFINITIONS.keys() - {"item"}  # the keys of an item are paths in the trial


@pytest.mark.parametrize("title", SECTIONS)
def test_tables_of_a_section_give_every_key_with_its_default(title: str) -> None:
    written = list(rows(section(title)))
    expected = [entry for name in SECTIONS[title] for entry in entries(DEFINITIONS[name])]
    assert [entry for entry in expected if not any(equal(row, entry) for row in written)] == []
    assert [row for row in written if not any(equal(row, entry) for entry in expected)] == []
