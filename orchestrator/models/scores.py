"""Scores: loss and accuracy on the test part of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array
from orchestrator.models import losses

Scores = tuple[Array, Array]
"""Loss and accuracy of R rows, [R] each; NaN where undefined."""

Predict = Callable[[Array], Array]
"""Maps n samples [n, …], the same for all R rows, to predictions [R, n, K]."""


class Examples(Protocol):
    """The training part and the test part of the data; implemented by ``data.base.Dataset``."""

    @property
    def inputs(self) -> NDArray[np.float64]: ...
    @property
    def targets(self) -> NDArray[np.float64]: ...
    @property
    def test_inputs(self) -> NDArray[np.float64]: ...
    @property
    def test_targets(self) -> NDArray[np.float64]: ...
    @property
    def classes(self) -> int: ...


def from_predictions(predict: Predict, head: str, loss: str, data: Examples) -> Scores:
    """Returns the mean loss of the test rows, and the share classified correctly (NaN for regression).

    Args:
        predict: predictions at the trained parameters of R rows.
        head: one of ``losses.HEADS``.
        loss: one of ``losses.LOSSES``.
        data: with at least one test row.
    """
    prediction = predict(data.test_inputs)
    targets = np.ascontiguousarray(np.broadcast_to(data.test_targets, prediction.shape[:2]))
    value, _ = losses.value_and_slope(loss, head, prediction, targets, data.classes)
    none = np.full(len(prediction), np.nan)
    accuracy = losses.accuracy(head, prediction, targets) if data.classes else none
    return value.sum(-1) / value.shape[1], accuracy
