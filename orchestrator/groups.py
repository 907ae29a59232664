"""Named slices of a vector, with their units; and the type of arrays of float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Blocks = tuple[tuple[int, int], ...]
"""Slices [start, stop) of the parameter vector; a block-diagonal metric is zero outside of its blocks."""


@dataclass(frozen=True)
class Group:
    """A named slice [start, stop) of the parameter vector, or of the signal vector.

    Attributes:
        depth: position from the input, counted from 0.
        kind: ``parameter``, or ``signal`` for the back-propagated dl/da of a layer.
        units: U, the number of units in the slice: component ``start + i`` belongs to unit ``i mod U``. The
            weights of one output of a dense layer are a unit. So is a bias vector, or a layer of a circuit.

    Example:
        The weight [2, 3] of a dense layer, in C order, has one unit for each of its three outputs:

        >>> weight = Group("weight", 0, 6, depth=0, units=3)
        >>> [i % weight.units for i in range(weight.stop - weight.start)]
        [0, 1, 2, 0, 1, 2]
    """

    name: str
    start: int
    stop: int
    depth: int
    kind: Literal["parameter", "signal"] = "parameter"
    units: int = 1
