"""Structures, pinned when they are planned: later, exactly these are computed, or the computation fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from orchestrator.errors import ChangedFile, InputError
from orchestrator.groups import Group
from orchestrator.trial.fingerprints import Fingerprints, changed, fingerprints, refuse_changed
from orchestrator.trial.problem import Problem, problem, shard_bytes
from orchestrator.trial.trial import Trial, structure_key

_MOST_PROBLEMS = 64
_WAY_OUT = (
    "restore the old files and run again with --retry-failed, or run the sweep as it is now: "
    "its trials get new ids"
)


@dataclass(frozen=True)
class Facts:
    """Properties of every trial of a structure that are known before it runs.

    Attributes:
        parameters: P.
        dead: number of dead parameters, which structurally get no gradient.
        groups: slices of the parameter vector.
        biased: whether the loss is estimated with a bias.
        repeatable: whether a second run of a trial gives the same bits.
    """

    parameters: int
    dead: int
    groups: tuple[Group, ...]
    biased: bool
    repeatable: bool

    @classmethod
    def of(cls, prepared: Problem) -> Facts:
        """Returns the facts of a problem."""
        model, engine = prepared.model, prepared.engine
        return cls(
            parameters=model.parameters,
            dead=int(np.count_nonzero(model.dead)),
            groups=model.groups,
            biased=engine.biased(model, prepared.loss),
            repeatable=engine.repeatable,
        )


@dataclass(frozen=True)
class Pinned:
    """A structure as it was planned, which every pack carries. Equal if key and fingerprints are equal.

    Attributes:
        key: hash of the configuration that its trials share, see ``trial.structure_key``.
        fingerprints: of its files.
        template: one of its trials.
        facts: properties of its trials.
        row_bytes: working memory of the engine on a shard of one trial, in bytes.
    """

    key: str
    fingerprints: Fingerprints
    template: Trial = field(compare=False)
    facts: Facts = field(compare=False)
    row_bytes: int = field(compare=False)


def pin(trial: Trial) -> Pinned:
    """Returns the structure of a trial, as it is now.

    Raises:
        InputError: the parts of the trial do not fit together, or a file has changed while being read.
    """
    files = fingerprints(trial)
    prepared = problem(trial)
    pinned = Pinned(
        structure_key(trial), files, trial, Facts.of(prepared), shard_bytes(trial, prepared, rows=1)
    )
    refuse_changed("", files, trial)
    return pinned


@lru_cache(maxsize=_MOST_PROBLEMS)
def load_problem(pinned: Pinned) -> Problem:
    """Returns the problem of a structure as it was planned; built once in this process.

    Raises:
        ChangedFile: a file is gone or has changed, or the model differs from the planned one.
        InputError: the problem cannot be computed here.
    """
    _refuse_changed(pinned)
    try:
        prepared = problem(pinned.template)
    finally:  # files may have changed while being read
        _refuse_changed(pinned)
    if Facts.of(prepared) != pinned.facts:
        change = f"{pinned.template.model.summary} changed after the sweep was planned"
        raise ChangedFile(f"{change}, though its files did not; {_WAY_OUT}")
    return prepared


def _refuse_changed(pinned: Pinned) -> None:
    """Raises ChangedFile if a file has changed since the sweep was planned."""
    try:
        files = changed(pinned.fingerprints, fingerprints(pinned.template))
    except (InputError, OSError) as error:
        raise ChangedFile(f"a file of the planned sweep cannot be read: {error}; {_WAY_OUT}") from None
    if files:
        raise ChangedFile(f"{files} changed after the sweep was planned; {_WAY_OUT}")
