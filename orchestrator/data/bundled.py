"""Data sets that come with scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from orchestrator.data.source import Source, Table


class Bundled(Source):
    """A data set that comes with scikit-learn, its columns and classes in scikit-learn's order.

    ============= ==== ======= ==========
    source        rows columns classes
    ============= ==== ======= ==========
    breast-cancer 569  30      2
    iris          150  4       3
    wine          178  13      3
    digits        1797 64      10
    diabetes      442  10      regression
    ============= ==== ======= ==========
    """

    source: Literal["breast-cancer", "iris", "wine", "digits", "diabetes"]

    def read(self) -> Table:
        """Returns all rows, unscaled."""
        from sklearn import datasets

        readers: dict[str, Callable[..., Any]] = {
            "breast-cancer": datasets.load_breast_cancer,
            "iris": datasets.load_iris,
            "wine": datasets.load_wine,
            "digits": datasets.load_digits,
            "diabetes": datasets.load_diabetes,
        }
        inputs, targets = readers[self.source](return_X_y=True)
        classes = 0 if self.source == "diabetes" else len(np.unique(targets))
        return Table(np.asarray(inputs, np.float64), np.asarray(targets, np.float64), classes)
