"""The base of all sources: split, projection and scaling of raw rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.config.base import Field
from orchestrator.data.base import Data, Dataset
from orchestrator.data.columns import listed, quoted
from orchestrator.data.scaling import Parts, constant, exponents, prepared, times_power
from orchestrator.errors import Fault, InputError
from orchestrator.groups import Array
from orchestrator.streams import Purpose, Streams

Indices = NDArray[np.int64]

SPLIT_LANE = 0
"""Lane of the split (Purpose.DATA); generated sources draw from lanes 1, 2, …"""


@dataclass(frozen=True)
class Table:
    """Raw rows, before split and scaling.

    Attributes:
        inputs: [N, C] finite.
        targets: [N] class index 0 … classes-1, or the value to predict.
        classes: number of classes; 0 for regression.
        weights: [N] relative weights, or None for equal ones.
        names: [C] names of columns that the user chose. A constant column is then a fault; without names,
            it becomes 0.
        description, other_classes, fingerprint: as in ``Dataset``.
    """

    inputs: Array
    targets: Array
    classes: int
    weights: Array | None = None
    names: tuple[str, ...] = ()
    description: str = ""
    other_classes: int | None = None
    fingerprint: str = ""


class Source(Data):
    """Rows that are split, then standardised, projected and scaled.

    The order is fixed:

    1. The split by ``seed``, stratified by class if there are classes.
    2. Each column is standardised to mean 0 and variance 1, unless ``scale`` is none.
    3. Principal components, if ``features`` is less than the number of columns.
    4. The final scale.

    Steps 2 to 4 are fitted on the training part, so test rows may leave the interval of ``minmax`` or
    ``angle``. With ``scale: none`` units stay, and principal components are those of the centred raw columns.
    """

    features: int | None = Field(
        default=None, ge=1, description="number of principal components; null keeps all columns"
    )
    scale: Literal["none", "standard", "minmax", "angle"] = Field(
        default="standard", description="standard: variance 1; minmax: [0, 1]; angle: [0, π]"
    )
    test: float = Field(default=0.2, ge=0.0, lt=1.0, description="share of the rows held out")
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of the split and of generated data")

    def read(self) -> Table:
        """Returns all rows, unscaled.

        Raises:
            InputError: the rows cannot be read.
        """
        raise NotImplementedError

    def load(self) -> Dataset:
        """Returns the prepared data set, loaded once per process and configuration.

        Raises:
            InputError: the data cannot be read or used as configured; paths start with ``data``.
        """
        fingerprint = self.fingerprint()
        return _PRELOADED.get((self, fingerprint)) or _load(self, fingerprint)


_PRELOADED: dict[tuple[Source, str], Dataset] = {}


def preload(source: Source, dataset: Dataset) -> None:
    """Stores what ``load`` shall return, so that this process need not read files or import scikit-learn."""
    _PRELOADED[source, dataset.fingerprint] = dataset


@lru_cache(maxsize=16)
def _load(source: Source, fingerprint: str) -> Dataset:
    with np.errstate(over="ignore", invalid="ignore"):  # results outside float64 are refused
        table = source.read()
        if table.fingerprint != fingerprint:
            raise InputError.at("data", "have changed while they were read; run the command again")
        train, test = split(table, source.test, source.seed)
        weights = _weights(table)
        _check(source, table, train, weights)
        inputs = prepared((table.inputs[train], table.inputs[test]), source.features, source.scale)
    _check_finite(inputs, table.names)
    return Dataset(
        inputs=_read_only(inputs[0]),
        targets=_read_only(table.targets[train]),
        weights=_read_only(weights[train]),
        test_inputs=_read_only(inputs[1]),
        test_targets=_read_only(table.targets[test]),
        classes=table.classes,
        description=table.description,
        other_classes=table.other_classes,
        fingerprint=fingerprint,
    )


def _weights(table: Table) -> Array:
    """Returns relative weights, rescaled if their sums could leave float64."""
    if table.weights is None:
        return np.ones(len(table.targets))
    return times_power(table.weights, -exponents(table.weights))


def split(table: Table, share: float, seed: int) -> tuple[Indices, Indices]:
    """Returns row indices of the training and the test part, in ascending order.

    The share of the rows of each class that is held out is ``share``, rounded; at least one row of each
    class stays in the training part.
    """
    order = Streams([seed], 0).permutations(Purpose.DATA, len(table.targets), SPLIT_LANE)[0]
    strata = table.targets[order] if table.classes else np.zeros(len(order))
    held_out = np.zeros(len(order), np.bool_)
    for stratum in np.unique(strata):
        rows = order[strata == stratum]
        held_out[rows[: min(round(share * len(rows)), len(rows) - 1)]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _check(source: Source, table: Table, train: Indices, weights: Array) -> None:
    """Raises InputError with every fault of the training part."""
    faults, count = [], table.inputs.shape[1]
    if table.weights is not None and ((table.weights > 0.0) & (weights == 0.0)).any():
        faults.append(Fault("data.weights", "span more orders of magnitude than float64 can hold"))
    if len(train) < 2:
        faults.append(Fault("data", f"leave {len(train)} row to train on, at least 2 are needed"))
    if source.features is not None and source.features > count:
        message = f"is {source.features}, but the data have {count} columns (legal: 1 to {count})"
        faults.append(Fault("data.features", message))
    if not weights[train].any():
        faults.append(Fault("data.weights", "are all zero in the training part"))
    if source.scale != "none" and len(train) >= 2 and table.names:
        columns = np.flatnonzero(constant(table.inputs[train]))
        faults += [_constant_fault(table.names[k], table.inputs[train[0], k]) for k in columns]
    if faults:
        raise InputError(faults)


def _constant_fault(name: str, value: float) -> Fault:
    message = f"column {quoted(name)} is constant in the training part"
    if abs(value) >= 2.0**53:
        message += ", or its numbers differ by less than the 53 bits of float64 resolve"
    return Fault("data.inputs", f"{message}; leave it out or set scale: none")


def _check_finite(parts: Parts, names: tuple[str, ...]) -> None:
    """Refuses prepared inputs that overflowed float64."""
    bad = np.flatnonzero(~(np.isfinite(parts[0]).all(0) & np.isfinite(parts[1]).all(0)))
    if not len(bad):
        return
    message = "overflow float64 when scaled by the training part"
    if len(names) == parts[0].shape[1]:
        message += f": column {listed(names[k] for k in bad)}"
    raise InputError.at("data.inputs", f"{message}; look for extreme values")


def _read_only(array: Array) -> Array:
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array
