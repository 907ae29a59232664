"""Sweeps on a real Ray cluster, hit by seeded faults and run again until they are finished.

    python tests/support/chaos.py [SEED …]

A history starts ``orchestrator run``, lets one fault after another befall it, repeats the command
whenever that has ended it, and compares the digest of the finished tables with that of an undisturbed
run. What happens, and how many commits later, follows from the history's seed; without seeds, those from
0 to 49 are gone through. Needs root for one fault: only root can mount a disk small enough to be filled.
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
"""Eight packs of up to twenty chunks, and a commit for every one or two of them. No circuits: a history
starts many processes, and each would load Qiskit and compile a kernel."""

HISTORIES = 50
_MOST_FAULTS = 4
_LATEST_COMMIT = 12
_RUN_WITHIN_S = 240.0


@dataclass(frozen=True)
class History:
    """What befalls one run: the names of faults, and how many commits come before each."""

    seed: int
    faults: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, seed: int) -> History:
        """The history of a seed."""
        random = Random(seed)
        count = random.randint(1, _MOST_FAULTS)
        faults = ((random.choice([*FAULTS]), random.randint(0, _LATEST_COMMIT)) for _ in range(count))
        return cls(seed, tuple(faults))

    def __str__(self) -> str:
        return f"seed {self.seed}: " + " ".join(f"{name}+{commits}" for name, commits in self.faults)


@dataclass
class Chaos:
    """A cluster, a sweep file and the digest that every history must come to.

    Attributes:
        struck: how often each fault found something to strike.
    """

    nodes: Nodes
    folder: Path
    expected: str
    struck: Counter[str] = field(default_factory=Counter)

    def live(self, history: History) -> None:
        """Goes through a history; raises AssertionError with what the commands printed if it ends badly."""
        random = Random(f"moments of {history.seed}")
        with tempfile.TemporaryDirectory(dir=self.folder) as place, disk(Path(place)):
            scene = Scene(Path(place) / "run", self.nodes, random, self._command(Path(place) / "run"))
            try:
                for name, commits in history.faults:
                    self.struck[name] += FAULTS[name](scene, commits)
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
        assert digest(run).total == self.expected, "other bits"  # of repeatable trials; no digest has others


@contextmanager
def chaos() -> Iterator[Chaos]:
    """A cluster of two nodes, and the undisturbed run."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as place:
        folder = Path(place)
        os.environ |= _environment(folder)
        (folder / "chaos.yaml").write_text(SWEEP)
        undisturbed = folder / "undisturbed"
        orchestrator.run(folder / "chaos.yaml", undisturbed, where=orchestrator.Where(inline=True))
        with Nodes.up() as nodes:
            yield Chaos(nodes, folder, digest(orchestrator.open_run(undisturbed)).total)


def _environment(folder: Path) -> dict[str, str]:
    """Keeps this cluster's word to itself, and its token out of the home folder."""
    token = secrets.token_hex(16)
    return {
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
    }


@contextmanager
def disk(place: Path) -> Iterator[None]:
    """A file system of 64 MiB at ``place``, for root; else ``place`` as it is."""
    if os.geteuid():
        yield
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def go_through(world: Chaos, seed: int) -> bool:
    """Prints what befalls the run of this seed, and whether it ended well."""
    history, begun, end = History.of(seed), time.monotonic(), "same bits"
    try:
        world.live(history)
    except Exception as error:
        end = "\n".join(["failed", *error.__notes__, repr(error)])
    print(f"{history}: {time.monotonic() - begun:.0f} s, {end}", flush=True)
    return end == "same bits"


def main() -> None:
    """Goes through the histories of the seeds on the command line."""
    seeds, started = [int(word) for word in sys.argv[1:]] or list(range(HISTORIES)), time.monotonic()
    if os.geteuid():
        print("not root: no disk is filled")
    with chaos() as world:
        failed = [seed for seed in seeds if not go_through(world, seed)]
    struck = ", ".join(f"{name} {count}" for name, count in sorted(world.struck.items()))
    print(f"{len(seeds)} histories in {time.monotonic() - started:.0f} s; struck: {struck}")
    sys.exit(f"failed: {failed}" if failed else 0)


if __name__ == "__main__":
    main()
