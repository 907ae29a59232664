"""``orchestrator logs``: what a job has printed."""

from __future__ import annotations

import click

from orchestrator.cli import following
from orchestrator.cli.options import cluster_address, run_name


@click.command()
@run_name
@cluster_address
@click.option("--follow", is_flag=True, help="Go on until the job ends; exit as it does.")
def logs(run: str, address: str | None, follow: bool) -> None:
    """Show what the newest job of a run has printed.

    RUN is the name of the sweep, or the id that `submit` printed.

    \b
    Example:
      orchestrator logs quickstart --address http://HEAD:8265 --follow
    """
    from orchestrator.fleet.jobs import Jobs

    jobs = Jobs(address)
    job = jobs.newest(run)
    if not follow:
        click.echo(jobs.logs(job), nl=False)
        return
    following.follow(jobs, job, address)
