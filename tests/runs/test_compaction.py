"""Compaction sorts a run completely, in bounded memory, into tables that any tool reads in one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.compute as pc
import pytest
import stored_runs as small
from stored_runs import GROUPS, KEYS, STEPS, advance, key_values, open_writer, plan, rows, trial_id

from orchestrator.runs import compaction
from orchestrator.runs import parts as parts_of_tables
from orchestrator.runs.digest import digest
from orchestrator.runs.manifest import RunInfo, snapshot
from orchestrator.runs.reader import Run
from orchestrator.runs.storage.folder import Folder
from orchestrator.runs.writer import RunWriter
from orchestrator.tables.rows import KeyColumn
from orchestrator.tables.schema import TABLES

CLIP = KeyColumn("clip", "float64")


def parts(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.glob("*/*"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finished") / "run"
    small.finish(path, range(12))
    return path


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of trials 0 … 3, grown by a sweep over trials 2 … 5 with one more axis."""
    path = tmp_path_factory.mktemp("grown") / "run"
    small.finish(path, range(4))
    values = {trial_id(number): (0.5 + number, *key_values(number)) for number in range(2, 6)}
    with open_writer(path, sweep="name: small\nmore: 1\n", keys=(CLIP, *KEYS)) as writer:
        for number in (4, 5):
            writer.commit(rows([number], 0, STEPS), values, {})
        writer.compact(values.items())
    return path


def test_finished_tables_are_sorted_and_alone(finished: Path) -> None:
    run, ids = Run(finished), sorted(trial_id(number) for number in range(12))
    assert run.finished
    assert parts(finished) == sorted(f"{table}/part-0001-00000.parquet" for table in TABLES)
    assert run.trials["trial"].to_pylist() == ids
    assert run.steps.select(["trial", "step"]).to_pylist() == [
        {"trial": trial, "step": step} for trial in ids for step in range(STEPS)
    ]
    assert run.gradients["group"].to_pylist() == sorted(GROUPS) * (12 * STEPS)


@pytest.mark.parametrize("run_all", [small.run_missing, small.run_at_once])
@pytest.mark.parametrize("came", [range(12), range(11, -1, -1)])
def test_finished_files_do_not_tell_in_which_order_trials_came_back(
    run_all: Callable[[RunWriter, Sequence[int]], None], came: range, tmp_path: Path, finished: Path
) -> None:
    with open_writer(tmp_path) as writer:
        run_all(writer, came)
        writer.compact(plan(range(12)))
    for part in parts(finished):
        if not part.startswith("steps"):  # `seconds_compute` differs there
            assert (tmp_path / part).read_bytes() == (finished / part).read_bytes()
    frame, expected = (pd.read_parquet(path / "steps") for path in (tmp_path, finished))
    pd.testing.assert_frame_equal(
        frame.drop(columns="seconds_compute"), expected.drop(columns="seconds_compute")
    )
    ids = [trial_id(number) for number in came]
    assert frame["trial"].cat.categories.to_list() == sorted(ids) != ids


def test_pandas_polars_and_duckdb_read_finished_folders(finished: Path) -> None:
    steps, pattern = str(finished / "steps"), str(finished / "steps" / "*.parquet")
    expected = {1: 9, 2: 9, 3: 9, 4: 9}
    assert pd.read_parquet(steps).groupby("model.layers").size().to_dict() == expected
    for source in (steps, pattern):
        counted = pl.read_parquet(source).group_by("model.layers").len()
        assert dict(counted.iter_rows()) == expected
    counted = duckdb.sql(f"select \"model.layers\", count(*) from '{pattern}' group by all").fetchall()
    assert dict(counted) == expected


def test_pandas_polars_and_duckdb_read_grown_folders(grown: Path) -> None:
    trials, pattern = str(grown / "trials"), str(grown / "trials" / "*.parquet")
    expected = {trial_id(n): None if n < 2 else 0.5 + n for n in range(6)}
    frame = pd.read_parquet(trials)
    assert {
        t: None if np.isnan(c) else c for t, c in zip(frame["trial"], frame["clip"], strict=True)
    } == expected
    for source in (trials, pattern):
        assert dict(pl.read_parquet(source).select("trial", "clip").iter_rows()) == expected
    assert dict(duckdb.sql(f"select trial, clip from '{pattern}'").fetchall()) == expected


def test_growing_adds_a_generation_and_keeps_the_keys_of_trials_it_does_not_name(grown: Path) -> None:
    run = Run(grown)
    assert parts(grown) == sorted(f"{table}/part-0002-00000.parquet" for table in TABLES)
    assert run.steps.column_names[1:5] == ["clip", "model.layers", "updates.0", "seed"]
    by_trial = {row["trial"]: row for row in run.trials.to_pylist()}
    for number in range(6):
        row = by_trial[trial_id(number)]
        assert (row["model.layers"], row["updates.0"], row["seed"]) == key_values(number)
    assert pc.sum(pc.is_null(run.steps["clip"])).as_py() == 2 * STEPS


def test_grown_run_is_read_whole_before_it_is_compacted(grown: Path) -> None:
    names = {trial_id(9): (9.5, *key_values(9))}
    with open_writer(grown, sweep="name: small\nmore: 2\n", keys=(CLIP, *KEYS)) as writer:
        writer.commit(rows([9], 0, STEPS), names, {})
        run = Run(grown)
        assert (run.finished, run.trials.num_rows, run.steps.num_rows) == (False, 7, 7 * STEPS)
        assert len(run.files("steps")) == 2
        assert run.trials["clip"].to_pylist()[-1] == 9.5
        writer.compact(names.items())


def test_key_that_gets_text_values_is_text_everywhere(tmp_path: Path) -> None:
    number, text = KeyColumn.of("k", [1e-5, 2]), KeyColumn.of("k", [1e-5, "none"])
    with open_writer(tmp_path, keys=(number,)) as writer:
        writer.commit(rows([0], 0, STEPS), {trial_id(0): (1e-5,)}, {})
        writer.commit(rows([1], 0, STEPS), {trial_id(1): (2,)}, {})
        writer.compact([(trial_id(0), (1e-5,)), (trial_id(1), (2,))])
    with open_writer(tmp_path, keys=(text,), sweep="name: small\nk: 1") as writer:
        writer.commit(rows([2], 0, STEPS), {trial_id(2): ("none",)}, {})
        expected = {trial_id(0): "1e-05", trial_id(1): "2.0", trial_id(2): "none"}
        trials = Run(tmp_path).trials
        assert dict(zip(trials["trial"].to_pylist(), trials["k"].to_pylist(), strict=True)) == expected
        writer.compact([(trial_id(0), (1e-5,)), (trial_id(2), ("none",))])
    trials = Run(tmp_path).trials
    assert dict(zip(trials["trial"].to_pylist(), trials["k"].to_pylist(), strict=True)) == expected


def test_rows_of_a_trial_that_never_ended_are_left_out(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        advance(writer, [0], 0, STEPS)
        advance(writer, [1], 0, 2)
        writer.compact(plan([0]))
        assert (writer.states(), len(writer.ended())) == ({}, 1)
    assert Run(tmp_path).steps["trial"].to_pylist() == [trial_id(0)] * STEPS


def test_run_without_any_row_has_tables_with_all_columns(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        writer.compact([])
    assert parts(tmp_path) == [f"{t}/part-0001-00000.parquet" for t in ("gradients", "steps", "trials")]
    assert pd.read_parquet(tmp_path / "steps").columns.tolist() == Run(tmp_path).steps.column_names
    assert Run(tmp_path).finished


@pytest.mark.parametrize(
    ("memory_bytes", "part_bytes", "files"),
    [
        (1 << 20, 1, {1}),
        (20_000, 1, set(range(2, 12))),
        (1, 1, {12}),
        (1, 20_000, set(range(2, 12))),
        (1, 1 << 20, {1}),
    ],
)
def test_parts_hold_the_same_rows_however_little_memory_there_is(
    tmp_path: Path,
    finished: Path,
    memory_bytes: int,
    part_bytes: int,
    files: set[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts_of_tables, "_GROUP_BYTES", 1)
    with open_writer(tmp_path) as writer:
        for start in range(0, 12, 4):
            advance(writer, range(start, start + 4), 0, STEPS)
    folder = Folder(tmp_path)
    info = RunInfo.load(folder)
    assert info
    compaction.compact(folder, snapshot(folder), info, "", plan(range(12)), memory_bytes, part_bytes)
    open_writer(tmp_path).close()  # removes left-overs
    run = Run(tmp_path)
    assert len(run.files("gradients")) in files
    assert parts(tmp_path) == sorted(str(Path(f).relative_to(tmp_path)) for t in TABLES for f in run.files(t))
    assert digest(run) == digest(Run(finished))
    assert run.steps["trial"].to_pylist() == sorted(run.steps["trial"].to_pylist())  # over all parts


@pytest.mark.parametrize("memory_bytes", [1 << 20, 1])
def test_mark_follows_the_plan_however_little_memory_there_is(tmp_path: Path, memory_bytes: int) -> None:
    small.finish(tmp_path, range(12))
    folder = Folder(tmp_path)
    info, run, sweep = RunInfo.load(folder), snapshot(folder), list(range(9, 2, -1))
    assert info
    complete = compaction.compact(folder, run, info, "", plan(sweep), memory_bytes, tables=("trials",))
    assert {name.split("-")[1] for name in complete.files if not name.startswith("trials/")} == {"0001"}
    expected = {trial_id(n): (True, sweep.index(n)) if n in sweep else (False, None) for n in range(12)}
    assert small.marks(tmp_path) == expected
    assert Run(tmp_path).trials["trial"].to_pylist() == sorted(expected)


def test_plan_is_gone_through_once(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        advance(writer, [0, 1], 0, STEPS)
        trials: Any = plan([0, 1])
        writer.compact(trials)
    assert next(trials, None) is None
