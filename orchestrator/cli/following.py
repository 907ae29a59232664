"""Prints the output of a job until the job ends or the user presses Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click

from orchestrator.cli import show

if TYPE_CHECKING:
    from orchestrator.fleet.jobs import Job, Jobs

INTERRUPTED = 130


def follow(jobs: Jobs, job: Job, address: str | None) -> NoReturn:
    """Prints the output of a job until the job ends; exits with the code of the job.

    Ctrl-C ends this process, not the job. A message then names the commands that follow and cancel the job.

    Args:
        address: address of the cluster as the user gave it, if any.
    """
    try:
        ended = jobs.follow(job, lambda text: click.echo(text, nl=False))
    except KeyboardInterrupt:
        click.echo(
            f"\n{job.id} keeps running; only its output has stopped here. {how_to_follow(job, address)}",
            err=True,
        )
        click.echo(f"To cancel it:\n  {command('cancel', job, address)}", err=True)
        raise SystemExit(INTERRUPTED) from None
    click.echo(f"{ended.id}: {ended.status}")
    raise SystemExit(ended.code)


def how_to_follow(job: Job, address: str | None) -> str:
    """Returns the sentence that names the command which prints the job's output."""
    return f"To follow it:\n  {command('logs', job, address, '--follow')}"


def command(verb: str, job: Job, address: str | None, *options: str) -> str:
    """Returns a command line about the run of a job."""
    where = [] if address is None else ["--address", address]
    return show.command("orchestrator", verb, job.run, *options, *where)
