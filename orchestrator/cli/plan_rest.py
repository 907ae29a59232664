"""What a run holds of a plan, and how long the rest takes."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.addresses import is_uri
from orchestrator.cli import show
from orchestrator.cli.plan_notes import sharing_lines
from orchestrator.errors import InputError, RunDirectoryError

if TYPE_CHECKING:
    from orchestrator.driver.counts import Counts, Left
    from orchestrator.driver.duration import Duration
    from orchestrator.sweep.file import Sweep


def held(sweep: Sweep, out: str) -> tuple[str, Sequence[Left]]:
    """Returns a line on what a run holds of a sweep, and what is left of each structure.

    If the run cannot be resumed, the line says why, and everything is left. Without a run, the line is empty.
    """
    from orchestrator.driver.counts import all_left

    if not is_uri(out) and not os.path.exists(out):  # noqa: PTH110 - pathlib raises for names that are too long
        return "", all_left(sweep.plan)
    try:
        counts = _counts(sweep, out)
    except RunDirectoryError as error:
        return str(error), all_left(sweep.plan)
    begun = f", {counts.begun:,} begun" if counts.begun else ""
    others = f", and {counts.abandoned:,} of other sweeps" if counts.abandoned else ""
    held = f"{out} holds {counts.kept:,} of {show.count(sweep.plan.count, 'trial')}{begun}{others}"
    return held, counts.left


def _counts(sweep: Sweep, out: str) -> Counts:
    """Counts the trials of a run; raises RunDirectoryError if it cannot be read or resumed."""
    from orchestrator.api.running import check_run
    from orchestrator.driver.counts import count
    from orchestrator.driver.packs import Done
    from orchestrator.runs.reader import Run

    run = Run(out)
    counts, _ = count(sweep.plan, Done(run.ended(), run.states()))
    check_run(sweep, out)
    return counts


def takes(sweep: Sweep, left: Sequence[Left], workers: int, started: float) -> str:
    """Returns lines on the time that the rest of a sweep takes, and on the workers that a step can use.

    The time is estimated from gradients that are timed in this process. If they need a GPU that this machine
    lacks, the text says so.

    Args:
        started: when the command started, in seconds of the monotonic clock.
    """
    from orchestrator.api.placing import check_here, joinable_cluster
    from orchestrator.driver.counts import all_left
    from orchestrator.driver.duration import duration
    from orchestrator.driver.estimate import estimates

    rest = list(estimates(sweep, workers, left))
    if not rest:
        return "nothing left to run"
    try:
        check_here(sweep.plan)
    except InputError as error:
        return f"takes a GPU for each worker; neither checked nor timed on this machine: {error}"
    cluster = joinable_cluster()
    found = duration(rest, workers, sweep.placement, time.monotonic() - started, joins=cluster is not None)
    packs, worth_s = sum(estimate.packs for estimate in rest), sweep.placement.shard_seconds
    what = "takes" if left == all_left(sweep.plan) else "the rest takes"
    total = f"{what} {_total(sweep, found, workers, cluster)}"
    return "\n".join([*sharing_lines(found.sharing, packs, workers, worth_s), total])


def _total(sweep: Sweep, found: Duration, workers: int, cluster: str | None) -> str:
    from orchestrator.api.placing import on_gpus

    gpus = ", a GPU for each" if on_gpus(sweep.plan) else ""
    start = show.duration(found.start).removeprefix("about ")
    ray = f"on the Ray cluster at {cluster}" if cluster else f"{start} of it to start a local Ray"
    return (
        f"{show.duration(found.on_ray)} on {show.count(workers, 'worker')} with this machine's type of CPU"
        f"{gpus}, {ray}; {show.duration(found.inline)} with --inline"
    )
