"""What a worker is made ready with before it gets its first pack."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from orchestrator import user_code
from orchestrator.backends.batched.threads import use_threads_only
from orchestrator.data.base import Dataset
from orchestrator.data.source import Source, know
from orchestrator.engines.base import Engine
from orchestrator.errors import InputError, OrchestratorError
from orchestrator.sweep.plan import Plan

_MOST_DATASETS = 16
_MOST_DATASET_BYTES = 64 << 20


@dataclass(frozen=True)
class Preparation:
    """Is called once in every worker.

    Sets the number of threads, refuses what this process cannot run, and loads what packs will need, so that
    the time of a pack is spent on the pack.

    Args:
        threads: of the compiled kernels.
        checked: engines that need more than a CPU.
        warmed: engines that are loaded, one of each kind.
        datasets: what the driver has read already, with their sources.
        trust: whose code may be executed.

    Raises:
        InputError: an engine lacks something here.
    """

    threads: int
    checked: tuple[Engine, ...]
    warmed: tuple[Engine, ...]
    datasets: tuple[tuple[Source, Dataset], ...]
    trust: user_code.Trust

    @classmethod
    def of(cls, plan: Plan, threads: int) -> Preparation:
        """For the workers of a plan; they trust what this process does."""
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
            know(*known)
        for engine in self.warmed:
            with suppress(OrchestratorError):  # it will be told with the first trial that meets it
                engine.warm()
        gc.freeze()  # else Python walks through all that was loaded in the middle of a pack, for 0.2 s


def _datasets(plan: Plan) -> Iterator[tuple[Source, Dataset]]:
    """The first data sets of a plan, as far as they are small and still there."""
    size = 0
    sources = dict.fromkeys(structure.template.data for structure in plan.structures)
    for source in islice((source for source in sources if isinstance(source, Source)), _MOST_DATASETS):
        try:
            dataset = source.load()
        except InputError:  # its file is gone: trials that need it will say so
            continue
        size += dataset.inputs.nbytes + dataset.test_inputs.nbytes
        if size > _MOST_DATASET_BYTES:
            return
        yield source, dataset
