"""The family of data sources (key ``data`` of a trial) and the data sets that they load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orchestrator.config.base import Config


@dataclass(frozen=True)
class Dataset:
    """A prepared data set: split, projected and scaled. Its arrays are read-only.

    Attributes:
        inputs: [N, F] float64, training part.
        targets: [N] float64: class index 0 … classes-1, or the value to predict.
        weights: [N] float64 relative weight of each row; all 1 if the data have no weights.
        test_inputs: [M, F]; M may be 0.
        test_targets: [M]
        classes: number of classes; 0 for regression.
        description: the role of each column of a file; empty for data that are part of the program.
        other_classes: number of classes with the other ``data.target_kind``, which is 0 if the target holds
            classes now. None if the target has no other reading.
        fingerprint: ``Data.fingerprint`` of the content that was read.
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
    """The configuration of a data source. A member's tag is its key ``source``."""

    tags: ClassVar[tuple[str, ...]] = ("source",)

    def fingerprint(self) -> str:
        """Returns a hash of the content that ``load`` reads; constant for data that are part of the program.

        Raises:
            InputError: the data cannot be read.
        """
        return ""

    def load(self) -> Dataset:
        """Returns the prepared data set, loaded once per process and configuration.

        Raises:
            InputError: the data cannot be read or used as configured; paths start with ``data``.
        """
        raise NotImplementedError
