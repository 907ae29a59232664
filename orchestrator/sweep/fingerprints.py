"""The files that parts of a trial are read from, each with a hash of what it holds."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.addresses import masked
from orchestrator.config import Config
from orchestrator.errors import Fault, InputError

Fingerprints = tuple[tuple[str, str], ...]
"""What names each file, such as its path or URI, and a hash of what it holds; sorted."""


def fingerprints(*parts: Config | None) -> Fingerprints:
    """Those of all files that parts of a trial, or a whole one, are read from, as they are now.

    Raises:
        InputError: a file cannot be read.
    """
    return tuple(sorted({pair for part in parts if part for pair in part.fingerprints().items()}))


def changed(before: Fingerprints, now: Fingerprints) -> str:
    """The files that were not there before, or held something else, as a message names them; often none.

    Example:
        >>> changed((("a.csv", "1"), ("b.csv", "2")), (("a.csv", "1"), ("b.csv", "3")))
        'b.csv'
    """
    return ", ".join(sorted({masked(path) for path, _ in set(now) - set(before)}))


def refuse_changed(before: Fingerprints, parts: Mapping[str, Config | None]) -> None:
    """Refuses files that no longer hold what they held before the parts were read.

    Args:
        before: of all parts.
        parts: by their path.

    Raises:
        InputError: with a fault for each part whose files have changed, or are gone.
    """
    faults = [
        Fault(path, f"{files} changed while being read; run the command again")
        for path, part in parts.items()
        if (files := changed(before, fingerprints(part)))
    ]
    if faults:
        raise InputError(faults)
