"""The tables of a run and the page that documents them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from paths import ROOT

from orchestrator.tables.columns import markdown
from orchestrator.tables.schema import GRADIENTS, SORT, STEPS, TABLES, TRIALS


@pytest.mark.parametrize("table", TABLES)
def test_table_names_each_column_once(table: str) -> None:
    names = [column.name for column in TABLES[table]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("table", TABLES)
def test_table_is_sorted_by_columns_that_it_has(table: str) -> None:
    assert set(SORT[table]) <= {column.name for column in TABLES[table] if column.deterministic}


@pytest.mark.parametrize("table", TABLES)
def test_columns_have_a_unit_exactly_where_they_are_numbers(table: str) -> None:
    for column in TABLES[table]:
        assert bool(column.unit) == (column.type in ("int64", "float64", "int64 list")), column.name
        assert column.meaning


def test_columns_that_are_not_deterministic_are_these() -> None:
    found = {table: {c.name for c in columns if not c.deterministic} for table, columns in TABLES.items()}
    cost = {"seconds_compute", "seconds_wait", "qpu_seconds"}
    described = {
        "index",
        "current",
        "pack",
        "attempts",
        "error",
        "versions",
        "started_at",
        "certificate",
        "configuration",
        "repeatable",
    }
    assert found == {"trials": cost | described, "steps": cost, "gradients": set(), "parameters": set()}


def test_a_column_of_several_tables_has_one_type() -> None:
    types: dict[str, set[str]] = {}
    for column in TRIALS + STEPS + GRADIENTS:
        types.setdefault(column.name, set()).add(column.type)
    assert all(len(kinds) == 1 for kinds in types.values())


def test_schema_is_pure_python() -> None:
    script = "import sys, orchestrator.tables.columns; print({'numpy', 'pyarrow'} & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout == "set()\n"


def test_columns_page_equals_what_the_schema_generates() -> None:
    text = (ROOT / "docs" / "columns.md").read_text(encoding="utf-8")
    assert text == markdown(), "run: python -m orchestrator.tables.columns > docs/columns.md"


@pytest.mark.parametrize(
    ("signal_square", "scale"),
    [
        ([[3.0], [5.0]], 0.5),  # mean 4, standard error 1
        ([[1.0], [7.0]], None),  # mean 4, standard error 3
        ([[-3.0], [-5.0]], None),
        ([[4.0]], None),  # one trial has no standard error
        ([[4.0] * 9], None),  # whatever its number of steps
        ([[1.0, 7.0], [7.0, 1.0]], 0.5),  # scatter between steps does not count
        ([[1.0] * 9, [7.0] * 9], None),  # more steps do not count as more trials
        ([[5.0] * 9, [3.0]], 0.5),  # and give a trial no more weight
        ([[4.0], [4.0], [None]], 0.5),  # rows of one sample are skipped
    ],
)
def test_noise_scale_query_averages_per_trial_and_is_null_without_a_clearly_positive_denominator(
    signal_square: list[list[float | None]],
    scale: float | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query = markdown().partition("```sql\n")[2].partition("```")[0]
    (tmp_path / "steps").mkdir()
    rows = [
        {"trial": f"{trial:016x}", "noise_trace": None if value is None else 2.0, "signal_square": value}
        for trial, values in enumerate(signal_square)
        for value in values
    ]
    types = {"trial": pa.string(), "noise_trace": pa.float64(), "signal_square": pa.float64()}
    table = pa.Table.from_pylist(rows, pa.schema(types))
    pq.write_table(table, tmp_path / "steps" / "part-0-0.parquet")
    monkeypatch.chdir(tmp_path)
    with duckdb.connect() as connection:
        assert connection.execute(query).fetchall() == [(scale,)]
