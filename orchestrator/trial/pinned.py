"""What a structure is, pinned when it is planned: whoever computes it later computes that, or refuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from orchestrator.errors import ChangedFile, InputError
from orchestrator.groups import Group
from orchestrator.trial.fingerprints import Fingerprints, changed, fingerprints, refuse_changed
from orchestrator.trial.problem import Problem, problem, shard_bytes
from orchestrator.trial.trial import Trial, structure_key

_MOST_READY = 64
_WAY_OUT = (
    "restore what was there and run again with --retry-failed, or run the sweep as it is now: "
    "its trials get new ids"
)


@dataclass(frozen=True)
class Facts:
    """What is known of every trial of a structure before it runs.

    Attributes:
        parameters: P.
        dead: how many of them no gradient reaches, by structure.
        groups: slices of the parameter vector.
        biased: whether the loss is estimated with a bias.
        repeatable: whether running one again gives the same bits.
    """

    parameters: int
    dead: int
    groups: tuple[Group, ...]
    biased: bool
    repeatable: bool

    @classmethod
    def of(cls, ready: Problem) -> Facts:
        """Those of a problem."""
        model, engine = ready.model, ready.engine
        return cls(
            parameters=model.parameters,
            dead=int(np.count_nonzero(model.dead)),
            groups=model.groups,
            biased=engine.biased(model, ready.loss),
            repeatable=engine.repeatable,
        )


@dataclass(frozen=True)
class Pinned:
    """A structure as it was planned. It travels with every pack; two are equal if key and files are.

    Attributes:
        key: hash of what its trials share, see ``trial.structure_key``.
        fingerprints: of the files that it comes from.
        template: a trial of it.
        facts: what is known of its trials.
        row_bytes: working memory of the engine on a shard of one trial.
    """

    key: str
    fingerprints: Fingerprints
    template: Trial = field(compare=False)
    facts: Facts = field(compare=False)
    row_bytes: int = field(compare=False)


def pin(trial: Trial) -> Pinned:
    """The structure of a trial, as it is now.

    Raises:
        InputError: its parts do not fit together, or a file has changed while it was read.
    """
    files = fingerprints(trial)
    ready = problem(trial)
    found = Pinned(structure_key(trial), files, trial, Facts.of(ready), shard_bytes(trial, ready, rows=1))
    refuse_changed("", files, trial)
    return found


@lru_cache(maxsize=_MOST_READY)
def load_problem(pinned: Pinned) -> Problem:
    """The problem of a structure, made ready once in this process, from what was planned.

    Raises:
        ChangedFile: a file is gone or holds something else, or the model has become another one.
        InputError: it cannot be computed here.
    """
    _refuse_changed(pinned)
    try:
        found = problem(pinned.template)
    finally:  # nor while they were read
        _refuse_changed(pinned)
    if Facts.of(found) != pinned.facts:
        what = f"{pinned.template.model.summary} is not what it was when the sweep was planned"
        raise ChangedFile(f"{what}, though the files that make it are; {_WAY_OUT}")
    return found


def _refuse_changed(pinned: Pinned) -> None:
    """Raises ChangedFile if a file does not hold what it held when the sweep was planned."""
    try:
        files = changed(pinned.fingerprints, fingerprints(pinned.template))
    except (InputError, OSError) as error:
        raise ChangedFile(f"what the sweep was planned with cannot be read: {error}; {_WAY_OUT}") from None
    if files:
        raise ChangedFile(f"{files} changed after the sweep was planned; {_WAY_OUT}")
