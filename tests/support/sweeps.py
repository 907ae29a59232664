"""Small sweeps as text, and short ways to look at their plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.sweep import file
from orchestrator.sweep.document import parse
from orchestrator.sweep.file import Sweep
from orchestrator.sweep.overrides import overridden
from orchestrator.sweep.plan import Plan

NETWORK = """\
name: small
base:
  data: {source: moons, rows: 20}
  model: {kind: mlp, hidden: [2]}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates:
    - {clip: norm, limit: 1.0}
    - {optimizer: sgd, learning_rate: 0.1}
  batch: {size: 4, shards: 2}
  steps: 3
"""
SMALL = """\
name: small
base:
  data: {source: parity, bits: 3, scale: none}
  model: {kind: mlp, hidden: [2]}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{optimizer: sgd, learning_rate: 0.5}]
  batch: {size: 2, shards: 2}
  steps: 6
  record: {every: 2}
sweep:
  - updates.0.learning_rate: [0.1, 1e+308]
  - seed: {range: 5}
placement: {pack: 4, chunk_steps: 2}
"""
"""Ten trials in packs of four; the five with the larger learning rate diverge."""


def swept(*items: str, base: str = NETWORK) -> str:
    """A sweep file with these items, each in YAML's flow style."""
    return base + "sweep: [" + ",\n  ".join(items) + "]\n"


def read(text: str, *overrides: str, folder: Path = Path()) -> Sweep:
    """The sweep in ``text``, which messages call ``a.yaml``."""
    return file.plan(overridden(parse(text, "a.yaml"), overrides), folder)


def plan(*items: str, base: str = NETWORK) -> Plan:
    """The plan of a sweep with these items."""
    return read(swept(*items, base=base)).plan


def columns(plan: Plan) -> list[tuple[Any, ...]]:
    """The values of the key columns, trial by trial."""
    return [trial.keys for trial in plan.trials()]


def ids(plan: Plan) -> list[str]:
    """The ids, in order."""
    return [trial.id for trial in plan.trials()]
