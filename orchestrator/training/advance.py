"""The call that a worker runs: advance a pack by some steps."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from orchestrator.errors import WorkerLost
from orchestrator.training.loop import Chunk, Loop, Team
from orchestrator.training.pack import Pack
from orchestrator.training.probe import Probe
from orchestrator.training.train import Training

_CHUNK_BYTES = 32 << 20


@dataclass(frozen=True)
class Limits:
    """Limits of one call: a number of steps (None: any number), and seconds after which it returns."""

    steps: int | None
    seconds: float


@np.errstate(all="ignore")  # a value that is not finite ends its trial as diverged
def advance(team: Team, pack: Pack, limits: Limits) -> Chunk:
    """Advances a pack by at least one step, as far as the limits allow.

    An error is raised only if it occurs in the first step. If it occurs later, the steps before it are
    computed again and returned. So the step at which a trial fails does not depend on the size of chunks.

    Raises:
        CertificateError: the engine fails its independent check.
        WorkerLost: a worker lent to this one died; the pack is unchanged.
        Exception: computing the first step failed.
    """
    loop = (Probe if pack.template.mode == "probe" else Training)(team, pack)
    done = 0
    deadline = time.monotonic() + limits.seconds
    try:
        while _continues(loop, limits, deadline):
            done = loop.done
            loop.run_steps(limits.steps)
    except WorkerLost:
        raise
    except Exception:
        if limits.steps == 1:
            raise
        return advance(team, pack, Limits(max(1, done), math.inf))
    return loop.chunk()


def _continues(loop: Loop, limits: Limits, deadline: float) -> bool:
    if not loop.done:
        return True
    within = limits.steps is None or loop.done < limits.steps
    return bool(loop.left and within and loop.recorder.bytes <= _CHUNK_BYTES and time.monotonic() < deadline)
