"""The index of a data frame is refused as an input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.data.file import File
from orchestrator.data.source import Table
from orchestrator.errors import InputError


def table(path: Path, **options: Any) -> Table:
    return File.parse({"source": "file", "path": str(path), "target": "lab", **options}).read()


def faults(path: Path, **options: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        table(path, **options)
    return [str(fault) for fault in caught.value.faults]


def frame(rows: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    labels = ["dry", "wet"] * rows
    return pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows), "lab": labels[:rows]})


def refused(name: str) -> list[str]:
    return [
        f"data.inputs: column {name!r} is the index of a data frame: name the inputs (inputs: [a, b]), "
        "or write the file without it (index=False)"
    ]


INDICES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "0, 1, 2": lambda rows: rows,
    "1, 2, 3": lambda rows: rows.set_axis(range(1, len(rows) + 1)),
    "of a filtered frame": lambda rows: rows.set_axis(3 * np.arange(len(rows)) + 1),
    "of a shuffled frame": lambda rows: rows.sample(frac=1.0, random_state=0),
    "of concatenated frames": lambda rows: pd.concat([rows, rows]),
    "of numbers": lambda rows: rows.set_axis(np.cos(np.arange(len(rows)))),
    "of names": lambda rows: rows.set_axis([f"r{k}" for k in range(len(rows))]),
    "of days": lambda rows: rows.set_axis(pd.date_range("2020-01-01", periods=len(rows))),
}


@pytest.mark.parametrize("kind", INDICES)
def test_index_without_a_name_is_refused_in_csv_unless_named(tmp_path: Path, kind: str) -> None:
    rows, path = INDICES[kind](frame()), tmp_path / "rows.csv"
    rows.to_csv(path)
    assert faults(path) == refused("")
    assert np.array_equal(table(path, inputs=["a", "b"]).inputs, rows[["a", "b"]])
    rows.to_csv(path, index=False)
    assert np.array_equal(table(path).inputs, rows[["a", "b"]])


@pytest.mark.parametrize("kind", INDICES)
def test_index_without_a_name_is_refused_in_parquet_unless_named(tmp_path: Path, kind: str) -> None:
    rows, path = INDICES[kind](frame()), tmp_path / "rows.parquet"
    rows.to_parquet(path, index=True)
    assert faults(path) == refused("__index_level_0__")
    rows.to_parquet(path, index=False)
    assert np.array_equal(table(path).inputs, rows[["a", "b"]])


def test_index_that_parquet_stores_as_a_range_is_not_a_column(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "rows.parquet")
    assert table(tmp_path / "rows.parquet").names == ("a", "b")


def test_named_index_is_detected_by_the_metadata_of_pandas(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    frame().rename_axis("sample").to_parquet(path, index=True)
    assert faults(path) == refused("sample")
    assert table(path, inputs=["sample", "a"]).inputs[:, 0].tolist() == list(range(6))


def test_each_level_of_an_index_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    frame().set_index(pd.MultiIndex.from_arrays([range(6), range(6)], names=["run", None])).to_parquet(
        path, index=True
    )
    assert faults(path) == [*refused("run"), *refused("__index_level_1__")]
    frame().set_index(pd.MultiIndex.from_arrays([range(6), range(6)])).to_csv(tmp_path / "rows.csv")
    (fault,) = faults(tmp_path / "rows.csv")
    assert (
        "has 2 columns without a name: name them, or write the file without an index (index=False)" in fault
    )


def test_index_is_detected_by_its_name_without_metadata(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    frame().to_parquet(path, index=True)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    assert faults(path) == refused("__index_level_0__")


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_former_index_in_a_column_is_refused(tmp_path: Path, name: str) -> None:
    """pandas reads an unnamed column as ``Unnamed: 0``; ``reset_index`` calls it ``index``."""
    path, rows = tmp_path / name, frame().sample(frac=1.0, random_state=0)
    rows.to_csv(tmp_path / "first.csv")
    again, reset = pd.read_csv(tmp_path / "first.csv"), rows.reset_index()
    for written, column in ((again, "Unnamed: 0"), (reset, "index")):
        (written.to_csv if path.suffix == ".csv" else written.to_parquet)(path, index=False)
        assert faults(path) == refused(column)


def test_column_called_index_is_an_input_if_it_holds_fractions(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    frame().rename(columns={"a": "index"}).to_csv(path, index=False)
    assert table(path).names == ("index", "b")


def test_index_and_other_faults_are_reported_together(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(",a,lab\n0,1,x\n1,?,x\n")
    assert faults(path) == [
        "data.inputs: column '' is the index of a data frame: name the inputs (inputs: [a]), "
        "or write the file without it (index=False)",
        "data.inputs: column 'a' is not numeric: '?' in data row 2",
        "data.target: the column has one class only, 'x'",
    ]


def test_index_may_be_the_target_or_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    frame().set_axis(range(1, 7)).rename_axis("w").to_parquet(path, index=True)
    weights = table(path, weights="w").weights
    assert weights is not None
    assert weights.tolist() == [1, 2, 3, 4, 5, 6]


NAMES = st.sampled_from([None, "", "id", "a", "index", "level_0"])
LEVELS: list[Callable[[int], Any]] = [
    range,
    lambda rows: range(1, rows + 1),
    lambda rows: np.arange(rows)[::-1] * 2,
    lambda rows: np.arange(rows, dtype=np.uint8) // 2,
    lambda rows: np.linspace(-1.0, 1.0, rows),
    lambda rows: [f"r{k}" for k in range(rows)],
    lambda rows: pd.date_range("2020-01-01", periods=rows),
    lambda rows: pd.Categorical([k % 2 for k in range(rows)]),
    lambda rows: np.arange(rows) % 2 == 0,
]


@st.composite
def frames(draw: st.DrawFn, names: st.SearchStrategy[str | None]) -> pd.DataFrame:
    """Two columns of numbers and one of labels, with an index of one or two levels."""
    rows = draw(st.integers(2, 6))
    numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
    gaps = st.none() if draw(st.integers(0, 4)) == 0 else st.nothing()
    missing = ["NA", "nan"] if draw(st.integers(0, 4)) == 0 else []
    labels = st.sampled_from(["x", "y", "", " x", 'a"b', "two\nlines", "ä", "1;5", *missing])
    made = pd.DataFrame(
        {
            "a": draw(st.lists(numbers, min_size=rows, max_size=rows)),
            "b": draw(st.lists(st.booleans() | gaps, min_size=rows, max_size=rows)),
            "lab": ["x", "y", *draw(st.lists(labels, min_size=rows - 2, max_size=rows - 2))],
        }
    ).astype({"a": np.float64, "b": "boolean"})
    levels = draw(
        st.sampled_from([1, 1, 2]).flatmap(
            lambda k: st.lists(st.sampled_from(LEVELS), min_size=k, max_size=k)
        )
    )
    index = [level(rows) for level in levels]
    made.index = (
        pd.Index(index[0], name=draw(names))
        if len(index) == 1
        else pd.MultiIndex.from_arrays(index, names=[draw(names), None])
    )
    return made


def check(path: Path, written: pd.DataFrame) -> None:
    """The file is read correctly, or refused."""
    try:
        found = table(path)
    except InputError as error:
        assert all(str(fault).isprintable() for fault in error.faults)
        return
    assert found.names == ("a", "b")
    assert np.array_equal(found.inputs, written[["a", "b"]].astype(np.float64))
    assert found.targets.tolist() == np.unique(written["lab"], return_inverse=True)[1].tolist()


@settings(
    deadline=None,
    derandomize=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(written=frames(NAMES), index=st.sampled_from([None, True, False]))
def test_any_frame_in_parquet_is_read_correctly_or_refused(
    tmp_path: Path, written: pd.DataFrame, index: bool | None
) -> None:
    written.to_parquet(tmp_path / "rows.parquet", index=index)
    check(tmp_path / "rows.parquet", written)


@settings(
    deadline=None,
    derandomize=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    written=frames(st.just(None)), index=st.booleans(), windows=st.booleans(), byte_order_mark=st.booleans()
)
def test_any_frame_in_csv_is_read_correctly_or_refused(
    tmp_path: Path, written: pd.DataFrame, index: bool, windows: bool, byte_order_mark: bool
) -> None:
    """In CSV, a named index is an ordinary column; ``plan`` lists it among the inputs."""
    written.to_csv(
        tmp_path / "rows.csv",
        index=index,
        lineterminator="\r\n" if windows else "\n",
        encoding="utf-8-sig" if byte_order_mark else "utf-8",
    )
    check(tmp_path / "rows.csv", written)


def test_frames_without_index_and_missing_values_are_read(tmp_path: Path) -> None:
    """So the two properties above are not met by refusing everything."""
    rows = frame()
    rows["b"] = pd.array([True, False] * 3, "boolean")
    for name, write in (("rows.csv", rows.to_csv), ("rows.parquet", rows.to_parquet)):
        write(tmp_path / name, index=False)
        assert np.array_equal(table(tmp_path / name).inputs, rows[["a", "b"]].astype(np.float64))


def test_index_is_detected_by_its_name_in_a_table_of_arrow(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"__index_level_0__": [3, 7], "a": [0.1, 0.2], "lab": ["x", "y"]}), tmp_path / "r.parquet"
    )
    (fault,) = faults(tmp_path / "r.parquet")
    assert fault.startswith("data.inputs: column '__index_level_0__' is the index of a data frame")
