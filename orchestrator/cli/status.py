"""``orchestrator status``: how a run stands."""

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
@click.option("--all-trials", is_flag=True, help="Count trials that the sweep no longer names as well.")
def status(run: str, address: str | None, all_trials: bool) -> None:
    """Say how a run stands: trials, rate, last commit, and whether anybody is at work on it.

    RUN is a run directory on this machine, or the URI of one on object storage, and no Ray is needed; or, on
    a cluster, the name of the sweep or the id that `submit` printed.

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
    click.echo("\n" + (progress[-1] if progress else newest.message or "it has not said yet how far it is"))


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


def _lines(found: Status, all_trials: bool) -> list[str]:
    ended = [f"{amount:,} {name}" for name, amount in found.ended.items()] or ["none has ended"]
    left = [] if found.left is None else [f"{found.left:,} left"]
    others = [f"{found.others:,} of other sweeps left out"] if found.others and not all_trials else []
    lines = ["trials       " + ", ".join([*ended, *left, *others])]
    if found.unreadable:
        lines.append(f"progress     not known: {found.unreadable}")
    if found.committed_s is not None:
        label = "begun" if found.rate is None else "last commit"
        lines.append(f"{label:<13}{show.duration(found.committed_s)} ago")
    if found.rate is not None:
        lines.append(f"rate         {found.rate:,.0f} steps/s")
    lines.append(f"driver       {found.driver or 'none is at work'}")
    lines.append(
        f"tables       {'finished' if found.finished else 'not finished; run the sweep again to go on'}"
    )
    return lines if found.driver is None or found.finished else lines[:-1]
