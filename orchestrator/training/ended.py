"""The rows of trials that have ended."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from orchestrator.models.base import Built
from orchestrator.sweep.problem import problem
from orchestrator.training.pack import Array, Pack
from orchestrator.training.recorder import Columns
from orchestrator.training.state import Totals


def trial_rows(
    pack: Pack,
    rows: NDArray[np.intp],
    status: str,
    totals: Totals,
    tests: tuple[Array, Array],
    certificate: float | None,
) -> Columns:
    """The columns of ``trials`` that the training loop knows, for some rows of a pack.

    Args:
        pack: R trials; its step is the number of steps that ran.
        totals: of all R.
        tests: loss and accuracy on the test part, [R] each.
    """
    model = problem(pack.template).model
    count = len(rows)
    trials = [pack.trials[row] for row in rows]
    return {
        "trial": np.array([pack.ids[row] for row in rows]),
        "status": np.full(count, status),
        "steps": np.full(count, pack.step),
        "test_loss": tests[0][rows],
        "test_accuracy": tests[1][rows],
        "seed": np.array([trial.seed for trial in trials]),
        "parameters": np.full(count, model.parameters),
        "parameters_dead": np.full(count, np.count_nonzero(model.dead)),
        "configuration": np.array(
            [json.dumps(trial.model_dump(mode="json"), sort_keys=True) for trial in trials], object
        ),
        "bias": np.zeros(count, bool),
        "certificate": np.full(count, np.nan if certificate is None else certificate),
        **{name: values[rows] for name, values in vars(totals).items()},
    }


def failed_rows(pack: Pack) -> Columns:
    """The rows of all trials of a pack that cannot go on."""
    count = len(pack.trials)
    undefined = np.full(count, np.nan)
    return trial_rows(
        pack, np.arange(count), "failed", Totals.start(count, 0.0), (undefined, undefined), None
    )


def parameter_rows(model: Built, ids: NDArray[np.str_], parameters: Array) -> Columns:
    """The table ``parameters`` of R trials with ``parameters`` [R, P]."""
    names = [group.name for group in model.groups for _ in range(group.start, group.stop)]
    return {
        "trial": np.repeat(ids, model.parameters),
        "component": np.tile(np.arange(model.parameters), len(ids)),
        "group": np.tile(names, len(ids)),
        "value": parameters.ravel(),
    }
