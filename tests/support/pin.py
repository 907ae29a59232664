"""Results of pinned sweeps. ``python tests/support/pin.py`` writes them anew, after intended changes only.

Ids are equal everywhere. Bits are equal on one type of CPU, so hashes of columns are stored by CPU. The
tables of the small sweeps are stored whole, to be compared within rounding on any CPU.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from paths import TESTS

from orchestrator.api.placing import Where
from orchestrator.api.running import open_run, run
from orchestrator.driver.verify import cpu
from orchestrator.runs.arrow import order_by
from orchestrator.sweep.file import load
from orchestrator.tables.schema import SORT, TABLES

HERE = TESTS / "promises" / "pinned"
RECORD = HERE / "record.json"
JOBS = tuple(sorted(HERE.glob("*.yaml")))
ENGINES = tuple(sorted(HERE.glob("engines/*.yaml")))


def ids(sweep: Path) -> tuple[int, str]:
    """Number of trials of a sweep, and SHA-256 over their ids in the order of the plan."""
    names = [trial.id for trial in load(sweep).plan.trials()]
    return len(names), hashlib.sha256(" ".join(names).encode()).hexdigest()


def tables(sweep: Path, out: Path) -> dict[str, pa.Table]:
    """Runs a sweep and returns its deterministic columns, with sorted rows, by table."""
    run(sweep, out, where=Where(inline=True))
    return dict(_tables(out))


def _tables(out: Path) -> Iterator[tuple[str, pa.Table]]:
    opened = open_run(out)
    for name, columns in TABLES.items():
        left_out = [column.name for column in columns if not column.deterministic]
        table = opened.read(name)
        table = table.drop_columns([column for column in left_out if column in table.column_names])
        yield name, table.take(order_by(table.select(SORT[name]), SORT[name]))


def hashes(computed: dict[str, pa.Table]) -> dict[str, dict[str, str]]:
    """SHA-256 over the values of each column, by table and column."""
    return {
        name: {column: _hash(table[column]) for column in sorted(table.column_names)}
        for name, table in computed.items()
    }


def _hash(column: pa.ChunkedArray) -> str:
    return hashlib.sha256(repr(column.to_pylist()).encode()).hexdigest()


def _pinned(sweep: Path, folder: Path) -> dict[str, object]:
    computed = tables(sweep, folder / sweep.stem)
    if sweep in ENGINES:
        for name, table in computed.items():
            pq.write_table(table, sweep.with_suffix(f".{name}.parquet"), compression="zstd")
    count, total = ids(sweep)
    return {"trials": count, "ids": total, "columns": {cpu(): hashes(computed)}}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        record = {str(path.relative_to(HERE)): _pinned(path, Path(scratch)) for path in (*JOBS, *ENGINES)}
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    sys.stdout.write(f"{RECORD} is written\n")
