"""Mini-batches: the rows of the data for each trial and step, and the samples made from them."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from orchestrator.data.base import Dataset
from orchestrator.engines.gradient import Shard
from orchestrator.models.samples import MiniBatch, Samples
from orchestrator.streams import Purpose, Streams
from orchestrator.trial.trial import Batch


class Batches:
    """Mini-batches from permutations: each epoch is shuffled anew, and its remainder is dropped.

    Args:
        samples: makes samples from rows.
        seeds: [R] seeds of the trials.
    """

    def __init__(self, data: Dataset, batch: Batch, samples: Samples, seeds: NDArray[np.uint64]) -> None:
        self._data, self._batch, self._samples, self._seeds = data, batch, samples, seeds
        self._per_epoch = len(data.inputs) // batch.size
        self._permutations = lru_cache(maxsize=2)(self._shuffle)

    def _shuffle(self, epoch: int) -> NDArray[np.int64]:
        return Streams(self._seeds, epoch).permutations(Purpose.BATCHES, len(self._data.inputs))

    def indices(self, steps: range) -> NDArray[np.int64]:
        """Indices of the mini-batches' rows in the training part, int64 [R, steps, B]."""
        chosen = [self._step_rows(step) for step in steps]
        return np.stack(chosen, axis=1)

    def _step_rows(self, step: int) -> NDArray[np.int64]:
        epoch, slot = divmod(step, self._per_epoch)
        size = self._batch.size
        return self._permutations(epoch)[:, slot * size : (slot + 1) * size]

    def shards(self, steps: range, axes: int) -> list[Shard]:
        """Returns the shards of the mini-batches of ``steps``: a row per trial and step, trials outermost.

        ``axes`` is the number of rotation axes drawn for each row.
        """
        inputs, targets, weights = self._samples.gather(self._mini_batches(steps))
        total = weights.sum(-1, keepdims=True)
        weights = weights / np.where(total > 0.0, total, 1.0)  # if all are zero, the gradient is zero
        drawn, streams = draw_axes(self._seeds, steps, axes), row_streams(self._seeds, steps)
        cuts = [weights.shape[1] * k // self._batch.shards for k in range(self._batch.shards + 1)]
        return [
            Shard(
                inputs=np.ascontiguousarray(inputs[:, a:b]),
                targets=np.ascontiguousarray(targets[:, a:b]),
                weights=np.ascontiguousarray(weights[:, a:b]),
                axes=drawn,
                streams=streams,
                number=number,
            )
            for number, (a, b) in enumerate(pairwise(cuts))
        ]

    def _mini_batches(self, steps: range) -> MiniBatch:
        chosen, data = self.indices(steps).reshape(-1, self._batch.size), self._data
        arrays = (data.inputs, data.targets, data.weights)
        return MiniBatch(*(array.take(chosen, axis=0) for array in arrays))  # many times faster than [chosen]


def draw_axes(seeds: NDArray[np.uint64], steps: range, count: int) -> NDArray[np.int8]:
    """Draws axes of rotations, 0 … 2, int8 [R·steps, count]: a row per trial and step, trials outermost."""
    if not count:
        return np.zeros((len(seeds) * len(steps), 0), np.int8)
    words = row_streams(seeds, steps).bits(Purpose.AXES, count)
    return (words % np.uint64(3)).astype(np.int8)


def row_streams(seeds: NDArray[np.uint64], steps: range) -> Streams:
    """The random streams of each (trial, step), trials outermost."""
    return Streams(np.repeat(seeds, len(steps)), np.tile(np.asarray(steps), len(seeds)))
