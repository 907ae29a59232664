"""Samples: how those of a mini-batch are formed from rows of the data."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Protocol

from orchestrator.groups import Array
from orchestrator.models.scores import Examples, Predict, Scores, from_predictions


class MiniBatch(NamedTuple):
    """Mini-batches of R trials or steps: rows of the data, or the samples formed from them.

    Attributes:
        inputs: [R, B, …]; [R, B, F] for rows.
        targets: [R, B] class index or value.
        weights: [R, B] relative weights.
    """

    inputs: Array
    targets: Array
    weights: Array


class Samples(Protocol):
    """How a model forms samples from rows. Picklable and immutable."""

    @property
    def independent(self) -> bool:
        """Whether samples are drawn independently, as rows are; if not, variances over them are undefined."""

    def count(self, rows: int) -> int:
        """Returns the number of samples in a mini-batch of ``rows`` rows."""

    def gather(self, rows: MiniBatch) -> MiniBatch:
        """Returns the samples of R mini-batches of B rows, ``count(B)`` each."""


class EachRow:
    """Each row is one sample."""

    independent: ClassVar[bool] = True

    def count(self, rows: int) -> int:
        """Returns ``rows``."""
        return rows

    def gather(self, rows: MiniBatch) -> MiniBatch:
        """Returns the rows."""
        return rows


class RowsAsSamples:
    """A mixin for most models: each row is a sample, and scores are computed from predictions."""

    head: str
    samples: ClassVar[Samples] = EachRow()

    def scores(self, predict: Predict, loss: str, data: Examples) -> Scores:
        """Returns loss and accuracy on the test part; see ``scores.from_predictions``."""
        return from_predictions(predict, self.head, loss, data)
