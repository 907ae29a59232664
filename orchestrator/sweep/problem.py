"""A structure made ready: the data loaded, the model built for them, the engine prepared."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from orchestrator.data.base import Data, Dataset
from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import Differentiator
from orchestrator.errors import Fault, InputError
from orchestrator.models import losses
from orchestrator.models.base import Built, Group, Model
from orchestrator.sweep.trial import Trial

_CERTIFICATE_SEED = 0


@dataclass(frozen=True)
class Problem:
    """What all trials of a structure share. Built once per process and structure."""

    data: Dataset
    model: Built
    engine: Engine
    loss: str

    @cached_property
    def differentiator(self) -> Differentiator:
        """The engine, prepared for the model and the loss."""
        return self.engine.prepare(self.model, self.loss, self.data.classes)

    @cached_property
    def certificate(self) -> float | None:
        """Deviation of the engine from an independent evaluation; None where none is due.

        Raises:
            CertificateError: they differ; no trial of this structure can be believed.
        """
        return self.engine.certify(self.model, _CERTIFICATE_SEED)

    def groups(self, components: tuple[int, ...]) -> tuple[Group, ...]:
        """The model's groups, then the chosen components as groups of their own."""
        singles = (Group(f"component{k}", k, k + 1, self._depth(k)) for k in components)
        return (*self.model.groups, *singles)

    def _depth(self, component: int) -> int:
        return next(group.depth for group in self.model.groups if group.start <= component < group.stop)


def problem(trial: Trial) -> Problem:
    """The problem of a trial.

    Raises:
        InputError: its parts do not fit together; all faults of the part that fails first.
    """
    ready = _problem(trial.data, trial.model, trial.loss, trial.gradient)
    faults = [*_batch_faults(trial, ready), *_component_faults(trial, ready), *_memory_faults(trial, ready)]
    if faults:
        raise InputError(faults)
    return ready


@lru_cache(maxsize=64)
def _problem(data: Data | None, model: Model, loss: str, engine: Engine) -> Problem:
    dataset = data.load() if data is not None else _no_data()
    built = model.build(dataset.inputs.shape[1], dataset.classes)
    if data is None and loss != "expectation":
        raise InputError.at("loss", f"is {loss}, but there are no data; legal: expectation")
    losses.check(loss, built.head, built.outputs, dataset.classes)
    if not engine.differentiates(built):
        raise InputError.at("gradient.engine", f"is {engine.engine}, which does not take this kind of model")
    return Problem(dataset, built, engine, loss)


def _no_data() -> Dataset:
    one, none = np.zeros(1), np.zeros((0, 0))
    return Dataset(np.zeros((1, 0)), one, np.ones(1), none, np.zeros(0), classes=0)


def _batch_faults(trial: Trial, ready: Problem) -> list[Fault]:
    rows = len(ready.data.inputs)
    if trial.batch.size <= rows:
        return []
    return [Fault("batch.size", f"is {trial.batch.size}, but the training part has {rows} rows")]


def _component_faults(trial: Trial, ready: Problem) -> list[Fault]:
    count = ready.model.parameters
    return [
        Fault(f"record.components.{index}", f"is {k}, but the model has components 0 … {count - 1}")
        for index, k in enumerate(trial.record.components)
        if k >= count
    ]


def _memory_faults(trial: Trial, ready: Problem) -> list[Fault]:
    needed = shard_bytes(trial, ready, rows=1)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed <= memory:
        return []
    message = f"a shard of one trial needs {size(needed)}, this machine has {size(memory)}; make it smaller"
    return [Fault("model", message)]


def shard_bytes(trial: Trial, ready: Problem, rows: int) -> int:
    """Working memory of the engine on the largest shard of ``rows`` trials, in bytes."""
    samples = -(-trial.batch.size // trial.batch.shards)
    return ready.engine.shard_bytes(ready.model, rows, samples)


def size(count: float) -> str:
    """A number of bytes for people: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if count < 1024 or unit == "PiB":
            break
        count /= 1024
    if unit == "PiB" and count >= 1024:
        return "far more than any machine has"
    return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
