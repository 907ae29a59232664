"""Concurrent access to a run: a driver that has lost it, and readers during a merge or a compaction."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stored_runs as small
from stored_runs import STEPS, advance, open_writer, plan, run_missing, trial_id

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.reader import Run
from orchestrator.runs.storage.folder import Folder
from orchestrator.runs.writer import RunWriter

FIFTEEN = range(5)
"""Trials that take fifteen commits; one more commit makes a merge due."""


@pytest.fixture(scope="module")
def fifteen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fifteen") / "run"
    with open_writer(out) as writer:
        run_missing(writer, FIFTEEN)
    return out


@pytest.fixture
def out(fifteen: Path, tmp_path: Path) -> Path:
    """An unfinished run of fifteen commits."""
    return Path(shutil.copytree(fifteen, tmp_path / "run"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("state", ["committed", "finished"])
@pytest.mark.parametrize(
    "change",
    [
        lambda writer: writer.compact(plan(range(9))),
        lambda writer: small.mark(writer, range(1)),
        lambda writer: writer.take_back([trial_id(0)], plan(range(9))),
    ],
    ids=["compact", "mark", "take_back"],
)
def test_driver_whose_run_was_taken_over_changes_nothing(
    change: Callable[[RunWriter], None], state: str, tmp_path: Path
) -> None:
    if state == "finished":
        small.finish(tmp_path / "run", range(2))
    with open_writer(tmp_path / "run", sweep="name: small\nmore: 1\n") as writer:
        if state == "committed":
            run_missing(writer, range(2))
        (tmp_path / "run" / "lock").unlink()
        before = contents(tmp_path)
        with pytest.raises(RunDirectoryError, match="another driver has taken the lock over"):
            change(writer)
        assert contents(tmp_path) == before


def test_merge_keeps_the_state_of_a_trial_that_came_long_before(tmp_path: Path) -> None:
    with open_writer(tmp_path / "run") as writer:
        advance(writer, [9], 0, 1)
        run_missing(writer, FIFTEEN)
        assert small.commits(tmp_path / "run") == ["000017"]
    with open_writer(tmp_path / "run") as writer:
        assert {trial: state.step for trial, state in writer.states().items()} == {trial_id(9): 1}
        run_missing(writer, [*FIFTEEN, 9])
        steps = Run(tmp_path / "run").steps.to_pandas()
    assert not steps.duplicated(["trial", "step"]).any()
    assert len(steps) == 6 * STEPS


def once_rows_are_read(do: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls ``do`` after a reader has read the lists, before it reads the first file of rows."""
    left = [do]

    def disturbed(operation: Callable[..., Any]) -> Callable[..., Any]:
        def first(folder: Folder, name: str) -> Any:
            if left and name.startswith("commits/") and name.endswith((".arrow", ".parquet")):
                left.pop()()
            return operation(folder, name)

        return first

    for operation in ("read", "fingerprint", "source"):
        monkeypatch.setattr(Folder, operation, disturbed(getattr(Folder, operation)))


READS: dict[str, Callable[[Run], Any]] = {
    "read": lambda run: run.steps["trial"].to_pylist().count(trial_id(1)),
    "ended": lambda run: len(run.ended()),
    "of_trials": lambda run: run.of_trials("steps", [trial_id(1)]).num_rows,
}


@pytest.mark.parametrize(
    ("how", "meanwhile"),
    [("read", "merge"), ("read", "compaction"), ("ended", "merge"), ("of_trials", "compaction")],
)
def test_reader_finds_all_rows_whatever_becomes_of_their_files_while_it_reads(
    how: str, meanwhile: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_writer(out) as writer:
        run = Run(out)
        before, files = READS[how](run), run.files("steps")
        if meanwhile == "merge":
            once_rows_are_read(lambda: advance(writer, [9], 0, 1), monkeypatch)
        else:
            once_rows_are_read(lambda: writer.compact(plan(FIFTEEN)), monkeypatch)
        assert READS[how](run) == before
        assert not set(files) & set(run.files("steps"))


@pytest.mark.parametrize("look", [1, 2, 3])
def test_lists_that_a_compaction_comes_between_are_read_anew(
    look: int, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise an old list of parts would be combined with commits that are gone: no rows at all."""
    with open_writer(out) as writer:
        looks, names = iter(range(1, 100)), Folder.names

        def disturbed(folder: Folder, name: str = "") -> list[str]:
            if name == "commits" and next(looks) == look:
                writer.compact(plan(FIFTEEN))
            return names(folder, name)

        monkeypatch.setattr(Folder, "names", disturbed)
        assert Run(out).steps.num_rows == len(FIFTEEN) * STEPS


def test_files_of_a_commit_that_is_merged_while_they_are_hashed_are_not_missing(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_writer(out) as writer:
        once_rows_are_read(lambda: advance(writer, [9], 0, 1), monkeypatch)
        assert Run(out).check_files().differing == ()


def test_merge_that_was_killed_before_it_tidied_up_has_lost_nothing(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_writer(out) as writer, monkeypatch.context() as patched:
        patched.setattr(Folder, "delete", lambda *_: None)
        advance(writer, [9], 0, 1)
    assert len(small.commits(out)) == 17
    with open_writer(out) as writer:
        assert writer.lost == ()
        assert small.commits(out) == ["000017"]
