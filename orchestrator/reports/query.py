"""A run as views in DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from orchestrator.errors import OrchestratorError
from orchestrator.traces.read import Run
from orchestrator.traces.rowfiles import PARQUET
from orchestrator.traces.schema import TABLES


class QueryError(OrchestratorError):
    """A query that DuckDB refuses."""


@dataclass(frozen=True)
class Frame:
    """Names of the columns and the rows."""

    header: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def quoted(name: str) -> str:
    """An identifier as SQL wants it; keys have dots in their names."""
    return '"' + name.replace('"', '""') + '"'


def query(run: Run, sql: str) -> Frame:
    """The answer to a query over the views trials, steps, gradients and parameters.

    Raises:
        QueryError: DuckDB refuses it; the message says why.

    Example:
        >>> query(Run("runs/quickstart"), "select count(*) from steps").rows  # doctest: +SKIP
        [(5040,)]
    """
    with duckdb.connect() as connection:
        for table in TABLES:
            _register(connection, run, table)
        try:
            answer = connection.execute(sql)
            return Frame(tuple(column[0] for column in answer.description or ()), answer.fetchall())
        except duckdb.Error as error:
            raise QueryError(f"{error}\nthe views are {', '.join(TABLES)}; see docs/columns.md") from None


def _register(connection: duckdb.DuckDBPyConnection, run: Run, table: str) -> None:
    """One view: of Parquet here as such; of commits, and of object stores, for which DuckDB would need an
    extension and credentials, through Arrow."""
    files = run.files(table)
    if not files:
        connection.register(table, run.schema(table).empty_table())
        return
    if not run.local or not all(file.endswith(PARQUET) for file in files):
        connection.register(table, run.dataset(table))
        return
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    connection.execute(f"create view {table} as select * from read_parquet([{listed}], union_by_name = true)")
