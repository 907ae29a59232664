"""What a sample of a step is: how those of a mini-batch are made of rows of the data."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Protocol

from orchestrator.groups import Array
from orchestrator.models.scores import Examples, Predict, Scores, from_predictions


class MiniBatch(NamedTuple):
    """Rows of the data that R trials or steps see, or the samples that are made of them.

    Attributes:
        inputs: [R, B, …]; of rows [R, B, F].
        targets: [R, B] class index or value.
        weights: [R, B] relative to one another.
    """

    inputs: Array
    targets: Array
    weights: Array


class Samples(Protocol):
    """What a model takes for a sample. Picklable and immutable."""

    @property
    def independent(self) -> bool:
        """Whether samples are drawn as rows are; if not, no variance over samples has a meaning."""

    def count(self, rows: int) -> int:
        """How many samples a mini-batch of so many rows has."""

    def gather(self, rows: MiniBatch) -> MiniBatch:
        """The samples of a mini-batch of B rows, ``count(B)`` for each of R."""


class EachRow:
    """A row is a sample."""

    independent: ClassVar[bool] = True

    def count(self, rows: int) -> int:
        """As many as rows."""
        return rows

    def gather(self, rows: MiniBatch) -> MiniBatch:
        """The rows."""
        return rows


class RowsAsSamples:
    """What most models say: each row of the data is a sample, and scores come from predictions."""

    head: str
    samples: ClassVar[Samples] = EachRow()

    def scores(self, predict: Predict, loss: str, data: Examples) -> Scores:
        """See ``models.base.Built.scores``."""
        return from_predictions(predict, self.head, loss, data)
