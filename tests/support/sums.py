"""The arrays of a ``GradientSum``, and their comparison."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from orchestrator.engines.gradient import GradientSum, Summed
from orchestrator.groups import Array


def arrays(total: GradientSum) -> dict[str, Array]:
    """The arrays that are not None, by name: ``loss``, ``cost.shots``, ``noise.gradient``, …"""
    return dict(_arrays(total))


def _arrays(sums: Summed, prefix: str = "") -> Iterator[tuple[str, Array]]:
    for name, value in vars(sums).items():
        if isinstance(value, Summed):
            yield from _arrays(value, f"{prefix}{name}.")
        elif value is not None:
            yield prefix + name, value


def rows_of(sums: Any, rows: slice) -> Any:
    """Some rows of a ``GradientSum``, or of one of its fields."""
    if isinstance(sums, Summed):
        return type(sums)(*(rows_of(getattr(sums, f.name), rows) for f in fields(sums)))
    return None if sums is None else sums[rows]


def assert_same_bits(one: GradientSum, other: GradientSum) -> None:
    """Asserts that both have the same arrays, equal to the last bit."""
    left, right = arrays(one), arrays(other)
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name, strict=True)
        assert value.tobytes() == right[name].tobytes(), name


def assert_close(one: GradientSum, other: GradientSum, relative: float, absolute: float) -> None:
    """Asserts that both have the same arrays, equal but for rounding."""
    left, right = arrays(one), arrays(other)
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_allclose(
            value, right[name], rtol=relative, atol=absolute, err_msg=name, strict=True
        )
