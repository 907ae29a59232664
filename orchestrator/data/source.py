"""What all sources share: the split, the projection and the scaling of raw rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.config import Field
from orchestrator.data.base import Data, Dataset
from orchestrator.errors import Fault, InputError
from orchestrator.process import one_blas_thread
from orchestrator.streams import Purpose, Streams

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Parts = tuple[Array, Array]
"""Training and test inputs."""

SPLIT_LANE = 0
"""Stream of the split (Purpose.DATA); generated sources draw from lanes 1, 2, …"""


@dataclass(frozen=True)
class Table:
    """Raw rows, before any preparation.

    Attributes:
        inputs: [N, C] finite.
        targets: [N] class index 0 … classes-1, or the value to predict.
        classes: number of classes; 0 for regression.
        weights: [N] relative weights, or None for equal ones.
        names: [C] of columns that the user chose: a constant one is then a fault. Without names it
            becomes 0.
    """

    inputs: Array
    targets: Array
    classes: int
    weights: Array | None = None
    names: tuple[str, ...] = ()


class Source(Data):
    """Rows that are split, then standardised, projected and scaled as the training part asks.

    The order is fixed: split by ``seed`` (class by class where there are classes); unless ``scale``
    is none, each column to mean 0 and variance 1; principal components when ``features`` is fewer
    than the columns; the final scale. All of it is fitted on the training part, so test rows may
    leave the interval of ``minmax`` or ``angle``. With ``scale: none`` units stay as they are, and
    principal components are those of the centred raw columns.
    """

    features: int | None = Field(
        default=None, ge=1, description="number of principal components; null keeps the columns"
    )
    scale: Literal["none", "standard", "minmax", "angle"] = Field(
        default="standard", description="standard: variance 1; minmax: [0, 1]; angle: [0, π]"
    )
    test: float = Field(default=0.2, ge=0.0, lt=1.0, description="share of the rows held out")
    seed: int = Field(default=0, ge=0, lt=2**63, description="of the split, and of what is generated")

    def read(self) -> Table:
        """All rows as they are.

        Raises:
            InputError: they cannot be had.
        """
        raise NotImplementedError

    def load(self) -> Dataset:
        """The prepared data set, loaded once per process and configuration.

        Raises:
            InputError: the data cannot be used as asked; paths start with ``data``.
        """
        fingerprint = self.fingerprint()
        return _KNOWN.get((self, fingerprint)) or _load(self, fingerprint)


_KNOWN: dict[tuple[Source, str], Dataset] = {}


def know(source: Source, fingerprint: str, dataset: Dataset) -> None:
    """Tells this process what ``load`` returns, so that it need not read, nor load scikit-learn."""
    _KNOWN[source, fingerprint] = dataset


@lru_cache(maxsize=16)
def _load(source: Source, fingerprint: str) -> Dataset:  # noqa: ARG001 - a key of the cache
    table = source.read()
    train, test = split(table, source.test, source.seed)
    weights = np.ones(len(table.targets)) if table.weights is None else table.weights
    _check(source, table, train, weights)
    inputs = prepared((table.inputs[train], table.inputs[test]), source.features, source.scale)
    return Dataset(
        inputs=_read_only(inputs[0]),
        targets=_read_only(table.targets[train]),
        weights=_read_only(weights[train]),
        test_inputs=_read_only(inputs[1]),
        test_targets=_read_only(table.targets[test]),
        classes=table.classes,
    )


def split(table: Table, share: float, seed: int) -> tuple[Indices, Indices]:
    """Row indices of the training and the test part, each in the order of the rows.

    ``share`` of the rows of each class is held out, rounded; at least one row of each class stays.
    """
    order = Streams([seed], 0).permutations(Purpose.DATA, len(table.targets), SPLIT_LANE)[0]
    strata = table.targets[order] if table.classes else np.zeros(len(order))
    held_out = np.zeros(len(order), np.bool_)
    for stratum in np.unique(strata):
        rows = order[strata == stratum]
        held_out[rows[: min(round(share * len(rows)), len(rows) - 1)]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _check(source: Source, table: Table, train: Indices, weights: Array) -> None:
    """Raises InputError with all that is wrong with the training part."""
    faults, count = [], table.inputs.shape[1]
    if len(train) < 2:
        faults.append(Fault("data", f"leave {len(train)} row to train on, at least 2 are needed"))
    if source.features is not None and source.features > count:
        faults.append(
            Fault("data.features", f"is {source.features}, more than the {count} columns there are")
        )
    if not weights[train].any():
        faults.append(Fault("data.weights", "are all zero in the training part"))
    if source.scale != "none" and len(train) >= 2:
        constant = _constant(table.inputs[train])
        names = np.array(table.names)[constant] if table.names else ()
        faults += [
            Fault(
                "data.inputs",
                f"column {str(name)!r} is constant where it trains; leave it out or set scale: none",
            )
            for name in names
        ]
    if faults:
        raise InputError(faults)


def prepared(parts: Parts, features: int | None, scale: str) -> Parts:
    """Both parts as ``Source`` describes, fitted on the first.

    Args:
        parts: training [N, C] and test [M, C] inputs.
        features: number of principal components; None, or no fewer than C, for all columns.
        scale: none, standard, minmax or angle.

    Raises:
        InputError: at ``data.features``, the training part has fewer dimensions than that.
    """
    if scale != "none":
        parts = _standardised(parts)
    if features is not None and features < parts[0].shape[1]:
        parts = _projected(parts, features)
    if scale == "standard":
        return _standardised(parts)
    if scale == "none":
        return parts
    return _ranged(parts, math.pi if scale == "angle" else 1.0)


def _standardised(parts: Parts) -> Parts:
    """Mean 0 and variance 1."""
    train = parts[0]
    return _affine(parts, train.mean(0), train.std(0))


def _ranged(parts: Parts, top: float) -> Parts:
    """From 0 to ``top``."""
    low, high = parts[0].min(0), parts[0].max(0)
    train, test = _affine(parts, low, high - low)
    return top * train, top * test


def _affine(parts: Parts, origin: Array, unit: Array) -> Parts:
    """(x - origin) / unit; 0 where the training part is constant."""
    constant = _constant(parts[0])
    unit = np.where(constant, 1.0, unit)
    train, test = (np.where(constant, 0.0, (part - origin) / unit) for part in parts)
    return train, test


def _constant(inputs: Array) -> NDArray[np.bool_]:
    return np.asarray(inputs.max(0) == inputs.min(0))


def _projected(parts: Parts, features: int) -> Parts:
    """The first ``features`` principal components; the largest loading of each is positive."""
    mean = parts[0].mean(0)
    with one_blas_thread():
        _, spread, axes = np.linalg.svd(np.linalg.qr(parts[0] - mean, mode="r"))
    rank = int((spread > spread[0] * max(parts[0].shape) * np.finfo(np.float64).eps).sum())
    if features > rank:
        raise InputError.at("data.features", f"is {features}, but the training part spans {rank} dimensions")
    axes = axes[:features]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1)
    loadings = (axes * np.sign(largest)).T
    with one_blas_thread():
        return (parts[0] - mean) @ loadings, (parts[1] - mean) @ loadings


def _read_only(array: Array) -> Array:
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array
