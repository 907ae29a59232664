"""``orchestrator status``: the progress of a run."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import click

from orchestrator.addresses import masked
from orchestrator.cli import show
from orchestrator.cli.options import cluster_address, is_run_folder, newest_job, run_name

if TYPE_CHECKING:
    from orchestrator.fleet.jobs import Job
    from orchestrator.reports.status import Status

_PROGRESS = re.compile(r"[\d,]+ of [\d,]+ trials?, .*")


@click.command()
@run_name
@cluster_address
@click.option("--all-trials", is_flag=True, help="Count trials that are no longer in the sweep, too.")
def status(run: str, address: str | None, all_trials: bool) -> None:
    """Print the progress of a run: trials, rate, last commit, driver.

    RUN is a run directory on this machine, or the URI of a run on object storage: no Ray is needed. On a
    cluster it is the name of the sweep, or the id that `submit` printed.

    \b
    Example:
      orchestrator status runs/quickstart
      orchestrator status quickstart --address http://HEAD:8265
    """
    if is_run_folder(run, address):
        from orchestrator.reports import status as reports

        for line in _lines(reports.status(run, all_trials), all_trials):
            click.echo(line)
        return
    jobs, newest = newest_job(run, address)
    show.table(
        ("job", "status", "started", "for", "run directory"),
        [_row(job) for job in jobs.jobs() if run in (job.run, job.id)],
    )
    progress = _PROGRESS.findall(jobs.logs(newest))
    click.echo("\n" + (progress[-1] if progress else newest.message or "no progress reported yet"))


def _row(job: Job) -> tuple[str, ...]:
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.started_at))
    state = job.status if job.exit_code in (None, 0) else f"{job.status} (exit code {job.exit_code})"
    return (
        job.id,
        state,
        started,
        show.duration((job.ended_at or time.time()) - job.started_at),
        masked(job.out),
    )


def _lines(run: Status, all_trials: bool) -> list[str]:
    ended = [f"{amount:,} {name}" for name, amount in run.ended.items()] or ["none has ended"]
    left = [] if run.left is None else [f"{run.left:,} left"]
    others = [f"{run.others:,} of other sweeps left out"] if run.others and not all_trials else []
    lines = ["trials       " + ", ".join([*ended, *left, *others])]
    if run.unreadable:
        lines.append(f"progress     unknown: {run.unreadable}")
    if run.committed_s is not None:
        label = "started" if run.rate is None else "last commit"
        lines.append(f"{label:<13}{show.duration(run.committed_s)} ago")
    if run.rate is not None and run.driver is not None:
        lines.append(f"rate         {run.rate:,.0f} steps/s")
    lines.append(f"driver       {run.driver or 'none running'}")
    lines.append(
        f"tables       {'finished' if run.finished else 'unfinished; run the sweep again to resume'}"
    )
    return lines if run.driver is None or run.finished else lines[:-1]
