"""``orchestrator cancel``: makes a running sweep commit its results, then stop."""

from __future__ import annotations

import time

import click

from orchestrator.cli.options import cluster_address, is_run_folder, newest_job, run_name
from orchestrator.errors import RunDirectoryError

_TIMEOUT_S = 600.0
_POLL_S = 0.2


@click.command()
@run_name
@cluster_address
def cancel(run: str, address: str | None) -> None:
    """Commit the running work of a sweep, then stop the sweep.

    The sweep can be resumed later. `cancel` ends with exit code 0, the cancelled `run` with 130. RUN is a run
    directory on this machine, or the URI of a run on object storage. On a cluster it is the name of the
    sweep, or the id that `submit` printed.

    \b
    Example:
      orchestrator cancel runs/quickstart
      orchestrator cancel quickstart --address http://HEAD:8265
    """
    if is_run_folder(run, address):
        _cancel_driver(run)
        return
    jobs, job = newest_job(run, address)
    if not job.alive:
        click.echo(f"{job.id} has already ended: {job.status}")
        return
    click.echo(f"asked {job.id} to commit and stop …")
    click.echo(f"{job.id}: {jobs.stop(job).status}; to resume, submit the sweep again")


def _cancel_driver(run: str) -> None:
    """Asks the driver of a run to stop, and waits until it has stopped."""
    from orchestrator.runs.control import Control
    from orchestrator.runs.storage.base import explained
    from orchestrator.runs.storage.opening import storage

    folder = storage(run)
    with explained(folder.root, "name the directory of a run"):
        driver = folder.owner()
    if driver is None:
        raise RunDirectoryError(f"{folder.root}: no driver is running here, there is nothing to cancel")
    Control(folder).cancel()
    click.echo(f"asked {driver} to commit and stop …")
    deadline = time.monotonic() + _TIMEOUT_S
    while folder.owner() == driver:
        if time.monotonic() > deadline:
            raise RunDirectoryError(
                f"{folder.root}: {driver} is still running after {_TIMEOUT_S:.0f} s; end it with SIGTERM"
            )
        time.sleep(_POLL_S)
    click.echo("stopped; all results received are committed. To resume, run the sweep again")
