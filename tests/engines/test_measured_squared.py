"""The square of a mean from shots and its variance: expectations summed over all outcomes."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engines.measured.squared import CentralMoments, sign_moments, square_of_mean
from orchestrator.groups import Array


def by_sums(outcomes: list[Fraction]) -> tuple[Fraction, Fraction]:
    """The formulas of the docstring, from raw sums, without rounding."""
    n = len(outcomes)
    s1, s2, s3, s4 = (sum((z**power for z in outcomes), Fraction()) for power in (1, 2, 3, 4))
    square = (s1**2 - s2) / (n * (n - 1))
    fourth = s1**4 - 6 * s1**2 * s2 + 3 * s2**2 + 8 * s1 * s3 - 6 * s4
    return square, square**2 - fourth / (n * (n - 1) * (n - 2) * (n - 3))


@pytest.mark.parametrize("shots", [4, 5, 10, 33])
@pytest.mark.parametrize(("scale", "target"), [(1.0, 1.0), (1.0, -1.0), (0.75, 0.3125), (-0.5, 0.25)])
def test_one_string_gives_the_formulas_of_raw_sums(shots: int, scale: float, target: float) -> None:
    for above in range(shots + 1):
        signs = [1] * above + [-1] * (shots - above)
        expected = by_sums([Fraction(scale) * sign - Fraction(target) for sign in signs])
        mean = (2 * above - shots) / shots
        found = square_of_mean(
            np.array(scale * mean - target), sign_moments(np.array([mean]), np.array([scale])), shots
        )
        np.testing.assert_allclose(found, [float(value) for value in expected], rtol=0.0, atol=1e-14)


def every_count(shots: int, chances: list[float]) -> tuple[Array, Array]:
    """Means of T strings in every possible experiment [E, T], and its probability [E]."""
    counts = np.array(list(itertools.product(range(shots + 1), repeat=len(chances))))
    probability = np.ones(len(counts))
    for count, p in zip(counts.T, chances, strict=True):
        ways = np.array([math.comb(shots, int(k)) for k in count], float)
        probability *= ways * p**count * (1.0 - p) ** (shots - count)
    return (2.0 * counts - shots) / shots, probability


@pytest.mark.parametrize("target", [-1.0, 0.25, 1.0])
@pytest.mark.parametrize(
    ("shots", "chances", "scales"),
    [
        (4, [0.5], [1.0]),
        (4, [0.97], [1.0]),
        (10, [0.03], [1.0]),
        (10, [0.8], [-0.75]),
        (5, [0.2, 0.7], [0.5, -0.5]),
        (10, [0.9, 0.6], [0.75, 0.25]),
        (4, [0.2, 0.7, 0.45], [0.5, -0.25, 0.3]),
        (6, [0.2, 0.7, 1.0], [0.5, -0.25, 0.3]),
    ],
)
def test_both_are_unbiased_for_sums_of_any_number_of_strings(
    shots: int, chances: list[float], scales: list[float], target: float
) -> None:
    means, probability = every_count(shots, chances)
    mean = (means * scales).sum(-1) - target
    square, variance = square_of_mean(mean, sign_moments(means, np.array(scales)), shots)
    exact = [scale * (2.0 * p - 1.0) for scale, p in zip(scales, chances, strict=True)]
    truth = math.fsum([*exact, -target]) ** 2
    # Rounding of the terms, each up to (1 + |target|)^4 = 16 times eps; fsum itself rounds once.
    assert math.fsum(probability * square) == pytest.approx(truth, rel=0.0, abs=1e-14)
    assert math.fsum(probability * variance) == pytest.approx(
        math.fsum(probability * (square - truth) ** 2), rel=0.0, abs=1e-14
    )


def test_outcomes_of_more_than_two_values_are_taken_as_well() -> None:
    """Two samples of four shots: one of three values, as joint samples of several strings give, one of ±1."""
    values, chances = np.array([-1.5, 0.25, 2.0]), np.array([0.2, 0.5, 0.3])
    triples = np.array(list(itertools.product(range(3), repeat=4)))
    signs, weights = every_count(4, [0.7])
    first, second = (array.ravel() for array in np.meshgrid(range(len(triples)), range(len(signs))))
    outcomes = values[triples[first]]
    probability = chances[triples[first]].prod(-1) * weights[second]
    away = outcomes - outcomes.mean(-1, keepdims=True)
    own = sign_moments(signs[second], np.array([0.5]))
    moments = CentralMoments(*(np.stack([(away**r).mean(-1), own[r - 2][:, 0]], axis=-1) for r in (2, 3, 4)))
    mean = outcomes.mean(-1) + 0.5 * signs[second, 0]
    square, variance = square_of_mean(mean, moments, 4)
    truth = float((values * chances).sum() + 0.5 * (2 * 0.7 - 1)) ** 2
    # Terms of up to 2.5^4 = 40, 405 of them.
    assert math.fsum(probability * square) == pytest.approx(truth, abs=1e-13)
    assert math.fsum(probability * variance) == pytest.approx(
        math.fsum(probability * (square - truth) ** 2), abs=1e-13
    )


@given(
    signs=st.lists(st.sampled_from([-1.0, 1.0]), min_size=1, max_size=5),
    shots=st.integers(4, 10_000),
    target=st.floats(-2.0, 2.0),
)
def test_variance_is_exactly_zero_where_no_outcome_scatters(
    signs: list[float], shots: int, target: float
) -> None:
    means, scales = np.array(signs), np.linspace(0.3, -0.7, len(signs))
    mean = np.array((means * scales).sum() - target)
    square, variance = square_of_mean(mean, sign_moments(means, scales), shots)
    assert (square, variance) == (mean * mean, 0.0)


def test_no_string_is_no_scatter() -> None:
    nothing = np.zeros((2, 0))
    square, variance = square_of_mean(np.array([3.0, -1.0]), sign_moments(nothing, np.zeros(0)), 4)
    assert (square.tolist(), variance.tolist()) == ([9.0, 1.0], [0.0, 0.0])
