"""User-defined engines that fail, or whose results differ from run to run.

    python -c "import sick_engines; sick_engines.main()" SWEEP OUT [--retry-failed] [OVERRIDE …]

Runs a sweep in this process, with these engines, and prints the exit code.
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

    With IMMUNE in the environment it does not raise: the user has repaired their code.
    """

    engine: Literal["allergic"]  # type: ignore[assignment]
    to: float

    def prepare(self, model: Built, loss: str, classes: int) -> Differentiator:  # type: ignore[override]
        """Prepares the Differentiator of one model and loss."""
        return AllergicDifferentiator(super().prepare(model, loss, classes), self.to)


@dataclass(frozen=True)
class AllergicDifferentiator:
    """The Differentiator of ``Allergic``."""

    healthy: Differentiator
    to: float

    def gradient(self, parameters: Array, shard: Shard, factor: Factor | None = None) -> GradientSum:
        """Raises ValueError where a sample's first input is ``to``."""
        if (shard.inputs[..., 0] == self.to).any() and "IMMUNE" not in os.environ:
            raise ValueError(f"cannot stand {self.to:g}")
        return self.healthy.gradient(parameters, shard, factor)

    def predict(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Predictions of backpropagation, unchanged."""
        return self.healthy.predict(parameters, inputs, axes)


class Forged(Backprop):
    """Backpropagation that fails its independent check."""

    engine: Literal["forged"]  # type: ignore[assignment]

    def certify(self, model: Built, seed: int) -> float | None:  # noqa: ARG002
        """Always raises CertificateError."""
        raise CertificateError("the gradient is 2, the check says 1")


class Remote(Backprop):
    """Backpropagation on a remote service whose results differ slightly from run to run."""

    engine: Literal["remote"]  # type: ignore[assignment]

    @property
    def repeatable(self) -> bool:
        """False: no two runs give the same bits."""
        return False

    def prepare(self, model: Built, loss: str, classes: int) -> Differentiator:  # type: ignore[override]
        """Prepares the Differentiator of one model and loss."""
        return RemoteDifferentiator(super().prepare(model, loss, classes))


@dataclass(frozen=True)
class RemoteDifferentiator:
    """The Differentiator of ``Remote``."""

    here: Differentiator

    def gradient(self, parameters: Array, shard: Shard) -> GradientSum:
        """The gradient plus noise that no seed reproduces."""
        total = self.here.gradient(parameters, shard)
        noise = np.random.default_rng().normal(scale=1e-6, size=total.gradient.shape)
        return replace(total, gradient=total.gradient + noise)

    def predict(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Predictions of backpropagation, unchanged."""
        return self.here.predict(parameters, inputs, axes)


def main() -> None:
    """Runs the sweep named on the command line."""
    from orchestrator import Where, run

    sweep, out, *words = sys.argv[1:]
    overrides, again = [word for word in words if word != "--retry-failed"], "--retry-failed" in words
    result = run(sweep, out, where=Where(inline=True), overrides=overrides, retry_failed=again)
    sys.stdout.write(f"{result.exit_code}\n")
