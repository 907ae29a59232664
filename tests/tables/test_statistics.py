"""Gradient statistics: closed forms, a slow reference, and bits that do not depend on other rows."""

from __future__ import annotations

import itertools
import math
import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from orchestrator.groups import Array, Group
from orchestrator.tables.rowwise import _LONGEST as LONGEST
from orchestrator.tables.schema import BINS, GRADIENTS, LOWEST_EXPONENT, STEPS
from orchestrator.tables.statistics import TINY, Recorded, group_statistics, step_statistics

QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
NOT_FOR_SIGNALS = {"clipped_l2", "fraction_clipped", "fraction_tiny", "shot_variance", "snr"}
NOT_FOR_SIGNALS |= {"update_l2", "parameter_l2", "cosine_previous"}


def recorded(gradient: Any, **known: Any) -> Recorded:
    """Rows with these gradients; without clip, update, shots and signal, of one sample, unless ``known``."""
    gradient = np.atleast_2d(np.asarray(gradient, np.float64))
    rows, zero = len(gradient), np.zeros_like(gradient)
    with np.errstate(over="ignore"):
        square = gradient**2
    plain: dict[str, Any] = {
        "gradient": gradient,
        "clipped": None,
        "update": zero,
        "parameters": zero,
        "previous": None,
        "square": square,
        "noise": None,
        "noise_first": None,
        "weight_square": np.ones(rows),
        "signal": None,
        "signal_square": None,
    }
    return Recorded(**(plain | known))


def from_samples(samples: Array, weights: Array) -> Recorded:
    """Rows from per-sample gradients [N, B, P] and weights [N, B]."""
    gradient = np.einsum("nb,nbp->np", weights, samples)
    square = np.einsum("nb,nbp->np", weights, samples**2)
    return recorded(gradient, square=square, weight_square=(weights**2).sum(1))


def all_live(parameters: int) -> NDArray[np.bool_]:
    return np.zeros(parameters, bool)


def of_steps(rows: Recorded, training_square: float | None = 0.0) -> dict[str, Array]:
    """Statistics of rows drawn from a training part, by default an infinite one."""
    return step_statistics(rows, all_live(rows.gradient.shape[1]), training_square)


def of_whole(rows: Recorded, histogram: bool = False) -> dict[str, NDArray[Any]]:
    """Statistics of the group that holds all parameters, [N]."""
    parameters = rows.gradient.shape[1]
    table = group_statistics(rows, [Group("all", 0, parameters, 0)], [], all_live(parameters), histogram)
    return {name: values[:, 0] for name, values in table.items()}


# The tables


def test_names_are_those_of_the_schema() -> None:
    identifiers = {"trial", "step", "group", "kind", "depth"}
    assert of_whole(recorded([1.0]), True).keys() == {column.name for column in GRADIENTS} - identifiers
    assert of_steps(recorded([1.0])).keys() < {c.name for c in STEPS if c.type == "float64"}


def test_histogram_is_left_out_unless_requested() -> None:
    assert "histogram" not in of_whole(recorded([1.0]))


def test_groups_come_first_and_signals_after_them() -> None:
    rows = recorded([[1.0, 2.0, 3.0]], signal=np.array([[5.0]]), signal_square=np.array([[25.0]]))
    groups = [Group("last", 2, 3, 1), Group("all", 0, 3, 0)]
    table = group_statistics(rows, groups, [Group("units", 0, 1, 0, "signal")], all_live(3), False)
    assert table["l1"].tolist() == [[3.0, 6.0, 5.0]]
    assert table["parameters"].tolist() == [[1, 3, 1]]
    assert table["parameters"].dtype == np.int64


def test_no_rows_and_no_groups_give_empty_tables() -> None:
    rows = recorded(np.zeros((0, 2)))
    assert of_steps(rows)["gradient_norm"].shape == (0,)
    assert of_whole(rows, True)["histogram"].shape == (0, BINS)
    assert group_statistics(recorded([1.0]), [], [], all_live(1), True)["histogram"].shape == (1, 0, BINS)


# Norms, clips, cosines


def test_norms_and_clip_scale_are_those_of_a_3_4_5_triangle() -> None:
    rows = recorded([3.0, 4.0], clipped=np.array([[0.75, 1.0]]), update=np.array([[0.0, 2.0]]))
    steps = of_steps(replace(rows, parameters=np.array([[6.0, 8.0]])))
    names = ("gradient_norm", "clipped_norm", "clip_scale", "update_norm", "parameter_norm")
    assert [steps[name].item() for name in names] == [5.0, 1.25, 0.25, 2.0, 10.0]


def test_clip_scale_of_a_zero_gradient_is_undefined() -> None:
    assert np.isnan(of_steps(recorded([0.0, 0.0]))["clip_scale"])


@pytest.mark.parametrize(
    ("gradient", "clipped", "share"),
    [
        ([1.0, -4.0, 0.5, 2.0], [1.0, -2.0, 0.5, 2.0], 0.25),
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([math.nan, 4.0], [math.nan, 2.0], 0.5),  # a NaN that passes a clip is not changed
        ([math.inf, 1.0], [2.0, 1.0], 0.5),
    ],
)
def test_fraction_clipped_counts_changed_components(
    gradient: list[float], clipped: list[float], share: float
) -> None:
    assert of_whole(recorded(gradient, clipped=np.array([clipped])))["fraction_clipped"] == share


@pytest.mark.parametrize(
    ("previous", "cosine"),
    [
        ([2.0, 0.0], 1.0),
        ([-3.0, 0.0], -1.0),
        ([0.0, 1.0], 0.0),
        ([0.0, 0.0], math.nan),
        ([math.nan, math.nan], math.nan),
        (None, math.nan),
    ],
)
def test_cosine_previous_is_the_cosine_of_both_gradients(previous: list[float] | None, cosine: float) -> None:
    rows = recorded([1.0, 0.0], previous=None if previous is None else np.array([previous]))
    np.testing.assert_array_equal(of_steps(rows)["cosine_previous"], [cosine])
    np.testing.assert_array_equal(of_whole(rows)["cosine_previous"], [cosine])


def test_cosine_previous_stays_within_one() -> None:
    gradient = np.random.default_rng(0).normal(size=(1000, 7))
    cosine = of_steps(recorded(gradient, previous=gradient * 3.0))["cosine_previous"]
    assert cosine.max() <= 1.0
    np.testing.assert_allclose(cosine, 1.0, rtol=1e-15)  # a few roundings


def test_probe_has_no_update() -> None:
    rows = recorded([1.0, 2.0], update=None)
    assert np.isnan(of_steps(rows)["update_norm"])
    assert np.isnan(of_whole(rows)["update_l2"])


# Components


@pytest.mark.parametrize("size", [LONGEST, LONGEST + 1, LONGEST + 2])
def test_sums_over_rows_of_any_length_are_correct(size: int) -> None:
    """Long rows are summed by NumPy, short ones as dot products."""
    gradient, previous = np.random.default_rng(size).normal(size=(2, 1, size))
    group = of_whole(recorded(gradient, previous=previous))
    g, p = gradient[0].tolist(), previous[0].tolist()
    square, before = math.fsum(x * x for x in g), math.fsum(x * x for x in p)
    expected = {
        "mean": math.fsum(g) / size,
        "l1": math.fsum(map(abs, g)),
        "l2": math.sqrt(square),
        "cosine_previous": math.fsum(x * y for x, y in zip(g, p, strict=True)) / math.sqrt(square * before),
    }
    for name, value in expected.items():
        # some roundings of sums of 8,000 terms of order 1, whose own sum is of order 100
        np.testing.assert_allclose(group[name], value, rtol=1e-12, atol=1e-15, err_msg=name)


def test_std_of_nearly_equal_components_keeps_its_digits() -> None:
    assert of_whole(recorded([1e9 + 1, 1e9 + 3]))["std"] == 1.0


@pytest.mark.parametrize("size", [1, 2, 3, 20, 101])
def test_quantiles_equal_those_of_numpy(size: int) -> None:
    gradient = np.random.default_rng(size).normal(size=(5, size))
    group = of_whole(recorded(gradient))
    for name, share in QUANTILES.items():
        # Both interpolate between the same neighbours, with operations in another order.
        np.testing.assert_allclose(group[name], np.quantile(np.abs(gradient), share, axis=1), rtol=1e-15)


def test_quantiles_of_infinite_components_are_infinite_and_of_nan_undefined() -> None:
    group = of_whole(recorded([[1.0, 2.0, np.inf, np.inf, -np.inf], [1.0, 2.0, 3.0, 4.0, np.nan]]))
    np.testing.assert_array_equal(group["q25"], [2.0, np.nan])
    np.testing.assert_array_equal(group["q50"], [np.inf, np.nan])
    np.testing.assert_array_equal(group["q95"], [np.inf, np.nan])


def test_fractions_count_zero_tiny_and_nonfinite_components() -> None:
    group = of_whole(recorded([[0.0, -0.0, 1.0, 0.9 * TINY], [np.nan, np.inf, -np.inf, 0.0]]))
    assert group["fraction_zero"].tolist() == [0.5, 0.25]
    assert group["fraction_nonfinite"].tolist() == [0.0, 0.75]
    np.testing.assert_array_equal(group["fraction_tiny"], [0.75, np.nan])


def test_fraction_tiny_compares_with_the_whole_gradient() -> None:
    gradient = [1.0, 0.5 * TINY, 2.0 * TINY]
    groups = [Group("first", 0, 1, 0), Group("rest", 1, 3, 1)]
    table = group_statistics(recorded(gradient), groups, [], all_live(3), False)
    assert table["fraction_tiny"].tolist() == [[0.0, 0.5]]


@pytest.mark.parametrize(
    ("gradient", "noise", "tiny"),
    [
        (1.0, 4.0, 1.0),
        (-1.0, 0.25, 0.0),
        (2.0, 4.0, 1.0),
        (0.0, 0.0, 1.0),  # no shot saw an event
        (1.0, 0.0, 0.0),  # every shot saw an event
        (1.0, -0.5, 0.0),  # an estimated variance may be negative
        (0.0, -0.5, 1.0),
        (1.0, math.inf, math.nan),
        (1.0, math.nan, math.nan),
    ],
)
def test_fraction_tiny_with_shots_compares_with_the_standard_error(
    gradient: float, noise: float, tiny: float
) -> None:
    rows = recorded([gradient], noise=np.array([[noise]]))
    np.testing.assert_array_equal(of_whole(rows)["fraction_tiny"], tiny)


def edge(exponent: int) -> float:
    return math.ldexp(1.0, exponent)


@pytest.mark.parametrize(
    ("value", "index"),
    [
        (5e-324, 0),
        (edge(LOWEST_EXPONENT), 0),
        (math.nextafter(edge(LOWEST_EXPONENT + 1), 0.0), 0),
        (edge(LOWEST_EXPONENT + 1), 1),
        (-1.0, -LOWEST_EXPONENT),
        (math.nextafter(1.0, 0.0), -LOWEST_EXPONENT - 1),
        (math.nextafter(edge(LOWEST_EXPONENT + BINS - 1), 0.0), BINS - 2),
        (edge(LOWEST_EXPONENT + BINS - 1), BINS - 1),
        (1.7e308, BINS - 1),
        (0.0, None),
        (-0.0, None),
        (math.inf, None),
        (math.nan, None),
    ],
)
def test_histogram_bin_of_a_value_follows_its_exponent(value: float, index: int | None) -> None:
    counts = of_whole(recorded([value]), True)["histogram"][0]
    assert counts.dtype == np.int64
    assert np.flatnonzero(counts).tolist() == ([] if index is None else [index])
    assert counts.sum() == (0 if index is None else 1)


# Noise


def test_sample_variance_of_equal_weights_is_that_of_numpy() -> None:
    samples = np.random.default_rng(1).normal(size=(3, 8, 5))
    rows = from_samples(samples, np.full((3, 8), 1 / 8))
    expected = samples.var(axis=1, ddof=1)
    # A difference of two sums of eight terms: some roundings of size eps.
    np.testing.assert_allclose(of_whole(rows)["sample_variance"], expected.mean(1), rtol=1e-13)
    np.testing.assert_allclose(of_steps(rows)["noise_trace"], expected.sum(1), rtol=1e-13)


@pytest.mark.parametrize("size", [2, 3, 7, 8])
def test_noise_trace_and_signal_square_are_unbiased_over_all_mini_batches(size: int) -> None:
    population = np.random.default_rng(2).normal(size=(8, 3))
    batches = population[np.array(list(itertools.combinations(range(8), size)))]
    steps = of_steps(from_samples(batches, np.full(batches.shape[:2], 1 / size)), 1 / 8)
    # Means of up to 70 terms of order 1, which may cancel.
    np.testing.assert_allclose(steps["noise_trace"].mean(), population.var(axis=0, ddof=1).sum(), atol=1e-13)
    np.testing.assert_allclose(steps["signal_square"].mean(), (population.mean(0) ** 2).sum(), atol=1e-14)


def test_signal_square_of_independent_samples_is_unbiased_with_any_weights() -> None:
    population = np.random.default_rng(2).normal(size=(4, 3))
    batches = population[np.array(list(itertools.product(range(4), repeat=3)))]  # with replacement
    weights = np.broadcast_to([0.5, 0.25, 0.25], batches.shape[:2])
    steps = of_steps(from_samples(batches, weights))
    # Means of 64 terms of order 1, which may cancel.
    np.testing.assert_allclose(steps["noise_trace"].mean(), population.var(axis=0).sum(), atol=1e-14)
    np.testing.assert_allclose(steps["signal_square"].mean(), (population.mean(0) ** 2).sum(), atol=1e-14)


def test_signal_square_of_the_whole_training_part_is_the_squared_norm_with_any_weights() -> None:
    rng = np.random.default_rng(4)
    weights = rng.random((1, 6))
    weights /= weights.sum()
    steps = of_steps(from_samples(rng.normal(size=(1, 6, 3)), weights), (weights**2).sum())
    np.testing.assert_array_equal(steps["signal_square"], steps["gradient_norm"] ** 2)


def test_signal_square_of_a_training_part_of_one_sample_subtracts_shot_noise_only() -> None:
    steps = of_steps(recorded([3.0, 4.0], noise=np.array([[2.0, 1.0]]), noise_first=np.ones((1, 2))), 1.0)
    assert steps["signal_square"] == 22.0
    assert np.isnan(steps["noise_trace"])


def test_signal_square_is_undefined_if_gradients_scatter_for_other_reasons() -> None:
    rows = from_samples(np.ones((2, 3, 4)), np.full((2, 3), 1 / 3))
    assert np.isnan(of_steps(rows, None)["signal_square"]).all()
    assert not np.isnan(of_steps(rows, None)["noise_trace"]).any()


def test_variances_of_one_sample_are_undefined() -> None:
    rows = recorded([1.0, 2.0], signal=np.array([[1.0]]), signal_square=np.array([[1.0]]))
    # Roundings may differ between the two sums, and must not be divided by 0.
    rows = replace(rows, square=np.nextafter(rows.square, 9.0))
    steps = of_steps(rows)
    assert np.isnan([steps["noise_trace"], steps["signal_square"]]).all()
    table = group_statistics(rows, [Group("g", 0, 2, 0)], [Group("s", 0, 1, 0, "signal")], all_live(2), False)
    assert np.isnan(table["sample_variance"]).all()


def test_sample_variance_subtracts_shot_noise_per_component_down_to_zero() -> None:
    rows = recorded(
        [1.0, 1.0],
        square=np.array([[2.0, 2.0]]),  # (2 − 1)/(1 − ½) = 2 in each
        weight_square=np.array([0.5]),
        noise=np.array([[0.25, 3.5]]),
        noise_first=np.array([[0.5, 7.0]]),
    )
    assert of_whole(rows)["sample_variance"] == 0.75  # the mean of 1.5 and 0
    assert of_steps(rows)["noise_trace"] == 1.5 - 5.0  # 0 would bias the sum


def test_noise_trace_subtracts_shot_noise_with_any_weights() -> None:
    """Two samples of equal gradient, p = 0.9 and 0.1: shots err by ±1 on the first, not on the second."""
    errors = np.array([[1.0, 0.0], [-1.0, 0.0]])
    rows = from_samples(3.0 + errors[..., None], np.tile([0.9, 0.1], (2, 1)))
    # v = 1 and 0: Σ p_i² v_i = 0.81, Σ p_i v_i = 0.9
    rows = replace(rows, noise=np.full((2, 1), 0.81), noise_first=np.full((2, 1), 0.9))
    np.testing.assert_allclose(of_steps(rows)["noise_trace"].mean(), 0.0, atol=1e-14)  # squares of 3


def test_signal_square_subtracts_shot_noise() -> None:
    rows = recorded(
        [3.0, 4.0],
        square=np.array([[9.0, 16.0]]),
        weight_square=np.array([0.5]),
        noise=np.array([[2.0, 1.0]]),
    )
    assert of_steps(rows)["signal_square"] == 25.0 - 3.0


def test_snr_compares_the_gradient_with_its_shot_noise() -> None:
    noise = np.array([[2.0, 3.0], [16.0, 16.0]])
    group = of_whole(recorded([[3.0, 4.0], [3.0, 4.0]], noise=noise))
    assert group["shot_variance"].tolist() == [2.5, 16.0]
    assert group["snr"].tolist() == [2.0, 0.0]  # sqrt((25 − 5)/5); less signal than noise


def test_exact_gradients_have_no_snr_and_no_shot_variance() -> None:
    group = of_whole(recorded([3.0, 1.0]))
    assert np.isnan([group["snr"], group["shot_variance"]]).all()


def test_statistics_of_second_moments_are_undefined_without_them() -> None:
    units = {"signal": np.array([[1.0]]), "signal_square": np.array([[4.0]])}
    rows = recorded([3.0, 4.0], square=None, weight_square=None, **units)
    steps = of_steps(rows)
    assert steps["gradient_norm"] == 5.0
    assert np.isnan([steps["noise_trace"], steps["signal_square"]]).all()
    table = group_statistics(rows, [Group("g", 0, 2, 0)], [Group("s", 0, 1, 0, "signal")], all_live(2), False)
    assert table["l2"].tolist() == [[5.0, 2.0]]
    assert np.isnan(table["sample_variance"]).all()


def test_noise_trace_without_second_moments_is_undefined_for_dead_gradients_too() -> None:
    rows = recorded([3.0, 4.0], square=None, weight_square=None)
    assert np.isnan(step_statistics(rows, np.ones(2, bool), 0.0)["noise_trace"])


# Signals


def test_signal_units_are_root_mean_squares_over_the_mini_batch() -> None:
    delta = np.array([[3.0, -1.0], [-3.0, 2.0]])  # [sample, unit]
    weights = np.array([0.75, 0.25])
    rows = recorded(
        [1.0],
        weight_square=np.array([0.625]),
        signal=(weights @ delta)[None],
        signal_square=(weights @ delta**2)[None],
    )
    table = group_statistics(rows, [], [Group("layer", 0, 2, 0, "signal")], all_live(1), False)
    signal = {name: values.item() for name, values in table.items()}
    assert signal["linf"] == signal["max"] == 3.0
    assert signal["min"] == pytest.approx(math.sqrt(1.75), rel=1e-15)
    assert signal["l2"] ** 2 == pytest.approx(0.75 * 10 + 0.25 * 13, rel=1e-15)  # Σ p_i |δ_i|²
    # Units: (9 − 1.5²)/0.375 = 18 and (1.75 − 0.25²)/0.375 = 4.5
    assert signal["sample_variance"] == pytest.approx(11.25, rel=1e-15)
    assert {name for name, value in signal.items() if math.isnan(value)} == NOT_FOR_SIGNALS


# Dead parameters


def test_dead_parameters_are_left_out() -> None:
    rng = np.random.default_rng(3)
    full = recorded(
        rng.normal(size=(4, 6)), parameters=rng.normal(size=(4, 6)), weight_square=np.full(4, 0.1)
    )
    full = replace(full, square=full.gradient**2 + 1.0, previous=rng.normal(size=(4, 6)), noise=full.square)
    dead = np.array([False, True, False, True, False, False])
    full.gradient[:, dead] = 1e20  # not zero, so that a result shows it if it is not left out
    kept = select_columns(full, ~dead)
    for name, values in step_statistics(full, dead, 0.01).items():
        np.testing.assert_array_equal(values, of_steps(kept, 0.01)[name], name)
    table = group_statistics(full, [Group("all", 0, 6, 0)], [], dead, True)
    for name, values in of_whole(kept, True).items():
        np.testing.assert_array_equal(table[name][:, 0], values, name)


def test_dead_parameters_do_not_make_others_tiny() -> None:
    dead = np.array([False, True, False])
    rows = recorded([1.0, 1e20, 1e-3])
    table = group_statistics(rows, [Group("all", 0, 3, 0)], [], dead, False)
    assert table["fraction_tiny"].tolist() == [[0.0]]


def select_columns(rows: Recorded, keep: NDArray[np.bool_]) -> Recorded:
    names = ("gradient", "clipped", "update", "parameters", "previous", "square", "noise", "noise_first")
    known = {name: getattr(rows, name) for name in names if getattr(rows, name) is not None}
    return replace(rows, **{name: np.ascontiguousarray(values[:, keep]) for name, values in known.items()})


def test_wholly_dead_group_has_no_parameters_and_no_statistics() -> None:
    groups = [Group("dead", 0, 2, 0), Group("live", 2, 3, 1)]
    dead = np.array([True, True, False])
    table = group_statistics(recorded([0.0, 0.0, 2.0]), groups, [], dead, True)
    assert table.pop("parameters").tolist() == [[0, 1]]
    assert table.pop("histogram").sum(-1).tolist() == [[0, 1]]
    assert all(np.isnan(values[0, 0]) for values in table.values())
    assert table["l2"][0, 1] == 2.0


# Non-finite values


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e200, 5e-324])
def test_extreme_gradients_neither_raise_nor_warn(value: float) -> None:
    gradient = np.array([[value, 1.0, value], [value, value, value], [1.0, 2.0, 3.0]])
    rows = recorded(gradient, previous=gradient, weight_square=np.full(3, 0.5))
    steps, group = of_steps(rows), of_whole(rows, True)
    assert steps["gradient_norm"][2] == group["l2"][2] == math.sqrt(14.0)
    assert group["fraction_nonfinite"].tolist() == ([0, 0, 0] if math.isfinite(value) else [2 / 3, 1, 0])


# A slow reference: one group of one row in plain Python, variances from the samples themselves

THOUSANDTHS = st.integers(-8000, 8000).map(lambda value: value / 1000)  # no squares that underflow
ORDINARY = THOUSANDTHS | st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0**-50, 1e-9, -3e4])
ANY = ORDINARY | st.sampled_from([math.nan, math.inf, -math.inf])


@dataclass(frozen=True)
class Case:
    """Rows, and the per-sample gradients [N, B, P] and weights [N, B] that they come from."""

    rows: Recorded
    samples: Array
    weights: Array


@st.composite
def cases(draw: st.DrawFn, values: st.SearchStrategy[float]) -> Case:
    rows, batch, parameters = (draw(st.integers(1, most)) for most in (3, 4, 7))

    def array(*shape: int, of: st.SearchStrategy[float] = values) -> Array:
        size = math.prod(shape)
        return np.array(draw(st.lists(of, min_size=size, max_size=size))).reshape(shape)

    weights = array(rows, batch, of=st.floats(0.1, 1.0))
    weights /= weights.sum(1, keepdims=True)
    samples = array(rows, batch, parameters)
    with np.errstate(invalid="ignore"):
        summed = from_samples(samples, weights)
    known = {name: array(rows, parameters) for name in ("update", "parameters", "previous")}
    if draw(st.booleans()):
        known["clipped"] = np.clip(summed.gradient, -2.0, 2.0)
    if draw(st.booleans()):
        known["noise"] = array(rows, parameters, of=st.floats(0.1, 2.0))
        known["noise_first"] = array(rows, parameters, of=st.floats(0.1, 2.0))
    return Case(replace(summed, **known), samples, weights)


def norm(values: list[float]) -> float:
    return math.sqrt(sum(value * value for value in values))


def cosine(one: list[float], other: list[float]) -> float:
    norms = norm(one) * norm(other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / norms if norms else math.nan


def snr(l2: float, noise: float) -> float:
    if noise == 0.0 or math.isnan(l2):
        return math.nan
    return math.sqrt(max(0.0, l2 * l2 - noise) / noise)


def extreme(best: Callable[[list[float]], float], values: list[float]) -> float:
    return math.nan if any(map(math.isnan, values)) else best(values)


def quantile(values: list[float], share: float) -> float:
    if any(map(math.isnan, values)):
        return math.nan
    ordered = sorted(values)
    index, rest = divmod(share * (len(values) - 1), 1)
    low, high = ordered[int(index)], ordered[min(int(index) + 1, len(values) - 1)]
    return low if rest == 0 or low == high else low + (high - low) * rest


def variance(samples: list[float], weights: list[float], shot_noise: float) -> float:
    """In two passes: (Σ p (x − mean)² − shot_noise) / (1 − Σ p²)."""
    if len(weights) == 1:
        return math.nan
    mean = sum(p * x for p, x in zip(weights, samples, strict=True))
    spread = sum(p * (x - mean) ** 2 for p, x in zip(weights, samples, strict=True))
    return (spread - shot_noise) / (1.0 - sum(p * p for p in weights))


def added(rows: Recorded, row: int, component: int) -> float:
    """Returns the shot noise in Σ p (x − mean)²."""
    if rows.noise is None or rows.noise_first is None:
        return 0.0
    return float(rows.noise_first[row, component] - rows.noise[row, component])


def reference(case: Case, row: int, chosen: list[int], live: list[int]) -> dict[str, float]:
    """Statistics of the components ``chosen`` of one row; ``live`` are the whole gradient's."""

    def of(name: str, components: list[int] = chosen) -> list[float]:
        return [float(value) for value in getattr(case.rows, name)[row, components]]

    def shots(name: str) -> list[float]:
        return [0.0] * len(chosen) if exact else of(name)

    exact = case.rows.noise is None
    clipped = of("gradient" if case.rows.clipped is None else "clipped")
    g, noise, size = of("gradient"), shots("noise"), len(chosen)
    size_of = [abs(x) for x in g]
    mean, weights = sum(g) / size, case.weights[row].tolist()
    limit = TINY * extreme(max, [abs(x) for x in of("gradient", live)])
    limits = [limit] * size if exact else [math.sqrt(value) for value in noise]
    below = operator.lt if exact else operator.le
    changed = [a != b and not (math.isnan(a) and math.isnan(b)) for a, b in zip(g, clipped, strict=True)]
    samples = case.samples[row, :, chosen].tolist()
    variances = [variance(x, weights, added(case.rows, row, k)) for x, k in zip(samples, chosen, strict=True)]
    return {
        "mean": mean,
        "std": math.sqrt(sum((x - mean) ** 2 for x in g) / size),
        "min": extreme(min, g),
        "max": extreme(max, g),
        "l1": sum(size_of),
        "l2": norm(g),
        "linf": extreme(max, size_of),
        **{name: quantile(size_of, share) for name, share in QUANTILES.items()},
        "fraction_zero": sum(x == 0.0 for x in g) / size,
        "fraction_nonfinite": sum(not math.isfinite(x) for x in g) / size,
        "fraction_tiny": sum(map(below, size_of, limits)) / size + 0.0 * sum(limits),
        "fraction_clipped": sum(changed) / size,
        "clipped_l2": norm(clipped),
        "sample_variance": sum(0.0 if x < 0.0 else x for x in variances) / size,
        "shot_variance": math.nan if exact else sum(noise) / size,
        "snr": snr(norm(g), sum(noise)),
        "update_l2": norm(of("update")),
        "parameter_l2": norm(of("parameters")),
        "cosine_previous": cosine(g, of("previous")),
    }


def reference_histogram(values: list[float]) -> list[int]:
    """Assigns components to bins by comparison with the edges."""
    edges = [math.ldexp(1.0, LOWEST_EXPONENT + k) for k in range(1, BINS)]
    counted = [abs(value) for value in values if value != 0.0 and math.isfinite(value)]
    bins = Counter(sum(value >= edge for edge in edges) for value in counted)
    return [bins[k] for k in range(BINS)]


def rounding(case: Case, row: int, chosen: list[int]) -> dict[str, float]:
    """Size of the terms that may cancel, for statistics in which terms cancel."""
    samples = np.abs(case.samples[row][:, chosen])
    noise = 0.0 if case.rows.noise is None else case.rows.noise[row, chosen].sum()
    largest = samples.max(initial=0.0, where=np.isfinite(samples))
    return {
        "mean": largest,
        "std": largest,
        "cosine_previous": 1.0,
        "sample_variance": 10.0 * largest**2,  # 1/(1 − Σp²) is below 7 for weights of 0.1 to 1
        "snr": len(chosen) * largest**2 / noise if noise else 0.0,
    }


def check_groups(case: Case, dead: NDArray[np.bool_]) -> None:
    rows, count = case.rows, case.rows.gradient.shape[1]
    groups = [Group("all", 0, count, 0), Group("half", count // 2, count, 1), Group("one", 0, 1, 2)]
    table = group_statistics(rows, groups, [], dead, True)
    live = np.flatnonzero(~dead).tolist()
    for row, (index, group) in itertools.product(range(len(rows.gradient)), enumerate(groups)):
        chosen = [k for k in live if group.start <= k < group.stop]
        found = {name: values[row, index] for name, values in table.items()}
        assert found.pop("parameters") == len(chosen)
        assert found.pop("histogram").tolist() == reference_histogram(rows.gradient[row, chosen].tolist())
        if chosen:
            compare(found, reference(case, row, chosen, live), rounding(case, row, chosen))
        else:
            assert np.isnan(list(found.values())).all()


def compare(found: dict[str, float], expected: dict[str, float], scales: dict[str, float]) -> None:
    """Equal up to a few roundings of sums of at most seven terms."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        power = 2 if name == "snr" else 1  # near 0, a square root has half of the digits only
        tolerance = {"rtol": 1e-13, "atol": 1e-14 * scales.get(name, 0.0)}
        np.testing.assert_allclose(found[name] ** power, value**power, **tolerance, err_msg=name)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases(ORDINARY), st.data())
def test_group_statistics_equal_a_slow_reference(case: Case, data: st.DataObject) -> None:
    count = case.rows.gradient.shape[1]
    dead = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    check_groups(case, np.array(dead))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases(ANY))
def test_group_statistics_of_values_that_are_not_finite_equal_a_slow_reference(case: Case) -> None:
    check_groups(case, all_live(case.rows.gradient.shape[1]))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases(ANY))
def test_step_statistics_equal_those_of_a_group_of_all_parameters(case: Case) -> None:
    rows, steps, group = case.rows, of_steps(case.rows, 0.01), of_whole(case.rows)
    pairs = {"gradient_norm": "l2", "clipped_norm": "clipped_l2", "update_norm": "update_l2"}
    pairs |= {"parameter_norm": "parameter_l2", "cosine_previous": "cosine_previous"}
    for name, like in pairs.items():
        np.testing.assert_array_equal(steps[name], group[like], name)
    with np.errstate(all="ignore"):
        scale = np.where(group["l2"] > 0.0, group["clipped_l2"] / group["l2"], np.nan)
        shots = 0.0 if rows.noise is None else group["shot_variance"] * group["parameters"]
        square = group["l2"] ** 2 - steps["noise_trace"] * (rows.weight_square - 0.01) - shots
        size = np.nan_to_num(group["l2"] ** 2 + np.abs(steps["noise_trace"]) + shots, posinf=0.0).max()
    np.testing.assert_array_equal(steps["clip_scale"], scale)
    np.testing.assert_allclose(steps["signal_square"], square, rtol=1e-15, atol=1e-15 * size)  # it may cancel


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases(ORDINARY))
def test_noise_trace_is_the_sum_of_variances_that_are_not_cut_off(case: Case) -> None:
    count = case.rows.gradient.shape[1]
    for row, found in enumerate(of_steps(case.rows)["noise_trace"]):
        variances = [
            variance(case.samples[row, :, k].tolist(), case.weights[row].tolist(), added(case.rows, row, k))
            for k in range(count)
        ]
        # As many roundings as there are terms, of the size of the largest; a variance is up to 10 times that.
        size = 10.0 * count * np.abs(case.samples[row]).max() ** 2
        np.testing.assert_allclose(found, sum(variances), rtol=1e-13, atol=1e-14 * size + 1e-13)


# Bits that do not depend on other rows


def random_rows(rng: np.random.Generator, rows: int, parameters: int, units: int) -> Recorded:
    """Rows of all magnitudes, with some zeros and non-finite values; slices of wider arrays."""

    def array(count: int) -> Array:
        wide = rng.normal(size=(rows, count + 3)) * 10.0 ** rng.integers(-9, 9, size=(rows, 1))
        odd = rng.random(wide.shape) < 0.01
        wide[odd] = rng.choice([0.0, -0.0, np.nan, np.inf, 5e-324], size=odd.sum())
        return wide[:, 1 : count + 1]

    per_parameter = [f.name for f in fields(Recorded)[:8]]
    arrays: dict[str, Array | None] = {name: array(parameters) for name in per_parameter}
    if rng.integers(2):
        arrays |= dict.fromkeys(("clipped", "noise", "noise_first"))
    signals = {name: np.abs(array(units)) for name in ("signal", "signal_square")}
    return Recorded(**arrays, weight_square=rng.random(rows), **signals)


def row_of(rows: Recorded, row: int) -> Recorded:
    arrays = {f.name: values for f in fields(rows) if (values := getattr(rows, f.name)) is not None}
    return replace(rows, **{name: values[row : row + 1].copy() for name, values in arrays.items()})


def bits(table: dict[str, NDArray[Any]], row: int) -> dict[str, bytes]:
    """A row's bytes, with one bit pattern for all NaN, which are stored as null."""
    return {name: np.where(v[row] == v[row], v[row], np.nan).tobytes() for name, v in table.items()}


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    size=st.sampled_from([1, 2, 7, 8, 9, 16, 33, 127, 129, 300]),
    units=st.sampled_from([1, 5, 40]),
    order=st.sampled_from(["C", "F"]),
    some_dead=st.booleans(),
)
@example(seed=0, size=129, units=5, order="F", some_dead=True)
@example(seed=0, size=300, units=40, order="C", some_dead=False)
def test_row_has_the_same_bits_alone_and_among_257(
    seed: int, size: int, units: int, order: Literal["C", "F"], some_dead: bool
) -> None:
    rng = np.random.default_rng(seed)
    together = random_rows(rng, 257, 2 * size, units)
    together = replace(together, gradient=np.array(together.gradient, order=order))
    dead = np.zeros(2 * size, bool)
    dead[: size - 1 : 3] = some_dead
    groups = [Group("first", 0, size, 0), Group("second", size, 2 * size, 1), Group("one", 1, 2, 1)]
    signals = [Group("units", 0, units, 0, "signal")]

    def all_of(rows: Recorded) -> tuple[dict[str, NDArray[Any]], ...]:
        return step_statistics(rows, dead, 0.125), group_statistics(rows, groups, signals, dead, True)

    tables = all_of(together)
    for row in (0, 1, 100, 255, 256):
        alone = all_of(row_of(together, row))
        for one, many in zip(alone, tables, strict=True):
            assert bits(one, 0) == bits(many, row)
