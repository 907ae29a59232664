"""The rows of trials that have ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array
from orchestrator.models.base import Built
from orchestrator.models.scores import Scores
from orchestrator.training.evaluate import untested
from orchestrator.training.pack import Pack
from orchestrator.training.recorder import ColumnArrays
from orchestrator.training.state import Totals


def trial_rows(
    pack: Pack, status: str, totals: Totals, scores: Scores, certificate: float | None
) -> ColumnArrays:
    """Returns the columns of ``trials`` that the training loop fills, for the R trials of a pack.

    Args:
        pack: the trials.
        status: of all R trials.
        totals: [R] each.
        scores: on the test part, [R] each.
        certificate: of the trials' structure; None if none was due.
    """
    count, facts = len(pack.trials), pack.pinned.facts
    return {
        "trial": np.array(pack.ids),
        "status": np.full(count, status),
        "test_loss": scores[0],
        "test_accuracy": scores[1],
        "seed": np.array([trial.seed for trial in pack.trials]),
        "parameters": np.full(count, facts.parameters),
        "parameters_dead": np.full(count, facts.dead),
        "configuration": np.array(_configurations(pack), object),
        "bias": np.full(count, facts.biased),
        "repeatable": np.full(count, facts.repeatable),
        "certificate": np.full(count, np.nan if certificate is None else certificate),
        **vars(totals),
    }


def _configurations(pack: Pack) -> list[str]:
    """Each trial as JSON with sorted keys; values that the trials share are serialised once."""
    shared = {name: _text(value) for name, value in pack.template.model_dump(mode="json").items()}
    chains = {trial.updates for trial in pack.trials}
    updates = {chain: _text([update.model_dump(mode="json") for update in chain]) for chain in chains}
    return [
        _joined({**shared, "seed": str(trial.seed), "updates": updates[trial.updates]})
        for trial in pack.trials
    ]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _joined(members: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {members[name]}' for name in sorted(members)) + "}"


def ended_rows(pack: Pack, status: str) -> ColumnArrays:
    """Returns the rows of a pack whose trials all end with ``status``, with their totals so far."""
    count = len(pack.trials)
    totals = Totals.start(count, np.nan) if pack.vectors is None else Totals.restore(pack.vectors)
    return trial_rows(pack, status, totals, untested(count), None)


def parameter_rows(model: Built, ids: NDArray[np.str_], parameters: Array) -> ColumnArrays:
    """Returns the rows of table ``parameters`` for R trials with ``parameters`` [R, P]."""
    groups = [group.name for group in model.groups for _ in range(group.start, group.stop)]
    return {
        "trial": np.repeat(ids, model.parameters),
        "component": np.tile(np.arange(model.parameters), len(ids)),
        "name": np.tile(model.names, len(ids)),
        "group": np.tile(groups, len(ids)),
        "value": parameters.ravel(),
    }
