"""From the plan to packs: what is done is left out, what was begun goes on, packs fill."""

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
"""Beyond this, longer packs save nothing more and make commits coarse."""
_PACK_BYTES = 256 << 20
_PACKS_PER_WORKER = 4


@dataclass(frozen=True)
class Done:
    """What a run directory holds already.

    Attributes:
        ended: sorted uint64 ids of the trials that need nothing more.
        begun: by id, the trials with a state to go on from.
    """

    ended: NDArray[np.uint64]
    begun: Mapping[str, SavedState]

    def has_ended(self, trial: str) -> bool:
        """Whether the trial of this id needs nothing more."""
        return self.index(trial) is not None

    def index(self, trial: str) -> int | None:
        """Where the trial of this id is in ``ended``; None if it has not ended."""
        if not len(self.ended):
            return None
        number = np.uint64(int(trial, 16))
        index = int(np.searchsorted(self.ended, number))
        return index if index < len(self.ended) and self.ended[index] == number else None


NOTHING_DONE = Done(np.zeros(0, np.uint64), {})


@dataclass(frozen=True)
class PlannedPack:
    """A pack, with what the trace says of its trials beside their numbers."""

    pack: Pack
    planned: Mapping[str, PlannedTrial]


def pack_size(sweep: Sweep, structure: Structure, workers: int, left: int) -> int:
    """Trials to advance together: as placement says, else enough packs for all workers in sane memory.

    Args:
        left: trials of the whole sweep that are still to be run.
    """
    if sweep.placement.pack is not None:
        return sweep.placement.pack
    spread = -(-left // (workers * _PACKS_PER_WORKER))
    room = _PACK_BYTES // max(1, structure.pinned.row_bytes)
    return int(max(1, min(_MOST_TRIALS, spread, room)))


def default_workers() -> int:
    """What a plan assumes where no cluster has been joined."""
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Packer:
    """Cuts a plan into packs, lazily.

    Attributes:
        size: trials in a pack, by structure.
        done: what is left out, and what goes on.
    """

    plan: Plan
    size: Callable[[Structure], int]
    done: Done = NOTHING_DONE

    def packs(self) -> Iterator[PlannedPack]:
        """Every trial that has not ended, once; a pack's trials stand at the same step."""
        for structure in self.plan.structures:
            yield from self._of(structure)

    def _of(self, structure: Structure) -> Iterator[PlannedPack]:
        size, begun = self.size(structure), self.done.begun
        waiting: dict[int, list[PlannedTrial]] = {}
        for trial in structure.trials():
            if self.done.has_ended(trial.id):
                continue
            step = begun[trial.id].step if trial.id in begun else 0
            together = waiting.setdefault(step, [])
            together.append(trial)
            if len(together) == size:
                yield self._pack(structure, waiting.pop(step), step)
        for step, rest in waiting.items():
            yield self._pack(structure, rest, step)

    def _pack(self, structure: Structure, trials: list[PlannedTrial], step: int) -> PlannedPack:
        begun = self.done.begun
        vectors = np.stack([begun[trial.id].vector for trial in trials]) if step else None
        planned = {trial.id: trial for trial in trials}
        pack = Pack(tuple(trial.trial for trial in trials), tuple(planned), structure.pinned, step, vectors)
        return PlannedPack(pack, planned)
