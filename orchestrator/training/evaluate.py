"""Scores on the test part, as the model has them."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array
from orchestrator.models.scores import Scores
from orchestrator.trial.problem import Problem

_SAMPLES = 256
"""Predicted at a time: a large test part would not fit into memory once for every trial."""


def untested(rows: int) -> Scores:
    """The scores where no test was due."""
    undefined = np.full(rows, np.nan)
    return undefined, undefined


def evaluate(problem: Problem, parameters: Array, axes: NDArray[np.int8]) -> Scores:
    """The scores of ``parameters`` [R, P] on the test part; ``axes`` is [R, A]."""
    if not len(problem.data.test_inputs):
        return untested(len(parameters))
    with np.errstate(all="ignore"):
        return problem.model.scores(partial(_predict, problem, parameters, axes), problem.loss, problem.data)


def _predict(problem: Problem, parameters: Array, axes: NDArray[np.int8], samples: Array) -> Array:
    """Predictions [R, n, K] for ``samples`` [n, …]."""
    pieces = [samples[start : start + _SAMPLES] for start in range(0, len(samples), _SAMPLES)]
    predict = problem.differentiator.predict
    return np.concatenate([predict(parameters, _per_row(len(axes), piece), axes) for piece in pieces], axis=1)


def _per_row(rows: int, values: Array) -> Array:
    """``values`` once for every row, contiguous."""
    return np.ascontiguousarray(np.broadcast_to(values, (rows, *values.shape)))
