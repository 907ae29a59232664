"""`verify` runs trials again and finds every bit that differs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from paths import SUPPORT
from stored_runs import relist

import orchestrator
from orchestrator.api.running import Watcher
from orchestrator.backends.batched.backend import Batched
from orchestrator.cli import orchestrator as command_line
from orchestrator.driver.driver import Progress
from orchestrator.driver.verify import Verification, verify
from orchestrator.engines.adjoint import Adjoint
from orchestrator.engines.backprop import Backprop
from orchestrator.errors import InputError, RunDirectoryError
from orchestrator.fleet.inline import InlineTeam
from orchestrator.runs.digest import digest
from orchestrator.runs.reader import Run
from orchestrator.versions import versions

SWEEP = """\
name: small
base:
  data: {source: file, path: points.npz, target: y}
  model: {kind: mlp, hidden: [2]}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{optimizer: sgd, learning_rate: 0.5}]
  batch: {size: 4, shards: 2}
  steps: 5
  record: {parameters: final, histogram: true}
sweep:
  - updates.0.learning_rate: [0.1, 1e+308]  # the larger one diverges
  - seed: {range: 4}
placement: {pack: 3, chunk_steps: 2, commit_seconds: 0}
"""
INLINE = orchestrator.Where(inline=True)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    points = np.random.default_rng(0).normal(size=(20, 2))
    np.savez(tmp_path / "points.npz", x=points, y=np.where(points.sum(1) > 0, 1, 0))
    (tmp_path / "small.yaml").write_text(SWEEP)
    return tmp_path / "small.yaml"


@pytest.fixture
def finished(sweep: Path) -> Path:
    orchestrator.run(sweep, sweep.parent / "run", where=INLINE)
    return sweep.parent / "run"


def verified(path: Path, count: int = 20, seed: int = 0) -> Verification:
    return verify(Run(path), InlineTeam(), count, seed, versions())


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command_line, ["verify", *map(str, arguments)])


def change(run: Path, table: str, column: str, row: int, how: Callable[[Any], Any]) -> dict[str, Any]:
    """Changes one value of a finished table; returns the row as it was."""
    (part,) = (run / table).glob("*.parquet")
    data = pq.read_table(part)
    values = data[column].to_pylist()
    values[row] = how(values[row])
    index = data.column_names.index(column)
    field = data.schema.field(column)
    pq.write_table(data.set_column(index, field, pa.array(values, field.type)), part)
    relist(run)
    return data.slice(row, 1).to_pylist()[0]


def rows(run: Path, table: str) -> list[dict[str, Any]]:
    (part,) = (run / table).glob("*.parquet")
    return pq.read_table(part).to_pylist()


def finite(run: Path, table: str, column: str) -> int:
    """Index of the first row with a finite value."""
    return next(k for k, row in enumerate(rows(run, table)) if np.isfinite(row[column] or np.inf))


def next_float(value: float) -> float:
    return float(np.nextafter(value, np.inf))


def test_every_kind_of_trial_has_the_same_bits_alone_and_in_a_pack(mixed_sweep: Path, tmp_path: Path) -> None:
    orchestrator.run(mixed_sweep, tmp_path, where=INLINE)
    run = Run(tmp_path)
    result = verified(tmp_path, 1000)
    assert result.differences == result.versions == ()
    assert result.trials == result.ended == run.trials.num_rows
    tables = (run.trials, run.steps, run.gradients, run.parameters)
    assert result.rows == sum(table.num_rows for table in tables)


def test_chosen_trials_depend_on_the_seed_alone(finished: Path) -> None:
    change(finished, "steps", "loss", finite(finished, "steps", "loss"), next_float)
    differences = {seed: len(verified(finished, 3, seed).differences) for seed in range(12)}
    assert differences == {seed: len(verified(finished, 3, seed).differences) for seed in range(12)}
    assert set(differences.values()) == {0, 1}  # not every choice of 3 of 8 trials has the changed one


@pytest.mark.parametrize(
    ("table", "column"),
    [("steps", "loss"), ("gradients", "l2"), ("parameters", "value"), ("trials", "final_loss")],
)
def test_last_bit_of_one_value_is_found_and_named(finished: Path, table: str, column: str) -> None:
    row = change(finished, table, column, finite(finished, table, column), next_float)
    (difference,) = verified(finished).differences
    assert (difference.trial, difference.table, difference.column) == (row["trial"], table, column)
    assert difference.computed == repr(row[column])
    assert difference.committed == repr(next_float(row[column]))
    assert (
        difference.position
        == {
            "steps": f"step {row.get('step')}",
            "gradients": f"step {row.get('step')}, group {row.get('group')}",
            "parameters": f"component {row.get('component')}",
            "trials": "",
        }[table]
    )


@pytest.mark.parametrize(("table", "column"), [("steps", "loss_shot_variance"), ("parameters", "name")])
def test_column_that_an_older_version_did_not_record_is_not_compared(
    finished: Path, table: str, column: str
) -> None:
    (part,) = (finished / table).glob("*.parquet")
    pq.write_table(pq.read_table(part).drop_columns([column]), part)
    relist(finished)
    assert verified(finished).differences == ()


def test_earliest_step_is_named_whatever_the_table(finished: Path) -> None:
    late, step = next((k, row) for k, row in enumerate(rows(finished, "steps")) if row["step"] == 3)
    groups = [(row["trial"], row["step"]) for row in rows(finished, "gradients")]
    early = groups.index((step["trial"], 1))
    change(finished, "gradients", "histogram", early, lambda counts: [counts[0] + 1, *counts[1:]])
    change(finished, "steps", "finite", late, lambda finite: not finite)
    (difference,) = verified(finished).differences
    assert (difference.table, difference.column) == ("gradients", "histogram")
    assert difference.position.startswith("step 1, group ")


def test_zero_of_the_other_sign_null_and_missing_rows_are_differences(finished: Path) -> None:
    change(finished, "steps", "test_loss", 0, lambda value: -0.0 if value is None else None)
    (difference,) = verified(finished).differences
    assert (difference.column, difference.computed) == ("test_loss", "null")
    (part,) = (finished / "steps").glob("*.parquet")
    pq.write_table(pq.read_table(part).slice(1), part)
    relist(finished)
    (difference,) = verified(finished).differences
    assert difference.position == "step 0" or difference.column == "rows"


def rewrite(run: Path, table: str, how: Callable[[pa.Table], pa.Table]) -> None:
    """Rewrites the only part of a finished table."""
    (part,) = (run / table).glob("*.parquet")
    pq.write_table(how(pq.read_table(part)), part)
    relist(run)


def remove(run: Path, table: str, count: int) -> None:
    """Removes the last rows, which are those of the last trial."""
    rewrite(run, table, lambda data: data.slice(0, data.num_rows - count))


def add(run: Path, table: str, **changes: Any) -> None:
    """Adds a copy of the last row with some values changed."""

    def longer(data: pa.Table) -> pa.Table:
        last = data.slice(data.num_rows - 1).to_pylist()[0] | changes
        return pa.concat_tables([data, pa.Table.from_pylist([last], data.schema)])

    rewrite(run, table, longer)


@pytest.mark.parametrize("table", ["steps", "gradients", "parameters"])
def test_rows_that_the_run_has_lost_are_a_difference(finished: Path, table: str) -> None:
    trial = rows(finished, table)[-1]["trial"]
    total = sum(row["trial"] == trial for row in rows(finished, table))
    for count, left in ((1, total - 1), (total - 1, 0)):
        remove(finished, table, count)
        (difference,) = verified(finished).differences
        assert (difference.trial, difference.table, difference.column) == (trial, table, "rows")
        assert (difference.committed, difference.computed) == (str(left), str(total))


@pytest.mark.parametrize(
    ("table", "column"), [("steps", "step"), ("gradients", "step"), ("parameters", "component")]
)
def test_rows_that_are_no_longer_computed_are_a_difference(finished: Path, table: str, column: str) -> None:
    last = rows(finished, table)[-1]
    total = sum(row["trial"] == last["trial"] for row in rows(finished, table))
    add(finished, table, **{column: last[column] + 1})
    (difference,) = verified(finished).differences
    assert (difference.trial, difference.table, difference.column) == (last["trial"], table, "rows")
    assert (difference.committed, difference.computed) == (str(total + 1), str(total))


def test_rows_of_a_table_that_a_trial_does_not_have_are_a_difference(finished: Path) -> None:
    trial = next(row["trial"] for row in rows(finished, "trials") if row["status"] == "diverged")
    add(finished, "parameters", trial=trial)
    (difference,) = verified(finished).differences
    assert (difference.trial, difference.table, difference.column) == (trial, "parameters", "rows")
    assert (difference.committed, difference.computed) == ("1", "0")


class Stopper(Watcher):
    """Stops the sweep once some trials have ended."""

    def running(self, stop: Callable[[], None]) -> Any:
        self._stop = stop
        return super().running(stop)

    def advanced(self, progress: Progress) -> None:
        if progress.ended >= 3:
            self._stop()


def test_unfinished_run_is_checked_as_far_as_trials_have_ended(sweep: Path, tmp_path: Path) -> None:
    result = orchestrator.run(sweep, tmp_path / "run", where=INLINE, watcher=Stopper())
    assert not result.finished
    checked = verified(tmp_path / "run", 1000)
    assert 3 <= checked.trials < 8
    assert checked.differences == ()


def test_run_without_an_ended_trial_has_nothing_to_verify(sweep: Path, tmp_path: Path) -> None:
    class AtOnce(Stopper):
        def advanced(self, progress: Progress) -> None:  # noqa: ARG002
            self._stop()

    orchestrator.run(
        sweep, tmp_path / "run", where=INLINE, watcher=AtOnce(), overrides=["sweep=[]", "base.steps=9"]
    )
    with pytest.raises(
        RunDirectoryError,
        match=r"^nothing to verify: no trial .* ended as done or diverged yet$",
    ):
        verified(tmp_path / "run")


def test_changed_data_file_is_refused(finished: Path, sweep: Path) -> None:
    points = np.random.default_rng(1).normal(size=(20, 2))
    np.savez(sweep.parent / "points.npz", x=points, y=np.where(points.sum(1) > 0, 1, 0))
    with pytest.raises(InputError, match=r"^trial [0-9a-f]{16}: a file that it names has changed since"):
        verified(finished)
    (sweep.parent / "points.npz").unlink()
    with pytest.raises(InputError, match=r"^data\.path: .*points\.npz is not there"):
        verified(finished)


REMOTE = "sweep=[cases: {here: {}, there: {gradient.engine: remote}}, seed: {range: 2}]"


def remote(sweep: Path, out: str, override: str = REMOTE) -> Path:
    """A run of four trials, two of them not repeatable, in a process that has their engine."""
    code, where = "import sick_engines; sick_engines.main()", sweep.parent / out
    words = [sys.executable, "-c", code, sweep, where, override]
    done = subprocess.run(words, cwd=SUPPORT, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
    return where


def test_trials_that_are_not_repeatable_are_left_out_and_counted(sweep: Path) -> None:
    out = remote(sweep, "run")
    table = Run(out).trials.to_pandas()
    assert dict(zip(table.case, table.repeatable, strict=True)) == {"here": True, "there": False}
    result = verified(out, 1000)
    assert (result.trials, result.ended, result.left_out, result.differences) == (2, 2, 2, ())
    assert invoke(out).output.splitlines()[1] == "2 trials left out, as they are not repeatable"
    alone = remote(sweep, "alone", REMOTE.replace("here: {}, ", ""))
    with pytest.raises(RunDirectoryError, match=r"diverged yet, except 2 that are not repeatable$"):
        verified(alone)


def test_digest_leaves_out_trials_that_are_not_repeatable(sweep: Path) -> None:
    first, second = (remote(sweep, name) for name in ("first", "second"))
    losses = [Run(out).steps.to_pandas().query("case == 'there'").loss.tolist() for out in (first, second)]
    assert losses[0] != losses[1]
    alone = remote(sweep, "alone", REMOTE.replace(", there: {gradient.engine: remote}", ""))
    assert Run(alone).trials.num_rows == 2
    assert digest(Run(first)) == digest(Run(second)) == digest(Run(alone))


def test_trials_from_before_the_column_existed_are_repeatable(finished: Path) -> None:
    before = digest(Run(finished))
    (part,) = (finished / "trials").glob("*.parquet")
    pq.write_table(pq.read_table(part).drop_columns(["repeatable"]), part)
    relist(finished)
    assert Run(finished).trials["repeatable"].to_pylist() == [True] * 8
    assert digest(Run(finished)) == before
    assert (verified(finished).ended, verified(finished).left_out) == (8, 0)


class Service(Batched):
    """A backend elsewhere, whose results are not repeatable."""

    kind: Literal["service"]  # type: ignore[assignment]

    @property
    def repeatable(self) -> bool:
        return False


def test_engine_of_circuits_is_as_repeatable_as_its_backend() -> None:
    engine = Adjoint(engine="adjoint")
    assert engine.repeatable
    assert not engine.model_copy(update={"backend": Service(kind="service")}).repeatable


def test_engine_that_cannot_compute_here_is_refused(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(_: Backprop) -> None:
        raise InputError.at("gradient.backend.device", "is GPU, but there is none")

    monkeypatch.setattr(Backprop, "check", check)
    with pytest.raises(InputError, match=r"^gradient\.backend\.device: is GPU, but there is none"):
        verified(finished)


def test_library_that_only_one_side_has_is_a_difference(finished: Path) -> None:
    assert verified(finished).versions == ()
    without_numpy = {name: version for name, version in versions().items() if name != "numpy"}
    change(finished, "trials", "versions", 0, lambda _: json.dumps({**without_numpy, "jax": "0.4"}))
    assert verified(finished).versions == (
        "jax 0.4 (here absent)",
        f"numpy absent (here {np.__version__})",
    )


def test_command_says_what_was_checked(finished: Path) -> None:
    result = invoke(finished, "-k", "5")
    assert result.exit_code == 0, result.output
    first, last = result.output.splitlines()
    assert first.startswith("5 of 8 trials run again on ")
    assert first.endswith(" rows compared")
    assert last == "every deterministic column has the same bits"


def test_command_names_the_difference_and_the_promise(finished: Path) -> None:
    index = finite(finished, "steps", "gradient_norm")
    row = change(finished, "steps", "gradient_norm", index, next_float)
    old = json.dumps({**versions(), "numpy": "1.0"})
    change(finished, "trials", "versions", 0, lambda _: old)
    result = invoke(finished)
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[1] == f"versions differ: numpy 1.0 (here {np.__version__})"
    assert lines[2].startswith("Equal bits are promised on one type of CPU and for equal versions")
    assert lines[3] == "trials that differ: 1; the first difference:"
    old_value, value = next_float(row["gradient_norm"]), row["gradient_norm"]
    assert lines[4] == (
        f"  trial {row['trial']}, steps, step {row['step']}, column gradient_norm: "
        f"{old_value!r} in the run, {value!r} now"
    )
    assert len(lines) == 5
