"""Binomial counts drawn from uniform numbers."""

import math

import numpy as np
import pytest

from orchestrator.backends.batched.binomial import binomial


@pytest.mark.parametrize("p", [1e-12, 0.003, 0.3, 0.5, 0.97])
def test_counts_of_evenly_spread_numbers_have_the_binomial_distribution(p: float):
    shots, spread = 12, 100_000
    counts = binomial(shots, np.full(spread, p), (np.arange(spread) + 0.5) / spread)
    frequencies = np.bincount(counts.astype(int), minlength=shots + 1) / spread
    expected = [math.comb(shots, k) * p**k * (1 - p) ** (shots - k) for k in range(shots + 1)]
    np.testing.assert_allclose(frequencies, expected, rtol=0.0, atol=2 / spread)  # an interval has two ends


@pytest.mark.parametrize("shots", [10_000, 1_000_000_000])
def test_counts_of_many_shots_have_the_right_mean_and_variance(shots: int):
    p, spread = 0.2, 2_000
    counts = binomial(shots, np.full(spread, p), (np.arange(spread) + 0.5) / spread)
    deviation = math.sqrt(shots * p * (1 - p))
    assert counts.mean() == pytest.approx(shots * p, abs=0.05 * deviation)
    assert counts.std() == pytest.approx(deviation, rel=0.01)  # small, since numbers are evenly spread


def test_counts_are_none_or_all_if_the_probability_is_0_or_1():
    probability = np.array([0.0, -1e-17, 1.0, 1.0 + 1e-16, math.nan])
    counts = binomial(7, probability, np.full(5, 0.5))
    np.testing.assert_array_equal(counts, [0, 0, 7, 7, math.nan])


@pytest.mark.parametrize("p", [1e-300, 1e-9, 0.5, 1 - 1e-16])
@pytest.mark.parametrize("u", [0.0, 1 - 2.0**-53])
def test_counts_are_within_the_shots_at_both_ends_of_the_unit_interval(p: float, u: float):
    assert 0 <= binomial(1000, np.array([p]), np.array([u]))[0] <= 1000
