"""One program in a process of its own, which computes only on request.

Programs with thread pools would disturb each other inside one process. Here all but one wait on a pipe.
"""

from __future__ import annotations

import importlib
import multiprocessing
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, cast

from benchmarks.work import Array, Shape, Work

WARM_UP_CALLS = 2
PAUSE_S = 0.3
"""Longer than idle threads of OpenMP runtimes spin (0.2 s)."""

_SPAWN = multiprocessing.get_context("spawn")


class LeftOutError(Exception):
    """A program could not be run; its text is the reason."""


@dataclass(frozen=True)
class FirstCall:
    """Result of the first call of a program.

    Attributes:
        seconds: from the call of ``build`` to the first gradient, without the import of the peer's module.
        gradient: [trials, layers, 2, qubits].
        versions: versions of the packages in ``PACKAGES``, by name.
    """

    seconds: float
    gradient: Array
    versions: dict[str, str]


class Program:
    """A peer that computes one shape in a process; close it after use.

    Args:
        peer: name of a module in ``benchmarks.peers``, followed by options for its ``build``.
        shape: the work.
        threads: number of threads.
    """

    def __init__(self, peer: str, shape: Shape, threads: int) -> None:
        self.peer = peer
        self._pipe, child = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(peer, shape, threads, child), daemon=True)
        self._process.start()
        child.close()

    def first(self, limit_s: float) -> FirstCall:
        """Returns the result of the first call, compilation included.

        Raises:
            LeftOutError: it took longer than ``limit_s``, or failed.
        """
        return cast(FirstCall, self._answer(limit_s))

    def seconds(self, calls: int, limit_s: float) -> list[float]:
        """Returns the times of calls in succession, after two warm-up calls.

        It begins with a pause, as threads of the program that computed last may still be spinning.

        Raises:
            LeftOutError: they took longer than ``limit_s``, or failed.
        """
        time.sleep(PAUSE_S)
        self._pipe.send(calls)
        return list(self._answer(limit_s))

    def close(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.join()

    def _answer(self, limit_s: float) -> Any:
        if not self._pipe.poll(limit_s):
            raise LeftOutError(f"over {limit_s:g} s")
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise LeftOutError("its process ended") from None
        if isinstance(answer, str):
            raise LeftOutError(answer)
        return answer


def _serve(peer: str, shape: Shape, threads: int, pipe: Any) -> None:
    try:
        name, *options = peer.split()
        module, work = importlib.import_module(f"benchmarks.peers.{name}"), Work.random(shape)
        start = time.perf_counter()
        gradient = module.build(work, threads, *options)
        result = gradient(work.parameters)
        seconds = time.perf_counter() - start
        versions = {name: version(name) for name in module.PACKAGES}
        pipe.send(FirstCall(seconds, result, versions))
        while True:
            pipe.send(_time(gradient, work.parameters, pipe.recv()))
    except (EOFError, BrokenPipeError):  # the pipe is closed
        return
    except Exception as error:  # any error of a peer becomes its entry in the table
        pipe.send(f"{type(error).__name__}: {error}")


def _time(gradient: Any, parameters: Array, calls: int) -> list[float]:
    seconds = []
    for _ in range(WARM_UP_CALLS):
        gradient(parameters)
    for _ in range(calls):
        start = time.perf_counter()
        gradient(parameters)
        seconds.append(time.perf_counter() - start)
    return seconds
