"""Data files: what is read, and what is refused."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from orchestrator.config.base import ConfigError
from orchestrator.data import tabular
from orchestrator.data.base import Dataset
from orchestrator.data.file import File
from orchestrator.data.source import Table, split
from orchestrator.errors import InputError


def source(**options: Any) -> File:
    return File.parse({"source": "file", **options})


def load(**options: Any) -> Dataset:
    return source(**options).load()


def faults(call: Callable[[], object]) -> list[str]:
    """The faults of an InputError, as lines."""
    with pytest.raises(InputError) as caught:
        call()
    return [str(fault) for fault in caught.value.faults]


def columns(rows: int = 20) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    return {
        "x": rng.normal(size=rows),
        "n": np.arange(rows),
        "flag": np.arange(rows) % 3 == 0,
        "w": rng.uniform(0.5, 1.0, rows),
        "kind": np.array(["b", "a", "c", "a"])[np.arange(rows) % 4],
        "y": rng.normal(size=rows),
    }


def write(folder: Path, name: str, content: dict[str, Any] | None = None) -> Path:
    """A file of these columns, in the format that its name says."""
    path, content = folder / name, columns() if content is None else content
    if path.suffix == ".npz":
        np.savez(path, **content)
        return path
    table = pa.table({key: pa.array(value) for key, value in content.items()})
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        csv.write_csv(table, path)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".npz"])
def test_file_formats_hold_the_same_data(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, f"rows{suffix}")
    options = {"path": str(path), "target": "kind", "inputs": ["n", "x"], "weights": "w"}
    data = load(**options, scale="none", test=0.25)
    content = columns()
    kept = data.inputs[:, 0].astype(int)
    assert np.array_equal(data.inputs, np.column_stack([content["n"], content["x"]])[kept])
    assert np.array_equal(data.weights, content["w"][kept])
    assert np.array_equal(data.targets, np.array([1.0, 0.0, 2.0, 0.0])[kept % 4])  # a, b, c in order
    assert (data.classes, len(data.inputs), len(data.test_inputs)) == (3, 16, 4)


def test_file_inputs_are_all_other_columns_unless_named(tmp_path: Path) -> None:
    content = {key: columns()[key] for key in ("x", "flag", "w", "y")}
    path = write(tmp_path, "rows.parquet", content)
    data = load(path=str(path), target="y", weights="w", scale="none", test=0.0)
    assert np.array_equal(data.inputs, np.column_stack([content["x"], content["flag"]]))


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        (["b", "a", "b", "a"], 2),
        ([7, 3, 3, 7], 2),
        ([True, False, False, True], 2),
        ([0.5, 1.0, 2.0, 0.0], 0),
    ],
)
def test_file_targets_are_classes_unless_they_are_floats(
    tmp_path: Path, target: list[Any], classes: int
) -> None:
    path = write(tmp_path, "rows.parquet", {"x": [1.0, 2.0, 3.0, 4.0], "y": target})
    data = load(path=str(path), target="y", test=0.0)
    assert data.classes == classes
    if classes:
        assert data.targets.tolist() == [sorted(set(target)).index(value) for value in target]
    else:
        assert data.targets.tolist() == target


def test_file_reads_dictionary_columns(tmp_path: Path) -> None:
    kind = pa.array(["b", "a", "b", "a"]).dictionary_encode()
    path = write(tmp_path, "rows.parquet", {"x": [1.0, 2.0, 3.0, 4.0], "y": kind})
    assert load(path=str(path), target="y", test=0.0).targets.tolist() == [1, 0, 1, 0]


def test_matrix_in_an_npz_file_is_several_columns(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).normal(size=(10, 3))
    path = write(tmp_path, "rows.npz", {"X": matrix, "y": np.arange(10) % 2})
    for options in ({}, {"inputs": ["X"]}):
        assert np.array_equal(
            load(path=str(path), target="y", test=0.0, scale="none", **options).inputs, matrix
        )


def test_file_is_read_from_a_uri(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv")
    options = {"target": "y", "inputs": ["x"]}
    local, remote = (load(path=address, **options) for address in (str(path), path.as_uri()))
    assert np.array_equal(local.inputs, remote.inputs)


def test_uri_with_credentials_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="must not hold a secret"):
        source(path="s3://key:secret@bucket/rows.csv", target="y")


def test_relative_path_starts_at_the_folder_of_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {"source": "file", "path": "data/rows.csv", "target": "y"}
    assert File.parse(plain, folder=str(tmp_path)).path == str(tmp_path / "data" / "rows.csv")
    assert File.parse(plain, folder=tmp_path).path == str(tmp_path / "data" / "rows.csv")
    monkeypatch.chdir(tmp_path)
    assert File.model_validate(plain).path == str(tmp_path / "data" / "rows.csv")


def test_file_is_identified_by_its_content_and_not_by_its_path(tmp_path: Path) -> None:
    content = b"x,y\n1,0\n2,1\n"
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes(content)
    a, b = (source(path=str(tmp_path / name), target="y") for name in ("a.csv", "b.csv"))
    digest = hashlib.sha256(content).hexdigest()
    assert a.identity() == b.identity() == {"source": "file", "path": f"sha256:{digest}", "target": "y"}


def test_file_that_has_changed_has_another_identity(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,0.5\n2,1.5\n")
    rows = source(path=str(path), target="y", scale="none", test=0.0)
    before, first = rows.identity(), rows.load()
    path.write_text("x,y\n1,0.5\n2,1.5\n3,2.5\n")
    assert rows.identity() != before
    assert (len(first.inputs), len(rows.load().inputs)) == (2, 3)


def test_change_that_keeps_size_and_time_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,0.5\n2,1.5\n")
    rows, status = source(path=str(path), target="y"), path.stat()
    before = rows.fingerprint()
    path.write_text("x,y\n1,0.5\n3,1.5\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert rows.fingerprint() != before


def test_file_that_changes_between_hash_and_parse_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if times, size and inode of the file do not show the change."""
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,0.5\n2,1.5\n")
    rows = source(path=str(path), target="y")
    monkeypatch.setattr(tabular, "_stamp", lambda _: (0,))
    before = rows.fingerprint()
    path.write_text("x,y\n1,0.5\n3,1.5\n")
    assert rows.fingerprint() == before
    assert faults(rows.load) == ["data: have changed while they were read; run the command again"]
    assert rows.load().fingerprint == rows.fingerprint() != before


# --- faults of files


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("none.csv", None, "is not there"),
        ("folder.csv", "folder", "is a directory, must be a file"),
        ("a.xlsx", b"x", "ends in '.xlsx' (legal: .parquet, .csv, .npz)"),
        ("a", b"x", "ends in '' (legal: .parquet, .csv, .npz)"),
        ("a.csv", b"", "cannot be read as csv: Empty CSV file"),
        ("a.csv", bytes(range(256)), "cannot be read as csv: "),
        ("a.csv", b"\x89PNG\r\n\x1a\n\x00\xff", "cannot be read as csv: "),
        ("a.csv", b"x,y\n1,2\n3\n", "cannot be read as csv: "),
        ("a.csv", b"x,x\n1,2\n", "more than one column of the same name (x): rename them"),
        ("a.parquet", b"garbage", "cannot be read as parquet: "),
        ("a.npz", b"garbage", "cannot be read as npz: "),
        ("a.npz", b"PK\x03\x04garbage", "cannot be read as npz: "),
    ],
)
def test_fault_of_a_file_that_cannot_be_read_says_why(
    tmp_path: Path, name: str, content: bytes | str | None, expected: str
) -> None:
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    (fault,) = faults(source(path=str(path), target="y").load)
    assert fault.startswith(f"data.path: {path} ")
    assert expected in fault


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"x": np.zeros((2, 2, 2)), "y": np.zeros(2)}, "'x' has shape (2, 2, 2), must be [N] or [N, k]"),
        ({"x": np.zeros(3), "y": np.zeros(2)}, "the arrays differ in length: {'x': 3, 'y': 2}"),
        (
            {"x": np.array([{}, {}]), "y": np.zeros(2)},
            "holds Python objects, must hold numbers, booleans or text",
        ),
    ],
)
def test_fault_of_an_npz_file_that_is_not_a_table_says_why(
    tmp_path: Path, content: dict[str, Any], expected: str
) -> None:
    path = write(tmp_path, "rows.npz", content)
    (fault,) = faults(source(path=str(path), target="y").load)
    assert expected in fault


def test_single_array_is_refused_as_an_npz_file(tmp_path: Path) -> None:
    with (tmp_path / "rows.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    (fault,) = faults(source(path=str(tmp_path / "rows.npz"), target="y").load)
    assert "holds a single array" in fault


def test_fault_of_an_unknown_uri_scheme_names_the_uri() -> None:
    (fault,) = faults(source(path="teapot://host/rows.csv", target="y").load)
    assert fault.startswith("data.path: teapot://host/rows.csv cannot be read: ")


def test_fault_of_a_missing_column_suggests_similar_and_legal_names(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv", {"width": [1.0, 2.0], "label": [0, 1]})
    asked = {"inputs": ["widht", "height"], "target": "labels", "weights": "w"}
    assert faults(source(path=str(path), **asked).load) == [
        "data.target: there is no column 'labels'; did you mean 'label'? (legal: width, label)",
        "data.weights: there is no column 'w' (legal: width, label)",
        "data.inputs: there is no column 'widht'; did you mean 'width'? (legal: width, label)",
        "data.inputs: there is no column 'height' (legal: width, label)",
    ]


@pytest.mark.parametrize("part", ["train", "test"])
def test_weights_and_columns_are_checked_in_the_training_part(part: str, tmp_path: Path) -> None:
    """Weights are positive, and a column varies, in one part only."""
    rows = np.arange(10.0)
    parts = split(Table(rows[:, None], rows, 0), 0.3, 0)
    chosen = parts[0] if part == "train" else parts[1]
    weights, stuck = np.zeros(10), np.full(10, 7.0)
    weights[chosen], stuck[chosen] = 1.0, np.arange(len(chosen))
    path = write(tmp_path, "rows.npz", {"a": rows, "b": stuck, "w": weights, "y": rows})
    asked = {"path": str(path), "target": "y", "weights": "w", "test": 0.3}
    if part == "train":
        assert load(**asked).weights.all()
        return
    assert faults(lambda: load(**asked)) == [
        "data.weights: are all zero in the training part",
        "data.inputs: column 'b' is constant in the training part; leave it out or set scale: none",
    ]


def test_column_named_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv")
    asked = {"inputs": ["x", "y", "x"], "target": "y"}
    assert faults(source(path=str(path), **asked).load) == [
        "data.inputs: names column 'y' again; a column has one role",
        "data.inputs: names column 'x' again; a column has one role",
    ]


def test_file_with_a_target_only_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv", {"y": [0, 1]})
    assert faults(source(path=str(path), target="y").load) == [
        "data.inputs: the file has no column besides target and weights (columns: y)"
    ]


def test_all_columns_that_cannot_be_used_are_reported(tmp_path: Path) -> None:
    content = {
        "text": ["1", "two", "3"],
        "hole": [1.0, None, 3.0],
        "count": [1, 2, None],
        "huge": [1.0, 2.0, math.inf],
        "fine": [1.0, 2.0, 3.0],
        "w": [1.0, 1.0, -1.0],
        "y": [None, "a", "b"],
    }
    path = write(tmp_path, "rows.parquet", content)
    assert faults(source(path=str(path), target="y", weights="w").load) == [
        "data.inputs: column 'text' is not numeric: 'two' in data row 2",
        "data.inputs: column 'hole' is NaN, missing or infinite, first in data row 2",
        "data.inputs: column 'count' is NaN, missing or infinite, first in data row 3",
        "data.inputs: column 'huge' is NaN, missing or infinite, first in data row 3",
        "data.target: the column is missing, first in data row 1",
        "data.weights: the column is negative, first in data row 3",
    ]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (["a", "a", "a"], "has one class only, 'a'"),
        ([1.0, math.nan, 2.0], "is NaN, missing or infinite, first in data row 2"),
        (pa.array(["a", None, "b"]).dictionary_encode(), "is missing, first in data row 2"),
        (pa.array([1, None, 2]), "is NaN, missing or infinite, first in data row 2"),
        (
            pa.array([[1], [2], [3]]),
            "holds neither strings, integers or booleans (classes) nor floats (values)",
        ),
        (np.array(["2020-01-01"] * 3, "M8[D]"), "holds neither strings, integers or booleans"),
    ],
)
def test_fault_of_a_target_that_cannot_be_used_says_why(tmp_path: Path, target: Any, expected: str) -> None:
    path = write(tmp_path, "rows.parquet", {"x": [1.0, 2.0, 3.0], "y": target})
    (fault,) = faults(source(path=str(path), target="y").load)
    assert fault.startswith("data.target: the column ")
    assert expected in fault


def test_weights_that_are_all_zero_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv", {"x": [1.0, 2.0], "y": [0, 1], "w": [0.0, 0.0]})
    assert faults(source(path=str(path), target="y", weights="w").load) == [
        "data.weights: the column is all zero"
    ]


def test_constant_columns_of_a_file_are_refused_unless_scale_is_none(tmp_path: Path) -> None:
    path = write(
        tmp_path, "rows.csv", {"x": [1.0, 2.0, 3.0], "c": [0.1] * 3, "d": [5] * 3, "y": [0.0, 1.0, 2.0]}
    )
    assert faults(source(path=str(path), target="y", test=0.0).load) == [
        "data.inputs: column 'c' is constant in the training part; leave it out or set scale: none",
        "data.inputs: column 'd' is constant in the training part; leave it out or set scale: none",
    ]
    assert load(path=str(path), target="y", test=0.0, scale="none").inputs.shape == (3, 3)


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv", {"x": [1.0, 2.0], "y": [0.5, 1.5]})
    assert faults(source(path=str(path), target="y", test=0.5).load) == [
        "data: leave 1 row to train on, at least 2 are needed"
    ]


def test_empty_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x,y\n")
    assert faults(source(path=str(tmp_path / "rows.csv"), target="y").load) == [
        "data.inputs: column 'x' has no rows",
        "data.target: the column has no rows",
    ]
