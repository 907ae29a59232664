"""The files that parts of a trial are read from, each with a hash of what it holds."""

from __future__ import annotations

from orchestrator.addresses import masked
from orchestrator.config.base import Config
from orchestrator.errors import InputError

Fingerprints = tuple[tuple[str, str], ...]
"""What names each file, such as its path or URI, and a hash of what it holds; sorted."""


def fingerprints(*parts: Config | None) -> Fingerprints:
    """Those of all files that parts of a trial, or a whole one, are read from, as they are now.

    Raises:
        InputError: a file cannot be read.
    """
    return tuple(sorted({pair for part in parts if part for pair in part.fingerprints().items()}))


def changed(before: Fingerprints, now: Fingerprints) -> str:
    """The files that differ, are gone or have come, as a message names them; empty if there are none.

    Example:
        >>> changed((("a.csv", "1"), ("b.csv", "2")), (("a.csv", "1"), ("b.csv", "3")))
        'b.csv'
    """
    return ", ".join(sorted({masked(path) for path, _ in set(before) ^ set(now)}))


def refuse_changed(path: str, before: Fingerprints, part: Config | None) -> None:
    """Refuses a part of a trial whose files no longer hold what they held ``before`` it was read.

    Raises:
        InputError: at ``path``, files have changed, or are gone.
    """
    if files := changed(before, fingerprints(part)):
        raise InputError.at(path, f"{files} changed while being read; run the command again")
