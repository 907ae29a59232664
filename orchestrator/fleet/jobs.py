"""Jobs on a Ray cluster, over the Jobs API of its dashboard; from any machine that can reach it."""

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
from orchestrator.fleet.cluster import TOKEN_WANTED, environment, send_token
from orchestrator.fleet.dashboard import cluster_address, dashboard, reason

STOP_WAIT_S = 600
"""How long a job that is stopped may take to commit; Ray would kill it after three seconds."""

_RUN, _OUT = "orchestrator_run", "orchestrator_out"
_POLL_S = 0.5
_START_S = 60.0
_STOPPED = 143
_NO_AGENT = (
    "the agent of its head has not come up; if another Ray runs on that machine, give `ray start` "
    "a free port with --dashboard-agent-listen-port"
)
_ADDRESSES = {"RAY_API_SERVER_ADDRESS": None, "RAY_ADDRESS": None}
"""Ray would let these override the address that it is given."""

for _module in (ray.dashboard.modules.dashboard_sdk, ray.dashboard.modules.job.sdk):
    logging.getLogger(_module.__name__).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Job:
    """A job as the cluster knows it.

    Attributes:
        id: its submission id.
        run: name of the sweep.
        out: its run directory.
        status: pending, running, succeeded, failed or stopped.
        message: Ray's, on one line.
        exit_code: of its command, as far as it is known.
        started_at: seconds since 1970.
        ended_at: likewise; None while it goes on.
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
        """Whether it waits or runs."""
        return self.status in ("pending", "running")

    @property
    def code(self) -> int:
        """The exit code that stands for how it ended."""
        if self.status == "stopped":
            return _STOPPED
        return 0 if self.status == "succeeded" else self.exit_code or 1


class Jobs:
    """The jobs of a cluster.

    Args:
        address: of the cluster: ``http://HEAD:8265`` of its dashboard, or ``HEAD:6379`` as ``ray start``
            prints it; None or ``auto``: RAY_API_SERVER_ADDRESS, RAY_ADDRESS, the cluster that runs here.

    Attributes:
        url: of the dashboard.

    Raises:
        FleetError: no cluster there, it has no Jobs API, or it refuses us.
    """

    def __init__(self, address: str | None) -> None:
        send_token()
        self.url = dashboard(cluster_address(address))
        with self._explained(), environment(_ADDRESSES):
            self._client = JobSubmissionClient(self.url)

    @property
    def host(self) -> str:
        """The machine that the dashboard runs on, the cluster's head."""
        return urlsplit(self.url).hostname or ""

    def submit(
        self, name: str, run: str, out: str, command: str, runtime_env: Mapping[str, Any]
    ) -> tuple[Job, bool]:
        """Starts a job, unless it is there already.

        Args:
            name: what the job is; its submission id, with ``-2``, ``-3`` … for a successor of an ended one.
            command: run by a shell on the head, in the runtime environment.

        Returns:
            The job, and whether it is new.
        """
        if living := self.living(name):
            return living, False
        former = self._generations(name)
        number = max(former, default=0) + 1
        identity = name if number == 1 else f"{name}-{number}"
        try:
            self._start(identity, command, runtime_env, {_RUN: run, _OUT: out})
        except FleetError as error:  # somebody else was faster
            if "already exists" not in str(error):
                raise
            return self.job(identity), False
        return self.job(identity), True

    def living(self, name: str) -> Job | None:
        """The job of this name, or its newest successor, if it has not ended."""
        former = self._generations(name)
        return former[max(former)] if former and former[max(former)].alive else None

    def _generations(self, name: str) -> dict[int, Job]:
        """The job of a name and its successors, by number."""
        found = {job: re.fullmatch(re.escape(name) + r"(?:-([0-9]+))?", job.id) for job in self.jobs()}
        return {int(match[1] or 1): job for job, match in found.items() if match}

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
            except FleetError as error:  # a cluster that has just been started
                if "No available agent" not in str(error):
                    raise
                if time.monotonic() > deadline:
                    raise FleetError(f"the Ray cluster at {self.url} takes no jobs: {_NO_AGENT}") from None
            time.sleep(_POLL_S)

    def jobs(self) -> list[Job]:
        """The jobs that came from ``submit``, in the order in which they started."""
        with self._explained():
            found = self._client.list_jobs()
        jobs = [_job(details) for details in found if _RUN in (details.metadata or {})]
        return sorted(jobs, key=lambda job: job.started_at)

    def job(self, identity: str) -> Job:
        """The job of this submission id, as it is now."""
        with self._explained():
            return _job(self._client.get_job_info(identity))

    def newest(self, run: str) -> Job:
        """The newest job of a run, by the name of its sweep or by a submission id.

        Raises:
            FleetError: there is none.
        """
        jobs = self.jobs()
        if found := [job for job in jobs if run in (job.run, job.id)]:
            return found[-1]
        known = ", ".join(sorted({job.run for job in jobs})) or "none"
        raise FleetError(f"no job of a run {run!r} on the cluster at {self.url} (there are: {known})")

    def logs(self, job: Job) -> str:
        """What the job has printed so far."""
        with self._explained():
            return self._client.get_job_logs(job.id)

    def follow(self, job: Job, say: Callable[[str], None]) -> Job:
        """Hands on what the job prints until it ends; returns it as it is then."""

        async def tail() -> None:
            async for lines in self._client.tail_job_logs(job.id):
                say(lines)

        with self._explained(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the way in which Ray calls aiohttp
            asyncio.run(tail())
        return self.ended(job)

    def stop(self, job: Job) -> Job:
        """Sends the job SIGTERM and waits for its end."""
        with self._explained():
            self._client.stop_job(job.id)
        return self.ended(job)

    def ended(self, job: Job, within_s: float = STOP_WAIT_S + 10) -> Job:
        """Waits for the end of a job; returns it as it is then.

        Raises:
            FleetError: it has not ended in this time.
        """
        deadline = time.monotonic() + within_s
        while (now := self.job(job.id)).alive:
            if time.monotonic() > deadline:
                raise FleetError(f"{job.id} is still {now.status} after {within_s:.0f} s; `logs` shows why")
            time.sleep(_POLL_S)
        return now

    def ask(self, name: str, command: str, within_s: float) -> str:
        """Runs a short command on the head, forgets the job and returns what it printed."""
        identity = f"{name}-{os.urandom(6).hex()}"
        self._start(identity, command, {}, {})
        job = self.ended(self.job(identity), within_s)
        printed = self.logs(job)
        with self._explained():
            self._client.delete_job(identity)
        return printed

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What the client raises, in one line with the way out."""
        try:
            yield
        except AuthenticationError:
            raise FleetError(f"the Ray cluster at {self.url} refuses us: {TOKEN_WANTED}") from None
        except OSError as error:  # those of requests and aiohttp are, too
            raise FleetError(
                f"the Ray cluster at {self.url} does not answer: {reason(error)}; is it still there?"
            ) from None
        except (RuntimeError, ValueError) as error:
            raise FleetError(f"the Ray cluster at {self.url} says: {_last_line(error)}") from None


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
    """The gist of an error that may carry the traceback of another machine."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(' ."')]
    return lines[-1][:500] if lines else type(error).__name__
