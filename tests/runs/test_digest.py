"""The digest covers values: it does not depend on how they are stored, and changes with each value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import stored_runs as small
from stored_runs import KEYS, STEPS, advance, key_values, open_writer, plan, rows, trial_id

from orchestrator.runs.digest import digest
from orchestrator.runs.reader import Run
from orchestrator.tables.schema import TABLES

Table = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("digest")
    small.finish(path, range(3))
    return digest(Run(path))


def stored(path: Path, change: Callable[[Table], object]) -> Run:
    """Writes a run of trials 0, 1, 2 after ``change`` has changed its rows."""
    tables = {table: dict(columns) for table, columns in rows(range(3), 0, STEPS).items()}
    change(tables)
    with open_writer(path) as writer:
        writer.commit(tables, {trial_id(number): key_values(number) for number in range(3)}, {})
    return Run(path)


def test_digest_is_the_same_for_other_files_and_orders(tmp_path: Path, expected: Any) -> None:
    assert digest(stored(tmp_path / "one commit", dict.copy)) == expected
    with open_writer(tmp_path / "many") as writer:
        for numbers, start, stop in (([2, 0], 0, 2), ([1], 0, STEPS), ([0, 2], 2, STEPS)):
            advance(writer, numbers, start, stop)
    assert digest(Run(tmp_path / "many")) == expected


def test_digest_is_the_same_for_another_order_of_keys(tmp_path: Path, expected: Any) -> None:
    with open_writer(tmp_path, keys=KEYS[::-1]) as writer:
        keys = {trial_id(number): key_values(number)[::-1] for number in range(3)}
        writer.commit(rows(range(3), 0, STEPS), keys, {})
        writer.compact(keys.items())
    assert digest(Run(tmp_path)) == expected


def test_digest_is_the_same_with_one_column_in_memory(
    tmp_path: Path, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.runs.digest._CELLS", 1)
    assert digest(stored(tmp_path, dict.copy)) == expected


def test_digest_of_growing_is_that_of_running_at_once(tmp_path: Path, expected: Any) -> None:
    small.finish(tmp_path, range(1))
    with open_writer(tmp_path) as writer:
        small.run_missing(writer, range(3))
        writer.compact(plan(range(3)))
    assert digest(Run(tmp_path)) == expected


def test_digest_leaves_out_what_is_not_deterministic(tmp_path: Path, expected: Any) -> None:
    def change(tables: Table) -> None:
        tables["trials"].update(index=[5, 6, 7], attempts=[1, 2, 3], started_at=["now"] * 3)

    assert digest(stored(tmp_path, change)) == expected


CHANGES: dict[str, Callable[[Table], None]] = {
    "last bit": lambda tables: tables["steps"]["loss"].__setitem__(0, math.nextafter(0.0, 1.0)),
    "sign of zero": lambda tables: tables["steps"]["loss"].__setitem__(0, -0.0),
    "null": lambda tables: tables["steps"]["loss"].__setitem__(0, math.nan),
    "integer": lambda tables: tables["trials"].__setitem__("executions", [0, 0, 0]),
    "text": lambda tables: tables["trials"].__setitem__("status", ["done", "done", "failed"]),
    "boolean": lambda tables: tables["steps"]["finite"].__setitem__(0, False),
    "list": lambda tables: tables["gradients"]["histogram"].__setitem__((0, 0), 1),
    "row": lambda tables: tables["parameters"].update({k: v[:2] for k, v in tables["parameters"].items()}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_digest_of_one_table_differs_for_any_other_value(
    tmp_path: Path, expected: Any, change: Callable[[Table], None]
) -> None:
    changed = digest(stored(tmp_path, change))
    assert len(set(changed.tables.items()) ^ set(expected.tables.items())) == 2
    assert changed.total != expected.total


@dataclass(frozen=True)
class Held:
    """Tables in memory, with the methods of a run that ``digest`` calls."""

    tables: dict[str, pa.Table]

    def read(self, table: str, columns: list[str]) -> pa.Table:
        return self.tables[table].select(columns)

    def schema(self, table: str) -> pa.Schema:
        return self.tables[table].schema

    def with_other(self, table: str, column: str) -> Held:
        """Returns tables with another value in the first row of a column."""
        data = self.tables[table]
        index, field = data.column_names.index(column), data.schema.field(column)
        first, *rest = data[column].to_pylist()
        changed = pa.array([other(first, field.type), *rest], field.type)
        return Held({**self.tables, table: data.set_column(index, field, changed)})


def other(value: Any, kind: pa.DataType) -> Any:
    """Returns another value of the same type, never null."""
    if pa.types.is_boolean(kind):
        return not value
    if pa.types.is_list(kind):
        return [*(value or []), 1]
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return (value or 0) + 1
    return (value or "")[:-1] + ("1" if (value or "").endswith("0") else "0")


@pytest.mark.parametrize("table", list(TABLES))
def test_digest_is_over_every_deterministic_column_and_swept_key_and_no_other(
    tmp_path: Path, table: str
) -> None:
    small.finish(tmp_path, range(3))
    held = Held({name: Run(tmp_path).read(name) for name in TABLES})
    before, columns = digest(held).tables[table], held.schema(table).names
    seen = {name for name in columns if digest(held.with_other(table, name)).tables[table] != before}
    left_out = {column.name for column in TABLES[table] if not column.deterministic}
    assert seen - {"repeatable"} == set(columns) - left_out  # this column decides which rows count
    assert {key.column(table) for key in KEYS} - {None} <= seen


def test_digest_differs_for_other_swept_keys(tmp_path: Path, expected: Any) -> None:
    with open_writer(tmp_path) as writer:
        keys = {trial_id(number): (9, *key_values(number)[1:]) for number in range(3)}
        writer.commit(rows(range(3), 0, STEPS), keys, {})
    changed = digest(Run(tmp_path))
    assert not set(changed.tables.values()) & set(expected.tables.values())


def test_digest_tells_texts_apart_by_where_they_end(tmp_path: Path) -> None:
    def texts(*status: str) -> Callable[[Table], None]:
        return lambda tables: tables["trials"].__setitem__("status", list(status))

    one = digest(stored(tmp_path / "1", texts("ab", "c", "d")))
    other = digest(stored(tmp_path / "2", texts("a", "bc", "d")))
    assert one.tables["trials"] != other.tables["trials"]
