"""``orchestrator submit``: a sweep as a job on a Ray cluster."""

from __future__ import annotations

import hashlib
import shlex
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.addresses import is_uri
from orchestrator.cli import following, show
from orchestrator.cli.options import cluster_address, overrides, sweep_file, trust, without_secrets, workers
from orchestrator.cli.plans import warn
from orchestrator.errors import FleetError, InputError

if TYPE_CHECKING:
    from orchestrator.fleet.jobs import Job, Jobs
    from orchestrator.sweep.shipment import Shipment


@click.command()
@sweep_file
@cluster_address
@click.option(
    "--out",
    required=True,
    metavar="URI",
    callback=without_secrets,
    help="Where the run is to be kept, e.g. s3://bucket/runs/depth.",
)
@click.option(
    "--leave-on-head", is_flag=True, help="Let --out be a folder on the cluster's head, and go with it."
)
@click.option(
    "--pip", is_flag=True, help="Send this package along; let Ray install what it needs, as it is here."
)
@workers
@overrides
@trust
@click.option("--mixed-versions", is_flag=True, help="Go on with a run that other versions began.")
@click.option("--follow", is_flag=True, help="Show what the job prints until it ends; exit as it does.")
def submit(
    sweep: Path,
    address: str | None,
    out: str,
    leave_on_head: bool,
    pip: bool,
    workers: int | None,
    overrides: tuple[str, ...],
    trust: tuple[str, ...],
    mixed_versions: bool,
    follow: bool,
) -> None:
    """Run a sweep as a job on a Ray cluster, with the local files that it names.

    Submitted twice, it is one job; when that has ended, a new one completes the run. With --follow the exit
    code is the job's, 143 if it was cancelled. Ctrl-C ends the following; the job goes on.

    \b
    Example:
      orchestrator submit jobs/quickstart.yaml --address http://HEAD:8265 --out s3://bucket/runs/quick
      orchestrator submit my.yaml --out /data/my --leave-on-head   # on the cluster that runs here
    """
    _check_out(out, leave_on_head)
    from orchestrator import user_code
    from orchestrator.sweep.file import load
    from orchestrator.sweep.shipment import shipment

    planned = load(sweep, overrides, trust=trust)
    warn(planned.plan)
    shipped = shipment(planned, sweep.name)
    from orchestrator.fleet.jobs import Jobs

    jobs = Jobs(address)
    command = _command(shipped, out, workers, mixed_versions, user_code.trusted().packages)
    job, new = _start(jobs, planned.name, out, shipped, command, pip)
    click.echo(f"{'submitted' if new else 'already there, and not submitted again:'} {job.id} on {jobs.url}")
    if not is_uri(out):
        click.echo(_how_to_copy(jobs.host, out))
    if follow:
        following.follow(jobs, job, address)
    click.echo(following.how_to_follow(job, address))


def _command(
    shipped: Shipment, out: str, workers: int | None, mixed_versions: bool, packages: Iterable[str]
) -> list[str]:
    """What the job runs. The folders that are trusted here are trusted there, as they are in the shipment."""
    from orchestrator.sweep.shipment import ROOT

    command = ["python", "-m", "orchestrator", "run", shipped.sweep, "--shipped", ROOT, "--out", out]
    command += [f"--workers={workers}"] if workers else []
    command += ["--mixed-versions"] if mixed_versions else []
    return command + [f"--trust={package}" for package in packages]


def _check_out(out: str, leave_on_head: bool) -> None:
    """Refuses a place that would be lost."""
    if is_uri(out):
        return
    if not leave_on_head:
        raise InputError.at(
            "--out",
            f"is {out}, a folder that would go with the cluster's head; name an object store (s3://…), "
            "or give --leave-on-head and copy the run before the cluster ends",
        )
    if not Path(out).is_absolute():
        raise InputError.at(
            "--out", f"is {out}, must be an absolute path on the head: a job's own folder is temporary"
        )


def _check_packages(jobs: Jobs, pip: bool) -> None:
    """Refuses a cluster that lacks packages, unless Ray is to install them."""
    if pip:
        return
    from orchestrator.fleet.packages import probe_cluster

    click.echo(f"asking {jobs.url} which packages it has …", err=True)
    found = probe_cluster(jobs)
    if found.missing:
        raise FleetError(
            f"the cluster at {jobs.url} lacks {', '.join(found.missing)}; install it there, or give --pip"
        )
    if found.others:
        others = ", ".join(f"{name} {there} (here {here})" for name, (there, here) in found.others.items())
        click.echo(f"the cluster computes with {others}; --pip takes the versions of this machine", err=True)


def _start(
    jobs: Jobs, run: str, out: str, shipped: Shipment, command: list[str], pip: bool
) -> tuple[Job, bool]:
    from orchestrator.fleet.jobs import STOP_WAIT_S
    from orchestrator.fleet.packages import pins, source

    again = "orchestrator submit, as before"
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S), "ORCHESTRATOR_AGAIN": again}
    environment: dict[str, Any] = {"env_vars": variables} | ({"pip": pins()} if pip else {})
    name = f"{run}-{hashlib.sha256(f'{shipped.fingerprint} {out}'.encode()).hexdigest()[:12]}"
    if living := jobs.living(name):
        return living, False
    _check_packages(jobs, pip)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, f"{name}.zip")
        shipped.write(archive, source() if pip else {})
        return jobs.submit(
            name, run, out, f"exec {shlex.join(command)}", {**environment, "working_dir": str(archive)}
        )


def _how_to_copy(host: str, out: str) -> str:
    if host in ("localhost", "127.0.0.1", "::1"):
        return f"the run is kept in {out} on this machine"
    copy = show.command("scp", "-r", f"{host}:{out}", ".")
    return f"the run is kept on the head only; before the cluster ends:\n  {copy}"
