"""Checks of a run directory on a shared machine: symbolic links, other owners, directories that are gone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from orchestrator.errors import RunDirectoryError


def directory_gone(root: object) -> RunDirectoryError:
    """Returns the error for a driver whose run directory no longer exists."""
    return RunDirectoryError(
        f"the run directory {root} is gone: it was removed or moved while the sweep ran; move it back, or "
        "name its new path with --out, then run the same command again"
    )


def refuse_links(root: Path, folders: Iterable[str]) -> None:
    """Raises RunDirectoryError if a folder of the run is a symbolic link, which may point elsewhere."""
    for name in folders:
        if (root / name).is_symlink():
            raise RunDirectoryError(
                f"{root / name} is a symbolic link, and a run writes only below its own directory: replace "
                "the link by the folder itself, or name another run directory"
            )


def refuse_in_shared_folder(root: Path) -> None:
    """Raises RunDirectoryError if other users may control a run directory in a shared folder.

    A shared folder is writable by all and sticky, such as /tmp. A directory there must belong to the user and
    must not be writable by all. A link there must belong to the user, too.
    """
    for path in dict.fromkeys([root.absolute(), root.resolve()]):
        parent = _lstat(path.parent)
        if parent is None or not (parent.st_mode & stat.S_ISVTX and parent.st_mode & stat.S_IWOTH):
            continue
        if reason := _exposure(path):
            raise RunDirectoryError(
                f"{path} {reason}, in a folder to which all users may write: name another directory"
            )


def cautions(root: Path) -> list[str]:
    """Returns a warning if other users may damage the run.

    Returns none if the directory belongs to the user and is not writable by all.
    """
    reason = _exposure(root.resolve())
    return [f"{root} {reason}: other users who may write there may damage the run"] if reason else []


def _exposure(path: Path) -> str:
    """Returns how other users may control a path; "" if they may not, or if the path does not exist."""
    if (state := _lstat(path)) is None:
        return ""
    if state.st_uid != os.geteuid():
        return f"belongs to another user (uid {state.st_uid})"
    if state.st_mode & stat.S_IWOTH and not stat.S_ISLNK(state.st_mode):
        return "is writable by all"
    return ""


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None
