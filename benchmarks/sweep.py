"""Sweeps as a whole: ``python -m benchmarks.sweep [overhead busy shards memory]``. Prints Markdown.

Each measurement has a process and a local Ray of two CPUs of its own, which runs before any clock starts.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import timed, tune
from benchmarks.gradients import machine
from orchestrator.api import Watcher, open_run, run
from orchestrator.driver.driver import Progress
from orchestrator.placing import Where
from orchestrator.reports.query import query

WORKERS = 2
REPEATS = 5
ALL = Where(workers=WORKERS)
NETWORK = """
name: network
base:
  data: {source: breast-cancer, features: 8, scale: none}
  model: {kind: mlp, hidden: [10], activation: relu, output: sigmoid}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{optimizer: sgd, learning_rate: 0.01}]
  batch: {size: 64}
"""
CIRCUIT = """
name: circuit
base:
  data: {source: breast-cancer, features: 4, scale: angle}
  model: {kind: circuit, qubits: 4, layers: 4}
  loss: mse
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 32}
  steps: 20
sweep: [{seed: {range: 10000}}]
"""
PROBE = """
name: probe
base:
  mode: probe
  model: {kind: circuit, qubits: 4, layers: 2}
  loss: expectation
  gradient: {engine: adjoint}
  batch: {size: 1}
  steps: 1
"""
LARGE = """
name: large
base:
  data: {source: breast-cancer, features: 12, scale: angle}
  model: {kind: circuit, qubits: 12, layers: 4}
  loss: mse
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 256, shards: 2}
  steps: 160
"""
SMALL = NETWORK.replace("network", "small") + "  steps: 4000\n"


class Clock(Watcher):
    """Notes when the last rows came back, and the peak of this process's memory until then."""

    last = peak = 0.0
    _steps = 0

    def advanced(self, progress: Progress) -> None:
        """Something has come back, or nothing for a while."""
        if progress.steps != self._steps:
            self._steps, self.last = progress.steps, time.time()

    def compacting(self) -> None:
        """All trials have ended."""
        self.peak = peak_mib()


def peak_mib() -> float:
    """The peak of this process's memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sweep(text: str, folder: Path, where: Where = ALL) -> tuple[float, float, float]:
    """Runs a sweep file.

    Returns:
        Seconds of the whole call; of it those after the first trial had been started; and from there until
        the last rows had come back.
    """
    file, clock = folder / "sweep.yaml", Clock()
    file.write_text(text)
    begun = time.time()
    result = run(file, folder / "run", where=where, watcher=clock)
    ended = time.time()
    if result.exit_code or not result.finished:
        raise SystemExit(f"the sweep failed: {result}")
    ((moment,),) = query(open_run(folder / "run"), "select min(started_at) from trials").rows
    first = datetime.fromisoformat(moment).timestamp()
    return ended - begun, ended - first, clock.last - first


def overhead(folder: Path, trials: int = 1000) -> str:
    """Trials per second beside Ray Tune's; ours are measured again and again, as they take no minute."""
    text = NETWORK + f"  steps: {tune.STEPS}\nsweep: [{{seed: {{range: {trials}}}}}]\n"
    peers: dict[str, tuple[float, float]] = {}
    own: list[tuple[float, float]] = []

    def measure_twice() -> None:
        own.extend(_alone(_connected, _own, text, folder / f"run {len(own) + k}") for k in range(2))

    for name, kept in {"Ray Tune": True, "Ray Tune, nothing kept": False}.items():
        measure_twice()
        peers[name] = _alone(_connected, tune.seconds, trials, folder / name, kept)
    measure_twice()
    middle = tuple(statistics.median(seconds) for seconds in zip(*own, strict=True))
    lines = ["| | whole call, s | from the first trial's start, s | trials/s |", "|---|---|---|---|"]
    for name, (whole, since) in {"orchestrator, median": middle, **peers}.items():
        lines.append(f"| {name} | {whole:.1f} | {since:.2f} | {trials / since:,.0f} |")
    for name, peer in peers.items():
        lines.append(f"| {name} / orchestrator | {peer[0] / middle[0]:.0f} | {peer[1] / middle[1]:.0f} | |")
    each = ", ".join(f"{since:.2f}" for _, since in sorted(own, key=lambda seconds: seconds[1]))
    return (
        f"{trials:,} trials of {tune.STEPS} steps of the 8→10→1 network; ours before, between and after "
        f"the peers, from the first trial's start: {each} s.\n\n" + "\n".join(lines)
    )


def _own(text: str, folder: Path) -> tuple[float, float]:
    folder.mkdir()
    return sweep(text, folder)[:2]


def busy(folder: Path) -> str:
    """How busy workers are, and with what."""
    with timed.calls(folder / "calls"):
        seconds = sweep(CIRCUIT, folder)[2]
    processes = timed.read(folder / "calls")
    every = [call for calls in processes for call in calls]
    later = [call for calls in processes for call in calls[1:]]
    return (
        "10,000 trials of 20 steps (4 qubits, 4 layers, batch 32):\n\n"
        f"- {200_000 / seconds:,.0f} trial-steps/s.\n"
        f"- Workers are busy {timed.share_busy(processes):.1%} of the time from the first pack to the last.\n"
        f"- {1 - timed.share_of_gradients(every):.1%} of their time goes into anything but gradients, "
        f"{1 - timed.share_of_gradients(later):.1%} without their first packs, which are certified."
    )


def shards(folder: Path) -> str:
    """One trial over two workers, and a trial that is too small for that."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    apart: dict[int, list[float]] = {1: [], 2: []}
    for number in range(REPEATS):
        for count in (1, 2):
            place = folder / f"{count} workers {number}"
            place.mkdir()
            sweep(LARGE, place, Where(workers=count))
            seconds[count].append(_warm_seconds(place, count))
            apart[count].append(independent(count))
    shard = statistics.median(seconds[1]) / 60 / 2
    small: dict[str, list[float]] = {"inline": [], "auto": []}
    for number in range(REPEATS):
        for name, where in {"inline": Where(inline=True), "auto": Where()}.items():
            place = folder / f"{name}{number}"
            place.mkdir()
            small[name].append(sweep(SMALL, place, where)[2])
    gain, reachable = (
        factor * statistics.median(times[1]) / statistics.median(times[2])
        for factor, times in ((1, seconds), (2, apart))
    )
    return (
        f"- The last 60 of 160 steps (12 qubits, batch 256, two shards of {1e3 * shard:.0f} ms): "
        f"{_seconds(seconds[1])} s on one worker, {_seconds(seconds[2])} s on two, in turn; by the medians "
        f"{gain:.2f} times as fast. Two independent processes reach {reachable:.2f}, measured in between; "
        f"{gain / reachable:.0%} of that.\n"
        f"- One small trial (the network, 4,000 steps), {REPEATS} times in turn: "
        f"{_seconds(small['inline'])} s inline, {_seconds(small['auto'])} s on Ray with two CPUs."
    )


def _seconds(measured: list[float]) -> str:
    """In ascending order."""
    return ", ".join(f"{seconds:.2f}" for seconds in sorted(measured))


def _warm_seconds(folder: Path, workers: int) -> float:
    """Seconds of the steps for which the helper was there, and had loaded all it needs."""
    elapsed = f"select sum(seconds_wait + seconds_compute / {workers}) from steps where step >= 100"
    ((seconds,),) = query(open_run(folder / "run"), elapsed).rows
    return float(seconds)


def independent(count: int, calls: int = 40) -> float:
    """Seconds that each of ``count`` processes needs for the same gradients, all at once."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(count) as pool:
        pool.map(_gradients, [1] * count, chunksize=1)
        return max(pool.map(_gradients, [calls] * count, chunksize=1))


def _gradients(calls: int) -> float:
    from benchmarks.peers import orchestrator
    from benchmarks.work import Shape, Work

    work = Work.random(Shape(12, 128))
    gradient = orchestrator.build(work, 1)
    gradient(work.parameters)
    begun = time.perf_counter()
    for _ in range(calls):
        gradient(work.parameters)
    return time.perf_counter() - begun


def memory(folder: Path) -> str:
    """Peak memory of the driver and number of files of two sweeps, one ten times as long as the other."""
    lines = [
        "| one-step probes | peak when all have ended, MiB | with the tables | files | s |",
        "|---" * 5 + "|",
    ]
    for trials in (10_000, 100_000):
        before, after, files, seconds = _alone(_connected, _peak, folder, trials)
        lines.append(f"| {trials:,} | {before:.0f} | {after:.0f} | {files} | {seconds:.1f} |")
    return "\n".join(lines)


def _peak(folder: Path, trials: int) -> tuple[float, float, int, float]:
    clock, file, place = Clock(), folder / f"{trials}.yaml", folder / str(trials)
    file.write_text(PROBE + f"sweep: [{{seed: {{range: {trials}}}}}]\n")
    begun = time.time()
    run(file, place, where=ALL, watcher=clock)
    files = sum(entry.is_file() for entry in place.rglob("*"))
    return clock.peak, peak_mib(), files, time.time() - begun


def _connected(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls ``function`` in a process that is connected to a Ray of its own."""
    import ray

    ray.init(
        address="local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
    )
    try:
        return function(*arguments)
    finally:
        ray.shutdown()


def _alone(function: Callable[..., Any], *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as fresh:
        return fresh.apply(function, arguments)


MEASUREMENTS: dict[str, Callable[[Path], str]] = {
    "overhead": overhead,
    "busy": busy,
    "shards": shards,
    "memory": memory,
}


def measure(name: str) -> str:
    """One measurement, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        function = MEASUREMENTS[name]
        own = function in (overhead, memory)
        return function(Path(folder)) if own else _connected(function, Path(folder))


def main() -> None:
    """Measures and prints everything, or what is named."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    os.environ |= {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    }
    print(machine())
    for name in sys.argv[1:] or MEASUREMENTS:
        print(f"\n{_process(name)}", flush=True)


def _process(name: str) -> str:
    """``measure`` in a process that may have children."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(measure, name).result()


if __name__ == "__main__":
    main()
