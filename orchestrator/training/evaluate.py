"""Loss and accuracy on the test part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array
from orchestrator.models import losses
from orchestrator.sweep.problem import Problem

Scores = tuple[Array, Array]
"""Loss and accuracy of R rows, [R] each; NaN where there is none."""

_SAMPLES = 256
"""Predicted at a time: a large test part would not fit into memory once for every trial."""


def untested(rows: int) -> Scores:
    """The scores where no test was due."""
    undefined = np.full(rows, np.nan)
    return undefined, undefined


def evaluate(problem: Problem, parameters: Array, axes: NDArray[np.int8]) -> Scores:
    """The scores of ``parameters`` [R, P] on the test part; ``axes`` is [R, A]."""
    data, head, rows = problem.data, problem.model.head, len(parameters)
    if not len(data.test_inputs):
        return untested(rows)
    targets = _for_each(rows, data.test_targets)
    with np.errstate(all="ignore"):
        prediction = _predict(problem, parameters, axes)
        loss, _ = losses.value_and_slope(problem.loss, head, prediction, targets, data.classes)
        accuracy = losses.accuracy(head, prediction, targets) if data.classes else untested(rows)[1]
        return loss.sum(-1) / loss.shape[1], accuracy


def _predict(problem: Problem, parameters: Array, axes: NDArray[np.int8]) -> Array:
    inputs, predict = problem.data.test_inputs, problem.differentiator.predict
    pieces = [inputs[start : start + _SAMPLES] for start in range(0, len(inputs), _SAMPLES)]
    return np.concatenate(
        [predict(parameters, _for_each(len(axes), piece), axes) for piece in pieces], axis=1
    )


def _for_each(rows: int, values: Array) -> Array:
    """``values`` once for every row, contiguous."""
    return np.ascontiguousarray(np.broadcast_to(values, (rows, *values.shape)))
