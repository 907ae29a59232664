"""Sampled values depend on sampling seed, path and number alone, whatever else is sampled."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweeps import columns, plan, read, swept

from orchestrator.streams import philox
from orchestrator.sweep.draws import Draws, distinct, distribution

FIXED = settings(deadline=None, derandomize=True)
DISTRIBUTIONS: list[dict[str, list[Any]]] = [
    {"uniform": [-2.0, 3.0]},
    {"log_uniform": [1e-4, 1e-1]},
    {"normal": [5.0, 2.0]},
    {"integers": [1, 9]},
    {"choice": ["a", "b", "c"]},
]


def draws(spec: dict[str, Any], count: int, path: str = "x", seed: int = 0) -> Draws:
    return Draws(path, seed, count, distribution(spec)[0])


# --- which numbers


@pytest.mark.parametrize(
    ("spec", "golden"),
    [
        ({"uniform": [0, 1]}, [0.01949072703, 0.4243400948, 0.2771708292, 0.6813278336]),
        ({"log_uniform": [1e-4, 1e-1]}, [0.000114412159, 0.001875082084, 0.000678441628, 0.01106581743]),
        ({"normal": [0, 1]}, [0.1343615859, -0.4355184102, -0.5609400263, 0.5372872955]),
        ({"integers": [1, 9]}, [1, 4, 3, 7]),
        ({"choice": ["a", "b", "c"]}, ["a", "b", "a", "c"]),
    ],
)
def test_draws_are_those_that_were_always_drawn(spec: dict[str, Any], golden: list[Any]) -> None:
    """Computed once by a Philox in Python integers, which reproduces Random123's known answers."""
    assert list(draws(spec, 4, "updates.1.learning_rate")) == golden


@pytest.mark.parametrize("number", [0, 1, 511, 512, 1000, 2**32 - 1, 2**32, 2**40 + 3])
def test_draw_is_philox_of_sampling_seed_path_and_number(number: int) -> None:
    """The rule, spelled out for one draw: 53 high bits of the first two words."""
    digest = hashlib.sha256(b"model.layers").digest()
    path = (int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big"))
    words = philox((number % 2**32, number // 2**32, *path), 7).tolist()
    uniform = ((words[0] << 32 | words[1]) >> 11) / 2**53
    found = draws({"uniform": [0, 1]}, 2**50, "model.layers", seed=7)[number]
    assert found == float(f"{uniform:.10g}")


@pytest.mark.parametrize("spec", DISTRIBUTIONS, ids=lambda spec: next(iter(spec)))
def test_more_samples_begin_with_the_fewer(spec: dict[str, Any]) -> None:
    assert list(draws(spec, 1000))[:20] == list(draws(spec, 20))


def test_draws_depend_on_the_path_and_the_sampling_seed() -> None:
    spec = {"uniform": [0, 1]}
    assert set(draws(spec, 50)).isdisjoint(draws(spec, 50, path="y"))
    assert set(draws(spec, 50)).isdisjoint(draws(spec, 50, seed=1))


def test_draws_behave_as_a_sequence() -> None:
    found = draws({"integers": [0, 99]}, 600)
    assert len(found) == len(list(found)) == 600
    assert found[2:600:200] == [found[2], found[202], found[402]]
    for beyond in (600, -1):
        with pytest.raises(IndexError):
            found[beyond]


# --- in a sweep


RATE = "updates.1.learning_rate: {log_uniform: [1e-4, 1e-1]}"
LIMIT = "updates.0.limit: {uniform: [0.5, 2]}"


def drawn(*items: str, key: str) -> list[Any]:
    """The values of a key in order, without repeats."""
    found = plan(*items)
    column = found.keys.index(key)
    return list(dict.fromkeys(row[column] for row in columns(found)))


def test_other_axes_change_nothing_of_what_was_drawn() -> None:
    key = "updates.1.learning_rate"
    alone = drawn(f"{{samples: 5, {RATE}}}", key=key)
    assert drawn(f"{{samples: 5, {LIMIT}, {RATE}}}", key=key) == alone
    assert drawn("model.hidden: [[1], [2]]", f"{{samples: 5, {RATE}}}", "seed: [0, 1]", key=key) == alone
    assert drawn(f"cases: {{a: {{sweep: [{{samples: 5, {RATE}}}]}}}}", key=key) == alone
    assert drawn(f"{{samples: 9, {RATE}}}", key=key)[:5] == alone


def test_keys_of_one_item_are_drawn_jointly() -> None:
    assert plan(f"{{samples: 7, {RATE}, {LIMIT}}}").count == 7


def test_sampling_seed_is_zero_if_left_out() -> None:
    text = f"{{samples: 3, {RATE}}}"
    assert columns(read(swept(text), "sampling_seed=0").plan) == columns(plan(text))
    assert columns(read(swept(text), "sampling_seed=1").plan) != columns(plan(text))


def test_joint_draw_that_came_before_is_left_out() -> None:
    """Values of 10 digits repeat, so a sweep of many samples would hold trials twice."""
    narrow = "{samples: 2000, updates.0.limit: {uniform: [1, 1.0000001]}}"  # 1001 different values
    assert len(set(columns(plan(narrow)))) == plan(narrow).count < 1001
    assert plan("{samples: 60, seed: {integers: [1, 3]}, model.hidden: {choice: [[1], [2]]}}").count == 6
    joint = "{samples: 60, updates.0.limit: {uniform: [1, 2]}, seed: {integers: [1, 3]}}"
    assert plan(joint).count == 60


# --- values


@FIXED
@given(st.sampled_from(DISTRIBUTIONS[:3]), st.integers(0, 2**40), st.integers(0, 2**63 - 1))
def test_continuous_value_has_ten_significant_digits(spec: dict[str, Any], number: int, seed: int) -> None:
    value = draws(spec, 2**41, seed=seed)[number]
    assert value == float(f"{value:.10g}")


@FIXED
@given(st.sampled_from(["uniform", "log_uniform", "integers"]), st.integers(0, 999), st.data())
def test_value_lies_between_the_bounds_that_were_checked(name: str, number: int, data: st.DataObject) -> None:
    numbers = st.integers(-(2**62), 2**62) if name == "integers" else st.floats(-1e299, 1e299)
    if name == "log_uniform":
        numbers = st.floats(1e-300, 1e299)
    low, high = sorted(data.draw(st.lists(numbers, min_size=2, max_size=2, unique=True)))
    transform, bounds = distribution({name: [low, high]})
    assert bounds[0] <= Draws("x", 0, 1000, transform)[number] <= bounds[-1]


@pytest.mark.parametrize("edge", [0.0, 1.0 - 2.0**-53])
def test_extreme_uniform_numbers_give_legal_values(edge: float) -> None:
    for spec, (low, high) in (
        ({"uniform": [0, 1]}, (0, 1)),
        ({"log_uniform": [1e-300, 1e299]}, (1e-300, 1e299)),
    ):
        assert low <= distribution(spec)[0](edge, edge) <= high
    assert distribution({"integers": [0, 2**62]})[0](edge, edge) <= 2**62
    assert distribution({"choice": [1, 2, 3]})[0](edge, edge) in (1, 3)
    assert math.isfinite(distribution({"normal": [0, 1]})[0](edge, edge))


@pytest.mark.parametrize(
    ("spec", "mean", "deviation"),
    [
        ({"uniform": [0, 1]}, 0.5, math.sqrt(1 / 12)),
        ({"normal": [5, 2]}, 5.0, 2.0),
        ({"integers": [1, 9]}, 5.0, math.sqrt(80 / 12)),
    ],
)
def test_moments_are_those_of_the_distribution(spec: dict[str, Any], mean: float, deviation: float) -> None:
    values = list(draws(spec, 4000))
    error = deviation / math.sqrt(len(values))
    assert abs(math.fsum(values) / len(values) - mean) < 5 * error
    spread = math.fsum((value - mean) ** 2 for value in values) / len(values)
    # the variance of x² is at most 2σ⁴, a normal's, so 5 standard errors are at most 5 sqrt(2/N) σ²
    assert abs(spread / deviation**2 - 1) < 5 * math.sqrt(2 / len(values))


def test_log_uniform_gives_every_decade_its_share() -> None:
    values = list(draws({"log_uniform": [1e-4, 1e-1]}, 3000))
    for decade in (-4, -3, -2):
        share = sum(10.0**decade <= value < 10.0 ** (decade + 1) for value in values) / len(values)
        assert abs(share - 1 / 3) < 5 * math.sqrt(2 / 9 / len(values))  # 5 standard errors of a share of 1/3


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (3, "is 3; a sampled key needs one of uniform, log_uniform, normal, integers, choice"),
        ([1, 2], "is [1, 2]; a sampled key needs one of uniform"),
        ({"uniform": [0, 1], "normal": [0, 1]}, "a sampled key needs one of uniform"),
        ({"unifrm": [0, 1]}, "unknown distribution 'unifrm'; did you mean 'uniform'? (legal: uniform"),
        ({"uniform": 3}, "uniform needs a list, got 3"),
        ({"choice": []}, "choice needs a list, got []"),
        ({"uniform": [0]}, "uniform needs two numbers, got [0]"),
        ({"uniform": [0, "1"]}, 'uniform needs two numbers, got [0, "1"]'),
        ({"uniform": [0, True]}, "uniform needs two numbers, got [0, true]"),
        ({"uniform": [0, math.inf]}, "uniform needs two numbers, got [0, Infinity]"),
        ({"uniform": [0, 10**400]}, "uniform needs two numbers, got [0, 1000"),
        ({"uniform": [1, 1]}, "uniform needs [low, high] with low < high, got [1, 1]"),
        ({"log_uniform": [0, 1]}, "log_uniform needs [low, high] with 0 < low < high, got [0, 1]"),
        ({"normal": [0, 0]}, "normal needs [mean, standard deviation] with a positive one, got [0, 0]"),
        ({"integers": [0, 1.5]}, "integers needs whole numbers [low, high], both included, got [0, 1.5]"),
        ({"integers": [2, 1]}, "integers needs whole numbers [low, high], both included, got [2, 1]"),
    ],
)
def test_distribution_that_cannot_be_says_what_could(spec: Any, expected: str) -> None:
    with pytest.raises(ValueError) as caught:
        distribution(spec)
    assert expected in str(caught.value)


# --- repeats


@FIXED
@given(st.lists(st.tuples(st.integers(-2, 2), st.sampled_from(["a", "b"])), min_size=1, max_size=40))
def test_distinct_keeps_the_first_of_equal_rows(rows: list[tuple[int, str]]) -> None:
    """-1 and -2 have one hash in Python: rows of equal hash need not be equal."""
    found = distinct(list(zip(*rows, strict=True)), lambda value: value)
    assert [rows[position] for position in found] == list(dict.fromkeys(rows))
    assert list(found) == sorted(found)
