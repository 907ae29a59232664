"""The family of data sources (key ``data`` of a trial) and the data set that they load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orchestrator.config.base import Config


@dataclass(frozen=True)
class Dataset:
    """Prepared data: split, projected, scaled; read-only arrays.

    Attributes:
        inputs: [N, F] float64, training part.
        targets: [N] float64: class index 0 … classes-1, or the value to predict.
        weights: [N] float64 relative weight of each row, all 1 unless the data carry some.
        test_inputs: [M, F]; M may be 0.
        test_targets: [M]
        classes: number of classes; 0 for regression.
        description: which columns of a file are what; empty for data that are part of the program.
        other_classes: number of classes if the target's whole numbers, now values, were classes; 0 if
            they, now classes, were values; None where ``data.target_kind`` offers no other way.
        fingerprint: ``Data.fingerprint`` of the content that it was read from.
    """

    inputs: NDArray[np.float64]
    targets: NDArray[np.float64]
    weights: NDArray[np.float64]
    test_inputs: NDArray[np.float64]
    test_targets: NDArray[np.float64]
    classes: int
    description: str = ""
    other_classes: int | None = None
    fingerprint: str = ""


class Data(Config):
    """Where the rows come from. A member's tag is its key ``source``."""

    tags: ClassVar[tuple[str, ...]] = ("source",)

    def fingerprint(self) -> str:
        """Changes when what ``load`` returns does; constant for data that are part of the program.

        Raises:
            InputError: the data cannot be had.
        """
        return ""

    def load(self) -> Dataset:
        """The prepared data set, loaded once per process and configuration.

        Raises:
            InputError: the data cannot be used as asked; paths start with ``data``.
        """
        raise NotImplementedError
