"""The report of a document's faults: order, repeats and clashes."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweeps import NETWORK, read, swept

from orchestrator.errors import InputError
from orchestrator.sweep.document import parse
from orchestrator.sweep.items import ItemReader
from orchestrator.sweep.paths import DocumentFault
from orchestrator.sweep.planner import Planner
from orchestrator.sweep.reported import reported

DOCUMENT = parse("base:\n  steps: 0\n  seed: x\nsweep:\n  - steps: [1, 1]\n", "a.yaml")
STEPS, SEED = ("base", "steps"), ("base", "seed")


def lines(*found: DocumentFault) -> list[str]:
    return [str(fault) for fault in reported(found, DOCUMENT)]


def found(text: str) -> set[DocumentFault]:
    """The faults of the base, and of the combinations, of a sweep file."""
    data = parse(text, "a.yaml").data
    scope = ItemReader(0).scope(data["sweep"], ("sweep",))
    planner = Planner(data["base"], Path(), Path("/"), set())
    assert planner.plan(scope) is None
    return planner.faults


def test_faults_stand_in_the_order_of_the_file() -> None:
    assert lines(DocumentFault(SEED, "is no number", "seed"), DocumentFault(STEPS, "is 0")) == [
        "a.yaml:2: base.steps: is 0",
        "a.yaml:3: seed: is no number",
    ]


def test_faults_that_read_alike_are_one() -> None:
    values = (DocumentFault(("sweep", 0, "steps", index), "is 1", "steps") for index in range(2))
    assert lines(*values) == ["a.yaml:5: steps: is 1"]


def test_unknown_key_is_one_fault_whatever_would_be_legal() -> None:
    kinds = (DocumentFault(SEED, f"unknown key (legal: {legal})") for legal in "ab")
    assert lines(*kinds, DocumentFault(SEED, "is x")) == [
        "a.yaml:3: base.seed: is x",
        "a.yaml:3: base.seed: unknown key (legal: b)",
    ]


def test_of_many_faults_a_hundred_are_listed() -> None:
    listed = lines(*(DocumentFault((f"key{index:03}",), "is wrong") for index in range(103)))
    assert (len(listed), listed[-1]) == (101, "a.yaml: … and 3 more faults")


def test_clash_names_the_line_of_both() -> None:
    assert lines(DocumentFault(SEED, "is varied twice", other=STEPS)) == [
        "a.yaml:3: base.seed: is varied twice (also in line 2); set each key only once"
    ]


def test_clash_with_an_override_names_the_override() -> None:
    with pytest.raises(InputError) as caught:
        read(swept("seed: [1]", "seed: [2]"), "sweep.0.seed=[3]")
    assert [str(fault) for fault in caught.value.faults] == [
        "a.yaml:13: sweep.1.seed: is varied twice (also in --set sweep.0.seed=[3]); set each key only once"
    ]


def test_fault_of_the_base_is_one_whatever_is_chosen_beside_it() -> None:
    base = NETWORK.replace("steps: 3", "steps: 0").replace("shards: 2", "shards: 99")
    text = swept("model.hidden: [[1], [2]]", "cases: {a: {}, b: {data.rows: 30}}", base=base)
    assert found(text) == {
        DocumentFault(("base", "steps"), "is 0, must be at least 1", "steps"),
        DocumentFault(
            ("base", "batch", "shards"),
            "is 99, must be at most the 4 samples of a mini-batch",
            "batch.shards",
        ),
    }


def test_fault_of_the_base_hides_none_of_what_a_combination_chooses() -> None:
    text = swept("steps: [0, -1, 3]", base=NETWORK.replace("steps: 3", "steps: 0"))
    assert found(text) == {
        DocumentFault(("base", "steps"), "is 0, must be at least 1", "steps"),
        DocumentFault(("sweep", 0, "steps", 0), "is 0, must be at least 1", "steps"),
        DocumentFault(("sweep", 0, "steps", 1), "is -1, must be at least 1", "steps"),
    }


def test_fault_of_a_value_is_one_whatever_it_is_combined_with() -> None:
    assert found(swept("steps: [1, 0]", "model.hidden: [[1], [2], [3]]")) == {
        DocumentFault(("sweep", 0, "steps", 1), "is 0, must be at least 1", "steps")
    }
