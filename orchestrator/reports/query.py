"""SQL queries on a run, in DuckDB."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import duckdb

from orchestrator.config.text import suggest
from orchestrator.errors import OrchestratorError
from orchestrator.runs.reader import Run
from orchestrator.tables.schema import TABLES

_QUERY_FAULTS = duckdb.ParserException, duckdb.CatalogException, duckdb.BinderException, duckdb.DataError
"""Errors that DuckDB raises for a wrong query, whatever the files hold."""


_NO_TABLE = re.compile("Catalog Error: Table with name (.+) does not exist!")


class QueryError(OrchestratorError):
    """A query that DuckDB refuses."""


@dataclass(frozen=True)
class Frame:
    """A table: names of the columns, and the rows."""

    header: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def quoted(name: str) -> str:
    """Returns a quoted SQL identifier, as the names of keys contain dots."""
    return '"' + name.replace('"', '""') + '"'


def query(run: Run, sql: str, all_trials: bool = False) -> Frame:
    """Returns the result of a query over the views trials, steps, gradients and parameters.

    Args:
        all_trials: whether the views include trials that are no longer in the sweep.

    Raises:
        QueryError: DuckDB refuses the query; the message says why.
        RunDirectoryError: a file of the run is missing or damaged.

    Example:
        >>> query(Run("runs/quickstart"), "select count(*) from steps").rows  # doctest: +SKIP
        [(5040,)]
    """
    files = _files(run)
    with duckdb.connect() as connection:
        try:
            _create_views(connection, run, all_trials)
            result = connection.execute(sql)
            return Frame(tuple(column[0] for column in result.description or ()), result.fetchall())
        except duckdb.Error as error:
            if not isinstance(error, _QUERY_FAULTS):
                if files != _files(run):  # a driver has replaced them
                    return query(run, sql, all_trials)
                for table in TABLES:
                    run.check(table)
                raise QueryError(str(error).splitlines()[0]) from None  # the rest may be DuckDB's own stack
            raise QueryError(_explain(error, run)) from None


def _explain(error: duckdb.Error, run: Run) -> str:
    """Returns what is wrong with a query, and what it can name: never views of this module's own."""
    if missing := _NO_TABLE.match(str(error)):
        return f"there is no table {missing[1]!r}{suggest(missing[1], TABLES)}; see docs/reading.md"
    dotted = [quoted(key.name) for key in run.keys if "." in key.name]
    quotes = f"; keys with dots need double quotes: {dotted[0]}" if dotted else ""
    return f"{error}\nthe tables are {', '.join(TABLES)}, see docs/reading.md{quotes}"


def _files(run: Run) -> list[list[str]]:
    return [run.files(table) for table in TABLES]


def others(run: Run) -> int:
    """Returns the number of trials in the run that are no longer in the sweep.

    Raises:
        RunDirectoryError: a file of the run is missing or damaged.
    """
    ((number,),) = query(run, "select count(*) from trials where not current", all_trials=True).rows
    return int(number)


def _create_views(connection: duckdb.DuckDBPyConnection, run: Run, all_trials: bool) -> None:
    for table in TABLES:
        _register(connection, run, table)
    current = "select * replace (coalesce(current, true) as current) from whole_trials"
    connection.execute(f"create view marked as {current}")  # null: written before this column existed
    (any_others,) = connection.execute("select count(*) > 0 from marked where not current").fetchall()[0]
    left_out = any_others and not all_trials
    connection.execute("create view trials as from marked" + " where current" * left_out)
    chosen = " where trial not in (select trial from marked where not current)" * left_out
    for table in TABLES.keys() - {"trials"}:
        connection.execute(f"create view {table} as from whole_{table}{chosen}")


def _register(connection: duckdb.DuckDBPyConnection, run: Run, table: str) -> None:
    """Creates the view ``whole_<table>``: all trials of a table; rows of commits get their swept keys here.

    The files are read through Arrow, as DuckDB's own reader does not check their pages.
    """
    if not run.files(table):
        connection.register(f"whole_{table}", run.schema(table).empty_table())
        return
    rows, keys = run.dataset(table)
    connection.register(f"rows_{table}", rows)
    connection.register(f"keys_{table}", keys)
    swept = {quoted(name): quoted(key.name) for key in run.keys if (name := key.column(table))}
    columns = ", ".join(f"coalesce(r.{name}, k.{key}) as {name}" for name, key in swept.items())
    joined = f"select r.* replace ({columns}) from rows_{table} r left join keys_{table} k using (trial)"
    whole = joined if keys.num_rows and swept else f"from rows_{table}"
    connection.execute(f"create view whole_{table} as {whole}")
