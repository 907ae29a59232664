"""The gradient of a sequence of stages: values go forward, cotangents come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.gradient import GradientSum, LossSum, Shard, Signals
from orchestrator.groups import Array
from orchestrator.models import losses
from orchestrator.models.layered import Layered
from orchestrator.models.stages import Runnable, Sums
from orchestrator.process import one_blas_thread


@dataclass(frozen=True, eq=False)
class LayeredDifferentiator:
    """The Differentiator of one layered model and loss.

    Attributes:
        runners: what runs the model's stages, in order.
        executions: circuits executed for a gradient of one sample.
    """

    model: Layered
    runners: Sequence[Runnable]
    loss: str
    classes: int
    executions: int = 0

    def gradient(self, parameters: Array, shard: Shard) -> GradientSum:
        """Gradient of each row's weighted loss, ``parameters`` float64 [R, P]."""
        parameters, p = np.ascontiguousarray(parameters), np.ascontiguousarray(shard.weights)
        sums = self.model.sums(len(p))
        with one_blas_thread(), np.errstate(all="ignore"):
            prediction, tapes = self._forward(parameters, shard.inputs, shard.axes)
            value, cotangent = losses.value_and_slope(
                self.loss, self.model.head, prediction, shard.targets, self.classes
            )
            self._backward(parameters, tapes, cotangent, p, sums)
            signals = Signals(sums.signal, sums.signal_square)
            return GradientSum.exact(p, value, sums.gradient, sums.square, self.executions, signals)

    def loss_at(self, parameters: Array, shard: Shard) -> LossSum:
        """Each row's weighted loss, ``parameters`` float64 [R, P]."""
        prediction = self.predict(parameters, shard.inputs, shard.axes)
        value, _ = losses.value_and_slope(self.loss, self.model.head, prediction, shard.targets, self.classes)
        return LossSum.exact(np.ascontiguousarray(shard.weights), value, len(self.model.circuits))

    def predict(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Logits or expectation values [R, B, K] for ``inputs`` [R, B, F]."""
        with one_blas_thread(), np.errstate(all="ignore"):
            return self._forward(np.ascontiguousarray(parameters), inputs, axes)[0]

    def _forward(self, parameters: Array, values: Array, axes: NDArray[np.int8]) -> tuple[Array, list[Any]]:
        tapes = []
        for slot, runner in zip(self.model.slots, self.runners, strict=True):
            values, tape = runner.forward(parameters[:, slot.parameters], values, axes[:, slot.axes])
            tapes.append(tape)
        return values, tapes

    def _backward(self, parameters: Array, tapes: list[Any], cotangent: Array, p: Array, sums: Sums) -> None:
        """Writes all moments, from dl/d(prediction) [R, B, K]."""
        for index in reversed(range(len(self.runners))):
            slot, runner, tape = self.model.slots[index], self.runners[index], tapes[index]
            own = parameters[:, slot.parameters]
            runner.backward(own, tape, cotangent, p, slot.cut(sums))
            if index:
                cotangent = runner.pull(own, tape, cotangent)
