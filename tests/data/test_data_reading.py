"""Reading values from files: CSV dialects, decimals, missing values, labels; which value a fault names."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from orchestrator.cli import orchestrator as command_line
from orchestrator.config.base import ConfigError
from orchestrator.data.file import File
from orchestrator.data.source import Table
from orchestrator.errors import InputError


def source(path: Path, **options: Any) -> File:
    return File.parse({"source": "file", "path": str(path), "target": "y", **options})


def read(path: Path, **options: Any) -> Table:
    return source(path, **options).read()


def faults(path: Path, **options: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        source(path, **options).load()
    lines = [str(fault).replace(str(path), path.name) for fault in caught.value.faults]
    assert all(line.isprintable() for line in lines)
    return lines


def csv(folder: Path, text: str | bytes) -> Path:
    path = folder / "rows.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def parquet(folder: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    return folder / "rows.parquet"


# --- values that are not numeric


@pytest.mark.parametrize("path", ["rows.parquet", "rows.csv", "rows.npz"])
def test_configuration_can_be_written_and_read_again(path: str) -> None:
    source = File.parse({"source": "file", "path": path, "target": "y"})
    assert File.parse(source.model_dump(mode="json")) == source


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1.5", "-2", "?"], "is not numeric: '?' in data row 3"),
        (["1", "n/k", "?"], "is not numeric: 'n/k' in data row 2"),
        (["1", "", "?"], "is not numeric: '?' in data row 3"),
        (["1_000", "2", "3"], "is not numeric: '1_000' in data row 1; write no thousands separators"),
        (["1", "1 303", "3"], "is not numeric: '1 303' in data row 2; write no thousands separators"),
        (
            ["346.00", "-1.5", '"-1,303.00"'],
            "is not numeric: '-1,303.00' in data row 3; write no thousands separators, or set decimal: ',' "
            "if the comma is the decimal point",
        ),
        (["2020-01-01", "2020-01-02", "2020-01-03"], "is not numeric: '2020-01-01' in data row 1"),
        (["x" * 100, "1", "2"], f"is not numeric: '{'x' * 39}…' in data row 1"),
        (['"a\nb"', "1", "2"], "is not numeric: 'a\\nb' in data row 1"),
        (["\x1b[31m", "1", "2"], "is not numeric: '\\x1b[31m' in data row 1"),
        (["1", '"NA"', "2"], "is not numeric: 'NA' in data row 2"),
        (["1", "NA", "2"], "is NaN, missing or infinite, first in data row 2"),
        (["1", "2", "1e400"], "is NaN, missing or infinite, first in data row 3"),
        (["", "", ""], "is NaN, missing or infinite, first in data row 1"),
    ],
)
def test_fault_names_the_first_value_that_is_not_numeric_and_its_row(
    tmp_path: Path, values: list[str], expected: str
) -> None:
    rows = [f"{value},{label}" for value, label in zip(values, "uvu", strict=True)]
    assert faults(csv(tmp_path, "x,y\n" + "\n".join(rows))) == [f"data.inputs: column 'x' {expected}"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["1", "2"]), "holds text, not numbers: '1' in data row 1"),
        (pa.array(["1", "1,5"]), "is not numeric: '1,5' in data row 2"),
        (pa.array([True, None]), "is NaN, missing or infinite, first in data row 2"),
        (pa.array([1, None]), "is NaN, missing or infinite, first in data row 2"),
        (pa.array([None, Decimal("1.5")]), "is NaN, missing or infinite, first in data row 1"),
        (pa.array([None, None]), "is NaN, missing or infinite, first in data row 1"),
        (pa.array([None, None], pa.string()), "is missing, first in data row 1"),
        (pa.array([[1], [2]]), "is not numeric: '[1]' in data row 1"),
        (pa.array([{"a": 1}, {"a": 2}]), "is not numeric: \"{'a': 1}\" in data row 1"),
        (pa.array([b"\xff", b"b"]), "is not numeric: \"b'\\\\xff'\" in data row 1"),
        (pa.array([1, 2], pa.date32()), "is not numeric: '1970-01-02' in data row 1"),
        (
            pa.array([1, 2], pa.timestamp("ns")),
            "is not numeric: '1970-01-01T00:00:00.000000001' in data row 1",
        ),
        (pa.array([1, 2], pa.duration("s")), "is not numeric: '1 seconds' in data row 1"),
        (pa.array([1, 2], pa.time32("s")), "is not numeric: '00:00:01' in data row 1"),
        (pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)), "is not numeric: '[1 2]' in data row 1"),
    ],
)
def test_fault_of_a_column_of_any_type_names_value_and_row(
    tmp_path: Path, column: Any, expected: str
) -> None:
    assert faults(parquet(tmp_path, x=column, y=["u", "v"])) == [f"data.inputs: column 'x' {expected}"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([Decimal("0.10"), Decimal("-1303.00")]),
        pa.array([Decimal("0.10"), Decimal("-1303.00")], pa.decimal256(60, 4)),
        pa.array([0.1, -1303.0]).dictionary_encode(),
        pa.array([0.1, -1303.0]),
    ],
)
def test_decimals_are_read_as_the_nearest_floats(tmp_path: Path, column: Any) -> None:
    assert read(parquet(tmp_path, x=column, y=["u", "v"])).inputs[:, 0].tolist() == [0.1, -1303.0]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([True, False]),
        pa.array([1, 0], pa.uint8()),
        pa.array([Decimal(1), Decimal(0)]),
        pa.array([1.0, 0.0], pa.float16()),
    ],
)
def test_nullable_columns_without_missing_values_are_numbers(tmp_path: Path, column: Any) -> None:
    assert read(parquet(tmp_path, x=column, y=["u", "v"])).inputs[:, 0].tolist() == [1.0, 0.0]


def test_list_of_columns_that_cannot_be_used_is_cut_short(tmp_path: Path) -> None:
    wide = {f"c{k}": ["?", "1"] for k in range(10_000)}
    found = faults(parquet(tmp_path, **wide, y=["u", "v"]))
    assert len(found) == 11
    assert found[-1].startswith("data.inputs: cannot be used either: columns c10, c11, ")
    assert found[-1].endswith(" and 9,980 more")
    (fault,) = faults(parquet(tmp_path, **wide, y=["u", "v"]), target="z")
    assert fault.endswith("c39, and 9,961 more)")


# --- dialects of CSV


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separator_and_decimal_comma_are_options(tmp_path: Path, separator: str) -> None:
    text = f"x{separator}n{separator}y\n0,5{separator}1{separator}u\n-1,25e1{separator}2{separator}v\n"
    found = read(csv(tmp_path, text), separator=separator, decimal=",")
    assert found.inputs.tolist() == [[0.5, 1.0], [-12.5, 2.0]]


@pytest.mark.parametrize(("separator", "quoted"), [(";", '";"'), ("\t", '"\\t"'), ("|", '"|"'), (" ", '" "')])
def test_fault_of_the_separator_suggests_the_one_in_the_header(
    tmp_path: Path, separator: str, quoted: str
) -> None:
    (fault,) = faults(csv(tmp_path, f"x{separator}y\n0,5{separator}u\n"))
    assert fault.startswith('data.separator: is ",", which the header ')
    assert fault.endswith(f" does not contain; set separator: {quoted}")
    (fault,) = faults(csv(tmp_path, "x,y\n1,u\n"), separator=separator)
    assert fault.endswith(' does not contain; set separator: ","')


def test_fault_of_a_number_with_a_comma_suggests_decimal(tmp_path: Path) -> None:
    assert faults(csv(tmp_path, "x;y\n1;u\n0,5;v\n"), separator=";") == [
        "data.inputs: column 'x' is not numeric: '0,5' in data row 2; write no thousands separators, "
        "or set decimal: ',' if the comma is the decimal point"
    ]
    assert faults(csv(tmp_path, "x;y\n1,5;u\n1.303,5;v\n"), separator=";", decimal=",") == [
        "data.inputs: column 'x' is not numeric: '1.303,5' in data row 2; write no thousands separators"
    ]


@pytest.mark.parametrize(
    ("path", "wrong", "expected"),
    [
        ("rows.csv", {"separator": ""}, "must be one ASCII character"),
        ("rows.csv", {"separator": "ab"}, "must be one ASCII character"),
        ("rows.csv", {"separator": "1"}, "must be one ASCII character"),
        ("rows.csv", {"separator": "\n"}, "must be one ASCII character"),
        ("rows.csv", {"separator": "."}, "must be one ASCII character"),
        ("rows.csv", {"separator": "·"}, "must be one ASCII character"),
        ("rows.csv", {"decimal": ";"}, 'must be "." or ","'),
        ("rows.csv", {"decimal": ","}, "which is also the separator"),
        ("rows.parquet", {"separator": ";"}, "legal for .csv files only"),
        ("rows.npz", {"decimal": ","}, "legal for .csv files only"),
        ("rows.csv", {"target_kind": "regression"}, "target_kind"),
    ],
)
def test_options_that_are_not_legal_are_refused(path: str, wrong: dict[str, str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        source(Path(path), **wrong)
    assert expected in str(caught.value)


def test_options_equal_to_their_default_do_not_change_the_identity(tmp_path: Path) -> None:
    path = csv(tmp_path, "x,y\n1,u\n2,v\n")
    plain = source(path).identity()
    assert set(plain) == {"source", "path", "target"}
    assert source(path, separator=",", decimal=".", target_kind=None).identity() == plain
    assert source(path, separator=";").identity() == {**plain, "separator": ";"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_do_not_matter(tmp_path: Path, end: str, mark: str) -> None:
    found = read(csv(tmp_path, mark + end.join(["x,y", "1,u", "", "2,v", ""])))
    assert (found.names, found.inputs.tolist()) == (("x",), [[1.0], [2.0]])


def test_line_ends_in_quotes_are_part_of_a_value_across_blocks_too(tmp_path: Path) -> None:
    rows = 60_000  # more than one block of the reader, so that a block ends inside a value
    found = read(csv(tmp_path, "x,y\n" + '1.25,"two\nlines"\n2.5,"and\n\nthree"\n' * rows))
    assert found.inputs.shape == (2 * rows, 1)
    assert found.targets.sum() == rows


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "x,y\n1,u\n2\n",
            "rows.csv cannot be read as csv: CSV parse error: data row 2: Expected 2 columns, got 1: 2",
        ),
        ("x,y\n1,u\n".encode("utf-16"), "rows.csv cannot be read as csv: it is UTF-16, must be UTF-8"),
        ("x,x,y,y\n1,2,u,u\n", "rows.csv has more than one column of the same name (x, y): rename them"),
    ],
)
def test_fault_of_a_malformed_table_says_where(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert faults(csv(tmp_path, text)) == [f"data.path: {expected}"]


def test_columns_with_the_same_name_are_refused_in_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table([[1, 2], [3, 4], ["u", "v"]], ["x", "x", "y"]), tmp_path / "rows.parquet")
    assert faults(tmp_path / "rows.parquet") == [
        "data.path: rows.parquet has more than one column of the same name (x): rename them"
    ]


def test_columns_with_the_same_name_are_refused_in_npz(tmp_path: Path) -> None:
    arrays = {"X": np.ones((2, 2)), "X.0": np.ones(2), "y": np.array([0, 1])}
    np.savez(tmp_path / "rows.npz", **arrays)  # type: ignore[arg-type]
    assert faults(tmp_path / "rows.npz") == [
        "data.inputs: column 'X.0' exists twice, as an array and as a column of a matrix: "
        "name one of them in inputs"
    ]


# --- targets


@pytest.mark.parametrize("spelling", ["NA", "null", "nan", "N/A"])
def test_fault_of_a_label_read_as_missing_suggests_quotes(tmp_path: Path, spelling: str) -> None:
    assert faults(csv(tmp_path, f"x,y\n1,EU\n2,US\n3,{spelling}\n")) == [
        f"data.target: the column is missing, first in data row 3; '{spelling}' is read as a "
        "missing value: if it is a label, put it in quotes"
    ]
    assert read(csv(tmp_path, f'x,y\n1,EU\n2,US\n3,"{spelling}"\n')).classes == 3


def test_fault_of_a_missing_label_names_the_row(tmp_path: Path) -> None:
    missing = "data.target: the column is missing, first in data row 2"
    assert faults(csv(tmp_path, "x,y\n1,EU\n2,\n3,US\n")) == [missing]
    assert faults(parquet(tmp_path, x=[1, 2, 3], y=["EU", None, "US"])) == [missing]
    assert read(parquet(tmp_path, x=[1, 2, 3], y=["EU", "NA", "US"])).classes == 3


@pytest.mark.parametrize(
    ("target", "kind", "classes", "targets"),
    [
        ([0.0, 1.0, 0.0], None, 0, [0, 1, 0]),
        ([0.0, 1.0, 0.0], "class", 2, [0, 1, 0]),
        ([0.0, 1.0, 0.0], "value", 0, [0, 1, 0]),
        ([7, 3, 9], None, 3, [1, 0, 2]),
        ([7, 3, 9], "class", 3, [1, 0, 2]),
        ([7, 3, 9], "value", 0, [7, 3, 9]),
        ([True, False, True], None, 2, [1, 0, 1]),
        ([True, False, True], "value", 0, [1, 0, 1]),
        ([2**63 + 1, 2**63, 2**63 + 1], None, 2, [1, 0, 1]),
        ([Decimal(3), Decimal(1), Decimal(3)], None, 2, [1, 0, 1]),
        ([Decimal("3.5"), Decimal("1.0"), Decimal(3)], None, 0, [3.5, 1, 3]),
        (["u", "v", "u"], "class", 2, [0, 1, 0]),
    ],
)
def test_target_kind_decides_whether_numbers_are_classes(
    tmp_path: Path, target: list[Any], kind: str | None, classes: int, targets: list[float]
) -> None:
    column = pa.array(target, pa.uint64()) if target[0] == 2**63 + 1 else pa.array(target)
    found = read(parquet(tmp_path, x=[1, 2, 3], y=column), target_kind=kind)
    assert (found.classes, found.targets.tolist()) == (classes, targets)


@pytest.mark.parametrize(
    ("target", "kind", "expected"),
    [
        ([0.0, 0.5, 1.0], "class", "holds 0.5 in data row 2: classes are whole numbers, text or booleans"),
        ([1.0, 1.0, 1.0], "class", "has one class only, '1.0'"),
        ([1.0, None, 1.0], "class", "is NaN, missing or infinite, first in data row 2"),
        (["1", "two", "3"], "value", "is not numeric: 'two' in data row 2"),
        (["1", "2", "3"], "value", "holds text, not numbers: '1' in data row 1"),
        (
            pa.array([2**63 - 3, 2**63 - 2, 2**63 - 1]),
            "value",
            "holds whole numbers beyond 2**53 whose differences float64 cannot hold "
            "(9223372036854775805 to 9223372036854775807); subtract an offset from them",
        ),
        (
            pa.array([1, 2, 3], pa.date32()),
            None,
            "holds neither strings, integers or booleans (classes) nor floats (values): "
            "'1970-01-02' in data row 1",
        ),
        (pa.array([True, None, False]), None, "is NaN, missing or infinite, first in data row 2"),
    ],
)
def test_fault_of_a_target_not_of_its_kind_says_where(
    tmp_path: Path, target: Any, kind: str | None, expected: str
) -> None:
    path = parquet(tmp_path, x=[1, 2, 3], y=target)
    assert faults(path, target_kind=kind) == [f"data.target: the column {expected}"]


@pytest.mark.parametrize(
    ("target", "options", "expected"),
    [
        (["u", "v"], {}, "inputs a, b; target y, 2 classes (u, v)"),
        (["u", "v"], {"inputs": ["b"]}, "inputs b; target y, 2 classes (u, v)"),
        (["u", "v"], {"weights": "a"}, "inputs b; target y, 2 classes (u, v); weights a"),
        (
            [0.0, 1.0],
            {},
            "inputs a, b; target y, values 0 to 1 (whole numbers; 2 classes with target_kind: class)",
        ),
        ([0.0, 1.5], {}, "inputs a, b; target y, values 0 to 1.5"),
        ([0.0, 1.0], {"target_kind": "class"}, "inputs a, b; target y, 2 classes (0, 1)"),
    ],
)
def test_description_names_the_role_of_each_column(
    tmp_path: Path, target: list[Any], options: dict[str, Any], expected: str
) -> None:
    path = parquet(tmp_path, a=[1.0, 2.0], b=[3.0, 5.0], y=target)
    assert source(path, test=0.0, **options).load().description == f"rows.parquet: {expected}"


SWEEP = """\
name: small
base:
  data: {source: file, path: rows.csv, target: y, weights: w, test: 0.0}
  model: {kind: mlp, hidden: [2]}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 2}
  steps: 1
sweep: [data.scale: [standard, minmax], model.hidden: [[2], [3]]]
"""


def test_plan_prints_the_description_of_each_file_once(tmp_path: Path) -> None:
    csv(tmp_path, "a,b,w,y\n1,2,1,dry\n3,5,2,wet\n")
    (tmp_path / "a.yaml").write_text(SWEEP)
    result = CliRunner().invoke(command_line, ["plan", str(tmp_path / "a.yaml")], catch_exceptions=False)
    lines = [line for line in result.output.splitlines() if line.startswith("data:")]
    assert lines == ["data: rows.csv: inputs a, b; target y, 2 classes (dry, wet); weights w"]
