"""Engines that fail, or give other numbers each time, as somebody's own code may.

    python -c "import sick_engines; sick_engines.main()" SWEEP OUT [--retry-failed] [OVERRIDE …]

Runs a sweep in this process, knowing these engines, and prints the exit code.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.backprop import Backprop
from orchestrator.engines.gradient import Differentiator, Factor, GradientSum, Shard
from orchestrator.errors import CertificateError
from orchestrator.groups import Array
from orchestrator.models.base import Built


class Allergic(Backprop):
    """Backpropagation that raises ValueError where a sample's first input is ``to``.

    With IMMUNE in the environment it does not: somebody has repaired their code.
    """

    engine: Literal["allergic"]  # type: ignore[assignment]
    to: float

    def prepare(self, model: Built, loss: str, classes: int) -> Differentiator:  # type: ignore[override]
        """Makes ready for one model and loss."""
        return AllergicDifferentiator(super().prepare(model, loss, classes), self.to)


@dataclass(frozen=True)
class AllergicDifferentiator:
    """Its Differentiator."""

    healthy: Differentiator
    to: float

    def gradient(self, parameters: Array, shard: Shard, factor: Factor | None = None) -> GradientSum:
        """Raises ValueError where an input is ``to``."""
        if (shard.inputs[..., 0] == self.to).any() and "IMMUNE" not in os.environ:
            raise ValueError(f"cannot stand {self.to:g}")
        return self.healthy.gradient(parameters, shard, factor)

    def predict(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Predicts anything."""
        return self.healthy.predict(parameters, inputs, axes)


class Forged(Backprop):
    """Backpropagation that fails its independent check."""

    engine: Literal["forged"]  # type: ignore[assignment]

    def certify(self, model: Built, seed: int) -> float | None:  # noqa: ARG002
        """Always raises CertificateError."""
        raise CertificateError("the gradient is 2, the check says 1")


class Remote(Backprop):
    """Backpropagation somewhere else, where every step comes out a little different each time."""

    engine: Literal["remote"]  # type: ignore[assignment]

    @property
    def repeatable(self) -> bool:
        """It is not."""
        return False

    def prepare(self, model: Built, loss: str, classes: int) -> Differentiator:  # type: ignore[override]
        """Makes ready for one model and loss."""
        return RemoteDifferentiator(super().prepare(model, loss, classes))


@dataclass(frozen=True)
class RemoteDifferentiator:
    """Its Differentiator."""

    here: Differentiator

    def gradient(self, parameters: Array, shard: Shard) -> GradientSum:
        """The gradient and some noise, which no seed repeats."""
        total = self.here.gradient(parameters, shard)
        noise = np.random.default_rng().normal(scale=1e-6, size=total.gradient.shape)
        return replace(total, gradient=total.gradient + noise)

    def predict(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Predicts anything."""
        return self.here.predict(parameters, inputs, axes)


def main() -> None:
    """Runs the sweep named on the command line."""
    from orchestrator import Where, run

    sweep, out, *words = sys.argv[1:]
    overrides, again = [word for word in words if word != "--retry-failed"], "--retry-failed" in words
    result = run(sweep, out, where=Where(inline=True), overrides=overrides, retry_failed=again)
    sys.stdout.write(f"{result.exit_code}\n")
