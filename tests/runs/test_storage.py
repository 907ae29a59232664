"""Files in a folder: complete, written in one step, on disk."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage.base import Fingerprint, explained
from orchestrator.runs.storage.folder import Folder


def test_created_file_is_recorded_as_it_lies_on_disk(tmp_path: Path) -> None:
    folder, content = Folder(tmp_path), bytes(range(256)) * 100
    with folder.create("a/b/file") as sink:
        for start in range(0, len(content), 1000):
            sink.write(content[start : start + 1000])
    fingerprint = Fingerprint(len(content), hashlib.sha256(content).hexdigest())
    assert sink.fingerprint() == folder.fingerprint("a/b/file") == fingerprint
    assert (folder.size("a/b/file"), folder.names("a")) == (len(content), ["b"])


def test_replaced_file_is_the_old_one_until_it_is_the_new_one(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.replace("marker", b"old")
    with folder.create("marker.tmp") as sink:
        sink.write(b"ne")
    assert folder.read("marker") == b"old"
    folder.replace("marker", b"new")
    assert (folder.read("marker"), folder.names()) == (b"new", ["marker"])


def test_file_and_folder_are_synced_before_create_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync = [], os.fsync

    def watched(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    Folder(tmp_path).replace("new/marker", b"x")
    new = tmp_path / "new"
    expected = [tmp_path, new / "marker", new, new]  # the folder once for the new name, once for the final
    assert synced == [path.stat().st_ino for path in expected]


def test_what_is_not_there_is_none_and_deleted_without_complaint(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "none")
    assert (folder.names(), folder.read("x"), folder.size("x"), folder.fingerprint("x")) == (
        [],
        None,
        None,
        None,
    )
    folder.delete("x")


def test_deleted_folder_takes_its_files_along(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.replace("a/b/c", b"x")
    folder.replace("a/d", b"x")
    folder.delete("a/b")
    assert folder.names("a") == ["d"]
    folder.delete("a/d")
    assert folder.names("a") == []


def test_refusal_of_the_system_names_the_directory_and_the_reason(tmp_path: Path) -> None:
    reason = rf"^{tmp_path}: No such file or directory; do this$"
    with pytest.raises(RunDirectoryError, match=reason), explained(tmp_path, "do this"):
        (tmp_path / "none").read_bytes()


def test_rows_and_lock_are_cheap_to_import() -> None:
    modules = "orchestrator.tables.rows, orchestrator.runs.storage.lock"
    code = f"import sys, {modules}; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
