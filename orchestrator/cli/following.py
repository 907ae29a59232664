"""What a job prints, as it comes, until the job ends or the user has seen enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click

from orchestrator.cli import show

if TYPE_CHECKING:
    from orchestrator.fleet.jobs import Job, Jobs

INTERRUPTED = 130


def follow(jobs: Jobs, job: Job, address: str | None) -> NoReturn:
    """Shows what a job prints until it ends; leaves as the job does.

    Ctrl-C ends the following, not the job: a message says so, and which commands follow and cancel it.

    Args:
        address: of the cluster, as the user gave it.
    """
    try:
        ended = jobs.follow(job, lambda text: click.echo(text, nl=False))
    except KeyboardInterrupt:
        click.echo(
            f"\n{job.id} goes on; only the following has ended. {how_to_follow(job, address)}", err=True
        )
        click.echo(f"To cancel it:\n  {command('cancel', job, address)}", err=True)
        raise SystemExit(INTERRUPTED) from None
    click.echo(f"{ended.id}: {ended.status}")
    raise SystemExit(ended.code)


def how_to_follow(job: Job, address: str | None) -> str:
    """The command that shows what the job prints, as a message names it."""
    return f"To follow it:\n  {command('logs', job, address, '--follow')}"


def command(verb: str, job: Job, address: str | None, *options: str) -> str:
    """A command about the run of a job, as it is typed."""
    where = [] if address is None else ["--address", address]
    return show.command("orchestrator", verb, job.run, *options, *where)
