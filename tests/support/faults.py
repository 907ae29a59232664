"""Faults of a running sweep, each a function of the scene and of the number of commits to wait for."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from waiting import end

_MOMENT_S = 0.3
"""Longest delay of a fault after its commit, so that it strikes between two commits or inside one."""

_STARTUP_S = 4.0
"""Longest delay after the start if there is no commit to wait for: inside Ray, the plan or the lock."""

_WITHIN_S = 120.0


@dataclass
class Nodes:
    """A Ray cluster of a head and one more node, one CPU each."""

    cluster: Any
    second: Any

    @classmethod
    @contextmanager
    def up(cls) -> Iterator[Nodes]:
        """Starts the cluster; shuts it down when the context ends."""
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield cls(cluster, cluster.add_node(num_cpus=1))
        finally:
            cluster.shutdown()

    @property
    def address(self) -> str:
        """host:port of the cluster."""
        return str(self.cluster.address)

    def lose_one(self) -> None:
        """Kills the second node with all processes on it; a new node joins."""
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = self.cluster.add_node(num_cpus=1)

    def workers(self) -> list[int]:
        """Returns the process ids of running actors on any node."""
        raylets = {node.all_processes["raylet"][0].process.pid for node in self.cluster.list_all_nodes()}
        return [pid for pid, parent, title in _processes() if parent in raylets and "ray::Worker" in title]


def _processes() -> Iterator[tuple[int, int, str]]:
    """Yields id, parent's id and command line of every process."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            yield int(path.name), parent, (path / "cmdline").read_text()


@dataclass
class Scene:
    """A run directory, the command that fills it, and the process of that command while there is one.

    Attributes:
        printed: output of all processes so far.
    """

    out: Path
    nodes: Nodes
    random: Random
    command: list[str]
    process: subprocess.Popen[Any] | None = None
    printed: list[str] = field(default_factory=list)

    def reach(self, commits: int) -> bool:
        """Starts the command unless it runs; waits for ``commits`` more commits. False if it has ended."""
        if self.process is None:
            self._start()
        first, moment = self._newest(), self.random.uniform(0, _MOMENT_S if commits else _STARTUP_S)
        self.wait(lambda: self.ended or self._newest() >= first + commits)
        deadline = time.monotonic() + moment
        self.wait(lambda: self.ended or time.monotonic() > deadline)
        return not self.ended

    def _start(self) -> None:
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed where its process ends
        self.process = subprocess.Popen(
            self.command, stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True
        )

    @property
    def ended(self) -> bool:
        """Whether the command has ended by itself."""
        return self.process is not None and self.process.poll() is not None

    def has_printed(self, text: str) -> bool:
        """Whether the running command has printed ``text``."""
        return text in os.pread(self._output.fileno(), 1 << 20, 0).decode()

    def wait(self, condition: Callable[[], bool], within_s: float = _WITHIN_S) -> None:
        """Waits for a condition, at most ``within_s`` seconds."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, "it hangs"
            time.sleep(0.002)

    def leave(self, *codes: int, within_s: float = _WITHIN_S) -> None:
        """Waits for the command to end by itself, with one of these exit codes and without a traceback."""
        self.wait(lambda: self.ended, within_s)
        assert self.process
        code, text = self.process.returncode, self._take()
        assert code in codes, f"it ended with {code}, not with one of {codes}"
        assert "Traceback" not in text, "it ended with a traceback"

    def kill(self) -> None:
        """SIGKILL to the driver."""
        assert self.process
        self.process.kill()
        self.process.wait(_WITHIN_S)
        self._take()

    def _take(self) -> str:
        self._output.seek(0)
        with self._output:
            self.printed.append(self._output.read())
        self.process = None
        return self.printed[-1]

    def finish(self, within_s: float) -> None:
        """Runs the command to its end; its exit code must be 0."""
        if self.process is None:
            self._start()
        self.leave(0, within_s=within_s)

    def clear(self) -> None:
        """Ends the process if it still runs."""
        if self.process is not None:
            end(self.process)
            self._take()

    def commits(self) -> list[Path]:
        """Returns the folders of the complete commits, oldest first."""
        return sorted(path.parent for path in self.out.glob("commits/*/complete.json"))

    def _newest(self) -> int:
        return max((int(path.name) for path in self.commits()), default=0)


def worker(scene: Scene, commits: int) -> bool:
    """SIGKILL to a worker; the sweep goes on."""
    scene.reach(commits)
    scene.wait(lambda: scene.ended or bool(scene.nodes.workers()))
    workers = scene.nodes.workers()
    if scene.ended or not workers:
        return _over(scene)
    with suppress(ProcessLookupError):
        os.kill(scene.random.choice(workers), signal.SIGKILL)
    return True


def node(scene: Scene, commits: int) -> bool:
    """A whole node dies, and another joins; the sweep goes on."""
    if not scene.reach(commits):
        return _over(scene)
    scene.nodes.lose_one()
    return True


def driver(scene: Scene, commits: int) -> bool:
    """SIGKILL to the driver."""
    if not scene.reach(commits):
        return _over(scene)
    scene.kill()
    return True


def compaction(scene: Scene, _: int) -> bool:
    """SIGKILL to the driver while it finishes the tables."""
    scene.reach(0)
    scene.wait(lambda: scene.ended or scene.has_printed("finishing the tables"))
    if scene.ended:
        return _over(scene)
    time.sleep(scene.random.uniform(0, 0.15))
    scene.kill()
    return not _has_finished(scene.out)


def _has_finished(out: Path) -> bool:
    """Returns whether a compaction has ended."""
    return (out / "complete.json").exists() and not (out / "commits").exists()


def interrupt(scene: Scene, commits: int) -> bool:
    """SIGINT to the driver, as from Ctrl-C: it commits the work in flight and ends."""
    return _signal(scene, commits, signal.SIGINT)


def terminate(scene: Scene, commits: int) -> bool:
    """SIGTERM to the driver, as from a batch system."""
    return _signal(scene, commits, signal.SIGTERM)


def _signal(scene: Scene, commits: int, number: signal.Signals) -> bool:
    if not scene.reach(commits):
        return _over(scene)
    assert scene.process
    scene.process.send_signal(number)
    scene.leave(0, 128 + number, -number)  # 0: the sweep was done; the last: before or after the sweep itself
    return True


def disk(scene: Scene, commits: int) -> bool:
    """The disk is full until the driver has ended."""
    if os.geteuid():
        return False
    if not scene.reach(commits):
        return _over(scene)
    filler = scene.out.parent / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    scene.leave(0, 2)  # 0: the last rows fitted in the space that the driver itself had freed
    filler.unlink()
    return "No space left" in scene.printed[-1]


def truncate(scene: Scene, commits: int) -> bool:
    """The driver dies, and a file of the newest commit is truncated."""
    return _damage(scene, commits, lambda content: content[: scene.random.randrange(len(content))])


def flip(scene: Scene, commits: int) -> bool:
    """The driver dies, and bits of one byte of the newest commit are flipped."""

    def flipped(content: bytes) -> bytes:
        position, bits = scene.random.randrange(len(content)), scene.random.randrange(1, 256)
        return content[:position] + bytes([content[position] ^ bits]) + content[position + 1 :]

    return _damage(scene, commits, flipped)


def _damage(scene: Scene, commits: int, change: Callable[[bytes], bytes]) -> bool:
    if not scene.reach(commits):
        return _over(scene)
    scene.kill()
    if _has_listed_parts(scene.out) or not scene.commits():
        return False
    victim = scene.random.choice(sorted(scene.commits()[-1].iterdir()))
    victim.write_bytes(change(victim.read_bytes()))
    return True


def _has_listed_parts(out: Path) -> bool:
    """Returns whether the finished tables count already, so that the commits are left-overs."""
    return (out / "complete.json").exists()


def _over(scene: Scene) -> bool:
    """Returns False, as the sweep has finished before the fault."""
    scene.leave(0)
    return False


FAULTS: dict[str, Callable[[Scene, int], bool]] = {
    fault.__name__: fault
    for fault in (worker, node, driver, compaction, interrupt, terminate, disk, truncate, flip)
}
"""Name -> fault; each returns whether it has struck."""
