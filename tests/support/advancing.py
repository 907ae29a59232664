"""Packs advanced to their end in one process, and the bits of their rows."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable, Iterator, Sequence

from sweeps import read

from orchestrator.driver.packs import Packer
from orchestrator.fleet.inline import InlineTeam
from orchestrator.tables.schema import TABLES
from orchestrator.training.advance import Limits, advance
from orchestrator.training.loop import Chunk
from orchestrator.training.pack import Pack
from orchestrator.training.recorder import ColumnArrays, RowArrays, join_rows

NETWORK = """\
name: trained
base:
  data: {source: moons, rows: 40, noise: 0.1}
  model: {kind: mlp, hidden: [3], activation: relu}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 5, shards: 2}
  steps: 8
  record: {histogram: true, evaluate: 3, parameters: final, components: [2, 0]}
"""

CIRCUIT = """\
name: trained
base:
  data: {source: moons, rows: 40, noise: 0.1, scale: angle}
  model: {kind: circuit, qubits: 2, layers: 1}
  loss: mse
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 5, shards: 2}
  steps: 8
  record: {histogram: true, evaluate: 3, parameters: final, components: [2, 0]}
"""

DRAWN_AXES = """\
name: drawn
base:
  model: {kind: circuit, qubits: 3, layers: 2, ansatz: random-pauli, observable: Z0 Z1}
  loss: expectation
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  steps: 8
"""

ALL = Limits(None, math.inf)

Bits = dict[str, dict[str, bytes]]
"""The deterministic columns of one trial, by table."""


def pack_of(text: str, *items: str, overrides: Iterable[str] = ()) -> Pack:
    """The only pack of a sweep over these items."""
    sweep = read(text + f"sweep: [{', '.join(items)}]\n", *overrides)
    (packed,) = Packer(sweep.plan, lambda _: 1000).packs()
    return packed.pack


def chunks(pack: Pack, cuts: Sequence[int]) -> Iterator[Chunk]:
    """Advances a pack to its end: first chunks of ``cuts`` steps, then the rest. Packs go through pickle."""
    rest: Pack | None = pack
    for steps in (*cuts, None):
        if rest is None:
            return
        chunk = advance(InlineTeam(), pickle.loads(pickle.dumps(rest)), Limits(steps, math.inf))
        yield chunk
        rest = chunk.pack
    assert rest is None


def rows_of(pack: Pack, cuts: Sequence[int] = ()) -> RowArrays:
    return join_rows([chunk.rows for chunk in chunks(pack, cuts)])


def bits_of(rows: RowArrays, trial: str) -> Bits:
    """The bits of one trial's rows, which are in order of steps."""
    there = {table: columns for table, columns in rows.items() if trial in columns["trial"]}
    return {table: _bits(table, columns, trial) for table, columns in there.items()}


def _bits(table: str, columns: ColumnArrays, trial: str) -> dict[str, bytes]:
    named = {column.name for column in TABLES[table] if column.deterministic}
    mine = columns["trial"] == trial
    return {
        name: values[mine].tobytes() if values.dtype.kind in "biuf" else repr(values[mine].tolist()).encode()
        for name, values in columns.items()
        if name in named
    }


SAMPLED = """\
name: sampled
base:
  model: {kind: circuit, qubits: 2, layers: 1}
  loss: expectation
  gradient: {engine: parameter-shift, backend: {kind: batched, shots: 20}}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  steps: 8
"""
