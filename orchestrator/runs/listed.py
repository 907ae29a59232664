"""Whether every file that a run lists is what its markers say."""

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
class Checked:
    """What was checked, and what came of it.

    Attributes:
        files: number of files, markers included.
        size_bytes: of those that markers list.
        differing: a line for each file that is missing or is not what was written.
    """

    files: int
    size_bytes: int
    differing: tuple[str, ...]


def check_listed(folder: Storage) -> Checked:
    """Hashes every file that counts, or would count if it were whole: finished parts, and all marked commits.

    Raises:
        RunDirectoryError: ``run.json`` or the list of parts is damaged; the message names it.
    """
    info, complete = RunInfo.load(folder), Complete.load(folder)
    parts = [RowFile(name, record) for name, record in complete.files.items()] if complete else []
    through = complete.through if complete else 0
    numbers = [number for number in commit_numbers(folder) if number > through and _is_marked(folder, number)]
    commits = {number: Commit.load(folder, number) for number in numbers}
    damaged = [_marker(number) for number, commit in commits.items() if commit is None]
    listed = [*parts, *(file for commit in commits.values() if commit for file in commit.listed)]
    differing = [f"{folder.path(name)} is damaged" for name in damaged if folder.size(name) is not None]
    return Checked(
        sum(marker is not None for marker in (info, complete)) + len(commits) + len(listed),
        sum(file.record.size for file in listed if file.record),
        (*differing, *_differing(folder, listed)),
    )


def _differing(folder: Storage, files: list[RowFile]) -> Iterator[str]:
    """What is wrong with files, a line each. A commit that is merged meanwhile is gone with its marker."""
    for file in files:
        if same_content(folder, file):
            continue
        above = file.name.rpartition("/")[0]
        if above.startswith(f"{COMMITS}/") and folder.size(f"{above}/{COMPLETE}") is None:
            continue
        missing = folder.size(file.name) is None
        yield f"{folder.path(file.name)} is {'missing' if missing else 'not what was written'}"


def _marker(number: int) -> str:
    return f"{COMMITS}/{number:06d}/{COMPLETE}"


def _is_marked(folder: Storage, number: int) -> bool:
    return folder.size(_marker(number)) is not None
