"""The jobs of a cluster that is not there: what Ray's client would say of them, for verbs to be tried on."""

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
    """In the place of ``ray.job_submission.JobSubmissionClient``.

    Attributes:
        found: the jobs, by submission id.
        printed: what each has printed.
        stopped: ids of the jobs that were stopped.
        started: what jobs were started with, and the files that went along.
    """

    found: dict[str, Any] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    started: list[dict[str, Any]] = field(default_factory=list)

    def list_jobs(self) -> list[Any]:
        return list(self.found.values())

    def get_job_info(self, identity: str) -> Any:
        return self.found[identity]

    def get_job_logs(self, identity: str) -> str:
        return self.printed.get(identity, "")

    async def tail_job_logs(self, identity: str) -> Any:
        yield self.printed.get(identity, "")

    def stop_job(self, identity: str) -> None:
        self.stopped.append(identity)
        self.found[identity].status.value = "STOPPED"

    def submit_job(self, **options: Any) -> None:
        archive = options["runtime_env"].get("working_dir")
        self.started.append({**options, "members": zipfile.ZipFile(archive).namelist() if archive else []})
        run = options["metadata"].get("orchestrator_run", "")
        self.found[options["submission_id"]] = details(options["submission_id"], run, "RUNNING", 1000.0)

    def add(self, *jobs: Any) -> None:
        self.found |= {job.submission_id: job for job in jobs}


def far_cluster(monkeypatch: pytest.MonkeyPatch) -> Client:
    """Lets every address be that of a cluster, whose jobs the client knows."""
    client = Client()
    monkeypatch.setattr("orchestrator.fleet.jobs.JobSubmissionClient", lambda _: client)
    monkeypatch.setattr("orchestrator.fleet.jobs.dashboard", lambda _: URL)
    monkeypatch.setattr("orchestrator.fleet.jobs.send_token", lambda: None)
    return client
