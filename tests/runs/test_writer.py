"""Commits are atomic (rows, swept keys, states) and readable at any time."""

from __future__ import annotations

import math
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stored_runs as small
from paths import SUPPORT
from pyarrow import feather, ipc
from stored_runs import STEPS, advance, commits, key_values, open_writer, plan, rows, state, trial_id

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.reader import Run
from orchestrator.tables.rows import KeyColumn, SavedState
from orchestrator.tables.schema import TABLES


def test_commit_is_read_back_with_swept_keys_and_null_for_nan(tmp_path: Path) -> None:
    with open_writer(tmp_path / "run") as writer:
        advance(writer, [4, 7], 0, 2)
    steps = Run(tmp_path / "run").steps
    assert steps.column_names[:5] == ["trial", "model.layers", "updates.0", "seed", "step"]
    assert steps["trial"].to_pylist() == [trial_id(4)] * 2 + [trial_id(7)] * 2
    assert steps["model.layers"].to_pylist() == [1, 1, 4, 4]
    assert steps["updates.0"].to_pylist() == ["none", "none", "tight", "tight"]
    assert steps["clip_scale"].to_pylist() == [None, 0.5, None, 0.5]
    assert steps["loss"].to_pylist() == rows([4, 7], 0, 2)["steps"]["loss"].tolist()
    assert steps["test_loss"].null_count == steps.num_rows
    assert Run(tmp_path / "run").gradients["histogram"].to_pylist()[-1] == [7, 1, 0, 9]


def test_commit_keeps_infinity(tmp_path: Path) -> None:
    with open_writer(tmp_path / "run") as writer:
        given = {"steps": {"trial": [trial_id(0)], "step": [0], "loss": [-math.inf]}}
        writer.commit(given, {trial_id(0): key_values(0)}, {trial_id(0): state(0, 1)})
    assert Run(tmp_path / "run").steps["loss"].to_pylist() == [-math.inf]


def test_swept_key_named_like_a_column_keeps_both_apart(tmp_path: Path) -> None:
    keys = (KeyColumn.of("loss", ["mse", "hinge"]), KeyColumn.of("seed", [0, 1]))
    with open_writer(tmp_path / "run", keys=keys) as writer:
        given = {**rows([1], 2, 3)}
        writer.commit(given, {trial_id(1): ("hinge", 1)}, {})
        writer.compact([(trial_id(1), ("hinge", 1))])
    run = Run(tmp_path / "run")
    assert run.steps["sweep.loss"].to_pylist() == ["hinge"]
    assert run.steps["loss"].to_pylist() == [math.sin(1 + 2 / 7)]
    assert run.steps["seed"].to_pylist() == run.trials["seed"].to_pylist() == [1]
    assert run.trials["loss"].to_pylist() == ["hinge"]


def test_states_come_back_bit_by_bit_until_their_trial_ends(tmp_path: Path) -> None:
    with open_writer(tmp_path / "run") as writer:
        advance(writer, [0, 1], 0, 1)
        advance(writer, [0], 1, 2)
        advance(writer, [1], 1, STEPS)
    with open_writer(tmp_path / "run") as writer:
        assert list(writer.states()) == [trial_id(0)]
        saved = writer.states()[trial_id(0)]
        assert (saved.step, saved.vector.tobytes()) == (2, state(0, 2).vector.tobytes())


def test_ended_trials_are_sorted_numbers_wherever_their_rows_lie(tmp_path: Path) -> None:
    numbers = sorted(int(trial_id(number), 16) for number in range(7))
    small.finish(tmp_path / "run", range(5))
    with open_writer(tmp_path / "run") as writer:
        for number in (5, 6):
            advance(writer, [number], 0, STEPS)
        ended = writer.ended()
    assert (ended.dtype, ended.tolist()) == (np.uint64, numbers)


def test_new_run_has_nothing_and_every_table(tmp_path: Path) -> None:
    with open_writer(tmp_path / "a" / "run") as writer:
        assert (len(writer.ended()), writer.states(), writer.lost) == (0, {}, ())
    run = Run(tmp_path / "a" / "run")
    assert not run.finished
    assert run.sweep == small.SWEEP
    assert {table: run.read(table).num_rows for table in TABLES} == dict.fromkeys(TABLES, 0)


def test_commit_of_rows_that_would_come_twice_is_refused(tmp_path: Path) -> None:
    with open_writer(tmp_path / "run") as writer, pytest.raises(ValueError, match=trial_id(3)):
        writer.commit(rows([3], 0, 1), {trial_id(3): key_values(3)}, {})


@pytest.mark.parametrize(
    "given",
    [
        {"stepz": {"trial": [trial_id(0)]}},
        {"steps": {"trial": [trial_id(0)], "step": [0], "lass": [0.5]}},
        {"steps": {"trial": [trial_id(0)]}},
        {"steps": {"trial": ["12"], "step": [0]}},
    ],
)
def test_commit_of_what_no_table_holds_is_refused_whole(tmp_path: Path, given: Any) -> None:
    with open_writer(tmp_path / "run") as writer:
        with pytest.raises(ValueError):
            writer.commit(
                given, {trial_id(0): key_values(0), "12": key_values(0)}, {trial_id(0): state(0, 1)}
            )
        assert Run(tmp_path / "run").steps.num_rows == 0


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Makes the kernel refuse writes beyond ``size`` bytes of a file, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("size", [100, 4500])  # in the first file of a commit; in a later one
def test_full_disk_fails_the_commit_and_nothing_else(tmp_path: Path, size: int) -> None:
    with open_writer(tmp_path / "run") as writer:
        advance(writer, [0], 0, 1)
        with files_limited_to(size), pytest.raises(RunDirectoryError, match=r"run: File too large; .* kept"):
            advance(writer, [0], 1, 2)
        assert Run(tmp_path / "run").steps["step"].to_pylist() == [0]
        advance(writer, [0], 1, STEPS)
    assert Run(tmp_path / "run").steps["step"].to_pylist() == [0, 1, 2]


def test_full_disk_fails_the_compaction_and_nothing_else(tmp_path: Path) -> None:
    with open_writer(tmp_path / "run") as writer:
        advance(writer, range(20), 0, STEPS)
        with files_limited_to(5000), pytest.raises(RunDirectoryError, match="run: File too large"):
            writer.compact(plan(range(20)))
        assert not (tmp_path / "run" / "compacting").exists()
        assert (Run(tmp_path / "run").finished, Run(tmp_path / "run").trials.num_rows) == (False, 20)
        writer.compact(plan(range(20)))
    assert (Run(tmp_path / "run").finished, Run(tmp_path / "run").trials.num_rows) == (True, 20)


def test_merge_keeps_rows_and_drops_states_of_ended_and_earlier_steps(tmp_path: Path) -> None:
    with open_writer(tmp_path / "run") as writer:
        small.run_missing(writer, range(5))
        advance(writer, [9], 0, 1)
        assert commits(tmp_path / "run") == ["000017"]
        assert list(writer.states()) == [trial_id(9)]
    merged = tmp_path / "run" / "commits" / "000017"
    assert feather.read_table(merged / "state.arrow")["trial"].to_pylist() == [trial_id(9)]
    assert ipc.open_file(merged / "steps.arrow").num_record_batches == 1
    assert Run(tmp_path / "run").steps["step"].to_pylist() == [0, 1, 2] * 5 + [0]


def test_damage_is_reported_to_a_reader_in_one_line(tmp_path: Path) -> None:
    with open_writer(tmp_path / "run") as writer:
        advance(writer, [0], 0, 1)
    steps = tmp_path / "run" / "commits" / "000001" / "steps.arrow"
    steps.write_bytes(steps.read_bytes()[:-6] + b"ARROWX")
    with pytest.raises(RunDirectoryError, match=r"steps.arrow is damaged; a commit is computed again"):
        _ = Run(tmp_path / "run").steps


def test_commit_after_the_run_was_taken_over_is_refused(tmp_path: Path) -> None:
    with open_writer(tmp_path / "run") as writer:
        (tmp_path / "run" / "lock").unlink()
        with pytest.raises(RunDirectoryError, match="another driver has taken"):
            advance(writer, [0], 0, 1)
    assert Run(tmp_path / "run").steps.num_rows == 0


def test_reader_beside_a_driver_sees_every_committed_row_at_any_time(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import stored_runs; from pathlib import Path; "
        "stored_runs.finish(Path(sys.argv[2]), range(12))"
    )
    small.finish(tmp_path / "run", range(1))
    run = Run(tmp_path / "run")
    seen = [run.steps.num_rows]
    command = [sys.executable, "-c", script, str(SUPPORT), str(tmp_path / "run")]
    with subprocess.Popen(command) as driver:
        while driver.poll() is None:
            seen.append(run.steps.num_rows)
    assert driver.returncode == 0
    assert (seen == sorted(seen), seen[0], run.steps.num_rows) == (True, STEPS, 12 * STEPS)


@pytest.mark.parametrize("name", ["nothing", "folder", "file"])
def test_path_that_is_not_a_run_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match=r"not a run|Not a directory"):
        Run(tmp_path / name)


def test_state_of_a_trial_without_rows_is_kept(tmp_path: Path) -> None:
    with open_writer(tmp_path / "run") as writer:
        writer.commit({}, {}, {trial_id(0): SavedState(5, np.empty(0))})
        assert writer.states()[trial_id(0)].step == 5
        writer.commit({}, {}, {})
    assert commits(tmp_path / "run") == ["000001"]


def test_keys_take_the_type_that_holds_all_values() -> None:
    assert KeyColumn.of("k", [1, 2, None]).type == "int64"
    assert KeyColumn.of("k", [1, 0.5]).type == "float64"
    assert KeyColumn.of("k", [1, 0.5, "x"]).type == "string"
    assert KeyColumn.of("k", [True]).type == "string"
    assert [KeyColumn("k", "string").convert(v) for v in (1, 1e-5, True, "x")] == ["1", "1e-05", "true", "x"]


def test_trials_are_counted_by_how_they_ended(tmp_path: Path) -> None:
    with open_writer(tmp_path / "run"):
        assert Run(tmp_path / "run").count("failed") == 0
