"""Runs on shared machines: links are not followed, and directories of other users cause a warning."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import stored_runs as small
from stored_runs import open_writer
from sweeps import swept

import orchestrator
from orchestrator.api.running import Watcher
from orchestrator.driver.driver import Progress
from orchestrator.errors import RunDirectoryError, RunDirectoryWarning
from orchestrator.runs.control import Control, SavedProgress
from orchestrator.runs.digest import digest
from orchestrator.runs.reader import Run
from orchestrator.runs.storage.folder import Folder

INLINE = orchestrator.Where(inline=True)
SOMEBODY = 12345


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


@pytest.mark.parametrize("name", ["lock", "sweep.yaml", "complete.json.tmp"])
def test_link_where_a_run_writes_is_never_followed(tmp_path: Path, victim: Path, name: str) -> None:
    with open_writer(tmp_path / "run") as writer:
        small.run_missing(writer, range(2))
    (tmp_path / "run" / name).unlink(missing_ok=True)
    (tmp_path / "run" / name).symlink_to(victim)
    if name == "lock":
        with pytest.raises(RunDirectoryError, match=r"run/lock is a link"):
            open_writer(tmp_path / "run")
    else:
        small.finish(tmp_path / "run", range(2))
        assert not (tmp_path / "run" / name).is_symlink()
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["progress.json", "progress.json.tmp", "control/cancel"])
def test_link_with_the_name_of_a_small_file_is_replaced_by_the_file(
    tmp_path: Path, victim: Path, name: str
) -> None:
    (tmp_path / "run" / "control").mkdir(parents=True)
    (tmp_path / "run" / name).symlink_to(victim)
    control = Control(Folder(tmp_path / "run"))
    control.cancel()
    control.write(SavedProgress(1, 0, 0, 1, 0.0, 0.0))
    assert (control.cancelled, control.progress()) == (True, SavedProgress(1, 0, 0, 1, 0.0, 0.0))
    assert victim.read_text() == "precious"


def test_link_with_the_name_of_a_part_is_replaced_by_the_part(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "part").symlink_to(victim)
    with Folder(tmp_path).create("steps/part") as sink:
        sink.write(b"rows")
    assert ((tmp_path / "steps" / "part").read_bytes(), victim.read_text()) == (b"rows", "precious")
    (tmp_path / "gone").symlink_to(tmp_path / "steps")
    Folder(tmp_path).delete("gone")
    assert (tmp_path / "steps" / "part").exists()


@pytest.mark.parametrize("name", ["commits", "steps", "control", "compacting"])
def test_folder_of_a_run_that_is_a_link_is_refused(tmp_path: Path, name: str) -> None:
    small.finish(tmp_path / "run", range(2))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "thesis.tex").touch()
    shutil.rmtree(tmp_path / "run" / name, ignore_errors=True)
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        RunDirectoryError, match=f"^{tmp_path / 'run' / name} is a symbolic link, .*replace the link"
    ):
        open_writer(tmp_path / "run")
    with (
        pytest.raises(RunDirectoryError, match="is a symbolic link"),
        Folder(tmp_path / "run").create(f"{name}/x"),
    ):
        pass
    assert os.listdir(tmp_path / "elsewhere") == ["thesis.tex"]  # noqa: PTH208 - names, not paths


def test_run_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    small.finish(tmp_path / "run", range(2))
    assert Run(tmp_path / "disk").finished


def belonging(path: Path) -> None:
    os.chown(path, SOMEBODY, SOMEBODY)


def open_to_all(path: Path) -> None:
    path.chmod(0o777)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize(
    ("share", "reason"),
    [(belonging, rf"belongs to another user \(uid {SOMEBODY}\)"), (open_to_all, "is writable by all")],
)
def test_directory_of_others_is_mentioned_and_refused_in_a_sticky_folder(
    tmp_path: Path, share: Callable[[Path], None], reason: str
) -> None:
    (tmp_path / "run").mkdir()
    share(tmp_path / "run")
    with pytest.warns(RunDirectoryWarning, match=rf"^{tmp_path / 'run'} {reason}: other users who") as caught:
        open_writer(tmp_path / "run").close()
    assert len(caught) == 1
    tmp_path.chmod(0o1777)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        RunDirectoryError, match=rf"run {reason}, in a folder to which all users may write: name ano"
    ):
        open_writer(tmp_path / "run")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_link_of_another_user_in_a_sticky_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    (tmp_path / "shared" / "run").symlink_to(tmp_path / "own")
    open_writer(tmp_path / "shared" / "run").close()
    os.chown(tmp_path / "shared" / "run", SOMEBODY, SOMEBODY, follow_symlinks=False)
    with pytest.raises(RunDirectoryError, match="belongs to another user"):
        open_writer(tmp_path / "shared" / "run")


def moved(path: Path) -> None:
    path.rename(path.with_name("moved"))


@pytest.mark.parametrize("vanish", [moved, shutil.rmtree])
def test_run_directory_that_vanishes_is_called_gone_and_not_made_again(
    tmp_path: Path, vanish: Callable[[Path], None]
) -> None:
    (tmp_path / "small.yaml").write_text(swept("seed: {range: 4}"))

    class Vanishing(Watcher):
        def advanced(self, progress: Progress) -> None:
            if progress.commits == 1 and (tmp_path / "run").exists():
                vanish(tmp_path / "run")

    portions = ["placement={pack: 1, chunk_steps: 1, commit_seconds: 0}"]
    with pytest.raises(
        RunDirectoryError, match=f"^the run directory {tmp_path / 'run'} is gone: it was removed"
    ):
        orchestrator.run(
            tmp_path / "small.yaml", tmp_path / "run", where=INLINE, overrides=portions, watcher=Vanishing()
        )
    assert not (tmp_path / "run").exists()
    if (tmp_path / "moved").exists():
        orchestrator.run(tmp_path / "small.yaml", tmp_path / "moved", where=INLINE)
        orchestrator.run(tmp_path / "small.yaml", tmp_path / "whole", where=INLINE)
        assert digest(Run(tmp_path / "moved")) == digest(Run(tmp_path / "whole"))
