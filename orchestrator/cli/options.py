"""Arguments and options that several verbs share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.addresses import RAY_TOKEN_VARIABLE, refusal
from orchestrator.errors import FleetError, InputError

if TYPE_CHECKING:
    from orchestrator.fleet.jobs import Job, Jobs

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def without_secrets(_: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Callback of a parameter that takes an address. Raises InputError if the address holds a secret."""
    variables = RAY_TOKEN_VARIABLE if parameter.name == "address" else ""
    if value is not None and (reason := refusal(value, variables)):
        name = parameter.metavar if isinstance(parameter, click.Argument) else parameter.opts[0]
        raise InputError.at(name or "", reason)
    return value


sweep_file: Decorator = click.argument(
    "sweep", type=click.Path(path_type=Path), metavar="SWEEP", callback=without_secrets
)
run_folder: Decorator = click.argument("run", type=click.Path(), metavar="RUN", callback=without_secrets)
run_name: Decorator = click.argument("run", metavar="RUN", callback=without_secrets)
cluster_address: Decorator = click.option(
    "--address",
    callback=without_secrets,
    help="Ray cluster: http://HEAD:8265 (its dashboard) or HEAD:6379.  [default: the one running here]",
)
workers: Decorator = click.option(
    "--workers",
    type=click.IntRange(1, 100_000),
    help="Number of Ray workers.  [default: as many as Ray has room for, each with placement.threads CPUs]",
)
overrides: Decorator = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a key of the sweep file, e.g. base.steps=10. May be repeated.",
)
trust: Decorator = click.option(
    "--trust",
    multiple=True,
    metavar="PACKAGE|FOLDER",
    help="Let the sweep call code in this package (on Python's path) or folder (./circuits), besides its own "
    "folder. May be repeated; ORCHESTRATOR_TRUST adds more, separated by commas.",
)


def newest_job(run: str, address: str | None) -> tuple[Jobs, Job]:
    """Returns the jobs of a cluster and the newest job of RUN, the name of a sweep or the id of a job.

    Raises:
        FleetError: no such cluster or job. Without an address, RUN may have been meant as a directory, so
            the message says where that was looked for.
    """
    from orchestrator.fleet.jobs import Jobs

    try:
        jobs = Jobs(address)
        return jobs, jobs.newest(run)
    except FleetError as error:
        if address is not None:
            raise
        raise FleetError(
            f"{run!r} is neither a directory in {Path.cwd()} nor a job on a cluster: {error}"
        ) from None


def is_run_folder(run: str, address: str | None) -> bool:
    """Whether RUN is a local directory or a URI, and not a name on a cluster."""
    # pathlib raises where a name is longer than a file system takes
    return address is None and ("/" in run or os.path.isdir(run))  # noqa: PTH112
