"""Whole sweeps: ``python -m benchmarks.sweep [--small] [overhead busy shards memory]``. Prints Markdown.

Each measurement has its own process and its own local Ray with two CPUs, which is up before any clock starts.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import statistics
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import timed, tune
from benchmarks.gradients import machine
from benchmarks.marginal import Marginal, table
from benchmarks.whole import (
    ALL,
    CIRCUIT,
    FULL,
    LARGE,
    NETWORK,
    PROBE,
    SMALL,
    WORKERS,
    Clock,
    Size,
    peak_mib,
    seeds,
    sweep,
)
from orchestrator.api.placing import Where
from orchestrator.api.running import open_run, run
from orchestrator.reports.query import query

PEERS = {"Ray Tune": True, "Ray Tune, nothing kept": False}
"""Whether Tune logs the reports, by name."""


def overhead(folder: Path, size: Size) -> str:
    """Measures the cost of one more trial here and in Ray Tune; ours before, between and after the peers."""
    missing, peers = tune.missing(), dict[str, Marginal]()
    own: list[Marginal] = []

    def measure_own() -> None:
        own.append(Marginal(size.trials, *(_alone(_connected, _own, folder, n) for n in size.trials)))

    for name, loggers in {} if missing else PEERS.items():
        measure_own()
        seconds = (_alone(_connected, tune.seconds, n, folder / f"{name} {n}", loggers) for n in size.peers)
        peers[name] = Marginal(size.peers, *seconds)
    measure_own()
    left_out = f"Ray Tune is left out: {missing}\n\n" if missing else ""
    return left_out + table(own, peers)


def _own(folder: Path, trials: int) -> float:
    with tempfile.TemporaryDirectory(dir=folder) as own:
        return sweep(NETWORK + f"  steps: {tune.STEPS}\n" + seeds(trials), Path(own) / "sweep")[0]


def busy(folder: Path, size: Size) -> str:
    """Measures how busy the workers are, and which share of their time is not gradients."""
    with timed.calls(folder / "calls"):
        seconds = sweep(CIRCUIT + seeds(size.circuits), folder / "sweep")[1]
    processes = timed.read(folder / "calls")
    all_calls = [call for calls in processes for call in calls]
    later = [call for calls in processes for call in calls[1:]]
    text = (
        f"{size.circuits:,} trials of 20 steps (4 qubits, 4 layers, batch 32):\n\n"
        f"- {20 * size.circuits / seconds:,.0f} trial-steps/s.\n"
        f"- Workers are busy {timed.share_busy(processes):.1%} of the time from the first pack to the last.\n"
        f"- {1 - timed.share_of_gradients(all_calls):.1%} of their time is not spent on gradients"
    )
    if later:
        text += f", {1 - timed.share_of_gradients(later):.1%} without their first packs, which are certified"
    return text + "."


def shards(folder: Path, size: Size) -> str:
    """Measures one trial on two workers, and a trial that is too small for two."""
    return "\n".join([_large(folder, size), _small(folder, size)])


def _large(folder: Path, size: Size) -> str:
    seconds: dict[int, list[float]] = {1: [], 2: []}
    independent_s: dict[int, list[float]] = {1: [], 2: []}
    for number in range(size.repeats):
        for count in (1, 2):
            own = folder / f"{count} workers {number}"
            sweep(LARGE + f"  steps: {size.steps}\n", own, Where(workers=count))
            seconds[count].append(_warm_seconds(own, count, size.steps - size.warm))
            independent_s[count].append(independent(count, size.gradients))
    shard = statistics.median(seconds[1]) / size.warm / 2
    gain, reachable = (
        factor * statistics.median(times[1]) / statistics.median(times[2])
        for factor, times in ((1, seconds), (2, independent_s))
    )
    return (
        f"- The last {size.warm} of {size.steps} steps (12 qubits, batch 256, two shards of "
        f"{1e3 * shard:.0f} ms): {_seconds(seconds[1])} s on one worker, {_seconds(seconds[2])} s on two, in "
        f"turn; by the medians {gain:.2f} times as fast. Two independent processes reach {reachable:.2f}, "
        f"measured in between; {gain / reachable:.0%} of that."
    )


def _small(folder: Path, size: Size) -> str:
    text = NETWORK.replace("network", "small") + f"  steps: {size.small_steps}\n"
    seconds: dict[str, list[float]] = {"inline": [], "auto": []}
    for number in range(size.repeats):
        for name, where in {"inline": Where(inline=True), "auto": Where()}.items():
            seconds[name].append(sweep(text, folder / f"{name} {number}", where)[1])
    return (
        f"- One small trial (the network, {size.small_steps:,} steps), {size.repeats} times in turn: "
        f"{_seconds(seconds['inline'])} s inline, {_seconds(seconds['auto'])} s on Ray with two CPUs."
    )


def _seconds(measured: list[float]) -> str:
    """Returns times in ascending order."""
    return ", ".join(f"{seconds:.2f}" for seconds in sorted(measured))


def _warm_seconds(folder: Path, workers: int, since: int) -> float:
    """Returns the seconds of the steps from ``since`` on: the helper has loaded its libraries by then."""
    elapsed = f"select sum(seconds_wait + seconds_compute / {workers}) from steps where step >= {since}"
    ((seconds,),) = query(open_run(folder / "run"), elapsed).rows
    return float(seconds)


def independent(count: int, calls: int) -> float:
    """Returns the seconds of the slowest of ``count`` concurrent processes, each with the same gradients."""
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


def memory(folder: Path, size: Size) -> str:
    """Measures peak memory of the driver and number of files, for sweeps of increasing size."""
    lines = [
        "| one-step probes | peak when all have ended, MiB | with the tables | files | s |",
        "|---" * 5 + "|",
    ]
    for trials in size.probes:
        before, after, files, seconds = _alone(_connected, _peak, folder, trials)
        lines.append(f"| {trials:,} | {before:.0f} | {after:.0f} | {files} | {seconds:.1f} |")
    return "\n".join(lines)


def _peak(folder: Path, trials: int) -> tuple[float, float, int, float]:
    clock, file, out = Clock(), folder / f"{trials}.yaml", folder / str(trials)
    file.write_text(PROBE + seeds(trials))
    begun = time.time()
    run(file, out, where=ALL, watcher=clock)
    files = sum(entry.is_file() for entry in out.rglob("*"))
    return clock.peak, peak_mib(), files, time.time() - begun


def _connected(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls ``function`` with this process connected to its own local Ray."""
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


MEASUREMENTS: dict[str, Callable[[Path, Size], str]] = {
    "overhead": overhead,
    "busy": busy,
    "shards": shards,
    "memory": memory,
}


def measure(name: str, size: Size) -> str:
    """Runs one measurement."""
    with tempfile.TemporaryDirectory() as folder:
        function = MEASUREMENTS[name]
        own = function in (overhead, memory)
        return function(Path(folder), size) if own else _connected(function, Path(folder), size)


def main() -> None:
    """Runs all measurements, or those in the arguments, and prints them."""
    parser = ArgumentParser("python -m benchmarks.sweep", description="Sweeps as a whole.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(MEASUREMENTS)}; default: all")
    parser.add_argument("--small", action="store_true", help="measure nothing; show that everything runs")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - MEASUREMENTS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))} (legal: {', '.join(MEASUREMENTS)})")
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    os.environ |= {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    }
    print(machine())
    for name in arguments.names or MEASUREMENTS:
        print(f"\n{_process(name, SMALL if arguments.small else FULL)}", flush=True)


def _process(name: str, size: Size) -> str:
    """Calls ``measure`` in a process that may have children."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(measure, name, size).result()


if __name__ == "__main__":
    main()
