"""The losses of a step's mini-batch at points that an update requests."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np

from orchestrator.engines.gradient import GradientSum, LossSum, Shard
from orchestrator.groups import Array
from orchestrator.training.loop import Loop
from orchestrator.training.recorder import Seconds
from orchestrator.trial.pinned import Pinned, load_problem


@np.errstate(all="ignore")  # as in `shard_gradient`
def shard_losses(shared: tuple[Pinned, Array, int], shard: Shard) -> tuple[LossSum, float]:
    """Returns a shard's losses at ``shared`` = (structure, points [R, S, P], first), and the seconds it took.

    ``first`` numbers the first point among those requested in the step, from 1. It separates the points'
    streams of shots.
    """
    pinned, points, first = shared
    differentiator = load_problem(pinned).differentiator
    started = time.perf_counter()
    sums = [
        differentiator.loss_at(
            np.ascontiguousarray(points[:, s]), replace(shard, streams=shard.streams.measurement(first + s))
        )
        for s in range(points.shape[1])
    ]
    losses, cost = [point.loss for point in sums], reduce(add, (point.cost for point in sums))
    total = LossSum(np.stack(losses, axis=1), cost)
    return total, time.perf_counter() - started


class StepLosses:
    """Computes the ``losses`` of ``updates.context.StepContext`` in one step of a pack.

    Attributes:
        total: sums of the step, with the cost of all requested losses.
        seconds: of the step, requested losses included.
    """

    def __init__(self, loop: Loop, shards: list[Shard], total: GradientSum, seconds: Seconds) -> None:
        self.total, self.seconds = total, seconds
        self._loop, self._shards, self._first = loop, shards, 1

    def __call__(self, points: Array) -> Array:
        """Returns the losses [R, S] at points [R, S, P], summed in shard order."""
        shared = (self._loop.pack.pinned, points, self._first)
        found, seconds = self._loop.sum_shards(shard_losses, shared, self._shards)
        self._first += points.shape[1]
        self.total = replace(self.total, cost=self.total.cost + found.cost)
        self.seconds += seconds
        return found.loss
