"""A run on an object store is the run that a directory would hold, killed or not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import stored_runs as small
from object_store import DENIED
from pyarrow import fs

from orchestrator.errors import RunDirectoryError
from orchestrator.traces.digest import digest
from orchestrator.traces.objects import Bucket
from orchestrator.traces.read import Run

STRIDE = 29
"""Every 29th change takes half a minute; 1, every change, takes a quarter of an hour and passes as well."""


def upload(path: Path, uri: str) -> None:
    """Puts the files of a run on the store, as `aws s3 cp --recursive` would."""
    (path / "lock").unlink()
    target = Bucket.at(uri)
    fs.copy_files(str(path), target.base, fs.LocalFileSystem(), target.filesystem)


def kill_everywhere(base: str, trials: int) -> list[tuple[int, int, str]]:
    """Number of each change that was killed, rows of `steps` readable then, digest after finishing."""
    script = str(Path(__file__).with_name("killing_objects.py"))
    command = [sys.executable, "-W", "error", script, base, f"{base}-killed", str(trials), str(STRIDE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = (line.split() for line in done.stdout.splitlines())
    return [(int(point), int(rows), total) for point, rows, total in lines]


def test_run_killed_at_any_change_from_commit_to_last_part_ends_the_same(bucket: str, tmp_path: Path) -> None:
    with small.open_writer(tmp_path / "base") as writer:
        small.run_missing(writer, range(5))  # 15 commits: the next one makes a merge due
    upload(tmp_path / "base", bucket)
    ends = kill_everywhere(bucket, 6)
    small.finish(tmp_path / "whole", range(6))
    assert {total for _, _, total in ends} == {digest(Run(tmp_path / "whole")).total}
    assert min(rows for _, rows, _ in ends) == 15  # nothing that was committed is ever out of sight
    assert ends[-1][0] > 150  # it died in commits, in the merge and in the compaction
