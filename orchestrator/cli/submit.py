"""``orchestrator submit``: runs a sweep as a job on a Ray cluster."""

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
from orchestrator.cli.plan_notes import warn
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
    help="Where to store the run, e.g. s3://bucket/runs/depth.",
)
@click.option(
    "--leave-on-head", is_flag=True, help="Let --out be a folder on the head node, lost with the cluster."
)
@click.option(
    "--pip", is_flag=True, help="Send this package; Ray installs its dependencies in the versions used here."
)
@workers
@overrides
@trust
@click.option("--mixed-versions", is_flag=True, help="Resume a run that other versions began.")
@click.option("--follow", is_flag=True, help="Print the job's output until it ends; exit with its code.")
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
    """Run a sweep as a job on a Ray cluster.

    The local files that the sweep names are sent along. Once the job has ended, the same command submits a
    new job that completes the run; until then it submits none. With --follow, the exit code is that of the
    job, 143 if it was cancelled. Ctrl-C ends this command; the job keeps running.

    \b
    Example:
      orchestrator submit jobs/quickstart.yaml --address http://HEAD:8265 --out s3://bucket/runs/quick
      orchestrator submit my.yaml --out /data/my --leave-on-head   # cluster on this machine
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
    click.echo(f"{'submitted' if new else 'already submitted:'} {job.id} on {jobs.url}")
    if not is_uri(out):
        click.echo(_how_to_copy(jobs.host, out))
    if follow:
        following.follow(jobs, job, address)
    click.echo(following.how_to_follow(job, address))


def _command(
    shipped: Shipment, out: str, workers: int | None, mixed_versions: bool, packages: Iterable[str]
) -> list[str]:
    """Returns the command of the job.

    It names trusted packages only: trusted folders are part of the shipment, and are trusted there.
    """
    from orchestrator.sweep.shipment import ROOT

    command = ["python", "-m", "orchestrator", "run", shipped.sweep, "--shipped", ROOT, "--out", out]
    command += [f"--workers={workers}"] if workers else []
    command += ["--mixed-versions"] if mixed_versions else []
    return command + [f"--trust={package}" for package in packages]


def _check_out(out: str, leave_on_head: bool) -> None:
    """Raises InputError if ``out`` is a folder that would be lost with the cluster or the job."""
    if is_uri(out):
        return
    if not leave_on_head:
        raise InputError.at(
            "--out",
            f"is {out}, a folder on the head node that would be lost with the cluster; name an object store "
            "(s3://…), or give --leave-on-head and copy the run before the cluster ends",
        )
    if not Path(out).is_absolute():
        raise InputError.at(
            "--out", f"is {out}, must be an absolute path on the head node: a job's own folder is temporary"
        )


def _check_packages(jobs: Jobs, pip: bool) -> None:
    """Raises FleetError if the cluster lacks packages, unless Ray is to install them."""
    if pip:
        return
    from orchestrator.fleet.packages import probe_cluster

    click.echo(f"asking {jobs.url} which packages it has …", err=True)
    found = probe_cluster(jobs)
    if found.missing:
        raise FleetError(
            f"the cluster at {jobs.url} lacks {', '.join(found.missing)}; install that there, or give --pip"
        )
    if found.others:
        others = ", ".join(f"{name} {theirs} (here {ours})" for name, (theirs, ours) in found.others.items())
        click.echo(f"the cluster has {others}; --pip installs the versions of this machine", err=True)


def _start(
    jobs: Jobs, run: str, out: str, shipped: Shipment, command: list[str], pip: bool
) -> tuple[Job, bool]:
    from orchestrator.fleet.jobs import STOP_WAIT_S
    from orchestrator.fleet.packages import pins, source

    resume = "the same `orchestrator submit` command"
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S), "ORCHESTRATOR_AGAIN": resume}
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
    return f"the run is kept on the head node only; before the cluster ends, copy it:\n  {copy}"
