"""A directory is accepted only if the run can go on there, and damaged commits are removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import stored_runs as small
from stored_runs import advance, commits, open_writer, trial_id

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.digest import Digest, digest
from orchestrator.runs.reader import Run


def tree(path: Path) -> dict[str, tuple[int, bytes]]:
    """Returns modification times and contents of everything below ``path``."""
    return {
        str(entry): (entry.stat().st_mtime_ns, b"" if entry.is_dir() else entry.read_bytes())
        for entry in sorted(path.rglob("*"))
    }


def occupied(path: Path) -> None:
    path.mkdir()
    (path / "thesis.tex").write_text("final")


def existing(path: Path) -> None:
    small.finish(path, range(2))


def unsupported(path: Path) -> None:
    existing(path)
    (path / "run.json").write_text('{"format": 99}')


def spoilt(path: Path) -> None:
    existing(path)
    (path / "run.json").write_text("{")


@pytest.mark.parametrize(
    ("prepare", "path", "changes", "message"),
    [
        (lambda path: path.write_text("x"), "run", {}, "is a file; name a directory"),
        (lambda path: path.write_text("x"), "run/deep", {}, "is a file; name a directory"),
        (occupied, "run", {}, "holds 'thesis.tex' and is not a run"),
        (existing, "run", {"name": "other"}, "holds the sweep 'small', not 'other'"),
        (existing, "run", {"record": '{"every":2}'}, "recorded with every: null, but the sweep has every: 2"),
        (existing, "run", {"versions": {"numpy": "2.1"}}, r"numpy 2.0 \(here 2.1\); .*--mixed-versions"),
        (existing, "run", {"versions": {}}, r"numpy 2.0 \(here absent\)"),
        (unsupported, "run", {}, "is of format 99"),
        (spoilt, "run", {}, "is damaged"),
        (
            Path.mkdir,
            "run/" + "n" * 300,
            {},
            "File name too long; make it usable",
        ),
    ],
)
def test_directory_that_cannot_be_used_is_refused_and_left_as_it_is(
    tmp_path: Path, prepare: Any, path: str, changes: dict[str, Any], message: str
) -> None:
    prepare(tmp_path / "run")
    before = tree(tmp_path)
    with pytest.raises(RunDirectoryError, match=message):
        open_writer(tmp_path / path, **changes)
    assert tree(tmp_path) == before


@contextmanager
def as_anybody() -> Iterator[None]:
    """Drops root's privileges for a while, as root may write anywhere."""
    if os.geteuid():
        yield
        return
    unprivileged = 65534
    os.setresuid(unprivileged, unprivileged, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_directory_that_is_not_writable_is_refused() -> None:
    with TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        with as_anybody(), pytest.raises(RunDirectoryError, match="not writable"):
            open_writer(Path(name) / "run")
        Path(name).chmod(0o755)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://bucket/run", "ftp://bucket/run: a run is kept in a local directory or on s3://, gs://"),
        ("s3://bucket/a//b", "needs a folder in the bucket, e.g. s3://bucket/runs/name"),
        ("s3://bucket", "needs a folder in the bucket, e.g. s3://bucket/runs/name"),
        (
            "s3://key:secret@bucket/run",
            r"^s3://\*\*\*@bucket/run: must not hold a secret \(before @\)",
        ),
        ("s3://bucket/run?colour=red", r"no option 'colour' \(legal: endpoint_override, region, scheme\)"),
    ],
)
def test_address_that_is_none_of_an_object_store_is_refused(address: str, message: str) -> None:
    with pytest.raises(RunDirectoryError, match=message):
        open_writer(address)


def test_second_driver_is_refused_while_the_first_is_there(tmp_path: Path) -> None:
    with open_writer(tmp_path / "run"):
        before = tree(tmp_path)
        with pytest.raises(RunDirectoryError, match=f"process {os.getpid()} on "):
            open_writer(tmp_path / "run")
        assert tree(tmp_path) == before
    open_writer(tmp_path / "run").close()


def test_driver_killed_before_the_first_marker_leaves_a_directory_that_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "run.json.tmp").write_text("{")
    small.finish(tmp_path, range(2))
    assert Run(tmp_path).trials.num_rows == 2


def test_other_versions_are_taken_when_mixing_is_wanted(tmp_path: Path) -> None:
    existing(tmp_path / "run")
    open_writer(tmp_path / "run", versions={"numpy": "2.1"}, mixed_versions=True).close()
    open_writer(tmp_path / "run", versions={"numpy": "2.1"}).close()


def truncate(commit: Path) -> None:
    os.truncate(commit / "steps.arrow", 100)


def flip(commit: Path) -> None:
    content = bytearray((commit / "state.arrow").read_bytes())
    content[len(content) // 2] ^= 1
    (commit / "state.arrow").write_bytes(content)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Digest:
    path = tmp_path_factory.mktemp("undisturbed")
    small.finish(path, range(3))
    return digest(Run(path))


DAMAGES = {
    "truncated": truncate,
    "one bit flipped": flip,
    "file gone": lambda commit: (commit / "gradients.arrow").unlink(),
    "marker gone": lambda commit: (commit / "complete.json").unlink(),
    "marker cut": lambda commit: os.truncate(commit / "complete.json", 50),
    "marker of another kind": lambda commit: (commit / "complete.json").write_text("[]"),
    "folder gone": shutil.rmtree,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_damaged_commit_takes_all_later_ones_along_and_the_run_ends_the_same(
    tmp_path: Path, undisturbed: Digest, damage: Any
) -> None:
    with open_writer(tmp_path / "run") as writer:
        small.run_missing(writer, range(2))
        advance(writer, [2], 0, 2)
    damage(tmp_path / "run" / "commits" / "000002")  # step 1 of the first trial
    with open_writer(tmp_path / "run") as writer:
        assert set(range(3, 8)) <= set(writer.lost) <= set(range(2, 8))
        assert {trial: saved.step for trial, saved in writer.states().items()} == {trial_id(0): 1}
        assert (writer.ended().tolist(), commits(tmp_path / "run")) == ([], ["000001"])
    assert Run(tmp_path / "run").steps["step"].to_pylist() == [0]
    small.finish(tmp_path / "run", range(3))
    assert digest(Run(tmp_path / "run")) == undisturbed


def test_damaged_merged_commit_is_no_worse(tmp_path: Path) -> None:
    small.finish(tmp_path / "whole", range(7))
    with open_writer(tmp_path / "run") as writer:
        small.run_missing(writer, range(6))  # 18 commits, 16 of them merged
    assert commits(tmp_path / "run") == ["000017", "000018", "000019"]
    steps = tmp_path / "run" / "commits" / "000017" / "steps.arrow"
    steps.write_bytes(steps.read_bytes()[::-1])
    with open_writer(tmp_path / "run") as writer:
        assert writer.lost == (17, 18, 19)
    small.finish(tmp_path / "run", range(7))
    assert digest(Run(tmp_path / "run")) == digest(Run(tmp_path / "whole"))


def test_damaged_part_of_a_finished_run_is_refused(tmp_path: Path) -> None:
    small.finish(tmp_path / "run", range(2))
    os.truncate(tmp_path / "run" / "steps" / "part-0001-00000.parquet", 100)
    with pytest.raises(RunDirectoryError, match=r"part-0001-00000.parquet is missing or damaged"):
        open_writer(tmp_path / "run")
    assert (tmp_path / "run" / "trials" / "part-0001-00000.parquet").exists()
