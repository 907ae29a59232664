"""Runs a sweep from its file to its tables, for the command line and for Python."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.api.placing import Where, check_where, open_fleet
from orchestrator.driver.control_loop import ControlLoop
from orchestrator.driver.counts import Counts, count
from orchestrator.driver.driver import Driver, Progress, Watch
from orchestrator.driver.ledger import Ledger
from orchestrator.driver.others import MOST_COMPARED, describe_differences
from orchestrator.driver.packs import Done, Packer, pack_size
from orchestrator.driver.scheduler import Scheduler
from orchestrator.runs.reader import Run
from orchestrator.runs.storage.opening import address
from orchestrator.runs.writer import RunWriter
from orchestrator.sweep.file import Sweep, load
from orchestrator.sweep.plan import Plan
from orchestrator.tables.rows import KeyColumn, KeyValue
from orchestrator.training.advance import Limits
from orchestrator.versions import versions


class Watcher:
    """Receives the events of a sweep and ignores them. Subclass it to show progress."""

    def opened(self, sweep: Sweep, out: Path | str, counts: Counts) -> None:
        """The run directory is open."""

    def placed(self, where: str, workers: int) -> None:
        """The fleet is up."""

    def advanced(self, progress: Progress) -> None:
        """The driver has polled its workers, with or without new results."""

    def compacting(self) -> None:
        """All trials have ended; the tables are being finished. Not called if they are already."""

    def running(self, stop: Callable[[], None]) -> AbstractContextManager[Any]:
        """Returns a context to be entered while the sweep runs; ``stop`` makes it commit and stop."""
        return _empty_context(stop)


@contextmanager
def _empty_context(_: Callable[[], None]) -> Iterator[None]:
    yield


@dataclass(frozen=True)
class Result:
    """How a sweep ended.

    Attributes:
        out: path or URI of the run.
        progress: the final progress.
        finished: whether all trials have ended. If not, the sweep was stopped and can be resumed.
        failed: number of trials of the sweep that failed, in this call or before.
        stopped_by: the failure that reached the limit of ``stop_after``, and its count; None if none did.
    """

    out: Path | str
    progress: Progress
    finished: bool
    failed: int
    stopped_by: tuple[str, int] | None = None

    @property
    def exit_code(self) -> int:
        """0: all trials are done or diverged; 1: some failed, or so many that the sweep was stopped early."""
        return 1 if self.failed else 0

    def assign(self, circuit: Any, trial: str | None = None) -> Any:
        """Returns a copy of a circuit with trained values for its parameters; see ``Run.assign``."""
        return Run(self.out).assign(circuit, trial)


def run(
    sweep: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    where: Where = Where(),
    overrides: Iterable[str] = (),
    mixed_versions: bool = False,
    retry_failed: bool = False,
    watcher: Watcher | None = None,
    root: str | os.PathLike[str] = "/",
    trust: Iterable[str | os.PathLike[str]] = (),
) -> Result:
    """Runs a sweep file, or completes its run.

    Args:
        sweep: the YAML file.
        out: the run directory, or a URI such as ``s3://bucket/runs/depth``; ``runs/<name>`` if left out.
        where: where to run.
        overrides: ``path=value`` changes to the sweep file.
        mixed_versions: whether to resume a run that other versions began.
        retry_failed: whether to run failed trials of the sweep again.
        watcher: receives the events.
        root: folder in which absolute file names of the sweep start, where its files were shipped to.
        trust: packages (``"mypackage"``) and folders (``"./circuits"``) whose code the sweep may call,
            besides its own folder. ORCHESTRATOR_TRUST adds to them. A sweep with ``python:`` runs code with
            your permissions.

    Raises:
        InputError: faults in the sweep file, or this process lacks the GPU that trials need. Nothing was
            started, nothing written.
        RunDirectoryError: the directory cannot be used.
        FleetError: the cluster of ``where`` does not exist (nothing was written), or is too small.
        ClusterLost: the cluster is gone; all results received are committed.

    Example:
        >>> result = run("jobs/quickstart.yaml", where=Where(inline=True))  # doctest: +SKIP
    """
    watcher = watcher or Watcher()
    planned = load(Path(sweep), overrides, Path(root), trust)
    check_where(where, planned.plan)
    folder = address(f"runs/{planned.name}" if out is None else out)
    with _open(planned, folder, mixed_versions) as writer:
        retried = _remove_failures(writer, planned.plan) if retry_failed else 0
        done = Done(writer.ended(), writer.states())
        counts, others = count(planned.plan, done)
        writer.mark(others, _keys(planned.plan))
        why = describe_differences(Run(folder).others(MOST_COMPARED), planned.plan) if len(others) else ""
        counts = replace(counts, damaged=len(writer.lost), again=retried, why=why)
        watcher.opened(planned, folder, counts)
        progress = Progress(planned.plan.count, kept=counts.kept, steps_left=counts.steps)
        stopped_by = None
        if counts.begun or counts.new:
            stopped_by = _drive(planned, writer, done, where, progress, watcher)
        finished = counts.kept + progress.ended == planned.plan.count
        if finished:
            if not writer.compacted:
                watcher.compacting()
            writer.compact(_keys(planned.plan))
            writer.control.forget()
        return Result(folder, progress, finished, Run(folder).count("failed"), stopped_by)


def _keys(plan: Plan) -> Iterator[tuple[str, tuple[KeyValue, ...]]]:
    return ((trial.id, trial.keys) for trial in plan.trials())


def _remove_failures(writer: RunWriter, plan: Plan) -> int:
    """Removes the plan's failed trials from the run; returns their number."""
    failed = Done(writer.failed(), {})
    if not len(failed.ended):
        return 0
    removed = [trial.id for trial in plan.trials() if failed.has_ended(trial.id)]
    writer.take_back(removed, _keys(plan))
    return len(removed)


def open_run(path: str | os.PathLike[str]) -> Run:
    """Opens a run for reading, finished or not.

    Its tables hold all trials, also those that are no longer in the sweep: their ``trials.current`` is false.

    Args:
        path: the run directory, or its URI on an object store.

    Raises:
        RunDirectoryError: there is no run.

    Example:
        >>> open_run("runs/quickstart").steps.to_pandas()  # doctest: +SKIP
    """
    return Run(path)


def check_run(sweep: Sweep, folder: Path | str) -> None:
    """Raises RunDirectoryError if ``run`` would refuse to resume the run in ``folder``; changes nothing."""
    RunWriter.check(folder, sweep.name, _record(sweep), versions())


def _record(sweep: Sweep) -> str:
    return json.dumps(sweep.record.model_dump(mode="json"), sort_keys=True)


def _open(sweep: Sweep, folder: Path | str, mixed_versions: bool) -> RunWriter:
    keys = tuple(
        KeyColumn(name, kind) for name, kind in zip(sweep.plan.keys, sweep.plan.key_types, strict=True)
    )
    return RunWriter.open(
        folder,
        name=sweep.name,
        sweep=sweep.text,
        record=_record(sweep),
        keys=keys,
        versions=versions(),
        mixed_versions=mixed_versions,
    )


def _drive(
    sweep: Sweep, writer: RunWriter, done: Done, where: Where, progress: Progress, watcher: Watcher
) -> tuple[str, int] | None:
    """Runs the missing trials; returns the failure that stopped the sweep early and its count, if one did."""
    placement = sweep.placement
    with open_fleet(where, sweep, watcher.placed) as fleet:
        left, workers = progress.trials - progress.kept, fleet.size
        packer = Packer(sweep.plan, lambda structure: pack_size(sweep, structure, workers, left), done)
        driver = Driver(
            Scheduler(packer.packs(), placement.shard_seconds, sweep.stop_after.identical_failures),
            fleet,
            writer,
            Ledger(json.dumps(versions())),
            progress,
            Limits(placement.chunk_steps, placement.chunk_seconds),
            placement.commit_seconds,
        )
        control = ControlLoop(driver, writer.control, progress)
        with _metrics(sweep.name, where, progress) as metrics, watcher.running(driver.stop):
            driver.run([control.poll, watcher.advanced, *metrics])
        return driver.scheduler.stopped_by


@contextmanager
def _metrics(name: str, where: Where, progress: Progress) -> Iterator[list[Watch]]:
    """Yields the callbacks that report progress to Ray's metrics; none if the sweep runs in this process."""
    if where.inline:
        yield []
        return
    from orchestrator.fleet.metrics import RayMetrics

    metrics = RayMetrics(name)
    yield [metrics.report]
    metrics.flush(progress)
