"""On what a sweep runs: this process, a Ray of its own, a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.backends.batched.threads import use_threads
from orchestrator.engines.base import Engine
from orchestrator.sweep.file import Sweep
from orchestrator.sweep.plan import Plan
from orchestrator.training.worker import Preparation

if TYPE_CHECKING:
    from orchestrator.driver.driver import Fleet


@dataclass(frozen=True)
class Where:
    """On what a sweep runs.

    Attributes:
        inline: in this process, without Ray.
        address: of a Ray cluster; None: the one running here, else a local one.
        workers: how many; None: as many as the cluster has room for, also when nodes join or leave.
    """

    inline: bool = False
    address: str | None = None
    workers: int | None = None


def on_gpus(plan: Plan) -> tuple[Engine, ...]:
    """The engines of a plan that need a GPU, each once."""
    engines = dict.fromkeys(structure.template.gradient for structure in plan.structures)
    return tuple(engine for engine in engines if engine.gpus)


def check_here(plan: Plan) -> None:
    """Raises InputError if this process lacks the GPU that trials need; workers check for themselves."""
    for engine in on_gpus(plan):
        engine.check()


@contextmanager
def placed(where: Where, sweep: Sweep, announce: Callable[[str, int], None]) -> Iterator[Fleet]:
    """The fleet that runs a sweep; it goes with the context.

    Every worker has as many GPUs as the neediest engine wants, since packs go to any.

    Args:
        announce: is told where the fleet is, and how many workers it has.

    Raises:
        FleetError: no cluster as asked for, or not large enough.
    """
    if where.inline:
        from orchestrator.fleet.inline import InlineFleet

        announce("in this process", 1)
        yield InlineFleet(partial(use_threads, sweep.placement.threads))
        return
    from orchestrator.fleet.cluster import joined
    from orchestrator.fleet.ray import RayFleet

    threads, memory = sweep.placement.threads, sweep.placement.memory or 0
    gpus = max((engine.gpus for engine in on_gpus(sweep.plan)), default=0)
    with joined(where.address, where.workers, threads, gpus, memory) as (place, workers):
        ready = Preparation.of(sweep.plan, threads)
        fleet = RayFleet(workers, threads, ready, gpus, memory=memory, grows=where.workers is None)
        announce(place, workers)
        try:
            yield fleet
        finally:
            fleet.close()
