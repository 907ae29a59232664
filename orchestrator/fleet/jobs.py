"""Jobs on a Ray cluster, through the Jobs API of its dashboard, from any machine that reaches it."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import ray.dashboard.modules.dashboard_sdk
import ray.dashboard.modules.job.sdk
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from orchestrator.errors import FleetError
from orchestrator.fleet.cluster import TOKEN_REQUIRED, environment, send_token
from orchestrator.fleet.dashboard import cluster_address, dashboard, reason
from orchestrator.process import notice_if_slow

STOP_WAIT_S = 600
"""How long a stopped job may take to commit. Ray would kill it after three seconds."""

_RUN, _OUT = "orchestrator_run", "orchestrator_out"
_POLL_S = 0.5
_START_S = 60.0
_STOPPED = 143
_NO_AGENT = (
    "the agent on its head node has not started; if another Ray runs on that machine, give `ray start` "
    "a free port with --dashboard-agent-listen-port"
)
_ADDRESSES = {"RAY_API_SERVER_ADDRESS": None, "RAY_ADDRESS": None}
"""Unset for Ray's client, in which they would override the given address."""

for _module in (ray.dashboard.modules.dashboard_sdk, ray.dashboard.modules.job.sdk):
    logging.getLogger(_module.__name__).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Job:
    """A job as the cluster knows it.

    Attributes:
        id: the submission id.
        run: name of the sweep.
        out: the run directory.
        status: pending, running, succeeded, failed or stopped.
        message: Ray's message, on one line.
        exit_code: exit code of the command; None if unknown.
        started_at: seconds since 1970.
        ended_at: seconds since 1970; None until it has ended.
    """

    id: str
    run: str
    out: str
    status: str
    message: str
    exit_code: int | None
    started_at: float
    ended_at: float | None

    @property
    def alive(self) -> bool:
        """Whether the job is pending or running."""
        return self.status in ("pending", "running")

    @property
    def code(self) -> int:
        """The exit code that reports how the job ended."""
        if self.status == "stopped":
            return _STOPPED
        return 0 if self.status == "succeeded" else self.exit_code or 1


class Jobs:
    """The jobs of a cluster.

    Args:
        address: ``http://HEAD:8265`` of the cluster's dashboard, or ``HEAD:6379`` as ``ray start`` prints
            it; None or ``auto``: RAY_API_SERVER_ADDRESS, else RAY_ADDRESS, else the cluster that runs here.

    Attributes:
        url: URL of the dashboard.

    Raises:
        FleetError: no cluster there, it has no Jobs API, or it refuses this process.
    """

    def __init__(self, address: str | None) -> None:
        send_token()
        chosen, remedy = cluster_address(address)
        with notice_if_slow(f"waiting for the dashboard of the Ray cluster at {chosen}"):
            self.url = dashboard(chosen, remedy)
            with self._explained(), environment(_ADDRESSES):
                self._client = JobSubmissionClient(self.url)

    @property
    def host(self) -> str:
        """The machine of the dashboard: the cluster's head node."""
        return urlsplit(self.url).hostname or ""

    def submit(
        self, name: str, run: str, out: str, command: str, runtime_env: Mapping[str, Any]
    ) -> tuple[Job, bool]:
        """Starts a job, unless it exists already.

        Args:
            name: identifies the job. It is the submission id, with ``-2``, ``-3`` … if jobs of this name have
                ended before.
            command: run by a shell on the head node, in the runtime environment.

        Returns:
            The job, and whether it is new.
        """
        if alive := self.living(name):
            return alive, False
        by_number = self._generations(name)
        number = max(by_number, default=0) + 1
        identity = name if number == 1 else f"{name}-{number}"
        try:
            with notice_if_slow(f"waiting for the Ray cluster at {self.url} to accept the job"):
                self._start(identity, command, runtime_env, {_RUN: run, _OUT: out})
        except FleetError as error:  # another client was faster
            if "already exists" not in str(error):
                raise
            return self.job(identity), False
        return self.job(identity), True

    def living(self, name: str) -> Job | None:
        """Returns the newest job of this name if it has not ended, else None."""
        by_number = self._generations(name)
        return by_number[max(by_number)] if by_number and by_number[max(by_number)].alive else None

    def _generations(self, name: str) -> dict[int, Job]:
        """Returns the jobs of a name by number; the first is number 1."""
        matches = {job: re.fullmatch(re.escape(name) + r"(?:-([0-9]+))?", job.id) for job in self.jobs()}
        return {int(match[1] or 1): job for job, match in matches.items() if match}

    def _start(
        self, identity: str, command: str, runtime_env: Mapping[str, Any], metadata: dict[str, str]
    ) -> None:
        deadline = time.monotonic() + _START_S
        while True:
            try:
                with self._explained():
                    self._client.submit_job(
                        entrypoint=command,
                        submission_id=identity,
                        runtime_env=dict(runtime_env),
                        metadata=metadata,
                    )
                return
            except FleetError as error:  # the cluster has just started
                if "No available agent" not in str(error):
                    raise
                if time.monotonic() > deadline:
                    raise FleetError(f"the Ray cluster at {self.url} accepts no jobs: {_NO_AGENT}") from None
            time.sleep(_POLL_S)

    def jobs(self) -> list[Job]:
        """Returns the jobs that ``submit`` started, in the order of their start."""
        with self._explained():
            listed = self._client.list_jobs()
        jobs = [_job(details) for details in listed if _RUN in (details.metadata or {})]
        return sorted(jobs, key=lambda job: job.started_at)

    def job(self, identity: str) -> Job:
        """Returns the current state of the job of this submission id."""
        with self._explained():
            return _job(self._client.get_job_info(identity))

    def newest(self, run: str) -> Job:
        """Returns the newest job of a run.

        Args:
            run: the name of its sweep, or a submission id.

        Raises:
            FleetError: the run has no job.
        """
        jobs = self.jobs()
        if matching := [job for job in jobs if run in (job.run, job.id)]:
            return matching[-1]
        known = ", ".join(sorted({job.run for job in jobs})) or "none"
        raise FleetError(f"no job of a run {run!r} on the cluster at {self.url} (runs with jobs: {known})")

    def logs(self, job: Job) -> str:
        """Returns the output of the job so far."""
        with self._explained():
            return self._client.get_job_logs(job.id)

    def follow(self, job: Job, write: Callable[[str], None]) -> Job:
        """Passes the output of a job to ``write`` until the job ends; returns its final state."""

        async def tail() -> None:
            output = self._client.tail_job_logs(job.id)
            with notice_if_slow(f"waiting for the first output of {job.id}"):
                write(await anext(output, ""))
            async for lines in output:
                write(lines)

        with self._explained(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Ray calls aiohttp in a deprecated way
            asyncio.run(tail())
        return self.ended(job)

    def stop(self, job: Job) -> Job:
        """Sends the job SIGTERM and waits for its end; returns its final state."""
        with self._explained():
            self._client.stop_job(job.id)
        return self.ended(job)

    def ended(self, job: Job, within_s: float = STOP_WAIT_S + 10) -> Job:
        """Waits for the end of a job; returns its final state.

        Raises:
            FleetError: the job has not ended ``within_s``.
        """
        deadline = time.monotonic() + within_s
        while (now := self.job(job.id)).alive:
            if time.monotonic() > deadline:
                raise FleetError(f"{job.id} is still {now.status} after {within_s:.0f} s; `logs` shows why")
            time.sleep(_POLL_S)
        return now

    def ask(self, name: str, command: str, within_s: float) -> str:
        """Runs a short command on the head node, deletes its job and returns its output."""
        identity = f"{name}-{os.urandom(6).hex()}"
        self._start(identity, command, {}, {})
        job = self.ended(self.job(identity), within_s)
        output = self.logs(job)
        with self._explained():
            self._client.delete_job(identity)
        return output

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns exceptions of the client into a FleetError of one line that says what to do."""
        try:
            yield
        except AuthenticationError:
            raise FleetError(f"the Ray cluster at {self.url} refuses us: {TOKEN_REQUIRED}") from None
        except OSError as error:  # includes those of requests and aiohttp
            raise FleetError(
                f"the Ray cluster at {self.url} does not answer: {reason(error)}; is it still running?"
            ) from None
        except (RuntimeError, ValueError) as error:
            raise FleetError(f"the Ray cluster at {self.url} reports: {_last_line(error)}") from None


def _job(details: Any) -> Job:
    metadata = details.metadata or {}
    return Job(
        id=details.submission_id,
        run=metadata.get(_RUN, ""),
        out=metadata.get(_OUT, ""),
        status=str(details.status.value).lower(),
        message=" ".join((details.message or "").split())[:500],
        exit_code=details.driver_exit_code,
        started_at=(details.start_time or 0) / 1000,
        ended_at=details.end_time / 1000 if details.end_time else None,
    )


def _last_line(error: BaseException) -> str:
    """Returns the last line of an error, which may hold the traceback of another machine."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(' ."')]
    return lines[-1][:500] if lines else type(error).__name__
