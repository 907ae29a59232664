"""A driver killed at any of its file operations leaves a run that the same command finishes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import stored_runs as small
from paths import SUPPORT
from stored_runs import STEPS, advance

strided = pytest.mark.parametrize("stride", [37, pytest.param(1, marks=pytest.mark.long)])
"""Kills at every 37th operation take seconds, at every operation minutes."""


def kill_everywhere(base: Path, trials: int | str, stride: int) -> list[tuple[int, int, int, str]]:
    """Kills a driver before every ``stride``-th file operation.

    Returns:
        For each operation: its number, the rows of `steps` and the current trials that were readable after
        the kill, and the fingerprint of the finished run.
    """
    script = str(SUPPORT / "killing.py")
    command = [sys.executable, "-W", "error", script, base, base.with_name("run"), trials, stride]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = (line.split() for line in done.stdout.splitlines())
    return [(int(point), int(rows), int(current), total) for point, rows, current, total in lines]


def undisturbed(path: Path, trials: int) -> str:
    small.finish(path, range(trials))
    return small.fingerprint(path)


@strided
def test_run_killed_anywhere_from_commit_to_last_part_ends_the_same(stride: int, tmp_path: Path) -> None:
    with small.open_writer(tmp_path / "base") as writer:
        small.run_missing(writer, range(5))  # 15 commits: the next one makes a merge due
    ends = kill_everywhere(tmp_path / "base", 6, stride)
    assert {total for *_, total in ends} == {undisturbed(tmp_path / "whole", 6)}
    assert min(rows for _, rows, *_ in ends) == 15  # committed rows are always readable
    assert ends[-1][0] > 150  # kills in commits, in the merge and in the compaction


def test_new_run_killed_anywhere_ends_the_same(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    ends = kill_everywhere(tmp_path / "base", 1, stride=5)
    assert {total for *_, total in ends} == {undisturbed(tmp_path / "whole", 1)}
    assert {rows for _, rows, *_ in ends} == set(range(STEPS + 1))
    assert ends[-1][0] > 20


@strided
def test_growing_run_killed_anywhere_ends_the_same(stride: int, tmp_path: Path) -> None:
    small.finish(tmp_path / "base", range(6))
    ends = kill_everywhere(tmp_path / "base", 8, stride)
    assert {total for *_, total in ends} == {undisturbed(tmp_path / "whole", 8)}
    assert min(rows for _, rows, *_ in ends) == 18
    assert ends[-1][0] > 100


@strided
def test_failed_trials_taken_back_and_killed_anywhere_end_the_same(stride: int, tmp_path: Path) -> None:
    with small.open_writer(tmp_path / "base") as writer:
        small.fail(writer, [0, 1])
        small.advance(writer, [2], 0, small.STEPS)
        writer.compact(small.plan(range(3)))
        small.fail(writer, [3])
        small.advance(writer, [4], 0, 1)  # begun: goes on from its state, as run_missing checks
    ends = kill_everywhere(tmp_path / "base", 6, stride)
    assert {total for *_, total in ends} == {undisturbed(tmp_path / "whole", 6)}
    assert ends[-1][0] > 100


def test_mark_killed_anywhere_is_there_for_all_trials_or_none(tmp_path: Path) -> None:
    for name in ("base", "whole"):
        small.finish(tmp_path / name, range(6))
    small.finish(tmp_path / "whole", range(2, 6))
    ends = kill_everywhere(
        tmp_path / "base", "2:6", stride=3
    )  # all trials have ended: only marks are written
    assert {total for *_, total in ends} == {small.fingerprint(tmp_path / "whole")}
    seen = [current for *_, current, _ in ends]
    assert (seen, set(seen)) == (sorted(seen, reverse=True), {6, 4})


@strided
def test_finished_run_of_another_sweep_killed_anywhere_is_marked_before_anything_runs(
    stride: int, tmp_path: Path
) -> None:
    for name in ("base", "whole"):
        small.finish(tmp_path / name, range(6))
    small.finish(tmp_path / "whole", range(2, 8))
    ends = kill_everywhere(tmp_path / "base", "2:8", stride)
    assert {total for *_, total in ends} == {small.fingerprint(tmp_path / "whole")}
    running = [(rows, current) for _, rows, current, _ in ends if rows > 18]
    assert running
    assert all(current == 4 + (rows - 18) // STEPS for rows, current in running)


@strided
def test_unfinished_run_of_another_sweep_killed_anywhere_ends_the_same(stride: int, tmp_path: Path) -> None:
    for name in ("base", "whole"):
        small.finish(tmp_path / name, range(2))
        with small.open_writer(tmp_path / name) as writer:
            advance(writer, [2, 3], 0, STEPS)
            advance(writer, [4], 0, 1)
    small.finish(tmp_path / "whole", range(1, 6, 2))
    ends = kill_everywhere(tmp_path / "base", "1:6:2", stride)
    assert {total for *_, total in ends} == {small.fingerprint(tmp_path / "whole")}
    assert ends[0][1:3] == (13, 4)
    assert ends[-1][2] == 3
