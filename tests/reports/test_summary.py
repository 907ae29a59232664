"""Reports of a run with known rows, against numbers computed by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from stored_runs import advance, open_writer, trial_id

from orchestrator.cli import orchestrator as command_line
from orchestrator.reports.overhead import overhead
from orchestrator.reports.query import Frame, QueryError, query
from orchestrator.reports.status import status
from orchestrator.reports.summary import summary
from orchestrator.runs.control import Control, SavedProgress
from orchestrator.runs.reader import Run
from orchestrator.runs.storage.folder import Folder
from orchestrator.runs.storage.owner import Owner
from orchestrator.runs.writer import RunWriter
from orchestrator.tables.rows import KeyColumn

KEYS = (KeyColumn("case", "string"), KeyColumn("updates.0.limit", "float64"), KeyColumn("seed", "int64"))
PLAIN, CLIPPED = (0, 1), (2, 3, 4)
"""Trials by index: of two cases, of which one has no limit."""


def columns(names: str, *rows: Sequence[Any]) -> dict[str, list[Any]]:
    """A table from its rows, the first column a trial by its index."""
    table = dict(zip(names.split(), map(list, zip(*rows, strict=True)), strict=True))
    return {**table, "trial": [trial_id(index) for index in table["trial"]]}


TRIALS = columns(
    "trial index seed status final_loss test_accuracy steps seconds_compute seconds_wait configuration",
    (4, 4, 2, "done", 0.4, 0.7, 100, 1.0, 0.5, '{"mode":"train","seed":2,"model":{"kind":"b"}}'),
    (3, 3, 1, "diverged", math.inf, None, 50, 0.5, 0.0, '{"mode":"train","seed":1,"model":{"kind":"b"}}'),
    (2, 2, 0, "done", 0.2, 0.5, 100, 1.5, 0.5, '{"mode":"train","seed":0,"model":{"kind":"b"}}'),
    (1, 1, 1, "done", 0.8, None, 200, 6.0, 0.0, '{"mode":"train","seed":1,"model":{"kind":"a"}}'),
    (0, 0, 0, "failed", None, None, 0, 0.0, 0.0, '{"mode":"train","seed":0,"model":{"kind":"a"}}'),
)
STEPS = columns(
    "trial step gradient_norm clipped_norm",
    *((2, 0, 1.0, 1.0), (2, 1, 4.0, 2.0)),
    *((3, 0, 100.0, 2.0),),
    *((4, 0, 2.0, 2.0), (4, 1, 8.0, 2.0)),
    *((1, 0, 5.0, 5.0),),
)
GRADIENTS = columns(
    "trial step group kind parameters fraction_clipped",
    (2, 0, "weight", "parameter", 30, 0.1),
    (2, 0, "bias", "parameter", 10, 0.5),
    (2, 0, "layer", "signal", 100, 1.0),
    (1, 0, "weight", "parameter", 30, 0.0),
)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("known") / "run"
    plain = {trial_id(k): ("plain", None, k) for k in PLAIN}
    keys = plain | {trial_id(k): ("clipped", 0.5, k - 2) for k in CLIPPED}
    with RunWriter.open(path, name="known", sweep="", record="{}", keys=KEYS, versions={}) as writer:
        rows = {"trials": {**TRIALS, "current": [True] * 5}, "steps": STEPS, "gradients": GRADIENTS}
        writer.commit(rows, keys, {})
    return path


def test_run_is_printed_with_its_ended_trials_and_swept_keys(out: Path) -> None:
    assert repr(Run(out)) == (
        f"<Run {out}: 1 diverged, 3 done, 1 failed; swept: case, updates.0.limit, seed>"
    )


def by_name(frame: Frame) -> list[dict[str, Any]]:
    return [dict(zip(frame.header, row, strict=True)) for row in frame.rows]


def test_summary_has_a_row_per_combination_of_keys_in_the_order_of_the_plan(out: Path) -> None:
    plain, clipped = by_name(summary(Run(out)))
    assert plain == {
        "case": "plain",
        "updates.0.limit": None,
        "trials": 2,
        "diverged": 0,
        "failed": 1,
        "final_loss": 0.8,
        "test_accuracy": None,
        "|g| median": 5.0,
        "|g| max": 5.0,
        "% steps clipped": 0.0,
        "% components clipped": 0.0,
    }
    assert clipped == {
        "case": "clipped",
        "updates.0.limit": 0.5,
        "trials": 3,
        "diverged": 1,
        "failed": 0,
        "final_loss": pytest.approx(0.3),  # mean of the two finite ones
        "test_accuracy": pytest.approx(0.6),
        "|g| median": 4.0,
        "|g| max": 100.0,
        "% steps clipped": pytest.approx(60.0),
        "% components clipped": pytest.approx(20.0),  # (30 · 0.1 + 10 · 0.5) of 40; no signals
    }


@pytest.mark.parametrize(
    ("mode", "updates", "columns"),
    [
        ("probe", "[]", []),
        ("probe", '[{"clip":"norm"}]', ["% steps clipped", "% components clipped"]),
        ("train", '[{"optimizer":"sgd"}]', ["final_loss", "% steps clipped", "% components clipped"]),
    ],
)
def test_summary_of_probes_has_no_columns_of_training_and_of_absent_clips(
    mode: str, updates: str, columns: list[str], tmp_path: Path
) -> None:
    one, keys = trial_id(0), {trial_id(0): ("plain", None, 0)}
    trials = {"trial": [one], "status": ["done"], "final_loss": [0.5], "current": [True]}
    configuration = [f'{{"mode":"{mode}","updates":{updates}}}']
    with RunWriter.open(tmp_path, name="known", sweep="", record="{}", keys=KEYS, versions={}) as writer:
        writer.commit({"trials": {**trials, "configuration": configuration}}, keys, {})
    header = summary(Run(tmp_path), []).header
    assert [name for name in header if name not in ("sweep", "trials", "|g| median", "|g| max")] == columns


def test_summary_is_grouped_by_the_given_keys(out: Path) -> None:
    assert [row["trials"] for row in by_name(summary(Run(out), ["seed"]))] == [2, 2, 1]
    (everything,) = by_name(summary(Run(out), []))
    assert (everything["trials"], everything["|g| median"]) == (5, 4.5)
    with pytest.raises(QueryError, match="'sed' is not swept in this run; did you mean 'seed'"):
        summary(Run(out), ["sed"])


def test_overhead_is_in_seconds_in_µs_per_step_and_in_percent(out: Path) -> None:
    first, second = by_name(overhead(Run(out)))
    assert (first["model"], first["trials"], first["steps"]) == ("a", 2, 200)
    assert (first["compute s"], first["wait s"], first["% wait"]) == (6.0, 0.0, 0.0)
    assert (first["compute µs/step"], first["wait µs/step"]) == (30_000.0, 0.0)
    assert (second["model"], second["trials"], second["steps"]) == ("b", 3, 250)
    assert (second["compute s"], second["wait s"], second["% wait"]) == (3.0, 1.0, 25.0)
    assert (second["compute µs/step"], second["wait µs/step"]) == (12_000.0, 4_000.0)
    assert (first["% of all"], second["% of all"]) == (60.0, 40.0)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select * from rows", "there is no table 'rows' (legal: trials, steps, gradients, parameters)"),
        ("select * from step", "there is no table 'step'; did you mean 'steps'? (legal: trials, steps, "),
        ("select updates.0.limit from steps", 'keys with dots need double quotes: "updates.0.limit"'),
        ("select updates from steps", 'keys with dots need double quotes: "updates.0.limit"'),
    ],
)
def test_wrong_query_is_refused_with_what_it_can_name(sql: str, message: str, out: Path) -> None:
    with pytest.raises(QueryError) as refused:
        query(Run(out), sql)
    assert message in str(refused.value)
    assert "rows_" not in str(refused.value)


def output(*arguments: object) -> str:
    return CliRunner().invoke(command_line, [*map(str, arguments)], catch_exceptions=False).output


def test_omitted_rows_of_analyse_are_counted(out: Path) -> None:
    query = ("--sql", "select * from range(75)")
    lines = output("analyse", out, *query).splitlines()
    assert (lines[-2].strip(), lines[-1]) == ("59", "… and 15 more rows (--all shows them)")
    assert output("analyse", out, *query, "--all").splitlines()[-1].strip() == "74"


def test_analyse_says_that_no_trial_has_ended(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        advance(writer, [0], 0, 1)
    text = "no trial of the sweep has ended yet; --sql reads the steps that are committed\n"
    assert output("analyse", tmp_path).endswith(text)
    assert text not in output("analyse", tmp_path, "--sql", "select * from trials")


DRIVER = Owner.myself()


@pytest.mark.parametrize(
    ("driver", "steps", "rate", "lines"),
    [
        (
            DRIVER,
            600,
            10.0,
            ["last commit  about 40 s ago", "rate         10 steps/s", f"driver       {DRIVER}"],
        ),
        (None, 600, 10.0, ["last commit  about 40 s ago", "driver       none running"]),
        (DRIVER, 0, None, ["started      about 40 s ago", f"driver       {DRIVER}"]),
    ],
)
def test_status_is_as_of_the_last_commit_with_a_rate_while_a_driver_runs(
    driver: Owner | None,
    steps: int,
    rate: float | None,
    lines: list[str],
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Folder, "owner", lambda _: driver)
    monkeypatch.setattr("orchestrator.reports.status.time", SimpleNamespace(time=lambda: 200.0))
    saved = SavedProgress(trials=9, ended=5, steps=steps, steps_left=900, started_at=100.0, written_at=160.0)
    Control(Folder(out)).write(saved)
    progress = status(out)
    assert (progress.left, progress.rate, progress.committed_s, progress.finished) == (4, rate, 40.0, False)
    assert progress.ended == {"done": 3, "diverged": 1, "failed": 1}
    printed = output("status", out).splitlines()
    assert printed[0] == "trials       1 diverged, 3 done, 1 failed, 4 left"
    assert printed[1 : 1 + len(lines)] == lines
