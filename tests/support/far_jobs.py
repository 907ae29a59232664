"""A fake of Ray's job client: jobs of a cluster that does not exist, for tests of verbs."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

URL = "http://far:8265"


def details(identity: str, run: str, status: str, started_s: float, **more: Any) -> Any:
    """A job as Ray describes it; its times are in milliseconds."""
    ended_s, code = more.get("ended_s"), more.get("code")
    return SimpleNamespace(
        submission_id=identity,
        metadata={"orchestrator_run": run, "orchestrator_out": more.get("out", f"s3://bucket/{run}")},
        status=SimpleNamespace(value=status),
        message=more.get("message", ""),
        driver_exit_code=code,
        start_time=int(started_s * 1000),
        end_time=None if ended_s is None else int(ended_s * 1000),
    )


@dataclass
class Client:
    """Replaces ``ray.job_submission.JobSubmissionClient``.

    Attributes:
        jobs: the jobs, by submission id.
        printed: the output of each job, by submission id.
        stopped: ids of the jobs that were stopped.
        started: arguments of each submission, and ``members``, the names of the files sent along.
    """

    jobs: dict[str, Any] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    started: list[dict[str, Any]] = field(default_factory=list)

    def list_jobs(self) -> list[Any]:
        return list(self.jobs.values())

    def get_job_info(self, identity: str) -> Any:
        return self.jobs[identity]

    def get_job_logs(self, identity: str) -> str:
        return self.printed.get(identity, "")

    async def tail_job_logs(self, identity: str) -> Any:
        yield self.printed.get(identity, "")

    def stop_job(self, identity: str) -> None:
        self.stopped.append(identity)
        self.jobs[identity].status.value = "STOPPED"

    def submit_job(self, **options: Any) -> None:
        archive = options["runtime_env"].get("working_dir")
        self.started.append({**options, "members": zipfile.ZipFile(archive).namelist() if archive else []})
        run = options["metadata"].get("orchestrator_run", "")
        self.jobs[options["submission_id"]] = details(options["submission_id"], run, "RUNNING", 1000.0)

    def add(self, *jobs: Any) -> None:
        self.jobs |= {job.submission_id: job for job in jobs}


def far_cluster(monkeypatch: pytest.MonkeyPatch) -> Client:
    """Makes every address that of one cluster, and returns its client."""
    client = Client()
    monkeypatch.setattr("orchestrator.fleet.jobs.JobSubmissionClient", lambda _: client)
    monkeypatch.setattr("orchestrator.fleet.jobs.dashboard", lambda *_: URL)
    monkeypatch.setattr("orchestrator.fleet.jobs.send_token", lambda: None)
    return client
