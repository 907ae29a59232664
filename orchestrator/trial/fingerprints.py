"""The files that a trial depends on, each with a hash of its content."""

from __future__ import annotations

from orchestrator.addresses import masked
from orchestrator.config.base import Config
from orchestrator.errors import InputError

Fingerprints = tuple[tuple[str, str], ...]
"""Pairs of a file's name (path, URI or module) and a hash of its content; sorted."""


def fingerprints(*parts: Config | None) -> Fingerprints:
    """Returns the fingerprints of all files that these parts of a trial depend on, as they are now.

    Raises:
        InputError: a file cannot be read.
    """
    return tuple(sorted({pair for part in parts if part for pair in part.fingerprints().items()}))


def changed(before: Fingerprints, now: Fingerprints) -> str:
    """Returns the names of files that differ, are gone or are new, as a message shows them; or "".

    Example:
        >>> changed((("a.csv", "1"), ("b.csv", "2")), (("a.csv", "1"), ("b.csv", "3")))
        'b.csv'
    """
    return ", ".join(sorted({masked(path) for path, _ in set(before) ^ set(now)}))


def refuse_changed(path: str, before: Fingerprints, part: Config | None) -> None:
    """Checks that the files of a part of a trial have not changed since ``before``.

    Raises:
        InputError: at ``path``, files have changed, or are gone.
    """
    if files := changed(before, fingerprints(part)):
        raise InputError.at(path, f"{files} changed while being read; run the command again")
