"""The preparation of a worker before its first pack."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from orchestrator import user_code
from orchestrator.backends.batched.threads import use_threads_only
from orchestrator.data.base import Dataset
from orchestrator.data.source import Source, preload
from orchestrator.engines.base import Engine
from orchestrator.errors import InputError, OrchestratorError
from orchestrator.sweep.plan import Plan

_MOST_DATASETS = 16
_MOST_DATASET_BYTES = 64 << 20


@dataclass(frozen=True)
class Preparation:
    """Prepares a worker; called once in every worker.

    It sets the number of threads, checks that the engines can run here, and loads their libraries and the
    data sets. So the first pack does not spend its time on this.

    Args:
        threads: number of threads of the compiled kernels.
        checked: engines that need a GPU.
        warmed: engines to load, one of each kind.
        datasets: data sets that the driver has read, with their sources.
        trust: whose code may be executed.

    Raises:
        InputError: this process lacks a resource that an engine needs.
    """

    threads: int
    checked: tuple[Engine, ...]
    warmed: tuple[Engine, ...]
    datasets: tuple[tuple[Source, Dataset], ...]
    trust: user_code.Trust

    @classmethod
    def of(cls, plan: Plan, threads: int) -> Preparation:
        """Returns the preparation for the workers of a plan, with the trust of this process."""
        engines = dict.fromkeys(structure.template.gradient for structure in plan.structures)
        kinds = {type(engine): engine for engine in reversed(engines)}
        checked = tuple(engine for engine in engines if engine.gpus)
        return cls(threads, checked, tuple(kinds.values()), tuple(_datasets(plan)), user_code.trusted())

    def __call__(self) -> None:
        user_code.allow(self.trust)
        use_threads_only(self.threads)
        for engine in self.checked:
            engine.check()
        for known in self.datasets:
            preload(*known)
        for engine in self.warmed:
            with suppress(OrchestratorError):  # the first trial that uses the engine reports it
                engine.warm()
        gc.freeze()  # so that no garbage collection scans all this during a pack, for 0.2 s


def _datasets(plan: Plan) -> Iterator[tuple[Source, Dataset]]:
    """Yields the first data sets of a plan while they are few and small; skips missing files."""
    size = 0
    sources = dict.fromkeys(structure.template.data for structure in plan.structures)
    for source in islice((source for source in sources if isinstance(source, Source)), _MOST_DATASETS):
        try:
            dataset = source.load()
        except InputError:  # its file is gone: trials that need it report this
            continue
        size += dataset.inputs.nbytes + dataset.test_inputs.nbytes
        if size > _MOST_DATASET_BYTES:
            return
        yield source, dataset
