"""The one call that a worker answers: take this pack further."""

from __future__ import annotations

import time
from dataclasses import dataclass

from orchestrator.training.pack import Pack
from orchestrator.training.probe import Probe
from orchestrator.training.train import Training
from orchestrator.training.walk import Chunk, Team

_CHUNK_BYTES = 32 << 20


@dataclass(frozen=True)
class Limits:
    """When a worker hands back what it has: after so many steps (None: any number) or seconds."""

    steps: int | None
    seconds: float


def advance(team: Team, pack: Pack, limits: Limits) -> Chunk:
    """Takes a pack further by at least one step.

    Raises:
        CertificateError: the engine fails its independent check.
        WorkerLost: a helper died; the pack is as it was.
    """
    walk = (Probe if pack.template.mode == "probe" else Training)(team, pack)
    deadline = time.monotonic() + limits.seconds
    while walk.left and (limits.steps is None or walk.done < limits.steps):
        walk.go(limits.steps)
        if time.monotonic() >= deadline or walk.recorder.bytes > _CHUNK_BYTES:
            break
    return walk.chunk()
