"""Opening a run directory: whether a driver may use it, and cleaning up after a killed driver."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

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
from orchestrator.runs.storage.lock import LOCK
from orchestrator.tables.schema import TABLES


def examine(folder: Storage, requested: RunInfo, mixed_versions: bool) -> RunInfo | None:
    """Returns the identity of the run in the directory; None if it is new or empty. Changes nothing.

    Raises:
        RunDirectoryError: the directory cannot be used for the run ``requested``.
    """
    folder.check_usable()
    old = RunInfo.load(folder)
    if old is None:
        _check_empty(folder)
    else:
        _check_format(folder, old)
        _check_same(folder.root, old, requested, mixed_versions)
    return old


def _check_empty(folder: Storage) -> None:
    foreign = [name for name in folder.names() if name not in (LOCK, CLAIMS, f"{RUN}.tmp")]
    if foreign:
        raise RunDirectoryError(
            f"{folder.root} holds {foreign[0]!r} and is not a run (it has no {RUN}); name an empty directory"
        )


def _check_format(folder: Storage, old: RunInfo) -> None:
    """Raises RunDirectoryError for an unfinished run of an older format.

    Finished runs of any format can grow, as finished tables are the same in all formats.
    """
    if old.format == FORMAT:
        return
    run = snapshot(folder)
    if run.complete is None or run.commits:
        raise RunDirectoryError(
            f"{folder.root} is an unfinished run of format {old.format}, which this version can read but not "
            f"complete: finish it with orchestrator {old.versions.get('orchestrator', 'of then')}, or name "
            "another directory"
        )


def _check_same(root: object, old: RunInfo, requested: RunInfo, mixed_versions: bool) -> None:
    if old.name != requested.name:
        raise RunDirectoryError(
            f"{root} holds the sweep {old.name!r}, not {requested.name!r}; name another directory"
        )
    if old.record != requested.record:
        then, now = _differing(json.loads(old.record), json.loads(requested.record))
        raise RunDirectoryError(
            f"{root} was recorded with {then}, but the sweep has {now}. A run records the same "
            "of all its trials: set `record` back, or start a new run with another `name` or --out"
        )
    if old.versions != requested.versions and not mixed_versions:
        raise RunDirectoryError(
            f"{root} was computed with {_difference(old.versions, requested.versions)}; "
            f"install those versions, or give --mixed-versions"
        )


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the keys with other values, each with its old and with its new value, as texts."""
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    then, now = (
        ", ".join(f"{name}: {json.dumps(record.get(name))}" for name in names) for record in (old, new)
    )
    return then, now


def _difference(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return ", ".join(f"{name} {old.get(name, 'absent')} (here {new.get(name, 'absent')})" for name in names)


def check_list(folder: Storage, run: Snapshot) -> None:
    """Raises RunDirectoryError if there are finished parts without a list: all of them would be ignored.

    While a first compaction writes parts, there is no list yet. Scratch files exist during that whole time,
    so a run with scratch files is accepted.
    """
    if run.complete or not any(name.endswith(PARQUET) for table in TABLES for name in folder.names(table)):
        return
    if SCRATCH not in folder.names() and folder.read(COMPLETE) is None:
        raise RunDirectoryError(
            f"{folder.root} holds finished tables without {COMPLETE}, the list of their files: restore this "
            f"list from a copy, or remove {', '.join(TABLES)} to run all trials again"
        )


def check_parts(folder: Storage, run: Snapshot) -> None:
    """Raises RunDirectoryError if a finished part differs from its entry in the list.

    Unlike a commit, a finished part cannot be computed again.
    """
    for name, fingerprint in run.parts.items():
        if not same_content(folder, RowFile(name, fingerprint)):
            raise RunDirectoryError(
                f"{folder.path(name)} is missing or damaged; restore it from a copy or start a new run"
            )


def lost_commits(folder: Storage, run: Snapshot) -> tuple[int, ...]:
    """Returns the numbers of the marked commits that do not count.

    Either such a commit is damaged itself, or one before it is.
    """
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
    """Removes what does not count: unlisted parts, then scratch files, then commits outside the chain."""
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
