"""What a directory holds when it is opened: whether a driver may go on there, and what a killed one left."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.manifest import (
    COMMITS,
    COMPLETE,
    FORMAT,
    RUN,
    SCRATCH,
    RunInfo,
    Snapshot,
    commit_numbers,
    same_content,
    snapshot,
)
from orchestrator.runs.rowfiles import PARQUET
from orchestrator.runs.storage.base import RowFile, Storage
from orchestrator.runs.storage.claims import CLAIMS
from orchestrator.runs.storage.lock import NAME as LOCK
from orchestrator.tables.schema import TABLES


def examine(folder: Storage, wanted: RunInfo, mixed_versions: bool) -> RunInfo | None:
    """Whose run the directory holds; None if it is new or empty. Changes nothing.

    Raises:
        RunDirectoryError: it cannot be used for the run ``wanted``.
    """
    folder.check_usable()
    old = RunInfo.load(folder)
    if old is None:
        _check_empty(folder)
    else:
        _check_format(folder, old)
        _check_same(folder.root, old, wanted, mixed_versions)
    return old


def _check_empty(folder: Storage) -> None:
    foreign = [name for name in folder.names() if name not in (LOCK, CLAIMS, f"{RUN}.tmp")]
    if foreign:
        raise RunDirectoryError(
            f"{folder.root} holds {foreign[0]!r} and is no run (it has no {RUN}); name an empty directory"
        )


def _check_format(folder: Storage, old: RunInfo) -> None:
    """An older run is gone on with only if it is finished: finished tables are the same in all formats."""
    if old.format == FORMAT:
        return
    run = snapshot(folder)
    if run.complete is None or run.commits:
        raise RunDirectoryError(
            f"{folder.root} is an unfinished run of format {old.format}, which this version can read but not "
            f"complete: finish it with orchestrator {old.versions.get('orchestrator', 'of then')}, or name "
            "another directory"
        )


def _check_same(root: object, old: RunInfo, wanted: RunInfo, mixed_versions: bool) -> None:
    if old.name != wanted.name:
        raise RunDirectoryError(
            f"{root} holds the sweep {old.name!r}, not {wanted.name!r}; name another directory"
        )
    if old.record != wanted.record:
        raise RunDirectoryError(
            f"{root} was recorded with {old.record}, not {wanted.record}; "
            f"set `record` back, or name another directory"
        )
    if old.versions != wanted.versions and not mixed_versions:
        raise RunDirectoryError(
            f"{root} was computed with {_difference(old.versions, wanted.versions)}; "
            f"install those versions, or give --mixed-versions"
        )


def _difference(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return ", ".join(f"{name} {old.get(name, 'absent')} (here {new.get(name, 'absent')})" for name in names)


def check_list(folder: Storage, run: Snapshot) -> None:
    """Raises RunDirectoryError if there are finished parts and no list of them: all of them would be ignored.

    Parts that are being written have no list yet either; scratch files lie beside these from before the first
    to after the last.
    """
    if run.complete or not any(name.endswith(PARQUET) for table in TABLES for name in folder.names(table)):
        return
    if SCRATCH not in folder.names() and folder.read(COMPLETE) is None:
        raise RunDirectoryError(
            f"{folder.root} holds finished tables without {COMPLETE}, the list of their files: restore that "
            f"from a copy, or remove {', '.join(TABLES)} to have all trials run anew"
        )


def check_parts(folder: Storage, run: Snapshot) -> None:
    """Raises RunDirectoryError if a finished part is not what the list says: it cannot be computed again."""
    for name, record in run.parts.items():
        if not same_content(folder, RowFile(name, record)):
            raise RunDirectoryError(
                f"{folder.path(name)} is missing or damaged; restore it from a copy or start a new run"
            )


def lost_commits(folder: Storage, run: Snapshot) -> tuple[int, ...]:
    """Numbers of the marked commits that do not count because they, or one before them, are damaged."""
    counted = {number for commit in run.commits for number in (commit.number, *commit.replaces)}
    through = run.complete.through if run.complete else 0
    return tuple(
        number
        for number in commit_numbers(folder)
        if number > through
        and number not in counted
        and folder.size(f"{COMMITS}/{number:06d}/{COMPLETE}") is not None
    )


def tidy(folder: Storage, run: Snapshot) -> None:
    """Removes what does not count: parts that are not listed, then scratch files, and commits outside the
    chain."""
    for table in TABLES:
        for name in folder.names(table):
            if name.endswith(PARQUET) and f"{table}/{name}" not in run.parts:
                folder.delete(f"{table}/{name}")
    folder.delete(SCRATCH)
    counted = {commit.folder for commit in run.commits}
    for name in folder.names(COMMITS):
        if f"{COMMITS}/{name}" not in counted:
            folder.delete(f"{COMMITS}/{name}")
    if not counted:
        folder.delete(COMMITS)
