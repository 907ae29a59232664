"""A user-defined model whose samples are pairs of rows.

    python -c "import paired; paired.main()" VERB …

It predicts whether two rows belong to the same class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from orchestrator.models.affine import Affine
from orchestrator.models.base import Model
from orchestrator.models.layered import Layered
from orchestrator.models.samples import MiniBatch, Samples
from orchestrator.models.scores import Examples, Predict, Scores


class Pairs:
    """The pairs i < j of a mini-batch: inputs concatenated, target 1 if the classes agree."""

    independent: ClassVar[bool] = False

    def count(self, rows: int) -> int:
        """B (B - 1) / 2."""
        return rows * (rows - 1) // 2

    def gather(self, rows: MiniBatch) -> MiniBatch:
        """The pairs, with weights p_i p_j."""
        i, j = np.triu_indices(rows.targets.shape[1], 1)
        return MiniBatch(
            inputs=np.concatenate([rows.inputs[:, i], rows.inputs[:, j]], axis=-1),
            targets=(rows.targets[:, i] == rows.targets[:, j]).astype(np.float64),
            weights=rows.weights[:, i] * rows.weights[:, j],
        )


@dataclass(frozen=True)
class AlikeNetwork(Layered):
    """A network on pairs of rows."""

    samples: ClassVar[Samples] = Pairs()

    def scores(self, predict: Predict, loss: str, data: Examples) -> Scores:  # noqa: ARG002
        """No loss; a test row gets the class of the most similar training row."""
        tests, trained = len(data.test_inputs), len(data.inputs)
        left, right = np.repeat(data.test_inputs, trained, axis=0), np.tile(data.inputs, (tests, 1))
        likeness = predict(np.concatenate([left, right], axis=-1)).reshape(-1, tests, trained)
        found = data.targets[likeness.argmax(-1)]
        return np.full(len(found), np.nan), (found == data.test_targets).mean(-1)


def main() -> None:
    """Runs the command line in a process that has the model."""

    class Alike(Model):
        """The model's configuration; a local class, so that tests that import this module do not get it."""

        kind: Literal["alike"]

        @property
        def summary(self) -> str:
            return "alike"

        def build(self, features: int, classes: int) -> AlikeNetwork:  # noqa: ARG002
            return AlikeNetwork((("alike", Affine(2 * features, 1, "glorot")),), "sigmoid")

    from orchestrator.cli import main as command_line

    command_line()
