"""Sweeps of before this version: the ids that their trials had, and the numbers that came out."""

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
"""Of the largest value of a column in a trial: another CPU, or another order of a sum, rounds otherwise."""
DIFFERENCES = 1e-8
"""The same for finite differences: a rounding of 1e-16, divided by the step of 1e-5, is 1e-11 in a gradient;
groups have gradients down to 1e-3, so their cosines have as much as 1e-8."""
SINGLE = 1e-5
"""The same for complex64, whose amplitudes are rounded to 6e-8 in every gate."""


def name(sweep: Path) -> str:
    return str(sweep.relative_to(HERE))


def pinned(sweep: Path) -> dict[str, dict[str, str]] | None:
    """By table and column, the hash of the values on this type of CPU; None if none was recorded on one."""
    columns: dict[str, dict[str, dict[str, str]]] = PINNED[name(sweep)]["columns"]
    return columns.get(cpu())


def as_before(found: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """The tables with the one exception undone: where exact, ``shot_variance`` was 0 and is null now.

    It is null as before for signals, and for groups without live parameters.
    """
    trials, gradients = found["trials"], found["gradients"]
    exact = plain(trials["trial"]).filter(plain(pc.equal(trials["shots"], 0.0)))
    excepted = pc.and_(
        pc.is_in(plain(gradients["trial"]), exact),
        pc.and_(pc.equal(plain(gradients["kind"]), "parameter"), pc.greater(gradients["parameters"], 0)),
    )
    column = plain(gradients["shot_variance"])
    assert pc.all(pc.or_(column.is_null(), pc.invert(plain(excepted)))).as_py()
    undone = pc.if_else(plain(excepted), pa.scalar(0.0), column)
    place = gradients.column_names.index("shot_variance")
    return found | {"gradients": gradients.set_column(place, gradients.field(place), undone)}


def changed(before: dict[str, dict[str, str]], found: dict[str, pa.Table]) -> list[str]:
    """Columns of before whose values have changed."""
    now = hashes(found)
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
    found = as_before(tables(sweep, tmp_path / "run"))
    for table in found:
        before = pq.read_table(sweep.with_suffix(f".{table}.parquet"))
        rounding = DIFFERENCES if sweep.stem == "finite-difference" else ROUNDING
        assert far_off(before, found[table], rounding) == []
    if bits := pinned(sweep):
        assert changed(bits, found) == []


@pytest.mark.long
@pytest.mark.parametrize("sweep", JOBS, ids=name)
def test_pinned_jobs_keep_their_bits(sweep: Path, tmp_path: Path) -> None:
    if not (bits := pinned(sweep)):
        pytest.skip(f"no bits were recorded on {cpu()}")
    assert changed(bits, as_before(tables(sweep, tmp_path / "run"))) == []


def far_off(before: pa.Table, now: pa.Table, rounding: float) -> list[str]:
    """Columns in which a value is further from what it was than rounding takes it."""
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
    for one in np.unique(trial):
        rows = trial == one
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
