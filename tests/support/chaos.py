"""Runs sweeps on a real Ray cluster under seeded faults, again and again until they are finished.

    python tests/support/chaos.py [SEED …]

A history starts ``orchestrator run``, injects one fault after another, and repeats the command whenever a
fault has ended it. Then it compares the digest of the finished tables with that of an undisturbed run. The
history's seed determines the faults, and the number of commits before each. Without seeds, it runs those from
0 to 49. One fault needs root: only root can mount a disk small enough to be filled.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from faults import FAULTS, Nodes, Scene

import orchestrator
from orchestrator.runs.digest import digest

SWEEP = """\
name: chaos
base:
  data: {source: parity, bits: 4, scale: none}
  model: {kind: mlp, hidden: [3], activation: relu}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{clip: norm, limit: 0.5}, {optimizer: adam, learning_rate: 0.01}]
  batch: {size: 8, shards: 2}
  steps: 100
  record: {every: 5, histogram: true, parameters: final}
sweep:
  - cases:
      adam: {}
      momentum: {updates.1: {optimizer: momentum, learning_rate: 0.1}}
      probe: {mode: probe, updates: []}
      diverging: {updates: [{optimizer: sgd, learning_rate: 1e+308}]}
  - seed: {range: 4}
placement: {pack: 2, chunk_steps: 5, commit_seconds: 0}
"""
"""Eight packs of up to twenty chunks, and a commit for every one or two chunks. No circuits: a history
starts many processes, and each would load Qiskit and compile a kernel."""

HISTORIES = 50
_MOST_FAULTS = 4
_LATEST_COMMIT = 12
_RUN_WITHIN_S = 240.0


@dataclass(frozen=True)
class History:
    """The faults of one run: their names, and the number of commits before each."""

    seed: int
    faults: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, seed: int) -> History:
        """Draws the history of a seed."""
        random = Random(seed)
        count = random.randint(1, _MOST_FAULTS)
        faults = ((random.choice([*FAULTS]), random.randint(0, _LATEST_COMMIT)) for _ in range(count))
        return cls(seed, tuple(faults))

    def __str__(self) -> str:
        return f"seed {self.seed}: " + " ".join(f"{name}+{commits}" for name, commits in self.faults)


@dataclass
class Chaos:
    """A cluster, a sweep file and the digest that every history must reach.

    Attributes:
        injected: how often each fault could be injected.
    """

    nodes: Nodes
    folder: Path
    expected: str
    injected: Counter[str] = field(default_factory=Counter)

    def run(self, history: History) -> None:
        """Runs a history; raises AssertionError with the output of the commands if it ends badly."""
        random = Random(f"moments of {history.seed}")
        with tempfile.TemporaryDirectory(dir=self.folder) as folder, disk(Path(folder)):
            scene = Scene(Path(folder) / "run", self.nodes, random, self._command(Path(folder) / "run"))
            try:
                for name, commits in history.faults:
                    self.injected[name] += FAULTS[name](scene, commits)
                scene.finish(_RUN_WITHIN_S)
                self._compare(scene.out)
            except BaseException as error:
                error.add_note("\n".join(scene.printed))
                raise
            finally:
                scene.clear()

    def _command(self, out: Path) -> list[str]:
        sweep = str(self.folder / "chaos.yaml")
        options = ["--out", str(out), "--address", self.nodes.address]
        return [sys.executable, "-m", "orchestrator", "run", sweep, *options]

    def _compare(self, out: Path) -> None:
        run = orchestrator.open_run(out)
        assert run.finished
        assert set(run.trials["status"].to_pylist()) == {"done", "diverged"}, "a trial has failed"
        assert digest(run).total == self.expected, "other bits"  # the digest covers repeatable trials only


@contextmanager
def chaos() -> Iterator[Chaos]:
    """A cluster of two nodes, and the undisturbed run."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        os.environ |= _environment(folder)
        (folder / "chaos.yaml").write_text(SWEEP)
        undisturbed = folder / "undisturbed"
        orchestrator.run(folder / "chaos.yaml", undisturbed, where=orchestrator.Where(inline=True))
        with Nodes.up() as nodes:
            yield Chaos(nodes, folder, digest(orchestrator.open_run(undisturbed)).total)


def _environment(folder: Path) -> dict[str, str]:
    """Variables that separate this cluster from others, and keep its token out of the home folder."""
    token = secrets.token_hex(16)
    return {
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
    }


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """Mounts a file system of 64 MiB at ``folder``, if root; else leaves ``folder`` as it is."""
    if os.geteuid():
        yield
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def run_history(world: Chaos, seed: int) -> bool:
    """Runs the history of a seed and prints it; returns whether it ended with the same bits."""
    history, begun, end = History.of(seed), time.monotonic(), "same bits"
    try:
        world.run(history)
    except Exception as error:
        end = "\n".join(["failed", *error.__notes__, repr(error)])
    print(f"{history}: {time.monotonic() - begun:.0f} s, {end}", flush=True)
    return end == "same bits"


def main() -> None:
    """Runs the histories of the seeds on the command line."""
    seeds, started = [int(word) for word in sys.argv[1:]] or list(range(HISTORIES)), time.monotonic()
    if os.geteuid():
        print("not root: the fault that fills a disk is left out")
    with chaos() as world:
        failed = [seed for seed in seeds if not run_history(world, seed)]
    injected = ", ".join(f"{name} {count}" for name, count in sorted(world.injected.items()))
    print(f"{len(seeds)} histories in {time.monotonic() - started:.0f} s; injected: {injected}")
    sys.exit(f"failed: {failed}" if failed else 0)


if __name__ == "__main__":
    main()
