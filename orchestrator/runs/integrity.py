"""Checks every file that a run lists against the hash in its marker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.runs.manifest import (
    COMMITS,
    COMPLETE,
    Commit,
    Complete,
    RunInfo,
    commit_numbers,
    same_content,
)
from orchestrator.runs.storage.base import RowFile, Storage


@dataclass(frozen=True)
class CheckedFiles:
    """Result of a check.

    Attributes:
        files: number of files checked, markers included.
        size_bytes: total size of the files that markers list.
        differing: one line per file that is missing or is not what was written.
    """

    files: int
    size_bytes: int
    differing: tuple[str, ...]


def check_listed(folder: Storage) -> CheckedFiles:
    """Hashes every listed file: the finished parts and the files of all marked commits.

    Damaged commits are checked as well, although they do not count.

    Raises:
        RunDirectoryError: ``run.json`` or the list of parts is damaged; the message names it.
    """
    info, complete = RunInfo.load(folder), Complete.load(folder)
    parts = [RowFile(name, fingerprint) for name, fingerprint in complete.files.items()] if complete else []
    through = complete.through if complete else 0
    numbers = [number for number in commit_numbers(folder) if number > through and _is_marked(folder, number)]
    commits = {number: Commit.load(folder, number) for number in numbers}
    damaged = [_marker(number) for number, commit in commits.items() if commit is None]
    files = [*parts, *(file for commit in commits.values() if commit for file in commit.row_files)]
    differing = [f"{folder.path(name)} is damaged" for name in damaged if folder.size(name) is not None]
    return CheckedFiles(
        sum(marker is not None for marker in (info, complete)) + len(commits) + len(files),
        sum(file.fingerprint.size for file in files if file.fingerprint),
        (*differing, *_differing(folder, files)),
    )


def _differing(folder: Storage, files: list[RowFile]) -> Iterator[str]:
    """Yields one line per missing or changed file.

    Skips commits that were merged in the meantime: their markers are gone, too.
    """
    for file in files:
        if same_content(folder, file):
            continue
        folder_name = file.name.rpartition("/")[0]
        if folder_name.startswith(f"{COMMITS}/") and folder.size(f"{folder_name}/{COMPLETE}") is None:
            continue
        missing = folder.size(file.name) is None
        yield f"{folder.path(file.name)} is {'missing' if missing else 'not what was written'}"


def _marker(number: int) -> str:
    return f"{COMMITS}/{number:06d}/{COMPLETE}"


def _is_marked(folder: Storage, number: int) -> bool:
    return folder.size(_marker(number)) is not None
