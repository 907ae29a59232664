"""Sums of shards add up field by field; fields that an engine does not give stay None."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sums import arrays, assert_same_bits

from orchestrator.engines.gradient import Cost, GradientSum, SecondMoments, ShotNoise, Signals

OPTIONAL = ("moments", "noise", "signals", "metric", "clipped")
ROWS, PARAMETERS, UNITS = 2, 3, 4
WHOLE = st.integers(-(2**40), 2**40).map(float)
"""Their sums are exact, so the order of summation does not matter."""
ANY = st.floats(width=64)


def sums(of: st.SearchStrategy[float], parts: frozenset[str]) -> st.SearchStrategy[GradientSum]:
    """A shard's sums, with some of the optional fields."""

    def array(*shape: int) -> st.SearchStrategy[Any]:
        count = int(np.prod(shape))
        return st.lists(of, min_size=count, max_size=count).map(lambda x: np.array(x).reshape(shape))

    row, vector, units = array(ROWS), array(ROWS, PARAMETERS), array(ROWS, UNITS)
    optional = {
        "moments": st.builds(SecondMoments, row, vector),
        "noise": st.builds(ShotNoise, row, vector, vector),
        "signals": st.builds(Signals, units, units),
        "metric": array(ROWS, PARAMETERS**2),
        "clipped": vector,
    }
    given_parts = {name: optional[name] for name in parts}
    return st.builds(GradientSum, row, row, vector, st.builds(Cost, row, row, row), **given_parts)


def shards(of: st.SearchStrategy[float], least: int, most: int) -> st.SearchStrategy[list[GradientSum]]:
    """Shards of one mini-batch: all have the same fields."""
    parts = st.frozensets(st.sampled_from(OPTIONAL))
    return parts.flatmap(lambda some: st.lists(sums(of, some), min_size=least, max_size=most))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(shards(WHOLE, 3, 3))
def test_sums_of_shards_are_associative(three: list[GradientSum]) -> None:
    first, second, third = three
    assert_same_bits((first + second) + third, first + (second + third))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(shards(ANY, 1, 5))
@np.errstate(all="ignore")
def test_every_field_has_the_bits_of_its_own_sum_in_shard_order(several: list[GradientSum]) -> None:
    total = arrays(reduce(add, several))
    parts = [arrays(one) for one in several]
    for name, found in total.items():
        assert found.tobytes() == reduce(add, (part[name] for part in parts)).tobytes(), name


@settings(max_examples=60, deadline=None, derandomize=True)
@given(shards(WHOLE, 2, 4))
def test_field_that_no_shard_has_is_missing_in_the_sum(several: list[GradientSum]) -> None:
    total = reduce(add, several)
    for name in OPTIONAL:
        assert (getattr(total, name) is None) == (getattr(several[0], name) is None)
    assert arrays(total).keys() == arrays(several[0]).keys()


@pytest.mark.parametrize("name", OPTIONAL)
def test_field_that_only_one_shard_has_is_refused(name: str) -> None:
    everything = sums_of_ones()
    without = replace(everything, **{name: None})
    for one, other in ((everything, without), (without, everything)):
        with pytest.raises(TypeError, match=f"{name} is None in one shard only"):
            _ = one + other


def sums_of_ones() -> GradientSum:
    row, vector, units = np.ones(ROWS), np.ones((ROWS, PARAMETERS)), np.ones((ROWS, UNITS))
    return GradientSum(
        weight=row,
        loss=row,
        gradient=vector,
        cost=Cost(row, row, row),
        moments=SecondMoments(row, vector),
        noise=ShotNoise(row, vector, vector),
        signals=Signals(units, units),
        metric=np.ones((ROWS, PARAMETERS**2)),
        clipped=vector,
    )


def test_exact_sums_are_none_for_missing_fields_and_not_zero() -> None:
    total = GradientSum.exact(np.full((2, 4), 0.25), np.ones((2, 4)), np.ones((2, 3)), np.ones((2, 3)), 5)
    assert (total.noise, total.signals, total.metric, total.clipped) == (None, None, None, None)
    assert total.cost.executions.tolist() == [20.0, 20.0]
    assert total.cost.shots.tolist() == [0.0, 0.0]
