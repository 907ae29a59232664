"""Counter-based random numbers, drawn for a whole pack in one call.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11). A number depends
on its key and counter alone: the trial's seed, the purpose, the step and two further coordinates.
So a trial draws the same numbers alone, in any pack, on any worker, and after any interruption.
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


class Purpose(IntEnum):
    """What a stream is used for. The values decide the bits of every run: append, never renumber."""

    PARAMETERS = 1
    BATCHES = 2
    AXES = 3
    DATA = 4
    SHOTS = 5
    DIRECTIONS = 6


def philox(counter: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike], key: ArrayLike) -> NDArray[np.uint32]:
    """Returns the output of Philox4x32-10.

    Args:
        counter: four words below 2**32, broadcast against each other and the key.
        key: 64-bit keys, any shape.

    Returns:
        uint32 [..., 4].
    """
    return np.stack(_philox(counter, key), axis=-1).astype(np.uint32)


def _philox(
    counter: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike], key: ArrayLike
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Returns the four words of each block, each below 2**32."""
    key = np.asarray(key, np.uint64)
    words = np.broadcast_arrays(*(np.asarray(word, np.uint64) for word in counter), key)
    x0, x1, x2, x3 = (word.copy() for word in words[:4])
    k0, k1 = key & _LOW, key >> _SHIFT
    for _ in range(10):
        x0 *= np.uint64(0xD2511F53)
        x2 *= np.uint64(0xCD9E8D57)
        x1 ^= x2 >> _SHIFT
        x3 ^= x0 >> _SHIFT
        x1 ^= k0
        x3 ^= k1
        x0 &= _LOW
        x2 &= _LOW
        x0, x1, x2, x3 = x1, x2, x3, x0
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & _LOW, (k1 + np.uint64(0xBB67AE85)) & _LOW
    return x0, x1, x2, x3


class Streams:
    """The random streams of the rows R of one call.

    Args:
        seeds: [R] seed of each row's trial, 0 … 2**63-1.
        steps: [R] or a number: the step of each row (0 where there is none).
        first: the first lane.
        width: log2 of the number of lanes.
        measurement: number of the further measurement in the step, from 1 to 2**24 - 1; 0 for none.

    Example:
        >>> Streams([7, 8], 0).uniform(Purpose.PARAMETERS, 3).shape
        (2, 3)
    """

    def __init__(
        self, seeds: ArrayLike, steps: ArrayLike, first: int = 0, width: int = 32, measurement: int = 0
    ) -> None:
        self._first, self._width, self._measurement = first, width, measurement
        self.seeds = np.asarray(seeds, np.uint64)
        self.steps = np.broadcast_to(np.asarray(steps, np.uint64), self.seeds.shape)

    def part(self, number: int) -> Streams:
        """Returns the streams of one part of a model: 2**20 lanes that no other part shares.

        Each of up to 4096 parts can have 4096 parts of its own, with 2**8 lanes each.
        """
        width = self._width - 12
        return Streams(self.seeds, self.steps, self._first + (number << width), width, self._measurement)

    def measurement(self, number: int) -> Streams:
        """Returns the streams of the ``number``-th further measurement in a step; no other shares them."""
        return Streams(self.seeds, self.steps, self._first, self._width, number)

    def bits(self, purpose: Purpose, count: int, lane: int = 0) -> NDArray[np.uint64]:
        """Returns random words, uint64 [R, count]; ``lane`` separates shards, or circuits, of one purpose."""
        blocks = np.arange((count + 1) // 2, dtype=np.uint64)
        lanes, purposes = np.uint64(self._first + lane), np.uint64(purpose | self._measurement << 8)
        counter = (blocks[None, :], self.steps[:, None], lanes, purposes)
        x0, x1, x2, x3 = _philox(counter, self.seeds[:, None])
        words = np.empty((len(self.seeds), count), np.uint64)
        words[:, 0::2] = x0 << _SHIFT | x1
        words[:, 1::2] = (x2 << _SHIFT | x3)[:, : count // 2]
        return words

    def uniform(self, purpose: Purpose, count: int, lane: int = 0) -> NDArray[np.float64]:
        """Returns uniform numbers in [0, 1) with 53 bits, float64 [R, count]."""
        return np.asarray((self.bits(purpose, count, lane) >> np.uint64(11)) * 2.0**-53, np.float64)

    def normal(self, purpose: Purpose, count: int, lane: int = 0) -> NDArray[np.float64]:
        """Returns standard normal numbers by Box and Muller (1958), float64 [R, count]."""
        pairs = self.uniform(purpose, 2 * count, lane).reshape(len(self.seeds), count, 2)
        radius = np.sqrt(-2.0 * np.log1p(-np.ascontiguousarray(pairs[..., 0])))
        angle = 2.0 * math.pi * np.ascontiguousarray(pairs[..., 1])
        return np.asarray(radius * np.cos(angle), np.float64)

    def permutations(self, purpose: Purpose, count: int, lane: int = 0) -> NDArray[np.int64]:
        """Returns random permutations of range(count), int64 [R, count]: positions sorted by random words.

        Each word holds its position in its last bits, since sorting numbers is much faster than argsort.
        """
        width = np.uint64(max(1, (count - 1).bit_length()))
        words = self.bits(purpose, count, lane) >> width << width
        words |= np.arange(count, dtype=np.uint64)
        words.sort(axis=1)
        words &= (np.uint64(1) << width) - np.uint64(1)
        return words.view(np.int64)
