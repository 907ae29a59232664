"""Where a sweep runs: in this process, on a local Ray, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.addresses import bare
from orchestrator.backends.batched.threads import use_threads
from orchestrator.engines.base import Engine
from orchestrator.sweep.file import Sweep
from orchestrator.sweep.plan import Plan
from orchestrator.training.worker import Preparation

if TYPE_CHECKING:
    from orchestrator.driver.driver import Fleet


@dataclass(frozen=True)
class Where:
    """Where a sweep runs.

    Attributes:
        inline: whether it runs in this process, without Ray.
        address: address of a Ray cluster; None: the one running here, else a local one.
        workers: number of workers; None: as many as the cluster has room for, also when nodes join or leave.
    """

    inline: bool = False
    address: str | None = None
    workers: int | None = None


def on_gpus(plan: Plan) -> tuple[Engine, ...]:
    """Returns the engines of a plan that need a GPU, each once."""
    engines = dict.fromkeys(structure.template.gradient for structure in plan.structures)
    return tuple(engine for engine in engines if engine.gpus)


def check_here(plan: Plan) -> None:
    """Raises InputError if this process lacks the GPU that trials need. Workers check that themselves."""
    for engine in on_gpus(plan):
        engine.check()


def check_where(where: Where, plan: Plan) -> None:
    """Checks where a sweep is to run, as far as that is possible without Ray; starts nothing.

    Raises:
        InputError: it is this process, which lacks the GPU that trials need.
        FleetError: it is a cluster whose address holds a secret, or where nothing answers.
    """
    from orchestrator.fleet.address import check_address

    if where.inline:
        check_here(plan)
    else:
        check_address(where.address)


def joinable_cluster() -> str | None:
    """Returns the address of the Ray cluster that a sweep joins here; None: it starts a local Ray."""
    from orchestrator.fleet.cluster import find

    found = find()
    return found and bare(found)


@contextmanager
def open_fleet(where: Where, sweep: Sweep, announce: Callable[[str, int], None]) -> Iterator[Fleet]:
    """Starts the fleet that runs a sweep; closes it at the end of the context.

    Any worker may get any pack, so each has as many GPUs as the engine that needs most.

    Args:
        announce: called with a description of the fleet and its number of workers.

    Raises:
        FleetError: the cluster of ``where`` does not exist, or is too small.
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
    with joined(where.address, where.workers, threads, gpus, memory) as (description, workers):
        preparation = Preparation.of(sweep.plan, threads)
        fleet = RayFleet(workers, threads, preparation, gpus, memory=memory, grows=where.workers is None)
        announce(description, workers)
        try:
            yield fleet
        finally:
            fleet.close()
