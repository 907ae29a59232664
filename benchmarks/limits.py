"""Limits of the kernel: time of a new circuit, rate of amplitude updates, memory."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from benchmarks.peers import orchestrator
from benchmarks.work import LAYERS, Array, Shape, Work
from orchestrator.backends.batched.differentiator import WIDE_QUBITS


@dataclass(frozen=True)
class Size:
    """The size of the measurements.

    Attributes:
        cached: shape whose states fit in the cache.
        large: shape whose memory is measured.
        single: shapes that are also computed in complex64.
        calls: number of calls, of which the shortest counts.
    """

    cached: Shape
    large: Shape
    single: tuple[Shape, ...]
    calls: int


FULL = Size(Shape(8, 256), Shape(20, 256), (Shape(8, 256), Shape(12, 16), Shape(16, 1), Shape(20, 1)), 50)
SMALL = Size(Shape(3, 8), Shape(4, 8), (Shape(3, 8),), 2)
"""Measures nothing: shows within seconds that everything runs."""


def report(size: Size, threads: int) -> str:
    """Measures, and returns a list in Markdown."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as fresh:
        new = fresh.apply(new_circuit_seconds, (size.cached, threads))
    with context.Pool(1) as fresh:
        share = fresh.apply(share_of_plain_loop, (size.cached, size.calls, threads))
    with context.Pool(1) as fresh:
        before, peak = fresh.apply(memory_mib, (size.large, threads))
    with context.Pool(1) as fresh:
        gains = fresh.apply(gains_of_complex64, (size.single, size.calls, threads))
    state = 16 * 2**size.large.qubits / 2**20
    return "\n".join(
        [
            f"- A circuit never seen before ({size.cached}), in a process that has computed another one: "
            f"{1e3 * new:.0f} ms from its description to its first gradient.",
            f"- Amplitude updates per second over those of a plain loop in cache ({size.cached}): "
            f"{share:.2f}, counted as if the backward pass also undid ψ; "
            f"{share * 2 / 3 * (LAYERS - 1) / LAYERS:.2f} with only the updates that the kernel does.",
            "- complex64 is faster than complex128 by a factor of "
            + ", ".join(f"{gain:.1f} ({shape})" for shape, gain in gains.items())
            + ".",
            f"- Memory of a gradient ({size.large}): {peak - before:.0f} MiB above the {before:.0f} MiB of "
            f"the process before it; a state has {state:.0f} MiB.",
        ]
    )


def new_circuit_seconds(shape: Shape, threads: int) -> float:
    """Returns the seconds from the description of a circuit to its first gradient, with the kernel loaded."""
    _gradient(Shape(3, 4), threads)()
    start = time.perf_counter()
    _gradient(shape, threads)()
    return time.perf_counter() - start


def share_of_plain_loop(shape: Shape, calls: int, threads: int) -> float:
    """Returns amplitude updates per second of a gradient over those of ``_butterflies``; shortest times.

    The updates counted are those of the plain algorithm. It applies each turn (RY and RZ on a qubit) once in
    the forward pass, and undoes it on two states in the backward pass; inner products are not counted. The
    kernel does not undo ψ, and skips the first layer in both passes.
    """
    gradient = _gradient(shape, threads)
    rows = np.random.default_rng(0).normal(size=(threads, 2**shape.qubits * 8 * 2))
    passes = 200
    _butterflies(rows, passes)
    ours, plain = [], []
    for _ in range(calls):
        ours.append(_seconds(gradient))
        plain.append(_seconds(lambda: _butterflies(rows, passes)))
    amplitudes = 2**shape.qubits * shape.samples
    turns = LAYERS * shape.qubits
    return float((3 * turns * amplitudes / min(ours)) / (passes * rows.size / 2 / min(plain)))


def gains_of_complex64(shapes: tuple[Shape, ...], calls: int, threads: int) -> dict[Shape, float]:
    """Returns the speed-up of a gradient in complex64 over complex128 by shape, from shortest times."""
    gains = {}
    for shape in shapes:
        double, single = _gradient(shape, threads), _gradient(shape, threads, "complex64")
        pairs = [
            (_seconds(double), _seconds(single)) for _ in range(3 if shape.qubits > WIDE_QUBITS else calls)
        ]
        gains[shape] = min(pair[0] for pair in pairs) / min(pair[1] for pair in pairs)
    return gains


def memory_mib(shape: Shape, threads: int) -> tuple[float, float]:
    """Returns the peak memory of this process in MiB, before and after one gradient of the shape."""
    _gradient(Shape(16, 1), threads)()
    gradient = _gradient(shape, threads)
    before = _peak_mib()
    gradient()
    return before, _peak_mib()


@njit(parallel=True)
def _butterflies(rows: Array, passes: int) -> None:
    """The plainest loop with the work of a turn: applies a 2x2 matrix of SU(2) to the halves of an array.

    rows [threads, 4N]: real and imaginary parts of N amplitudes |0> and N amplitudes |1>.
    """
    w, x, y, z = 0.5, 0.5, -0.5, 0.5
    for thread in prange(rows.shape[0]):
        parts = rows[thread].reshape(4, -1)
        a_re, a_im, b_re, b_im = parts[0], parts[1], parts[2], parts[3]
        for _ in range(passes):
            for k in range(a_re.shape[0]):
                p, q, r, s = a_re[k], a_im[k], b_re[k], b_im[k]
                a_re[k] = w * p + z * q - y * r + x * s
                a_im[k] = w * q - z * p - y * s - x * r
                b_re[k] = y * p + x * q + w * r - z * s
                b_im[k] = y * q - x * p + w * s + z * r


def _gradient(shape: Shape, threads: int, precision: str = "complex128") -> Callable[[], object]:
    work = Work.random(shape)
    gradient = orchestrator.build(work, threads, precision=precision)
    return lambda: gradient(work.parameters)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
