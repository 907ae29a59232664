"""Reading runs with several kinds of files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import stored_runs as small
from click.testing import CliRunner
from stored_runs import STEPS, advance, open_writer, plan, relist, trial_id

from orchestrator.cli import orchestrator as command_line
from orchestrator.runs.control import Control
from orchestrator.runs.reader import Run
from orchestrator.runs.storage.folder import Folder


def test_columns_are_those_that_all_files_have(tmp_path: Path) -> None:
    out = tmp_path / "run"
    small.finish(out, range(2))
    (part,) = (out / "steps").glob("*.parquet")
    pq.write_table(pq.read_table(part).drop_columns(["loss"]), part)
    relist(out)
    with open_writer(out) as writer:
        advance(writer, [5], 0, STEPS)
    run = Run(out)
    keys = {key.name for key in run.keys}  # commits have a separate table of keys
    assert set(run.steps.column_names) - run.columns("steps") - keys == {"loss"}
    assert run.columns("trials") | keys == set(run.trials.column_names)


def test_run_is_printed_in_one_line_also_if_it_is_empty_or_damaged(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with open_writer(out):
        pass
    run, keys = Run(out), ", ".join(key.name for key in small.KEYS)
    assert repr(run) == f"<Run {out}: no trial has ended; swept: {keys}>"
    small.finish(out, range(2))
    assert repr(run) == f"<Run {out}: 2 done; swept: {keys}>"
    (part,) = (out / "trials").glob("*.parquet")
    part.unlink()
    assert repr(run).startswith(f"<Run {part} is missing")
    assert "\n" not in repr(run)


def test_files_are_counted_with_their_size_whether_finished_or_not(tmp_path: Path) -> None:
    out = tmp_path / "run"
    small.finish(out, range(2))
    with open_writer(out) as writer:
        advance(writer, [5], 0, STEPS)
        assert not Run(out).finished
    files = [path for kind in ("parquet", "arrow") for path in out.rglob(f"*.{kind}")]
    checked, size = Run(out).check_files(), sum(path.stat().st_size for path in files)
    assert (checked.size_bytes, checked.differing) == (size, ())
    assert checked.files == len(files) + 3  # run.json, the list of parts, the marker of the commit
    result = CliRunner().invoke(command_line, ["verify", str(out), "--files"])
    assert result.output.startswith(f"{checked.files} files, {size / 1e6:.1f} MB of rows: ")


def test_failures_are_taken_back_from_finished_parts_and_from_commits(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with open_writer(out) as writer:
        small.fail(writer, [0])
        advance(writer, [1], 0, STEPS)
        writer.compact(plan(range(3)))
        small.fail(writer, [2])
        assert Run(out).trials.num_rows == 3
        writer.take_back([trial_id(0), trial_id(2)], plan(range(3)))
        assert len(writer.failed()) == 0
        for table in ("trials", "steps", "gradients", "parameters"):
            assert set(Run(out).read(table)["trial"].to_pylist()) == {trial_id(1)}


@pytest.mark.parametrize("number", [0, 1])
def test_trained_values_are_those_of_the_trial_that_is_named(number: int, tmp_path: Path) -> None:
    rows = small.rows([0, 1], 0, STEPS)
    rows["parameters"] = {**rows["parameters"], "name": ["tilt", "tilt"]}
    with open_writer(tmp_path / "run") as writer:
        writer.commit(rows, {trial_id(k): small.key_values(k) for k in (0, 1)}, {})
    tilt = SimpleNamespace(name="tilt")
    circuit: Any = SimpleNamespace(parameters=[tilt], assign_parameters=lambda values: values)
    assert Run(tmp_path / "run").assign(circuit, trial_id(number)) == {"tilt": number / 3}


def test_trial_that_has_ended_is_not_asked_to_end(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with open_writer(out) as writer:
        advance(writer, [0], 0, STEPS)
        result = CliRunner().invoke(command_line, ["stop", str(out), trial_id(0), trial_id(1)])
        assert result.output == (f"{trial_id(0)} has already ended\nasked the driver to end {trial_id(1)}\n")
        assert Control(Folder(out)).stopped == {trial_id(1)}
