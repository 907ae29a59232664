"""Generated data sets; their random numbers depend on ``data.seed`` only."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from orchestrator.config.base import Field
from orchestrator.data.source import Source, Table
from orchestrator.groups import Array
from orchestrator.streams import Purpose, Streams

_NOISE_LANE, _POSITION_LANE = 1, 2


class NoisySource(Source):
    """Base of the sources that have a number of rows and normal noise."""

    rows: int = Field(
        default=200, ge=4, le=1_000_000, description="number of rows, training and test together"
    )
    noise: float = Field(default=0.1, ge=0.0, le=1e100, description="standard deviation of the normal noise")

    def _noise(self, *shape: int) -> Array:
        draws = Streams([self.seed], 0).normal(Purpose.DATA, math.prod(shape), _NOISE_LANE)
        return self.noise * draws.reshape(shape)


class Moons(NoisySource):
    """Two interleaved half circles of radius 1, as scikit-learn's ``make_moons``; noise on both columns."""

    source: Literal["moons"]

    def read(self) -> Table:
        """Returns the upper half circle as class 0, the lower one as class 1."""
        upper, lower = _halves(self.rows, math.pi, endpoint=True)
        points = [[np.cos(upper), np.sin(upper)], [1.0 - np.cos(lower), 0.5 - np.sin(lower)]]
        return _two_classes(points, self._noise(self.rows, 2))


class Circles(NoisySource):
    """Two circles around the origin, as scikit-learn's ``make_circles``; noise on both columns."""

    source: Literal["circles"]
    factor: float = Field(default=0.8, gt=0.0, lt=1.0, description="radius of the inner circle; outer: 1")

    def read(self) -> Table:
        """Returns the outer circle as class 0, the inner one as class 1."""
        outer, inner = _halves(self.rows, 2.0 * math.pi, endpoint=False)
        points = [[np.cos(outer), np.sin(outer)], [self.factor * np.cos(inner), self.factor * np.sin(inner)]]
        return _two_classes(points, self._noise(self.rows, 2))


class Sine(NoisySource):
    """Regression: y = sin x with x uniform in [-π, π); noise on y."""

    source: Literal["sine"]

    def read(self) -> Table:
        """Returns one input column, x, and y as target."""
        position = Streams([self.seed], 0).uniform(Purpose.DATA, self.rows, _POSITION_LANE)[0]
        x = math.pi * (2.0 * position - 1.0)
        return Table(x[:, None], np.sin(x) + self._noise(self.rows), 0)


class Parity(Source):
    """Every pattern of ``bits`` bits once; class 1 if an odd number of bits is set."""

    source: Literal["parity"]
    bits: int = Field(default=4, ge=2, le=16, description="columns; there are 2**bits rows")

    def read(self) -> Table:
        """Returns the number r in binary as row r, lowest bit first."""
        patterns = np.arange(2**self.bits)[:, None] >> np.arange(self.bits) & 1
        return Table(patterns.astype(np.float64), (patterns.sum(1) % 2).astype(np.float64), 2)


def _halves(rows: int, stop: float, endpoint: bool) -> tuple[Array, Array]:
    """Returns evenly spaced angles from 0 to ``stop`` for each half; an odd row goes to the second half."""
    half = rows // 2
    return np.linspace(0.0, stop, half, endpoint), np.linspace(0.0, stop, rows - half, endpoint)


def _two_classes(points: list[list[Array]], noise: Array) -> Table:
    inputs = np.concatenate([np.stack(columns, axis=1) for columns in points])
    targets = np.repeat([0.0, 1.0], [len(columns[0]) for columns in points])
    return Table(inputs + noise, targets, 2)
