"""Sweeps of earlier versions: their trials keep their ids and their numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pin import ENGINES, HERE, JOBS, RECORD, hashes, ids, tables

from orchestrator.driver.verify import cpu

PINNED = json.loads(RECORD.read_text())
ROUNDING = 1e-12
"""Relative to the largest value of a column in a trial; CPUs and orders of sums round differently."""
DIFFERENCES = 1e-8
"""The same for finite differences. A rounding error of 1e-16, divided by the step of 1e-5, is 1e-11 in a
gradient. Groups have gradients down to 1e-3, so errors of their cosines reach 1e-8."""
SINGLE = 1e-5
"""The same for complex64, whose amplitudes are rounded to 6e-8 in every gate."""


def name(sweep: Path) -> str:
    return str(sweep.relative_to(HERE))


def pinned(sweep: Path) -> dict[str, dict[str, str]] | None:
    """Hashes of the values on this type of CPU, by table and column; None if there are none for it."""
    columns: dict[str, dict[str, dict[str, str]]] = PINNED[name(sweep)]["columns"]
    return columns.get(cpu())


def as_before(computed: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """The tables without the only intended change: ``shot_variance`` of exact gradients was 0, now null.

    For signals, and for groups without live parameters, it was null before as well.
    """
    trials, gradients = computed["trials"], computed["gradients"]
    exact = plain(trials["trial"]).filter(plain(pc.equal(trials["shots"], 0.0)))
    excepted = pc.and_(
        pc.is_in(plain(gradients["trial"]), exact),
        pc.and_(pc.equal(plain(gradients["kind"]), "parameter"), pc.greater(gradients["parameters"], 0)),
    )
    column = plain(gradients["shot_variance"])
    assert pc.all(pc.or_(column.is_null(), pc.invert(plain(excepted)))).as_py()
    undone = pc.if_else(plain(excepted), pa.scalar(0.0), column)
    index = gradients.column_names.index("shot_variance")
    return computed | {"gradients": gradients.set_column(index, gradients.field(index), undone)}


def changed(before: dict[str, dict[str, str]], computed: dict[str, pa.Table]) -> list[str]:
    """Earlier columns whose values have changed."""
    now = hashes(computed)
    return [
        f"{table}.{column}"
        for table, columns in before.items()
        for column, value in columns.items()
        if now[table].get(column) != value
    ]


@pytest.mark.parametrize("sweep", [*JOBS, *ENGINES], ids=name)
def test_pinned_trials_keep_their_ids(sweep: Path) -> None:
    before = PINNED[name(sweep)]
    assert ids(sweep) == (before["trials"], before["ids"])


@pytest.mark.parametrize("sweep", ENGINES, ids=name)
def test_pinned_engines_keep_their_numbers(sweep: Path, tmp_path: Path) -> None:
    computed = as_before(tables(sweep, tmp_path / "run"))
    for table in computed:
        before = pq.read_table(sweep.with_suffix(f".{table}.parquet"))
        rounding = DIFFERENCES if sweep.stem == "finite-difference" else ROUNDING
        assert far_off(before, computed[table], rounding) == []
    if bits := pinned(sweep):
        assert changed(bits, computed) == []


@pytest.mark.long
@pytest.mark.parametrize("sweep", JOBS, ids=name)
def test_pinned_jobs_keep_their_bits(sweep: Path, tmp_path: Path) -> None:
    if not (bits := pinned(sweep)):
        pytest.skip(f"no bits were recorded on {cpu()}")
    assert changed(bits, as_before(tables(sweep, tmp_path / "run"))) == []


def far_off(before: pa.Table, now: pa.Table, rounding: float) -> list[str]:
    """Columns in which a value differs from the earlier one by more than rounding."""
    return [column for column in before.column_names if not near(before, now, column, rounding)]


def near(before: pa.Table, now: pa.Table, column: str, rounding: float) -> bool:
    then, here = plain(before[column]), plain(now[column])
    if not pa.types.is_floating(then.type):
        return then.equals(here)
    if not then.is_null().equals(here.is_null()):
        return False
    old, new = (values.fill_null(0.0).to_numpy(zero_copy_only=False) for values in (then, here))
    trial = np.asarray(before["trial"].to_pylist())
    if len(old) > len(trial):  # a list in each row
        trial = np.repeat(trial, len(old) // len(trial))
    single = np.isin(trial, single_precision(before))
    for current in np.unique(trial):
        rows = trial == current
        tolerance = SINGLE if single[rows].any() else rounding
        if np.abs(new[rows] - old[rows]).max() > tolerance * max(np.abs(old[rows]).max(), 1e-300):
            return False
    return True


def single_precision(table: pa.Table) -> list[str]:
    if "case" not in table.column_names:
        return []
    return table.filter(pc.equal(table["case"].cast(pa.string()), "complex64"))["trial"].to_pylist()


def plain(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    if pa.types.is_dictionary(whole.type):
        whole = whole.cast(whole.type.value_type)
    lists = pa.types.is_list(whole.type) or pa.types.is_large_list(whole.type)
    return pc.list_flatten(whole) if lists else whole
