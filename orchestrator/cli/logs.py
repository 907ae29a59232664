"""``orchestrator logs``: the output of a job."""

from __future__ import annotations

import click

from orchestrator.cli import following
from orchestrator.cli.options import cluster_address, run_name


@click.command()
@run_name
@cluster_address
@click.option("--follow", is_flag=True, help="Print until the job ends; exit with its code.")
def logs(run: str, address: str | None, follow: bool) -> None:
    """Print the output of the newest job of a run.

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
