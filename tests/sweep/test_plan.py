"""The plan: structures, arithmetic inside them, no trial twice, and how little it costs."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import SUPPORT
from sweeps import NETWORK, columns, ids, plan, read, swept

from orchestrator.errors import InputError
from orchestrator.sweep.document import read as read_document
from orchestrator.sweep.file import Placement, load
from orchestrator.sweep.file import plan as plan_document
from orchestrator.trial.trial import structure_key, trial_id

FIXED = settings(deadline=None, derandomize=True)


def fault(*items: str, base: str = NETWORK) -> str:
    """The message of the only fault of planning."""
    with pytest.raises(InputError) as caught:
        plan(*items, base=base)
    (found,) = caught.value.faults
    return found.message


# --- structures


def test_seeds_and_numbers_of_updates_share_a_structure() -> None:
    found = plan("seed: {range: 4}", "updates.0.limit: [1, 2]", "updates.1.learning_rate: [0.1, 0.2]")
    (structure,) = found.structures
    (combination,) = structure.combinations
    assert structure.count == combination.count == found.count == 16


@pytest.mark.parametrize(
    "item",
    [
        "data.noise: [0.1, 0.2]",
        "data.seed: [0, 1]",
        "model.hidden: [[1], [2]]",
        "model.init: [glorot, he]",
        "model.output: [sigmoid, tanh]",
        "batch.size: [4, 8]",
        "batch.shards: [1, 2]",
        "steps: [3, 4]",
        "updates.0: [null, {clip: value, limit: 1}, {clip: norm, limit: 1}]",
        "updates.1.optimizer: [sgd, momentum]",
    ],
)
def test_every_other_value_is_part_of_the_structure(item: str) -> None:
    found = plan(item, "seed: [0, 1]", base=NETWORK.replace("loss: binary-cross-entropy", "loss: mse"))
    assert len(found.structures) == found.count // 2 > 1
    assert len({structure.pinned.key for structure in found.structures}) == len(found.structures)


def test_mode_is_part_of_the_structure() -> None:
    found = plan("cases: {a: {}, b: {mode: probe, updates.1: null}}")
    assert [structure.template.mode for structure in found.structures] == ["train", "probe"]


def test_structural_values_come_first_and_free_axes_fill_a_structure() -> None:
    """A seed axis written first still varies inside each structure, so that packs fill."""
    found = plan("seed: [0, 1]", "model.hidden: [[1], [2]]", "updates.0.limit: [1, 2]")
    assert found.keys == ("seed", "model.hidden", "updates.0.limit")
    assert columns(found) == [(s, h, c) for h in ("[1]", "[2]") for s in (0, 1) for c in (1, 2)]


def test_combinations_that_differ_in_numbers_only_share_a_structure() -> None:
    found = plan("updates.0: [{clip: norm, limit: 1}, {clip: norm, limit: 2}]", "seed: [0, 1]")
    (structure,) = found.structures
    assert [combination.count for combination in structure.combinations] == [2, 2]
    assert [trial.trial.updates[0].limit for trial in structure.trials()] == [1, 1, 2, 2]
    assert [trial.index for trial in structure.trials()] == [0, 1, 2, 3]


def test_structures_number_their_trials_through() -> None:
    found = plan("model.hidden: [[1], [2], [3]]", "seed: {range: 5}")
    assert [structure.first for structure in found.structures] == [0, 5, 10]
    assert [trial.index for trial in found.trials()] == list(range(15))


def test_trial_found_by_arithmetic_has_the_id_of_its_content() -> None:
    """Ids are computed from shared parts of a combination, but equal those of the whole canonical form."""
    found = plan(
        "updates.0: [null, {clip: value, limit: 2.0}]",
        "{samples: 5, updates.1.learning_rate: {log_uniform: [1e-3, 1]}, seed: {integers: [0, 3]}}",
        "model.hidden: [[2], {label: deep, value: [2, 2]}]",
    )
    for planned in found.trials():
        assert planned.id == trial_id(planned.trial)
        parsed = type(planned.trial).parse(planned.trial.model_dump())
        assert parsed == planned.trial


def test_values_of_free_axes_are_what_validation_would_have_made_of_them() -> None:
    (trial,) = plan("updates.0.limit: [2]", "seed: [3]").trials()
    assert repr(trial.trial.updates[0]) == "ClipNorm(clip='norm', limit=2.0)"
    assert structure_key(trial.trial) == plan().structures[0].pinned.key


# --- nothing lost, nothing twice


AXES = {
    "seed": st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True),
    "updates.0.limit": st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
    "updates.1.learning_rate": st.lists(
        st.sampled_from([0.0, 0.1, 0.5]), min_size=1, max_size=3, unique=True
    ),
    "model.hidden": st.lists(st.sampled_from([[], [1], [2], [1, 2]]), min_size=1, max_size=3, unique_by=str),
    "batch.size": st.lists(st.sampled_from([2, 4, 8]), min_size=1, max_size=3, unique=True),
}
FREE = ("seed", "updates.0.limit", "updates.1.learning_rate")


@FIXED
@given(
    values=st.dictionaries(st.sampled_from(list(AXES)), st.none(), max_size=5).flatmap(
        lambda chosen: st.fixed_dictionaries({name: AXES[name] for name in chosen})
    ),
    order=st.randoms(use_true_random=False),
)
def test_plan_holds_every_combination_once_in_the_order_of_arithmetic(
    values: dict[str, list[Any]], order: Any
) -> None:
    names = list(values)
    order.shuffle(names)
    found = plan(*(f"{name}: {json.dumps(values[name])}" for name in names))
    nested = [name for name in names if name not in FREE] + [name for name in names if name in FREE]
    product = [
        dict(zip(nested, row, strict=True)) for row in itertools.product(*(values[name] for name in nested))
    ]
    expected = [tuple(str(row[name]) for name in names) for row in product]
    assert [tuple(map(str, row)) for row in columns(found)] == expected
    assert found.count == len(product) == len(set(ids(found)))
    assert [trial.index for trial in found.trials()] == list(range(found.count))


@FIXED
@given(count=st.integers(1, 60), low=st.integers(0, 5), high=st.integers(5, 9))
def test_sampled_plan_holds_no_trial_twice(count: int, low: int, high: int) -> None:
    found = plan(
        f"{{samples: {count}, seed: {{integers: [{low}, {high}]}}, updates.0.limit: {{choice: [1, 2]}}}}"
    )
    assert len(set(ids(found))) == found.count <= min(count, 2 * (high - low + 1))


@pytest.mark.parametrize(
    "item",
    [
        "cases: {a: {}, b: {}}",
        "cases: {a: {}, b: {seed: 0}}",
        "cases: {a: {sweep: [seed: {range: 5}]}, b: {sweep: [seed: {range: [4, 9]}]}}",
        "cases: {a: {sweep: [seed: [3]]}, b: {seed: 3, sweep: [updates.0.limit: [2, 1]]}}",
        "updates.0: [{clip: norm, limit: 1}, {label: same, value: {clip: norm, limit: 1.0}}]",
        "model.output: [{label: a, value: sigmoid}, {label: b, value: sigmoid}]",
        "cases: {a: {model: {kind: mlp, hidden: [2]}}, b: {model: {kind: mlp, hidden: [2], init: glorot}}}",
        "cases: {a: {updates.1.learning_rate: 1}, b: {updates.1.learning_rate: 1.0}}",
    ],
)
def test_equal_trials_are_refused(item: str) -> None:
    assert "twice" in fault(item) or "are the same" in fault(item)


def test_equal_trials_are_named() -> None:
    item = "cases: {a: {sweep: [seed: {range: 5}]}, b: {sweep: [seed: {range: [4, 9]}]}}"
    assert (
        fault(item)
        == "trials 4 (case: a, seed: 4) and 5 (case: b, seed: 4) are the same; leave one of them out"
    )


def test_cases_that_differ_in_seeds_only_are_planned() -> None:
    found = plan("cases: {a: {sweep: [seed: {range: 5}]}, b: {sweep: [seed: {range: [5, 9]}]}}")
    assert (found.count, len(found.structures), len(set(ids(found)))) == (9, 1, 9)


# --- growing


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (["seed: [0, 1]"], ["seed: {range: 5}"]),
        (["seed: [0, 1]"], ["updates.0.limit: [2.0, 1.0]", "seed: [1, 0]"]),
        (
            ["{samples: 4, updates.0.limit: {uniform: [1, 2]}}"],
            ["{samples: 9, updates.0.limit: {uniform: [1, 2]}}"],
        ),
        (["model.hidden: [[1]]"], ["model.hidden: [[2], [1]]", "data.noise: [0.2, 0.1]"]),
        ([], ["cases: {base: {}, other: {steps: 5}}"]),
        (["updates.0: [null]"], ["updates.0: [{label: none, value: null}, {clip: norm, limit: 3}]"]),
    ],
)
def test_grown_sweep_keeps_the_ids_of_its_trials(small: list[str], large: list[str]) -> None:
    assert set(ids(plan(*small))) < set(ids(plan(*large)))


# --- how much


def test_ten_thousand_combinations_are_the_limit() -> None:
    message = fault("data.seed: {range: 101}", "batch.size: {range: [1, 101]}", "seed: {range: 1000}")
    assert message.startswith(
        "has 10,100 combinations of structure, at most 10,000 are planned; only seed and"
    )


def test_too_many_combinations_are_counted_not_listed() -> None:
    """Cases that multiply, and a long range: listing either would never end."""
    cases = [f"cases: {{{', '.join(f'c{k}{n}: {{}}' for n in range(10))}}}" for k in range(12)]
    assert "has 1,000,000,000,000 combinations" in fault(*cases)
    assert "has 1,000,000,000,000,000 combinations" in fault("steps: {range: [1, 1000000000000001]}")


def test_free_axes_are_counted_not_listed() -> None:
    found = plan(
        "seed: {range: 1000000000000}", "updates.1.learning_rate: {range: 1000}", "model.hidden: [[1], [2]]"
    )
    assert found.count == 2 * 10**15
    last = found.structures[1].combinations[0].trial(10**15 - 1, 0)
    assert last.keys == (10**12 - 1, 999, "[2]")


MEMORY = """
import itertools, resource, sys
sys.path.insert(0, {tests!r})
from sweeps import plan
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
def enumerate_some(found): return sum(1 for trial in itertools.islice(found.trials(), 20_000))
enumerate_some(plan("seed: [0, 1]", "{{samples: 2, updates.0.limit: {{uniform: [1, 2]}}}}"))
before = peak()
found = plan("{{samples: 1000, updates.0.limit: {{uniform: [1, 2]}}}}", "seed: {{range: 1000}}")
assert found.count == 1_000_000
assert enumerate_some(found) == 20_000
print(peak() - before)
"""


def test_million_trials_are_planned_in_constant_memory() -> None:
    """8 bytes for each trial would already be 7,800 KiB."""
    script = MEMORY.format(tests=str(SUPPORT))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout) < 4_000


# --- the file as a whole


def test_resolved_text_gives_the_same_plan() -> None:
    text = swept(
        "updates.0: [null, {label: '1e-3', value: {clip: norm, limit: 1e-3}}]",
        "{samples: 3, updates.1.learning_rate: {log_uniform: [1e-4, 1]}}",
        "cases: {yes: {}, other: {data.noise: 0.0, sweep: [data.seed: [1, 2]]}}",
    )
    first = read(text, "base.steps=7", "sampling_seed=3", "placement.pack=2")
    again = read(first.text)
    assert list(again.plan.trials()) == list(first.plan.trials())
    assert (again.plan.keys, again.plan.key_types) == (first.plan.keys, first.plan.key_types)
    assert (again.name, again.placement, again.text) == (first.name, first.placement, first.text)


def test_placement_and_record_are_what_the_file_says() -> None:
    found = read(NETWORK + "  record: {every: 5}\nplacement: {threads: 2, commit_seconds: 1}\n")
    assert found.placement == Placement(threads=2, commit_seconds=1.0)
    assert found.record.every == 5


def test_sweep_is_loaded_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(swept("seed: {range: 3}"))
    found = load(path, ["base.steps=9"])
    assert (found.name, found.plan.count, found.folder) == ("small", 3, tmp_path)
    assert found.plan.structures[0].template.steps == 9
    assert plan_document(read_document(path), tmp_path).plan.count == 3


@pytest.mark.parametrize(
    ("value", "count"),
    [("1000", 1000), ("512MiB", 512 << 20), ("2GiB", 2 << 30), ("0.5 KiB", 512), ("null", None)],
)
def test_memory_of_a_worker_is_bytes_or_text(value: str, count: int | None) -> None:
    assert read(swept("seed: [0]"), f"placement.memory={value}").placement.memory == count
