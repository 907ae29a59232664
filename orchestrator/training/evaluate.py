"""Scores of a model on the test part."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array
from orchestrator.models.scores import Scores
from orchestrator.trial.problem import Problem

_SAMPLES = 256
"""Number of samples per call: a copy of a large test part for every trial would not fit into memory."""


def untested(rows: int) -> Scores:
    """Returns NaN scores of R = ``rows`` trials, for steps without a test."""
    undefined = np.full(rows, np.nan)
    return undefined, undefined


def evaluate(problem: Problem, parameters: Array, axes: NDArray[np.int8]) -> Scores:
    """Returns the scores of ``parameters`` [R, P] on the test part; ``axes`` is [R, A]."""
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
    """Repeats ``values`` for every row, contiguous."""
    return np.ascontiguousarray(np.broadcast_to(values, (rows, *values.shape)))
