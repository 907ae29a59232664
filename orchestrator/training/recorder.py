"""Rows of the trace: statistics are computed for many recorded steps together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.gradient import GradientSum
from orchestrator.groups import Array, Group
from orchestrator.models.scores import Scores
from orchestrator.tables.statistics import Recorded, group_statistics, step_statistics
from orchestrator.trial.problem import Problem
from orchestrator.trial.trial import Record

ColumnArrays = dict[str, NDArray[Any]]
RowArrays = dict[str, ColumnArrays]
_GATHER_BYTES = 4 << 20
"""Statistics are computed when pending steps take this much memory, while these are still in the cache."""


@dataclass(frozen=True)
class Seconds:
    """Time that a call took: computing, and waiting in addition."""

    compute: float
    wait: float

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.compute + other.compute, self.wait + other.wait)


def step_columns(
    total: GradientSum, finite: NDArray[np.bool_], scores: Scores, learning_rate: Array, seconds: Seconds
) -> ColumnArrays:
    """Returns the columns of ``steps`` that need no statistics."""
    rows, cost, noise = len(total.loss), total.cost, total.noise
    return {
        "loss": total.loss,
        "loss_shot_variance": np.full(rows, np.nan) if noise is None else noise.loss,
        "test_loss": scores[0],
        "test_accuracy": scores[1],
        "learning_rate": learning_rate,
        "finite": finite,
        "executions": cost.executions,
        "shots": cost.shots,
        "qpu_seconds": cost.qpu_seconds,
        "seconds_compute": np.full(rows, seconds.compute / rows),
        "seconds_wait": np.full(rows, seconds.wait / rows),
    }


def recorded(
    total: GradientSum, clipped: Array | None, update: Array | None, parameters: Array, previous: Array | None
) -> Recorded:
    """Returns the arrays from which statistics are computed."""
    moments, noise, signals = total.moments, total.noise, total.signals
    return Recorded(
        gradient=total.gradient,
        clipped=clipped,
        update=update,
        parameters=parameters,
        previous=previous,
        square=None if moments is None else moments.square,
        noise=None if noise is None else noise.gradient,
        noise_first=None if noise is None else noise.gradient_first,
        weight_square=None if moments is None else moments.weight_square,
        signal=None if signals is None else signals.signal,
        signal_square=None if signals is None else signals.square,
    )


@dataclass(frozen=True)
class StepRows:
    """N rows to be recorded.

    Attributes:
        trial: [N] ids.
        step: [N]
        columns: [N] each, the columns of ``steps`` that need no statistics.
        recorded: arrays from which statistics are computed.
    """

    trial: NDArray[np.str_]
    step: NDArray[np.int64]
    columns: ColumnArrays
    recorded: Recorded

    def take(self, keep: NDArray[np.bool_]) -> StepRows:
        """Returns some of the rows; ``keep`` is [N]."""
        columns = {name: values[keep] for name, values in self.columns.items()}
        kept = {name: _take_rows(value, keep) for name, value in vars(self.recorded).items()}
        return StepRows(self.trial[keep], self.step[keep], columns, Recorded(**kept))

    @property
    def nbytes(self) -> int:
        """Memory of the arrays in ``recorded``."""
        return sum(value.nbytes for value in vars(self.recorded).values() if isinstance(value, np.ndarray))


def _take_rows(value: Any, keep: NDArray[np.bool_]) -> Any:
    return value[keep] if isinstance(value, np.ndarray) else value


class Recorder:
    """Collects the rows of tables ``steps`` and ``gradients`` for one chunk of a pack.

    Attributes:
        bytes: size of the finished rows, without pending ones.
    """

    def __init__(self, problem: Problem, record: Record) -> None:
        self._groups: tuple[Group, ...] = problem.groups(record.components)
        self._signals, self._dead = problem.model.signals, problem.model.dead
        self._training_square = None if problem.engine.randomised else problem.weight_square
        self._histogram = record.histogram
        self._pending: list[StepRows] = []
        self._pending_bytes = 0
        self._finished: list[RowArrays] = []
        self.bytes = 0

    def add(self, rows: StepRows) -> None:
        """Adds rows; all rows of a recorder belong to one structure."""
        self._pending.append(rows)
        self._pending_bytes += rows.nbytes
        if self._pending_bytes > _GATHER_BYTES:
            self._flush()

    def rows(self) -> RowArrays:
        """Returns all rows recorded so far, by table."""
        self._flush()
        return join_rows(self._finished)

    def _flush(self) -> None:
        if not self._pending:
            return
        steps = _concatenated(self._pending)
        tables = {"steps": self._step_rows(steps), "gradients": self._gradient_rows(steps)}
        self._pending, self._pending_bytes = [], 0
        self._finished.append(tables)
        self.bytes += sum(column.nbytes for table in tables.values() for column in table.values())

    def _step_rows(self, rows: StepRows) -> ColumnArrays:
        statistics = step_statistics(rows.recorded, self._dead, self._training_square)
        return {"trial": rows.trial, "step": rows.step, **rows.columns, **statistics}

    def _gradient_rows(self, rows: StepRows) -> ColumnArrays:
        signals = () if rows.recorded.signal is None else self._signals
        groups = (*self._groups, *signals)
        count, names, kinds = len(rows.trial), [group.name for group in groups], [g.kind for g in groups]
        statistics = group_statistics(rows.recorded, self._groups, signals, self._dead, self._histogram)
        return {
            "trial": np.repeat(rows.trial.astype(np.bytes_), len(groups)),
            "step": np.repeat(rows.step, len(groups)),
            "group": np.tile(np.char.encode(np.array(names, np.str_), "utf-8"), count),
            "kind": np.tile(np.char.encode(np.array(kinds, np.str_), "utf-8"), count),
            "depth": np.tile([group.depth for group in groups], count),
            **{name: values.reshape(-1, *values.shape[2:]) for name, values in statistics.items()},
        }


def _concatenated(parts: list[StepRows]) -> StepRows:
    if len(parts) == 1:
        return parts[0]
    recorded = {f.name: _concatenate([getattr(p.recorded, f.name) for p in parts]) for f in fields(Recorded)}
    return StepRows(
        np.concatenate([part.trial for part in parts]),
        np.concatenate([part.step for part in parts]),
        join_columns([part.columns for part in parts]),
        Recorded(**recorded),
    )


def _concatenate(values: list[Any]) -> Any:
    return np.concatenate(values) if isinstance(values[0], np.ndarray) else values[0]


def join_columns(parts: list[ColumnArrays]) -> ColumnArrays:
    """Concatenates tables with equal columns."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def join_rows(parts: list[RowArrays]) -> RowArrays:
    """Concatenates rows, table by table; a table may be missing in some parts."""
    names: Mapping[str, None] = dict.fromkeys(name for part in parts for name in part)
    return {name: join_columns([part[name] for part in parts if name in part]) for name in names}
