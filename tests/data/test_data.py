"""Data sources: their content, the split and the scaling of rows."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, make_circles, make_moons
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from orchestrator.config.base import ConfigError
from orchestrator.config.families import discover
from orchestrator.data.base import Data, Dataset
from orchestrator.data.scaling import prepared
from orchestrator.data.source import Table, split
from orchestrator.errors import InputError


def source(name: str, **options: Any) -> Any:
    return discover(Data)[f"source={name}"].parse({"source": name, **options})


def load(name: str, **options: Any) -> Dataset:
    return source(name, **options).load()


def faults(call: Callable[[], object]) -> list[str]:
    """The faults of an InputError, as lines."""
    with pytest.raises(InputError) as caught:
        call()
    return [str(fault) for fault in caught.value.faults]


# --- sources


def test_sources_are_found_by_their_names() -> None:
    assert {tag.removeprefix("source=") for tag in discover(Data)} == {
        "breast-cancer", "iris", "wine", "digits", "diabetes", "moons", "circles", "sine", "parity", "file",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "rows", "columns", "classes"),
    [
        ("breast-cancer", 569, 30, 2),
        ("iris", 150, 4, 3),
        ("wine", 178, 13, 3),
        ("digits", 1797, 64, 10),
        ("diabetes", 442, 10, 0),
        ("moons", 200, 2, 2),
        ("circles", 200, 2, 2),
        ("sine", 200, 1, 0),
        ("parity", 16, 4, 2),
    ],
)
def test_sources_have_the_documented_sizes(name: str, rows: int, columns: int, classes: int) -> None:
    data = load(name)
    assert data.inputs.shape[1] == columns == data.test_inputs.shape[1]
    assert len(data.inputs) + len(data.test_inputs) == rows
    assert data.classes == classes
    assert np.isfinite(data.inputs).all()
    assert (data.weights == 1).all()
    if classes:
        assert set(data.targets) == set(range(classes))


def test_data_are_loaded_once_and_cannot_be_written_to() -> None:
    data = load("iris")
    assert load("iris") is data
    for array in (data.inputs, data.targets, data.weights, data.test_inputs, data.test_targets):
        assert array.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


@pytest.mark.parametrize("name", ["moons", "circles"])
def test_moons_and_circles_without_noise_equal_those_of_scikit_learn(name: str) -> None:
    data = load(name, rows=31, noise=0.0, scale="none", test=0.0)
    maker = {"moons": make_moons, "circles": make_circles}[name]
    inputs, targets = maker(31, shuffle=False)
    np.testing.assert_allclose(data.inputs, inputs, atol=1e-15)
    assert np.array_equal(data.targets, targets)


def test_noise_has_the_configured_deviation() -> None:
    loud, quiet = (load("sine", rows=4000, noise=noise, scale="none", test=0.0) for noise in (0.3, 0.0))
    assert np.array_equal(quiet.targets, np.sin(quiet.inputs[:, 0]))
    assert -math.pi <= quiet.inputs.min() < -3.1 < 3.1 < quiet.inputs.max() < math.pi
    # the standard error of a deviation from 4000 draws is 1.1 %
    np.testing.assert_allclose((loud.targets - quiet.targets).std(), 0.3, rtol=0.05)


def test_parity_counts_the_bits() -> None:
    data = load("parity", bits=3, scale="none", test=0.0)
    assert data.inputs.tolist()[:4] == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]
    assert data.targets.tolist() == [0, 1, 1, 0, 1, 0, 0, 1]


def test_generated_data_depend_on_their_seed() -> None:
    first, second = load("moons", seed=1), load("moons", seed=2)
    assert not np.array_equal(first.inputs, second.inputs)
    assert source("moons", seed=1).read().inputs.tobytes() == source("moons", seed=1).read().inputs.tobytes()


# --- the split


@settings(deadline=None, derandomize=True)
@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    share=st.floats(0, 0.999),
    seed=st.integers(0, 2**63 - 1),
)
def test_split_takes_a_share_of_each_class_and_loses_no_row(
    counts: list[int], share: float, seed: int
) -> None:
    targets = np.repeat(np.arange(len(counts), dtype=np.float64), counts)
    train, test = split(Table(np.zeros((len(targets), 1)), targets, len(counts)), share, seed)
    assert sorted([*train, *test]) == list(range(len(targets)))
    for label, count in enumerate(counts):
        held_out = int((targets[test] == label).sum())
        assert held_out == min(round(share * count), count - 1)


def test_split_changes_with_its_seed_alone() -> None:
    first, again, other = (
        load("breast-cancer", seed=seed, features=k) for seed, k in ((0, 4), (0, 5), (1, 4))
    )
    assert np.array_equal(first.targets, again.targets)
    assert not np.array_equal(first.test_targets, other.test_targets)


def test_split_without_a_test_share_has_no_test_rows() -> None:
    data = load("iris", test=0.0)
    assert data.test_inputs.shape == (0, 4)
    assert data.test_targets.shape == (0,)


# --- projection and scale


@pytest.mark.parametrize("features", [None, 3])
def test_scales_are_fitted_on_the_training_part(features: int | None) -> None:
    standard, minmax, angle = (
        load("breast-cancer", scale=scale, features=features) for scale in ("standard", "minmax", "angle")
    )
    np.testing.assert_allclose(standard.inputs.mean(0), 0.0, atol=1e-13)
    np.testing.assert_allclose(standard.inputs.var(0), 1.0, rtol=1e-13)
    assert (minmax.inputs.min(0) == 0).all()
    assert (minmax.inputs.max(0) == 1).all()
    assert np.array_equal(angle.inputs, math.pi * minmax.inputs)
    # the same map is applied to test rows, which may leave the interval
    assert ((minmax.test_inputs < 0) | (minmax.test_inputs > 1)).any()
    assert (standard.test_inputs.mean(0) != 0).all()


def test_scale_none_does_not_change_the_columns() -> None:
    data = load("breast-cancer", scale="none", test=0.0)
    assert np.array_equal(data.inputs, load_breast_cancer(return_X_y=True)[0])


@pytest.mark.parametrize("scale", ["none", "standard"])
def test_features_are_principal_components(scale: str) -> None:
    data, full = (load("breast-cancer", scale=scale, features=k) for k in (4, None))
    pca = PCA(4).fit(full.inputs)
    largest = np.take_along_axis(pca.components_, np.abs(pca.components_).argmax(1)[:, None], 1)
    for mine, raw in ((data.inputs, full.inputs), (data.test_inputs, full.test_inputs)):
        expected = pca.transform(raw) * np.sign(largest[:, 0])
        if scale == "standard":
            expected /= pca.transform(full.inputs).std(0)
        # two factorisations of a matrix whose singular values span four decades
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_raw_principal_components_keep_their_units() -> None:
    data = load("breast-cancer", scale="none", features=8)
    deviations = data.inputs.std(0)
    assert deviations[0] > 500
    assert (np.diff(deviations) < 0).all()


def test_as_many_features_as_columns_are_the_columns() -> None:
    assert np.array_equal(load("iris", features=4).inputs, load("iris").inputs)


def test_columns_without_variance_become_zero() -> None:
    data = load("digits", scale="angle")  # the corners of the images are blank
    assert not data.inputs[:, 0].any()
    assert data.inputs.max() == math.pi


def test_more_features_than_columns_or_dimensions_are_refused() -> None:
    assert faults(source("iris", features=5).load) == [
        "data.features: is 5, but the data have 4 columns (legal: 1 to 4)"
    ]
    rank = np.linalg.matrix_rank(load("digits").inputs)
    assert rank < 64
    assert faults(source("digits", features=63).load) == [
        f"data.features: is 63, but the training part spans {rank} dimensions (legal: 1 to {rank})"
    ]


@pytest.mark.parametrize(
    "wrong", [{"test": 1.0}, {"test": -0.1}, {"features": 0}, {"scale": "robust"}, {"seed": -1}]
)
def test_options_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        source("iris", **wrong)


def test_noise_of_a_sine_is_independent_of_the_position() -> None:
    """Normal numbers are made from pairs of uniform ones, which must not be those of the positions."""
    table = source("sine", rows=10_000, noise=1.0).read()
    position, half = table.inputs[:, 0], 5000
    noise = (table.targets - np.sin(position))[:half]
    for used in (position[:half], position[0::2], position[1::2]):
        for shape in (np.cos(used), np.log(1.0 - used / (math.pi + 1e-9))):
            for moment in (noise, noise**2):
                assert abs(np.corrcoef(shape, moment)[0, 1]) < 5 / math.sqrt(half)  # five standard errors


def test_number_of_threads_does_not_change_a_bit() -> None:
    parts = (np.random.default_rng(0).normal(size=(20_000, 40)), np.zeros((0, 40)))
    with threadpool_limits(1, user_api="blas"):
        alone = prepared(parts, 10, "standard")[0]
    with threadpool_limits(4, user_api="blas"):
        assert alone.tobytes() == prepared(parts, 10, "standard")[0].tobytes()


# --- imports


def test_configurations_import_no_heavy_library() -> None:
    code = (
        "import sys; from orchestrator.config import families; from orchestrator.data.base import Data;"
        "from orchestrator.updates.base import Update; families.discover(Data); families.discover(Update);"
        "import orchestrator.models.mlp, orchestrator.engines.backprop;"
        "heavy = {'sklearn', 'pyarrow', 'pandas', 'threadpoolctl', 'numba', 'qiskit', 'ray'};"
        "print(*heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
