"""Who else may write where a run lies: links, directories of others, directories that are gone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from orchestrator.errors import RunDirectoryError


def gone(root: object) -> RunDirectoryError:
    """What a driver is told whose run directory is no longer there."""
    return RunDirectoryError(
        f"the run directory {root} is gone: it was removed or moved while the sweep ran; move it back, or "
        "name its new place with --out, then run the same command again"
    )


def refuse_links(root: Path, folders: Iterable[str]) -> None:
    """Raises RunDirectoryError if a folder of the run is a symbolic link, which leads elsewhere."""
    for name in folders:
        if (root / name).is_symlink():
            raise RunDirectoryError(
                f"{root / name} is a symbolic link, and a run writes to no folder but its own: put the "
                "folder itself in its place, or name another run directory"
            )


def refuse_in_shared_folder(root: Path) -> None:
    """Raises RunDirectoryError for a directory of others, or for all, where anybody may have put it.

    That is in a folder such as /tmp: writable by all, and sticky. A link there must be the user's own, too.
    """
    for place in dict.fromkeys([root.absolute(), root.resolve()]):
        above = _state(place.parent)
        if above is None or not (above.st_mode & stat.S_ISVTX and above.st_mode & stat.S_IWOTH):
            continue
        if reason := _foreign(place):
            raise RunDirectoryError(
                f"{place} {reason}, in a folder where anybody may put it: name another directory"
            )


def cautions(root: Path) -> list[str]:
    """Why others may spoil the run; none if the directory is the user's own and not writable by all."""
    reason = _foreign(root.resolve())
    return [f"{root} {reason}: whoever else may write there may spoil the run"] if reason else []


def _foreign(place: Path) -> str:
    """Whose a place is, if not the user's alone; "" if it is, or is not there."""
    if (state := _state(place)) is None:
        return ""
    if state.st_uid != os.geteuid():
        return f"belongs to another user (number {state.st_uid})"
    if state.st_mode & stat.S_IWOTH and not stat.S_ISLNK(state.st_mode):
        return "is writable by all"
    return ""


def _state(place: Path) -> os.stat_result | None:
    try:
        return place.lstat()
    except OSError:
        return None
