"""The key ``sweep``: items, ranges, labels, samples, cases, and which of them are refused."""

from __future__ import annotations

from typing import Any

import pytest
from sweeps import NETWORK, columns, ids, plan, read, swept

from orchestrator.config.text import label
from orchestrator.errors import InputError
from orchestrator.sweep.axes import comparison_key


def faults(*items: str, base: str = NETWORK) -> list[str]:
    """The faults of planning, without the file's name."""
    with pytest.raises(InputError) as caught:
        read(swept(*items, base=base))
    return [str(fault).removeprefix("a.yaml:") for fault in caught.value.faults]


# --- items


def test_no_items_are_one_trial() -> None:
    found = plan()
    assert (found.count, found.keys, columns(found)) == (1, (), [()])


def test_sweep_left_out_is_one_trial() -> None:
    assert ids(read(NETWORK).plan) == ids(plan())


def test_items_multiply() -> None:
    found = plan("seed: [5, 6]", "updates.0.limit: [1, 2, 3]")
    assert found.keys == ("seed", "updates.0.limit")
    assert columns(found) == [(s, c) for s in (5, 6) for c in (1, 2, 3)]


def test_keys_of_one_item_advance_together() -> None:
    found = plan("{model.hidden: [[1], [2]], seed: [7, 8], data.noise: [0.0, 0.5]}")
    assert columns(found) == [("[1]", 7, 0.0), ("[2]", 8, 0.5)]
    trials = [planned.trial for planned in found.trials()]
    assert [(t.model.hidden, t.seed, t.data.noise) for t in trials] == [((1,), 7, 0.0), ((2,), 8, 0.5)]


def test_free_and_structural_keys_in_one_item_advance_together() -> None:
    found = plan("{updates.0.limit: [2, 3], batch.size: [4, 8]}", "seed: [0, 1]")
    assert columns(found) == [(2, 4, 0), (2, 4, 1), (3, 8, 0), (3, 8, 1)]
    assert [t.trial.updates[0].limit for t in found.trials()] == [2, 2, 3, 3]


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ("3", [0, 1, 2]),
        ("[3]", [0, 1, 2]),
        ("[2, 5]", [2, 3, 4]),
        ("[0, 9, 4]", [0, 4, 8]),
        ("[3, 0, -1]", [3, 2, 1]),
    ],
)
def test_range_counts_as_in_python(spec: str, values: list[int]) -> None:
    assert [trial.trial.seed for trial in plan(f"seed: {{range: {spec}}}").trials()] == values


def test_structural_key_takes_a_range_too() -> None:
    assert columns(plan("steps: {range: [1, 4]}")) == [(1,), (2,), (3,)]


def test_range_and_list_advance_together() -> None:
    assert columns(plan("{seed: {range: [4, 6]}, updates.0.limit: [1, 2]}")) == [(4, 1), (5, 2)]


def test_axis_may_set_what_the_base_leaves_out() -> None:
    trials = list(
        plan(
            "data.test: [0.0, 0.5]", "batch: [{size: 2}]", base=NETWORK.replace("\n  batch: {", "\n  #")
        ).trials()
    )
    assert [t.trial.data.test for t in trials] == [0.0, 0.5]
    assert all(t.trial.batch.size == 2 for t in trials)


# --- what a column shows


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        (0.5, 0.5),
        (True, "true"),
        (None, "none"),
        ("tanh", "tanh"),
        ([4, 2], "[4, 2]"),
        ({"clip": "norm", "limit": 0.1}, "clip=norm limit=0.1"),
        ({"label": "tight", "value": {"clip": "norm"}}, "tight"),
        ({"label": 5, "value": 1}, "5"),
        ({"label": None, "value": 1}, "none"),
        ({"label": "x"}, "label=x"),
        ({"label": "x", "value": 1, "more": 2}, "label=x value=1 more=2"),
    ],
)
def test_column_shows_the_label_or_the_value(value: Any, expected: Any) -> None:
    assert label(value)[1] == expected
    assert type(label(value)[1]) is type(expected)


def test_label_is_no_part_of_the_trial() -> None:
    labelled = plan("updates.0.limit: [{label: tight, value: 0.5}, 2]")
    assert columns(labelled) == [("tight",), (2,)]
    assert labelled.key_types == ("string",)
    assert ids(labelled) == ids(plan("updates.0.limit: [0.5, 2]"))


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ("seed: [0, 1]", "int64"),
        ("seed: {range: 3}", "int64"),
        ("{samples: 3, seed: {integers: [0, 9]}}", "int64"),
        ("updates.0.limit: [1, 2]", "int64"),
        ("updates.0.limit: [1, 2.5]", "float64"),
        ("{samples: 3, updates.0.limit: {uniform: [1, 2]}}", "float64"),
        ("model.activation: [relu, tanh]", "string"),
        ("updates.0: [null, {clip: value, limit: 1}]", "string"),
    ],
)
def test_column_has_the_narrowest_type_that_holds_its_values(item: str, kind: str) -> None:
    assert plan(item).key_types == (kind,)


def test_column_of_a_key_shows_its_value_where_it_is_not_swept() -> None:
    """Its value is in the base (learning_rate), a default (seed, data.noise), or missing (limit)."""
    one = "{sweep: [seed: [3], updates.1.learning_rate: [0.5], data.noise: [0.2], updates.0.limit: [2]]}"
    found = plan(f"cases: {{a: {one}, b: {{updates.0: null}}}}")
    assert found.keys == ("case", "seed", "updates.1.learning_rate", "data.noise", "updates.0.limit")
    assert columns(found) == [("a", 3, 0.5, 0.2, 2), ("b", 0, 0.1, 0.1, None)]


# --- null among updates


def test_null_among_updates_is_removed_and_keeps_the_indices_of_the_others() -> None:
    found = plan("updates.0: [null, {clip: value, limit: 2.0}]", "updates.1.learning_rate: [0.5, 0.25]")
    assert columns(found) == [
        ("none", 0.5),
        ("none", 0.25),
        ("clip=value limit=2.0", 0.5),
        ("clip=value limit=2.0", 0.25),
    ]
    chains = [trial.trial.updates for trial in found.trials()]
    assert [len(chain) for chain in chains] == [1, 1, 2, 2]
    assert [chain[-1].learning_rate for chain in chains] == [0.5, 0.25, 0.5, 0.25]


def test_null_among_updates_is_no_part_of_the_id() -> None:
    gap = NETWORK.replace("{clip: norm, limit: 1.0}", "null")
    none = NETWORK.replace("    - {clip: norm, limit: 1.0}\n", "")
    assert ids(read(gap).plan) == ids(read(none).plan)
    assert ids(plan("seed: [1]", base=gap)) == ids(plan("seed: [1]", base=none))


def test_fault_after_a_null_has_its_line_in_the_file() -> None:
    assert faults(
        "updates.1.learning_rate: [0.1, -1]", base=NETWORK.replace("{clip: norm, limit: 1.0}", "null")
    ) == ["12: updates.1.learning_rate: is -1, must be at least 0"]
    gap = NETWORK.replace("{clip: norm, limit: 1.0}", "null").replace("rate: 0.1", "rate: -1")
    assert faults(base=gap) == ["9: updates.1.learning_rate: is -1, must be at least 0"]


# --- samples


def test_samples_multiply_with_other_items() -> None:
    found = plan("seed: [0, 1]", "{samples: 3, updates.0.limit: {uniform: [1, 2]}}")
    assert found.count == 6
    limits = [limit for _, limit in columns(found)]
    assert limits[:3] == limits[3:]
    assert len(set(limits)) == 3


def test_samples_of_a_structural_key_are_enumerated() -> None:
    found = plan("{samples: 40, model.hidden: {choice: [[1], {label: two, value: [2]}]}}")
    assert sorted(columns(found)) == [("[1]",), ("two",)]
    assert len(found.structures) == 2


# --- cases


def test_cases_have_values_and_axes_of_their_own() -> None:
    deep = "{model.hidden: [3, 3], sweep: [seed: [0, 1], updates.0.limit: [1, 2]]}"
    found = plan(f"cases: {{plain: , deep: {deep}, none: {{updates.0: null}}}}")
    assert found.keys == ("case", "seed", "updates.0.limit")
    deep_rows = [("deep", seed, limit) for seed in (0, 1) for limit in (1, 2)]
    assert columns(found) == [("plain", 0, 1.0), *deep_rows, ("none", 0, None)]
    hidden = [trial.trial.model.hidden for trial in found.trials()]
    assert hidden == [(2,), *[(3, 3)] * 4, (2,)]


def test_cases_nest_and_their_names_join() -> None:
    inner = "{cases: {x: {seed: 1}, y: {seed: 2, sweep: [updates.0.limit: [3, 4]]}}}"
    found = plan(f"cases: {{a: {{sweep: [{inner}]}}, b: {{seed: 5}}}}")
    assert columns(found) == [("a/x", 1.0), ("a/y", 3), ("a/y", 4), ("b", 1.0)]
    assert [trial.trial.seed for trial in found.trials()] == [1, 2, 2, 5]


def test_two_items_of_cases_multiply() -> None:
    found = plan("cases: {a: {seed: 1}, b: {seed: 2}}", "cases: {x: {steps: 1}, y: {steps: 2}}")
    assert sorted(case for (case,) in columns(found)) == ["a/x", "a/y", "b/x", "b/y"]


def test_axis_may_refine_what_a_case_sets() -> None:
    circle = "data: {source: circles, rows: 20}, sweep: [data.factor: [0.3, 0.6]]"
    found = plan(f"cases: {{moons: {{}}, circles: {{{circle}}}}}")
    assert columns(found) == [("moons", None), ("circles", 0.3), ("circles", 0.6)]


def test_inner_case_refines_the_outer_and_touches_no_other() -> None:
    inner = "cases: {far: {data.factor: 0.2}, near: {}}"
    found = plan(f"cases: {{all: {{data: {{source: circles, rows: 20}}, sweep: [{inner}]}}}}")
    assert [trial.trial.data.factor for trial in found.trials()] == [0.2, 0.8]  # 0.8 is the default


# --- what is refused, with the line


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (["3"], "12: sweep.0: is 3, must be a mapping such as `seed: [0, 1]`"),
        (["{}"], "12: sweep.0: is {}, must be a mapping"),
        (["seed: 3"], "12: sweep.0.seed: is 3, must be a list of values or {range: n}"),
        (["seed: []"], "12: sweep.0.seed: has no values; an empty axis leaves no trials"),
        (["seed: {range: 0}"], "12: sweep.0.seed: range 0 is empty; an empty axis leaves no trials"),
        (["seed: {range: [0, 4, 0]}"], "12: sweep.0.seed: range [0, 4, 0] has step 0"),
        (["seed: {range: 1.5}"], "12: sweep.0.seed: range is 1.5, must be n, [start, stop] or [start, stop,"),
        (["seed: {range: []}"], "12: sweep.0.seed: range is [], must be n, [start, stop] or [start, stop,"),
        (["seed: {range: true}"], "12: sweep.0.seed: range is true, must be n, [start, stop] or"),
        (
            ["seed: {range: [-9000000000000000000, 9000000000000000000]}"],
            "12: sweep.0.seed: range [-9000000000000000000, 9000000000000000000] has too many",
        ),
        (["seed: {uniform: [0, 1]}"], '12: sweep.0.seed: is {"uniform": [0, 1]}, which needs `samples: n`'),
        (["seed: [1, 2, 1]"], "12: sweep.0.seed.2: 1 is listed twice"),
        (["updates.0.limit: [1, 1.0]"], "12: sweep.0.updates.0.limit.1: 1.0 is listed twice"),
        (["model.hidden: [[1], [1]]"], "12: sweep.0.model.hidden.1: [1] is listed twice"),
        (
            ["seed: [{label: a, value: 1}, {label: a, value: 2}]"],
            '12: sweep.0.seed.1: has the label "a" of an earlier value; give it its own label',
        ),
        (
            ["{seed: [1, 2], steps: [1]}"],
            "12: sweep.0: keys that advance together need lists of equal length",
        ),
        (["{seed: {range: 3}, steps: [1]}"], "12: sweep.0: keys that advance together need lists of equal"),
        (["record.every: [1, 2]"], "12: sweep.0.record.every: record is no part of a trial; set it in base"),
        (
            ["{samples: 0, seed: {integers: [0, 9]}}"],
            "12: sweep.0.samples: is 0, must be a whole number from 1",
        ),
        (
            ["{samples: 1e9, seed: {integers: [0, 9]}}"],
            "12: sweep.0.samples: is 1000000000.0, must be a whole",
        ),
        (["samples: 3"], "12: sweep.0: samples needs at least one key with a distribution"),
        (["{samples: 3, seed: [1, 2, 3]}"], "12: sweep.0.seed: is [1, 2, 3]; a sampled key needs one of"),
        (["{samples: 3, record.every: {integers: [1, 2]}}"], "12: sweep.0.record.every: record is no part"),
        (["cases: [a, b]"], '12: sweep.0.cases: is ["a", "b"], must map names to what they change'),
        (["cases: {}"], "12: sweep.0.cases: is {}, must map names to what they change"),
        (
            ["{cases: {a: {}}, seed: [1]}"],
            "12: sweep.0.seed: is in the same item as `cases`; give it an item of its own",
        ),
        (["cases: {a: 3}"], "12: sweep.0.cases.a: is 3, must be a mapping ({} changes nothing)"),
        (["cases: {a/b: {}}"], '12: sweep.0.cases.a/b: case name "a/b" may hold letters, digits'),
        (["cases: {a: {sweep: 3}}"], "12: sweep.0.cases.a.sweep: is 3, must be a list of items"),
        (["cases: {a: {record: {}}}"], "12: sweep.0.cases.a.record: record is no part of a trial"),
        (
            ["seed: [1]", "seed: [2]"],
            "13: sweep.1.seed: is varied twice (also in line 12); set each key only",
        ),
        (
            ["model: [{kind: mlp}]", "model.hidden: [[1]]"],
            "13: sweep.1.model.hidden: overlaps model (also in",
        ),
        (
            ["model.hidden: [[1]]", "model: [{kind: mlp}]"],
            "13: sweep.1.model: overlaps model.hidden (also in",
        ),
        (["{updates: [[]], updates.0: [null]}"], "12: sweep.0.updates.0: overlaps updates (also in line 12)"),
        (["seed: [1]", "cases: {a: {seed: 3}}"], "12: sweep.0.seed: is varied twice (also in line 13)"),
        (["cases: {a: {seed: 1}}", "cases: {b: {seed: 3}}"], "13: sweep.1.cases.b.seed: is varied twice"),
        (
            ["model.depth: [1, 2]"],
            "12: model.depth: unknown key (legal: kind, hidden, activation, output, init)",
        ),
        (["modl.hidden: [[1]]"], "12: modl: unknown key; did you mean 'model'? (legal: mode, data, model"),
        (["steps.more: [1]"], "12: steps.more: does not exist: steps is 3, which has no keys"),
        (
            ["updates.2: [null]"],
            "12: updates.2: does not exist: updates is a list of 2 without item 2; add a null",
        ),
        (
            ["updates.x.limit: [1]"],
            "12: updates.x.limit: does not exist: updates is a list of 2 without item x",
        ),
        (["updates.1.limit: [1]"], "12: updates.1.limit: unknown key (legal: learning_rate, optimizer)"),
        (["updates.0.limit: [1, 0]"], "12: updates.0.limit: is 0, must be more than 0"),
        (["updates.0.limit: [1, x]"], '12: updates.0.limit: is "x", must be a number'),
        (["updates.0.limit: {range: [-1, 3]}"], "12: updates.0.limit: is -1, must be more than 0"),
        (["seed: [0.5]"], "12: seed: is 0.5, must be a whole number"),
        (
            ["seed: {range: 100000000000000000000}"],
            "12: sweep.0.seed.range: is 100000000000000000000, must lie from -2^63 to 2^63 - 1",
        ),
        (["seed: {range: [-2, 2]}"], "12: seed: is -2, must be at least 0"),
        (["{samples: 9, seed: {uniform: [0, 1]}}"], "12: seed: is 0.9215524558, must be a whole number"),
        (["{samples: 9, updates.0.limit: {normal: [0, 1]}}"], "12: updates.0.limit: is -"),
        (
            ["{samples: 9, updates.0.limit: {choice: [1, 0]}}"],
            "12: updates.0.limit: is 0, must be more than 0",
        ),
        (["seed: [{label: a, value: -1}]"], "12: seed: is -1, must be at least 0"),
        (["batch.size: [4, 99]"], "12: batch.size: is 99, must be at most the 16 rows of the training part"),
    ],
)
def test_item_that_cannot_be_is_refused_with_its_line(items: list[str], expected: str) -> None:
    assert faults(*items)[0].startswith(expected)


def test_faults_of_head_base_items_and_values_are_reported_at_once() -> None:
    found = faults(
        "seed: [1, 1]",
        "data.depth: [1]",
        "cases: {a: {steps: ten}}",
        base=NETWORK.replace("limit: 1.0", "limit: -1.0").replace("name: small", "name: a/b"),
    )
    assert [text.partition(" (")[0] for text in found] == [
        '1: name: is "a/b", must be a plain name',
        "8: updates.0.limit: is -1.0, must be more than 0",
        "12: sweep.0.seed.1: 1 is listed twice",
        "13: data.depth: unknown key",
        '14: steps: is "ten", must be a whole number',
    ]


def test_faults_between_parts_are_reported_beside_those_of_single_values() -> None:
    """Checks between members run on those without faults."""
    base = NETWORK.replace("steps: 3", "steps: ten").replace("shards: 2", "shards: 2}\n  seed: {")
    found = faults(
        base=base.replace("loss: binary-cross-entropy", "loss: hinge").replace("size: 4", "size: 99")
    )
    assert [text.partition(";")[0] for text in found] == [
        "5: loss: hinge needs output: tanh, linear or relu or a circuit's expectation value",
        "10: batch.size: is 99, must be at most the 16 rows of the training part",
        "11: seed: is {}, must be a whole number",
        '12: steps: is "ten", must be a whole number',
    ]


def test_fault_of_many_values_is_listed_ten_times() -> None:
    found = faults("steps: {range: [-50, 0]}")
    assert len(found) == 11
    assert found[-1] == "12: steps: … and 40 more like this"


def test_equal_values_compare_equal_whatever_their_spelling() -> None:
    assert comparison_key(1) == comparison_key(1.0) == comparison_key({"label": "one", "value": 1})
    assert comparison_key({"a": 1, "b": 2}) == comparison_key({"b": 2, "a": 1})
    assert len({comparison_key(value) for value in (1, True, "1", "true", None, [1])}) == 6
