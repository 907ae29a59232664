"""A run on an object store equals the same run in a directory, killed or not."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stored_runs as small
from object_store import DENIED, faulty
from paths import SUPPORT
from pyarrow import fs

from orchestrator.errors import RunDirectoryError
from orchestrator.reports.query import query
from orchestrator.runs.digest import digest
from orchestrator.runs.reader import Run
from orchestrator.runs.storage import retries
from orchestrator.runs.storage.base import Fingerprint
from orchestrator.runs.storage.bucket import Bucket

STRIDE = 19
"""Kills when the run is claimed, in the merge, and in the finished parts; there are 57 changes."""


def upload(path: Path, uri: str) -> None:
    """Copies a run to the store, as `aws s3 cp --recursive` would."""
    (path / "lock").unlink()
    target = Bucket.at(uri)
    fs.copy_files(str(path), target.base, fs.LocalFileSystem(), target.filesystem)


def kill_everywhere(base: str, trials: str, stride: int) -> list[tuple[int, int, int, str]]:
    """Kills a driver at every ``stride``-th change of the store.

    Returns:
        For each change: its number, the rows of `steps` and the current trials that were readable after the
        kill, and the fingerprint of the finished run.
    """
    script = str(SUPPORT / "killing_objects.py")
    command = [sys.executable, "-W", "error", script, base, f"{base}-killed", trials, str(stride)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = (line.split() for line in done.stdout.splitlines())
    return [(int(point), int(rows), int(current), total) for point, rows, current, total in lines]


@pytest.mark.parametrize("stride", [STRIDE, pytest.param(1, marks=pytest.mark.long)])
def test_run_killed_at_any_change_from_commit_to_last_part_ends_the_same(
    stride: int, bucket: str, tmp_path: Path
) -> None:
    with small.open_writer(tmp_path / "base") as writer:
        small.run_missing(writer, range(1))  # 3 commits: the next one makes a merge due
    upload(tmp_path / "base", bucket)
    ends = kill_everywhere(bucket, "2", stride)
    small.finish(tmp_path / "whole", range(2))
    assert {total for *_, total in ends} == {small.fingerprint(tmp_path / "whole")}
    assert min(rows for _, rows, *_ in ends) == 3  # committed rows are always readable
    assert ends[-1][0] > 50  # kills in commits, in the merge and in the compaction


def test_run_of_another_sweep_killed_at_any_change_is_marked_all_at_once(bucket: str, tmp_path: Path) -> None:
    small.finish(tmp_path / "base", range(4))
    small.finish(tmp_path / "whole", range(4))
    upload(tmp_path / "base", bucket)
    ends = kill_everywhere(bucket, "1:3", stride=9)  # all trials have ended: only marks are written
    small.finish(tmp_path / "whole", range(1, 3))
    assert {total for *_, total in ends} == {small.fingerprint(tmp_path / "whole")}
    assert {(rows, current) for _, rows, current, _ in ends} == {(12, 4), (12, 2)}


def test_object_is_recorded_as_the_store_returns_it(bucket: str) -> None:
    store, content = Bucket.at(bucket), bytes(range(256)) * 40_000  # more than one part of an upload
    with store.create("a/b/file") as sink:
        for start in range(0, len(content), 100_000):
            sink.write(content[start : start + 100_000])
    fingerprint = Fingerprint(len(content), hashlib.sha256(content).hexdigest())
    assert sink.fingerprint() == store.fingerprint("a/b/file") == fingerprint
    assert (store.size("a/b/file"), store.names("a"), store.names()) == (len(content), ["b"], ["a"])


@pytest.mark.parametrize(("old", "new"), [(b"a" * 10, b"b" * 1000), (b"a" * 1000, b"b" * 10)])
def test_object_that_is_replaced_while_it_is_read_is_never_torn(bucket: str, old: bytes, new: bytes) -> None:
    store = Bucket.at(bucket)
    store.replace("marker", old)

    class Replacing:
        """A store whose marker is replaced after its size was requested."""

        get_file_info = store.filesystem.get_file_info

        def open_input_stream(self, source: str) -> Any:
            stream = store.filesystem.open_input_stream(source)
            store.replace("marker", new)
            return stream

    assert replace(store, filesystem=Replacing()).read("marker") == new


def test_what_is_not_there_is_none_and_deleted_without_complaint(bucket: str) -> None:
    store = Bucket.at(bucket)
    assert (store.names(), store.read("x"), store.size("x"), store.fingerprint("x")) == ([], None, None, None)
    store.delete("x")


def test_deleted_folder_takes_its_objects_along(bucket: str) -> None:
    store = Bucket.at(bucket)
    store.replace("a/b/c", b"x")
    store.replace("a/d", b"x")
    store.delete("a/b")
    assert store.names("a") == ["d"]
    store.replace("a/d", b"y")
    assert store.read("a/d") == b"y"
    store.delete("a/d")
    assert store.names("a") == []


def test_address_may_carry_the_endpoint(bucket: str, store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Bucket.at(bucket).replace("x", b"1")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    host = store_url.removeprefix("http://")
    store = Bucket.at(f"{bucket}?endpoint_override={host}&scheme=http&region=us-east-1")
    assert (store.read("x"), store.path("x")) == (b"1", f"{bucket}/x")


def test_second_driver_is_refused_while_the_first_is_there(bucket: str) -> None:
    with small.open_writer(bucket) as writer:
        small.run_missing(writer, range(1))
        before = Bucket.at(bucket).names()
        with pytest.raises(RunDirectoryError, match="another driver is at work here"):
            small.open_writer(bucket)
        assert Bucket.at(bucket).names() == before
    with small.open_writer(bucket) as writer:
        assert len(writer.ended()) == 1


def test_folder_with_something_else_in_it_is_refused(bucket: str) -> None:
    Bucket.at(bucket).replace("thesis.tex", b"final")
    with pytest.raises(RunDirectoryError, match=r"holds 'thesis.tex' and is not a run"):
        small.open_writer(bucket)


def test_lost_object_of_a_commit_is_swept_away_and_its_rows_come_again(bucket: str, tmp_path: Path) -> None:
    with small.open_writer(bucket) as writer:
        small.run_missing(writer, range(2))
    Bucket.at(bucket).replace("commits/000004/steps.arrow", b"PAR1")
    with small.open_writer(bucket) as writer:
        assert writer.lost == (4, 5, 6)
        small.run_missing(writer, range(2))
        writer.compact(small.plan(range(2)))
    small.finish(tmp_path / "whole", range(2))
    assert digest(Run(bucket)) == digest(Run(tmp_path / "whole"))


def refusal(uri: str) -> str:
    """Returns the error for a store that cannot be used: one line, without the secret."""
    with pytest.raises(RunDirectoryError) as refused:
        small.open_writer(uri)
    (line,) = str(refused.value).splitlines()
    assert "do-not-tell" not in line
    return line


def test_missing_bucket_is_named_with_the_way_out(bucket: str) -> None:
    uri = bucket.replace("bucket", "no-such-bucket", 1)
    assert refusal(uri).startswith(f"{uri}: there is no such bucket: create it; ")
    with pytest.raises(RunDirectoryError, match="is not a run"):
        Run(uri)


def test_refused_credentials_are_reported_in_one_line(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", DENIED)
    expected = f"{bucket}: the store refuses the credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    assert refusal(bucket).startswith(expected)
    with pytest.raises(RunDirectoryError, match="the store refuses the credentials"):
        Run(bucket)


def test_store_that_cannot_be_reached_is_reported_in_one_line(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("orchestrator.runs.storage.bucket._ATTEMPTS", 2)  # seconds instead of ten
    assert refusal(bucket).startswith(f"{bucket}: the store cannot be reached: check the network and AWS_END")


def test_store_that_fails_in_the_middle_leaves_what_was_committed(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small.open_writer(bucket) as writer:
        small.run_missing(writer, range(1))
        monkeypatch.setattr(writer, "_folder", Bucket.at(bucket.replace("bucket", "no-such-bucket", 1)))
        with pytest.raises(RunDirectoryError, match=r"there is no such bucket: .*what was committed is kept"):
            small.advance(writer, [1], 0, 1)
    assert Run(bucket).trials.num_rows == 1


def test_run_is_opened_and_read_on_a_store_that_is_too_busy_for_some_requests(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.finish(bucket, range(1))
    monkeypatch.setattr(retries, "PAUSES_S", (0.0, 0.0, 0.0, 0.0))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", faulty(500, 30))  # the client waits half a second at each fault
    with small.open_writer(bucket) as writer:
        small.advance(writer, [1], 0, 1)
    assert Run(bucket).steps.num_rows == small.STEPS + 1


@pytest.mark.parametrize("status", [403, 404])
def test_store_that_refuses_one_question_in_ten_is_asked_again(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int
) -> None:
    monkeypatch.setattr(retries, "PAUSES_S", (0.0, 0.0, 0.0, 0.0))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", faulty(status, 10))
    with small.open_writer(bucket) as writer:
        small.run_missing(writer, range(1))
    small.finish(bucket, range(2))
    small.finish(tmp_path / "whole", range(2))
    assert digest(Run(bucket)) == digest(Run(tmp_path / "whole"))
    run = Run(bucket)
    assert query(run, "select count(*) from steps").rows == [(2 * small.STEPS,)]
    assert run.check_files().differing == ()


@pytest.mark.parametrize(
    ("status", "message"), [(403, "the store refuses the credentials"), (404, "is not a run")]
)
def test_refusal_that_lasts_is_a_fault(
    bucket: str, monkeypatch: pytest.MonkeyPatch, status: int, message: str
) -> None:
    small.finish(bucket, range(1))
    monkeypatch.setattr(retries, "PAUSES_S", (0.0, 0.0, 0.0, 0.0))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", faulty(status, 1))
    with pytest.raises(RunDirectoryError, match=message):
        Run(bucket)


def test_question_is_asked_five_times_and_not_found_counts_the_second_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paused: list[float] = []
    monkeypatch.setattr(retries.time, "sleep", paused.append)
    answers: list[OSError] = []

    def ask() -> None:
        raise answers[len(paused)]

    answers = [OSError("AWS Error SLOW_DOWN")] * 5
    with pytest.raises(OSError, match="SLOW_DOWN"):
        retries.retry(ask)
    assert paused == [0.1, 0.2, 0.4, 0.8]
    paused.clear()
    answers = [FileNotFoundError("x")] * 5
    with pytest.raises(FileNotFoundError):
        retries.retry(ask)
    assert paused == [0.1]
