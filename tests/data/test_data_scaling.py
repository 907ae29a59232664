"""Scaling of numbers near the limits of float64, and of whole numbers beyond its precision."""

from __future__ import annotations

import decimal
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.data.file import File
from orchestrator.data.scaling import Parts, prepared
from orchestrator.data.source import Table, split
from orchestrator.errors import InputError
from orchestrator.groups import Array

SCALES = ("none", "standard", "minmax", "angle")


def parts(seed: int = 0) -> Parts:
    rng = np.random.default_rng(seed)
    train, test = rng.normal(size=(40, 5)), rng.normal(size=(9, 5))
    return train * [1.0, 30.0, 1e-3, 2.0, 5.0] + 7.0, test * [1.0, 30.0, 1e-3, 2.0, 5.0] + 7.0


def plain(parts: Parts, features: int | None, scale: str) -> Parts:
    """The plain formulas, without protection against overflow."""

    def affine(origin: Array, unit: Array) -> Parts:
        return (parts[0] - origin) / unit, (parts[1] - origin) / unit

    if scale != "none":
        parts = affine(parts[0].mean(0), parts[0].std(0))
    if features is not None:
        mean = parts[0].mean(0)
        axes = np.linalg.svd(np.linalg.qr(parts[0] - mean, mode="r"))[2][:features]
        signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1))
        parts = (parts[0] - mean) @ (axes * signs).T, (parts[1] - mean) @ (axes * signs).T
    if scale == "none":
        return parts
    if scale == "standard":
        return affine(parts[0].mean(0), parts[0].std(0))
    low, high = parts[0].min(0), parts[0].max(0)
    top = math.pi if scale == "angle" else 1.0
    train, test = affine(low, high - low)
    return top * train, top * test


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("features", [None, 3])
@pytest.mark.parametrize("power", [-380, 0, 380])
def test_ordinary_numbers_are_scaled_by_the_plain_formulas_to_the_bit(
    scale: str, features: int | None, power: int
) -> None:
    raw: Parts = tuple(np.ldexp(part, power) for part in parts())  # type: ignore[assignment]
    for mine, expected in zip(prepared(raw, features, scale), plain(raw, features, scale), strict=True):
        assert mine.tobytes() == np.ascontiguousarray(expected).tobytes()


@pytest.mark.parametrize("scale", ["standard", "minmax", "angle"])
@pytest.mark.parametrize("features", [None, 3])
@pytest.mark.parametrize("power", [-1000, -600, 600, 1015])
def test_factor_of_a_power_of_two_changes_no_bit_of_the_result(
    scale: str, features: int | None, power: int
) -> None:
    """Every operation of the formulas commutes with a power of two, unless it over- or underflows."""
    raw = parts()
    scaled: Parts = tuple(np.ldexp(part, [power, 0, -power, 0, power // 2]) for part in raw)  # type: ignore[assignment]
    for mine, expected in zip(prepared(scaled, features, scale), prepared(raw, features, scale), strict=True):
        assert np.array_equal(mine, expected)


@pytest.mark.parametrize("power", [-900, 900])
def test_raw_principal_components_of_extreme_numbers_keep_their_units(power: int) -> None:
    raw = parts()
    scaled: Parts = tuple(np.ldexp(part, power) for part in raw)  # type: ignore[assignment]
    for mine, expected in zip(prepared(scaled, 3, "none"), prepared(raw, 3, "none"), strict=True):
        # LAPACK may scale the matrix by itself
        np.testing.assert_allclose(np.ldexp(mine, -power), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("top", [1e200, 1.7e308, 1e-200, 5e-324])
def test_two_opposite_extremes_among_ten_rows_become_the_square_root_of_five(
    top: float, tmp_path: Path
) -> None:
    """Mean 0 and variance 2·top²/10; the other rows are negligible, and ±top becomes ±√5."""
    small = 0.0 if top < 1.0 else 3.0
    rows = [top, -top, *[small] * 8]
    data = read(tmp_path, "rows.csv", rows)
    # (3 / 1e200: far below the last bit)
    np.testing.assert_allclose(data.inputs[:, 0], [5**0.5, -(5**0.5), *[0.0] * 8], rtol=1e-15, atol=1e-199)


def read(folder: Path, name: str, column: Any, **options: Any) -> Any:
    """The data set of a file with the column ``a`` and two classes."""
    path, labels = folder / name, ["no", "yes"] * (len(column) // 2)
    if path.suffix == ".csv":
        lines = [f"{value},{label}" for value, label in zip(column, labels, strict=True)]
        path.write_text("a,y\n" + "\n".join(lines) + "\n")
    elif path.suffix == ".npz":
        np.savez(path, a=column, y=np.array(labels))
    else:
        pq.write_table(pa.table({"a": column, "y": labels}), path)
    return File.parse({"source": "file", "path": str(path), "target": "y", "test": 0.0, **options}).load()


def refusal(folder: Path, name: str, column: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, name, column, **options)
    (fault,) = caught.value.faults
    return str(fault)


CLOSE = [2**63 + k for k in (1, 5, 2, 9)]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("rows.parquet", pa.array(CLOSE, pa.uint64())),
        ("rows.parquet", pa.array([value - 100 for value in CLOSE], pa.int64())),
        ("rows.parquet", pa.array([-value + 100 for value in CLOSE], pa.int64())),
        ("rows.parquet", pa.array([decimal.Decimal(value) for value in CLOSE], pa.decimal128(30, 0))),
        ("rows.parquet", pa.array([10**40 + value for value in range(4)], pa.decimal256(60, 0))),
        ("rows.parquet", pa.array([2**53 + k for k in range(4)], pa.int64())),
        ("rows.npz", np.array(CLOSE, np.uint64)),
        ("rows.csv", CLOSE),
        ("rows.csv", [value - 100 for value in CLOSE]),
        ("rows.csv", [-(10**30) - value for value in range(4)]),
    ],
)
@pytest.mark.parametrize("scale", ["standard", "none"])
def test_whole_numbers_that_float64_cannot_distinguish_are_refused(
    tmp_path: Path, name: str, column: Any, scale: str
) -> None:
    fault = refusal(tmp_path, name, column, scale=scale)
    assert fault.startswith(
        "data.inputs: column 'a' holds whole numbers beyond 2**53 whose differences float64"
    )


@pytest.mark.parametrize(
    "column",
    [
        [0, 2**64 - 1, 2**63 + 1, 77],  # like hashes: rounding is 1e-19 of their range
        [2**63, 2**63 + 2048, 2**63 + 4096, 2**63 + 6144],  # multiples of the last bit: exact
        [1_700_000_000_000_000_001 + k * 10**14 for k in range(4)],  # nanoseconds, a day or so apart
    ],
)
def test_large_whole_numbers_that_float64_distinguishes_are_read(tmp_path: Path, column: list[int]) -> None:
    mean = sum(column) // 4
    exact = np.array([value - mean for value in column], np.float64)
    exact = (exact - exact.mean()) / exact.std()
    for name, values in (("rows.parquet", pa.array(column, pa.uint64())), ("rows.csv", column)):
        # differences keep 24 bits or more
        np.testing.assert_allclose(read(tmp_path, name, values).inputs[:, 0], exact, atol=2**-23)


def test_fault_of_constant_large_numbers_mentions_lost_digits(tmp_path: Path) -> None:
    fault = refusal(tmp_path, "rows.csv", [f"{2**60 + k}.0" for k in range(4)])
    assert fault == (
        "data.inputs: column 'a' is constant in the training part, or its numbers differ by less than the 53 "
        "bits of float64 resolve; leave it out or set scale: none"
    )


def weighted(folder: Path, weights: list[float]) -> File:
    path = folder / "rows.parquet"
    pq.write_table(pa.table({"a": [1.0, 2.0, 3.0, 5.0], "y": list("nyny"), "w": weights}), path)
    plain = {"source": "file", "path": str(path), "target": "y", "weights": "w", "test": 0.0}
    return File.parse(plain)


@pytest.mark.parametrize("top", [1.7e308, 1e-300])
def test_extreme_weights_keep_their_ratios_and_can_be_summed(tmp_path: Path, top: float) -> None:
    weights = weighted(tmp_path, [top, top / 2, 0.0, top / 4]).load().weights
    assert (weights / weights.sum()).tolist() == [4 / 7, 2 / 7, 0.0, 1 / 7]


def test_weights_with_a_range_beyond_float64_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"data\.weights: span more orders of magnitude than float64 can hold"
    ):
        weighted(tmp_path, [1e308, 1e-308, 1.0, 1.0]).load()


def test_fault_of_test_rows_that_overflow_when_scaled_names_the_column(tmp_path: Path) -> None:
    column = [1e-5 * k for k in range(20)]
    _, held_out = split(Table(np.zeros((20, 1)), np.arange(20) % 2.0, 2), 0.2, 0)
    column[held_out[0]] = 1.7e308
    fault = refusal(tmp_path, "rows.csv", column, test=0.2)
    assert fault.startswith("data.inputs: overflow float64 when scaled by the training part")
    assert fault.endswith(": column a; look for extreme values")
