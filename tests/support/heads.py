"""Ray clusters for single tests, started with ``ray start``."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from paths import ROOT
from waiting import end, until

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
END_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Runs a command that Linux ends once its parent has ended, so an interrupted test leaves no cluster."""

PORTS = ("port", "ray-client-server-port", "dashboard-agent-listen-port", "dashboard-port")


@dataclass(frozen=True)
class Head:
    """A cluster started with ``ray start``."""

    port: int
    dashboard_port: int
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.dashboard_port}"

    def offers_jobs(self) -> bool:
        """Whether the dashboard answers, even with an HTTP error."""
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            urllib.request.urlopen(f"{self.dashboard}/api/version", timeout=5.0).close()
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            return False
        return True

    def answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            return (self.folder / "ray" / "ray_current_cluster").exists()
        return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a fresh user whose Ray keeps its files in ``folder``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**kept, "HOME": str(folder), "RAY_TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0", **more}


@contextmanager
def started(dashboard: bool = False, **variables: str) -> Iterator[Head]:
    """A cluster of two CPUs, stopped at the end together with its child processes.

    Its jobs find this Python, and this checkout of the package.
    """
    ports = {name: free_port() for name in PORTS}
    options = [f"--{name}={port}" for name, port in ports.items()]
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--num-cpus=2"]
        if sys.platform == "linux":
            command = [sys.executable, "-c", END_WITH_PARENT, *command]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, f"--include-dashboard={str(dashboard).lower()}", *options],
                env=environment(Path(folder), PATH=PATH, PYTHONPATH=str(ROOT), **variables),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield Head(ports["port"], ports["dashboard-port"], Path(folder), process)
        finally:
            end(process)


@pytest.fixture(scope="session")
def heads() -> Iterator[dict[str, Head]]:
    """A cluster that requires the token of these tests, and one that requires none; both accept jobs."""
    with (
        started(
            dashboard=True, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=os.environ["RAY_AUTH_TOKEN"]
        ) as closed_head,
        started(dashboard=True, RAY_AUTH_MODE="disabled") as open_head,
    ):
        until(closed_head.offers_jobs)
        until(open_head.offers_jobs)
        yield {"closed": closed_head, "open": open_head}
