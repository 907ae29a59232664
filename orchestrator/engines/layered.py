"""The gradient of a sequence of stages: a forward pass of values, a backward pass of cotangents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.gradient import Factor, GradientSum, LossSum, Shard, Signals
from orchestrator.engines.per_sample import MomentCollector, MomentSums, NormCollector, sample_factors
from orchestrator.groups import Array
from orchestrator.models import losses
from orchestrator.models.layered import Layered, Slot
from orchestrator.models.stages import Collector, Runnable
from orchestrator.process import one_blas_thread


@dataclass(frozen=True, eq=False)
class LayeredDifferentiator:
    """The Differentiator of one layered model and loss.

    Attributes:
        runners: run the model's stages, in order.
        executions: circuits executed for a gradient of one sample.
    """

    model: Layered
    runners: Sequence[Runnable]
    loss: str
    classes: int
    executions: int = 0

    def gradient(self, parameters: Array, shard: Shard, factor: Factor | None = None) -> GradientSum:
        """Gradient of each row's weighted loss, ``parameters`` float64 [R, P].

        A factor needs each sample's norm over all stages before anything is summed. So with a factor there
        are two backward passes, and the circuits are evaluated twice.
        """
        parameters, p = np.ascontiguousarray(parameters), np.ascontiguousarray(shard.weights)
        sums = MomentSums.empty(self.model, len(p), factor is not None)
        with one_blas_thread(), np.errstate(all="ignore"):
            prediction, tapes = self._forward(parameters, shard.inputs, shard.axes)
            value, cotangent = losses.value_and_slope(
                self.loss, self.model.head, prediction, shard.targets, self.classes
            )
            factors = None if factor is None else self._factors(parameters, tapes, cotangent, factor)
            self._backward(
                parameters, tapes, cotangent, lambda slot: MomentCollector(p, factors, sums.of_stage(slot))
            )
            return GradientSum.exact(
                p,
                value,
                sums.gradient,
                sums.square,
                self.executions if factor is None else 2 * self.executions,
                Signals(sums.signal, sums.signal_square),
                sums.clipped,
            )

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

    def _factors(self, parameters: Array, tapes: list[Any], cotangent: Array, factor: Factor) -> Array:
        """f_i [R, B], from dl/d(prediction) [R, B, K]."""
        norms = NormCollector(*cotangent.shape[:2])
        self._backward(parameters, tapes, cotangent, lambda _: norms)
        return sample_factors(factor, norms.squares, np.arange(len(parameters))[:, None])

    def _backward(
        self, parameters: Array, tapes: list[Any], cotangent: Array, collector: Callable[[Slot], Collector]
    ) -> None:
        """Runs the backward pass from dl/d(prediction) [R, B, K]; collectors take the stages' gradients."""
        for index in reversed(range(len(self.runners))):
            slot, runner = self.model.slots[index], self.runners[index]
            own = parameters[:, slot.parameters]
            pull = runner.backward(own, tapes[index], cotangent, collector(slot))
            if index:
                cotangent = pull()
            del pull  # frees the cotangent that it holds
