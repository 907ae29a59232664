"""A run of several sweeps: trials that the last one does not name are kept, marked and left out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from paths import ROOT
from stored_runs import relist
from sweeps import NETWORK, ids, plan, read, swept

import orchestrator
from orchestrator.api.running import Counts, Watcher
from orchestrator.cli import orchestrator as command_line
from orchestrator.driver.driver import Progress
from orchestrator.driver.others import describe_differences
from orchestrator.reports import query as reports
from orchestrator.reports.query import query
from orchestrator.reports.status import status
from orchestrator.runs.digest import digest
from orchestrator.sweep.file import Sweep, load

INLINE = orchestrator.Where(inline=True)
SEEDS = "seed: {range: 3}"
FROM_FILE = NETWORK.replace("{source: moons, rows: 20}", "{source: file, path: points.npz, target: y}")


class Looking(Watcher):
    """Keeps the counts, and the tables that pandas reads, before anything has run."""

    def opened(self, sweep: Sweep, out: Path | str, counts: Counts) -> None:  # noqa: ARG002
        self.why, self.abandoned = counts.why, counts.abandoned
        finished = (Path(out) / "complete.json").exists()
        self.before = pd.read_parquet(Path(out) / "trials") if finished else None
        parts = [path.relative_to(out) for path in Path(out).glob("*/*.parquet")]
        self.parts = {path.parent.name: int(path.name.split("-")[1]) for path in parts}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(swept(SEEDS))
    return tmp_path / "small.yaml"


def run(sweep: Path, *overrides: str) -> Looking:
    looking = Looking()
    out = sweep.parent / "run"
    assert orchestrator.run(sweep, out, where=INLINE, overrides=overrides, watcher=looking).finished
    return looking


def trials(sweep: Path) -> pd.DataFrame:
    return pd.read_parquet(sweep.parent / "run" / "trials").set_index("trial")


def check_marks(sweep: Path, *overrides: str) -> None:
    """The trials of the plan are current, each with its index in the plan; the others have no index."""
    indices = {trial.id: trial.index for trial in load(sweep, overrides).plan.trials()}
    table = trials(sweep)
    assert table["index"][table.current].astype(int).to_dict() == indices
    assert table["index"][~table.current].isna().all()


def output(*arguments: str | Path) -> str:
    result = CliRunner().invoke(command_line, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def points(sweep: Path, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(20, 2))
    np.savez(sweep.parent / "points.npz", x=x, y=np.where(x.sum(1) > 0, 1, 0))


def test_changed_steps_leave_out_earlier_trials_and_say_so_before_anything_runs(sweep: Path) -> None:
    run(sweep, "base.steps=2")
    looking = run(sweep)
    assert (looking.abandoned, looking.why) == (3, "steps is 2 instead of 3")
    assert looking.before is not None
    assert (looking.before.current.tolist(), looking.before["index"].isna().all()) == ([False] * 3, True)
    assert looking.parts == {"trials": 2, "steps": 1, "gradients": 1}  # only one table was rewritten
    check_marks(sweep)
    assert sorted(trials(sweep).seed) == [0, 0, 1, 1, 2, 2]


def test_views_analyse_status_and_verify_take_current_trials(sweep: Path) -> None:
    run(sweep, "base.steps=2")
    run(sweep)
    out = sweep.parent / "run"
    opened = orchestrator.open_run(out)
    for table, rows in (("trials", 3), ("steps", 9), ("gradients", 54), ("parameters", 0)):
        count = f"select count(*) from {table}"
        assert query(opened, count).rows == [(rows,)]
        assert query(opened, count, all_trials=True).rows == [(opened.read(table).num_rows,)]
    assert (opened.trials.num_rows, opened.steps.num_rows) == (6, 15)
    summary = output("analyse", out, "--by", "seed").splitlines()
    assert [line.split()[:2] for line in summary[2:5]] == [["0", "1"], ["1", "1"], ["2", "1"]]
    assert summary[5] == "3 trials of other sweeps left out (--all-trials includes them)"
    everything = output("analyse", out, "--by", "seed", "--all-trials").splitlines()
    assert [line.split()[:2] for line in everything[2:]] == [["0", "2"], ["1", "2"], ["2", "2"]]
    sums = ("--sql", "select sum(trials.steps) as n from trials")
    totals = [output("analyse", out, *sums, *more).split()[2] for more in ((), ("--all-trials",))]
    assert totals == ["9", "15"]
    assert output("status", out).startswith("trials       3 done, 0 left, 3 of other sweeps left out\n")
    assert output("status", out, "--all-trials").startswith("trials       6 done, 0 left\n")
    assert (status(out).ended, status(out).others) == ({"done": 3}, 3)
    assert output("verify", out).startswith("3 of 3 trials run again on ")
    assert output("analyse", out, "--overhead").splitlines()[2].split()[5:7] == ["3", "9"]
    overhead = output("analyse", out, "--overhead", "--all-trials").splitlines()[2:-1]
    assert sorted(line.split()[5:7] for line in overhead) == [["3", "6"], ["3", "9"]]


def test_line_of_pandas_in_the_documents_selects_current_trials(sweep: Path) -> None:
    run(sweep, "base.steps=2")
    run(sweep)
    code = (ROOT / "docs" / "storage.md").read_text().split("```python\n")
    blocks = [text.split("```")[0] for text in code[1:]]
    (lines,) = [block for block in blocks if "trials.current" in block]
    names: dict[str, Any] = {"pd": pd}
    exec(lines.replace("runs/quickstart", str(sweep.parent / "run")), names)
    assert (len(names["trials"]), names["steps"].groupby("trial").size().tolist()) == (3, [3, 3, 3])


def test_run_says_in_one_line_how_many_are_left_out_and_why(sweep: Path) -> None:
    out = ("--inline", "--out", sweep.parent / "run")
    assert "other sweeps" not in output("run", sweep, *out, "--set", "base.steps=2")
    lines = output("run", sweep, *out).splitlines()
    assert lines[0].startswith("small: 3 trials (0 kept, 0 begun, 3 new) → ")
    assert lines[1] == "3 trials of other sweeps are kept but left out: steps is 2 instead of 3"


def test_changed_data_file_leaves_out_earlier_trials_and_brings_them_back(sweep: Path) -> None:
    sweep.write_text(swept(SEEDS, base=FROM_FILE))
    points(sweep, 0)
    run(sweep)
    first = digest(orchestrator.open_run(sweep.parent / "run"))
    points(sweep, 1)
    looking = run(sweep)
    assert looking.why == "points.npz has changed, or this version reads it differently"
    check_marks(sweep)
    both = digest(orchestrator.open_run(sweep.parent / "run"))
    assert both != first
    points(sweep, 0)
    again = run(sweep)
    assert (again.abandoned, again.why) == (3, looking.why)
    check_marks(sweep)
    assert digest(orchestrator.open_run(sweep.parent / "run")) == both  # marks are not part of it


def test_mark_rewrites_the_table_of_trials_alone(sweep: Path) -> None:
    sweep.write_text(swept(SEEDS, base=FROM_FILE))
    for seed in (0, 1):
        points(sweep, seed)
        run(sweep)
    files = {path: path.stat().st_mtime_ns for path in (sweep.parent / "run").rglob("*.parquet")}
    points(sweep, 0)
    run(sweep)  # no trial is missing, and the text of the sweep is the same
    after = {path: path.stat().st_mtime_ns for path in (sweep.parent / "run").rglob("*.parquet")}
    changed = files.items() ^ after.items()
    assert {path.parent.name for path, _ in changed} == {"trials"}
    assert len(changed) == 2


def test_grown_sweep_has_no_others_and_every_index_of_the_new_plan(sweep: Path) -> None:
    sweep.write_text(swept("updates.0.limit: [1, 2]", "seed: {range: 2}"))
    run(sweep)
    sweep.write_text(swept("updates.0.limit: [0.5, 1, 2]", "seed: {range: 3}"))
    assert (run(sweep).abandoned, trials(sweep).current.all()) == (0, True)
    check_marks(sweep)


def test_shrunk_sweep_leaves_out_what_it_no_longer_names_and_growing_brings_it_back(sweep: Path) -> None:
    run(sweep)
    looking = run(sweep, "sweep.0.seed=[1]")
    assert (looking.abandoned, looking.why) == (2, "seed is 0 or 2 instead of 1")
    check_marks(sweep, "sweep.0.seed=[1]")
    assert run(sweep).abandoned == 0
    check_marks(sweep)


class Stopper(Watcher):
    """Stops the sweep after its second commit."""

    def running(self, stop: Callable[[], None]) -> AbstractContextManager[Any]:
        self._stop = stop
        return super().running(stop)

    def advanced(self, progress: Progress) -> None:
        if progress.commits >= 2:
            self._stop()


def test_trials_of_an_unfinished_run_are_marked_and_come_out_right(sweep: Path) -> None:
    portions = "placement={pack: 1, commit_seconds: 0}"
    out = sweep.parent / "run"
    stopped = orchestrator.run(
        sweep, out, where=INLINE, watcher=Stopper(), overrides=["base.steps=2", portions]
    )
    assert not stopped.finished
    ended = orchestrator.open_run(out).trials.num_rows
    stopped = orchestrator.run(sweep, out, where=INLINE, watcher=Stopper(), overrides=[portions])
    assert not stopped.finished
    assert status(out).others == ended
    table = orchestrator.open_run(out).trials.to_pandas()
    assert table.steps[table.current].unique().tolist() == [3]
    assert table["index"][~table.current].isna().all()
    run(sweep, "base.steps=2")
    check_marks(sweep, "base.steps=2")
    run(sweep)
    check_marks(sweep)


def test_failures_of_other_sweeps_are_not_counted(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sick(*_: Any, **__: Any) -> None:
        raise ValueError("sick")

    with monkeypatch.context() as patched:
        patched.setattr("orchestrator.driver.driver.advance", sick)
        result = orchestrator.run(sweep, sweep.parent / "run", where=INLINE, overrides=["base.steps=2"])
    assert (result.failed, result.exit_code) == (3, 1)
    result = orchestrator.run(sweep, sweep.parent / "run", where=INLINE)
    assert (result.failed, result.exit_code) == (0, 0)


def without_marks(out: Path) -> None:
    """Turns a finished run into one from before the column existed."""
    (part,) = (out / "trials").glob("*.parquet")
    pq.write_table(pq.read_table(part).drop_columns(["current"]), part)
    relist(out)


def test_trials_from_before_the_column_existed_are_current(sweep: Path) -> None:
    out = sweep.parent / "run"
    run(sweep)
    before = output("analyse", out)
    without_marks(out)
    assert orchestrator.open_run(out).trials["current"].to_pylist() == [True] * 3
    assert output("analyse", out) == before
    assert output("verify", out).startswith("3 of 3 trials")
    assert status(out).ended == {"done": 3}
    assert run(sweep).abandoned == 0
    assert run(sweep, "base.steps=2").abandoned == 3
    check_marks(sweep, "base.steps=2")


def test_plan_says_what_a_run_holds_and_goes_on_without_a_run(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line(*more: str | Path) -> str:
        """The line before the duration."""
        return output("plan", sweep, *more).splitlines()[-2]

    monkeypatch.chdir(sweep.parent)
    assert line() == line("--out", "nowhere")
    assert "holds" not in line()
    out = Path("runs", "small")
    orchestrator.run(sweep, out, where=INLINE, overrides=["base.steps=2"])
    orchestrator.run(sweep, out, where=INLINE, overrides=["sweep.0.seed=[1]"])
    assert line() == "runs/small holds 1 of 3 trials, and 3 of other sweeps"
    assert line("--set", "base.steps=2") == "runs/small holds 3 of 3 trials, and 1 of other sweeps"
    assert "was recorded with" in line("--set", "base.record={every: 2}")
    assert "holds the sweep 'small', not 'other'" in line("--out", "runs/small", "--set", "name=other")
    Path("empty").mkdir()
    assert line("--out", "empty") == "empty is not a run: there is no run.json in it"
    (part,) = (out / "trials").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    assert line().startswith(f"{part} is damaged; ")


def test_query_interrupted_by_a_driver_is_answered_from_the_new_files(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(sweep)
    create = reports._create_views
    runs = [lambda: run(sweep, "sweep.0.seed=[1]")]

    def disturbed(*arguments: Any) -> None:
        create(*arguments)
        if runs:
            runs.pop()()

    monkeypatch.setattr(reports, "_create_views", disturbed)
    assert query(orchestrator.open_run(sweep.parent / "run"), "select seed from trials").rows == [(1,)]


# --- the keys in which trials differ


def why(there: str, here: str, *overrides: str) -> str:
    configurations = [trial.trial.model_dump_json() for trial in read(there).plan.trials()]
    return describe_differences(configurations, read(here, *overrides).plan)


@pytest.mark.parametrize(
    ("there", "here", "expected"),
    [
        (["seed: [0, 1, 2, 3]"], ["seed: [7, 8]"], "seed is 0, 1, 2 or 3 instead of 7 or 8"),
        (["model.hidden: [[2], [3]]"], ["model.hidden: [[4]]"], "model.hidden is [2] or [3] instead of [4]"),
        (
            ["updates.1.learning_rate: [0.5]", "seed: [3]"],
            ["updates.1.learning_rate: [0.1, 0.2]", "seed: {range: 9}"],
            "learning_rate of optimizer sgd is 0.5 instead of 0.1 or 0.2",
        ),
        (["seed: [99]"], ["seed: {range: 90}"], "seed is 99 instead of 0, 1, 2, …, 89"),
        (["loss: [mse]"], [], "loss is mse instead of binary-cross-entropy"),
        (
            ["seed: [9]"],
            ["cases: {near: {sweep: [seed: [0, 1]]}, far: {steps: 5, sweep: [seed: [7]]}}"],
            "seed is 9 instead of 0 or 1",
        ),
        (["seed: [0]"], ["seed: [0]"], "this version reads them differently"),
    ],
)
def test_keys_in_which_trials_differ_are_named(there: list[str], here: list[str], expected: str) -> None:
    assert why(swept(*there), swept(*here)) == expected


def test_part_of_another_kind_is_named_by_its_kind() -> None:
    circuit = (
        "base.model={kind: circuit, qubits: 2, layers: 1}",
        "base.gradient.engine=adjoint",
        "base.loss=mse",
    )
    assert why(swept(), swept(), *circuit) == (
        "gradient.engine is backprop instead of adjoint; model.kind is mlp instead of circuit; "
        "loss is binary-cross-entropy instead of mse"
    )


CLIPS = "updates.0: [null, {clip: value, limit: 0.1}, {clip: norm, limit: 1.0}]"


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (CLIPS.replace("0.1", "0.2"), "limit of clip value is 0.1 instead of 0.2"),
        (CLIPS.replace("{clip: value, limit: 0.1}, ", ""), "clip is value instead of none or norm"),
        (CLIPS.replace("null, ", ""), "clip is none instead of norm or value"),
        (
            CLIPS + "\nupdates.1: [{optimizer: adam, learning_rate: 0.1}]",
            "optimizer is sgd instead of adam",
        ),
        (
            CLIPS + "\nupdates.1.learning_rate: [0.2, 0.4, 0.3, 0.05]",
            "learning_rate of optimizer sgd is 0.1 instead of 0.05, 0.2, 0.3 or 0.4",
        ),
    ],
)
def test_updates_are_named_by_their_kind_and_clips_that_are_left_out_count(here: str, expected: str) -> None:
    """An index would be another one where a null before the update is left out."""
    changed = plan(*here.splitlines())
    others = [trial.trial for trial in plan(CLIPS).trials() if trial.id not in ids(changed)]
    assert describe_differences([other.model_dump_json() for other in others], changed) == expected


def test_second_update_of_a_kind_and_one_after_the_optimizer_are_distinguished() -> None:
    def with_limits(first: float, second: float, last: str) -> str:
        updates = [f"{{clip: value, limit: {limit}}}" for limit in (first, second)]
        optimizer = "{optimizer: sgd, learning_rate: 0.1}"
        return swept(f"updates: [[{', '.join([*updates, optimizer, last])}]]")

    there = with_limits(1, 2, "{clip: norm, limit: 3}")
    assert why(there, with_limits(1, 4, "{clip: norm, limit: 3}")) == (
        "limit of clip value (2) is 2.0 instead of 4.0"
    )
    assert why(there, with_limits(1, 2, "{clip: value, limit: 3}")) == (
        "clip after the optimizer is norm instead of value"
    )


def test_keys_that_are_not_listed_are_counted() -> None:
    changes = ("base.steps=2", "base.batch={size: 2, shards: 1}", "base.seed=7", "base.data.seed=5")
    assert why(swept(), swept(), *changes) == (
        "batch.shards is 2 instead of 1; batch.size is 4 instead of 2; data.seed is 0 instead of 5; "
        "2 more keys differ"
    )


def test_record_does_not_make_other_trials() -> None:
    assert why(swept("seed: [1]"), swept("seed: [0]"), "base.record.every=2") == "seed is 1 instead of 0"


def test_many_values_are_not_listed_one_by_one() -> None:
    drawn = "{samples: 100000, updates.1.learning_rate: {log_uniform: [1e-3, 1e-1]}}"
    assert why(swept("seed: [4]"), swept(drawn, "seed: {range: 1000000}"), "base.steps=2") == (
        "steps is 3 instead of 2"
    )
