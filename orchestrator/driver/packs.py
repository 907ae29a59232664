"""Cuts a plan into packs: skips ended trials, and continues begun ones from their saved state."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.sweep.file import Sweep
from orchestrator.sweep.plan import Plan, PlannedTrial, Structure
from orchestrator.tables.rows import SavedState
from orchestrator.training.pack import Pack

_MOST_TRIALS = 256
"""Larger packs save no further time and make commits coarse."""
_PACK_BYTES = 256 << 20
"""Working memory of the engine on one shard of a pack."""
_PACKS_PER_WORKER = 4


@dataclass(frozen=True)
class Done:
    """Ended and begun trials in a run directory.

    Attributes:
        ended: sorted uint64 ids of the trials that have ended.
        begun: saved states, by id, of the trials that have begun.
    """

    ended: NDArray[np.uint64]
    begun: Mapping[str, SavedState]

    def has_ended(self, trial: str) -> bool:
        """Whether the trial of this id has ended."""
        return self.index(trial) is not None

    def index(self, trial: str) -> int | None:
        """Position of the trial of this id in ``ended``; None if it has not ended."""
        if not len(self.ended):
            return None
        number = np.uint64(int(trial, 16))
        index = int(np.searchsorted(self.ended, number))
        return index if index < len(self.ended) and self.ended[index] == number else None


NOTHING_DONE = Done(np.zeros(0, np.uint64), {})


@dataclass(frozen=True)
class PlannedPack:
    """A pack and its trials as planned, by id, with their index and swept keys."""

    pack: Pack
    planned: Mapping[str, PlannedTrial]


def pack_size(sweep: Sweep, structure: Structure, workers: int, left: int) -> int:
    """Number of trials in a pack: ``placement.pack``, else such that every worker gets several packs.

    Memory and a maximum bound the size.

    Args:
        left: number of trials of the whole sweep that are still to be run.
    """
    if sweep.placement.pack is not None:
        return sweep.placement.pack
    spread = -(-left // (workers * _PACKS_PER_WORKER))
    fitting = _PACK_BYTES // max(1, structure.pinned.row_bytes)
    return int(max(1, min(_MOST_TRIALS, spread, fitting)))


def default_workers() -> int:
    """Number of workers that a plan assumes when no cluster has been joined."""
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Packer:
    """Cuts a plan into packs, lazily.

    Attributes:
        size: number of trials in a pack of a structure.
        done: ended trials, which are skipped, and begun ones, which are continued.
    """

    plan: Plan
    size: Callable[[Structure], int]
    done: Done = NOTHING_DONE

    def packs(self) -> Iterator[PlannedPack]:
        """Yields packs of all trials that have not ended, each once; a pack's trials are at the same step."""
        for structure in self.plan.structures:
            yield from self._packs(structure)

    def _packs(self, structure: Structure) -> Iterator[PlannedPack]:
        size, begun = self.size(structure), self.done.begun
        waiting: dict[int, list[PlannedTrial]] = {}
        for trial in structure.trials():
            if self.done.has_ended(trial.id):
                continue
            step = begun[trial.id].step if trial.id in begun else 0
            trials = waiting.setdefault(step, [])
            trials.append(trial)
            if len(trials) == size:
                yield self._pack(structure, waiting.pop(step), step)
        for step, trials in waiting.items():
            yield self._pack(structure, trials, step)

    def _pack(self, structure: Structure, trials: list[PlannedTrial], step: int) -> PlannedPack:
        begun = self.done.begun
        vectors = np.stack([begun[trial.id].vector for trial in trials]) if step else None
        planned = {trial.id: trial for trial in trials}
        pack = Pack(tuple(trial.trial for trial in trials), tuple(planned), structure.pinned, step, vectors)
        return PlannedPack(pack, planned)
