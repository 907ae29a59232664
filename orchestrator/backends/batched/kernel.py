"""Adjoint differentiation of a batch of samples, compiled by Numba.

A circuit is data for one compiled interpreter. Samples are computed in blocks of eight, one per lane of each
vector, and lanes are never combined. So a sample's bits depend neither on the other samples nor on the number
of threads. Operations on amplitudes are in ``amplitudes``, and the kernel for large states in ``wide``.

A rotation exp(-iθP/2) is the unit quaternion (w, x, y, z) = (cos θ/2, sin θ/2 · axis), which stands for
w - i(xX + yY + zZ). A turn, which is a run of rotations on one qubit, is their product.

Differentiation (Jones and Gacon 2020, arXiv 2009.02823): with O = Σ_k c_k O_k and λ = Oψ, the backward pass
undoes ψ and λ gate by gate, and dE/dθ = Im<λ|P|ψ> right after the gate. For a turn we take the vector
v = Im<λ|(X, Y, Z)|ψ> after it. Undoing a rotation rotates v in three dimensions by the inverse rotation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from orchestrator.backends.batched.amplitudes import apply_turn, grow, observe, sum_transitions, undo_turn
from orchestrator.backends.batched.lanes import LANES, compiled, fetch_add, store
from orchestrator.backends.batched.rotations import differentiate, prepare
from orchestrator.backends.batched.sources import SOURCES

_BLOCKS_PER_FETCH = 4
"""Most blocks that a thread takes from the counter at once. Few, so that a slow thread delays no other."""


@compiled
def _observe(psi: Any, lam: Any, terms: Any, factors: Any, zero: Any, keep: bool, value: Any) -> None:
    store(value, 0, 0, observe(psi, lam, terms, factors, zero, keep, 0, psi.shape[0]))


@compiled
def _weigh(cotangents: Any, bounds: Any, projectors: Any, factors: Any, zero: Any) -> None:
    """Writes each lane's factors of the terms of Σ_k c_k O_k, and its coefficient of |0…0><0…0|."""
    factors[:], zero[:] = 0.0, 0.0
    for lane in range(cotangents.shape[0]):
        for k in range(projectors.shape[0]):
            factors[bounds[k] : bounds[k + 1], 0, lane] = cotangents[lane, k]
            zero[0, 0, lane] += cotangents[lane, k] * projectors[k]


@compiled
def _start(
    psi: Any, turns: Any, support: Any, product: Any, features: Any, indices: Any, amplitudes: bool
) -> int:
    """Writes the initial state: |0…0>, or the state whose first amplitudes are the features.

    Applies the turns of ``support`` to |0…0>, and returns their number.
    """
    size, grown = 1, 0
    if len(support) < psi.shape[0]:
        psi[:] = 0.0
    psi[0, 0], psi[0, 1] = 1.0, 0.0
    while size < len(support):
        grow(psi, turns[grown], product, grown, support, size)
        size, grown = 2 * size, grown + 1
    for j in range(features.shape[1] if amplitudes else 0):
        for lane in range(LANES):
            psi[j, 0, lane] = features[indices[lane], j]
    return grown


@compiled
def _forward(states: Any, turns: Any, groups: Any, done: int, product: Any) -> int:
    """Applies all turns but the first ``done`` to states[0]; returns the index of the final state.

    If there are enough states, states[g] is the state after group g. Otherwise there is one, states[0].
    """
    half = states.shape[1] // 2
    current = 0
    for g in range(len(groups) - 1):
        target = min(g, states.shape[0] - 2)
        for s in range(max(groups[g], done), groups[g + 1]):
            apply_turn(states[current], states[target], turns[s], product, s, False, 0, half)
            current = target
    return current


@compiled
def _backward(
    states: Any,
    turns: Any,
    groups: Any,
    first_turn: int,
    rotations: Any,
    quaternions: Any,
    product: Any,
    axes: Any,
    rows: Any,
    v: Any,
    derivative: Any,
) -> None:
    """Adds dE/dθ of all rotations to ``derivative``. λ is the last of the states.

    Turns of a group commute, so all of them take v from the two states after the group.
    """
    lam = states[-1]
    for g in range(len(groups) - 2, -1, -1):
        for s in range(groups[g + 1] - 1, max(groups[g], first_turn) - 1, -1):
            sum_transitions(states[g], lam, turns[s], v)
            differentiate(v, turns[s], rotations, quaternions, axes, rows, derivative)
        if groups[g] <= first_turn:
            break
        for s in range(groups[g + 1] - 1, groups[g] - 1, -1):
            apply_turn(lam, lam, turns[s], product, s, True, 0, lam.shape[0] // 2)


@compiled
def _backward_without_states(
    states: Any,
    turns: Any,
    first_turn: int,
    rotations: Any,
    quaternions: Any,
    product: Any,
    axes: Any,
    rows: Any,
    v: Any,
    derivative: Any,
) -> None:
    """Adds dE/dθ as ``_backward`` does, if only the final state was kept. It undoes ψ together with λ."""
    for s in range(turns.shape[0] - 1, first_turn - 1, -1):
        undo_turn(states[0], states[1], turns[s], product, s, 0, states.shape[1] // 2, v, 0)
        differentiate(v, turns[s], rotations, quaternions, axes, rows, derivative)


@njit
def _run_thread(
    counter: Any,
    blocks: int,
    threads: int,
    states: Any,
    turns: Any,
    rotations: Any,
    groups: Any,
    support: Any,
    terms: Any,
    bounds: Any,
    projectors: Any,
    first_turn: int,
    parameters: Any,
    features: Any,
    axes: Any,
    amplitudes: bool,
    offset: int,
    samples: int,
    cotangents: Any,
    expectation: Any,
    jacobian: Any,
) -> None:
    """Computes blocks of eight samples in the states of one thread, until the counter has no more blocks."""
    lam, count = states[-1], expectation.shape[0]
    differentiated = jacobian.shape[0] > 0
    quaternions = np.zeros((rotations.shape[0] + 1, 5, LANES))
    product = np.empty((turns.shape[0], 4, LANES), states.dtype)
    derivative = np.empty((jacobian.shape[1], 1, LANES))
    unweighted = np.ones((terms.shape[0], 1, LANES), states.dtype)
    factors = np.empty((terms.shape[0], 1, LANES), states.dtype)
    value, zero = np.empty((1, 1, LANES)), np.empty((1, 1, LANES), states.dtype)
    weighted, v = cotangents.shape[0] > 0, np.empty((1, 3, LANES))
    rows, indices = np.full(LANES, -1), np.empty(LANES, np.int64)
    fetched = max(1, min(_BLOCKS_PER_FETCH, blocks // (4 * threads)))
    block = fetch_add(counter, fetched)
    stop = block + fetched
    while block < blocks:
        begin = block * LANES
        end = min(begin + LANES, count)
        renew = False
        for lane in range(LANES):
            indices[lane] = offset + min(begin + lane, count - 1)
            row = indices[lane] // samples
            renew |= row != rows[lane]
            rows[lane] = row
        prepare(turns, rotations, parameters, features, axes, rows, indices, renew, quaternions, product)
        done = _start(states[0], turns, support, product, features, indices, amplitudes)
        psi = states[_forward(states, turns, groups, done, product)]
        for k in range(projectors.shape[0]):
            zero[:] = projectors[k]
            _observe(psi, lam, terms[bounds[k] : bounds[k + 1]], unweighted, zero, differentiated, value)
            expectation[begin:end, k] = value[0, 0, : end - begin]
        if differentiated and weighted:
            _weigh(cotangents[begin:end], bounds, projectors, factors, zero)
            _observe(psi, lam, terms, factors, zero, True, value)
        if differentiated:
            derivative[:] = 0.0
            if states.shape[0] > 2:
                _backward(
                    states,
                    turns,
                    groups,
                    first_turn,
                    rotations,
                    quaternions,
                    product,
                    axes,
                    rows,
                    v,
                    derivative,
                )
            else:
                _backward_without_states(
                    states, turns, first_turn, rotations, quaternions, product, axes, rows, v, derivative
                )
            for lane in range(end - begin):
                for p in range(jacobian.shape[1]):
                    jacobian[begin + lane, p] = derivative[p, 0, lane]
        block += 1
        if block == stop:
            block = fetch_add(counter, fetched)
            stop = block + fetched


@njit(parallel=True, cache=True)
def evaluate(
    states: Any,
    turns: Any,
    rotations: Any,
    groups: Any,
    support: Any,
    terms: Any,
    bounds: Any,
    projectors: Any,
    first_turn: int,
    parameters: Any,
    features: Any,
    axes: Any,
    amplitudes: bool,
    offset: int,
    samples: int,
    cotangents: Any,
    expectation: Any,
    jacobian: Any,
    sources: int = SOURCES,  # noqa: ARG001
) -> None:
    """Computes expectation values of N consecutive samples of a call, and the derivatives of Σ_k c_k E_k.

    Args:
        states: working memory, float64 or float32. [threads, 1 + G, 2^n, 2, LANES] keeps the states after all
            groups of turns; with [threads, 2, …] they are undone instead. Fastest if aligned to 64 bytes.
        turns, rotations, groups, support, terms, bounds, projectors, first_turn: of a ``Schedule``.
        parameters: float64 [R, P].
        features: float64 [R·B, F]; F may be 0.
        axes: int8 [R, A].
        amplitudes: whether the features are the first amplitudes of the initial state.
        offset: index of the first sample among all R·B.
        samples: B.
        cotangents: float64 [N, K] c; [0, K] means c = 1, and needs K = 1.
        expectation: float64 [N, K], written.
        jacobian: float64 [N, P], Σ_k c_k dE_k/dθ is written; [0, P] to compute no derivatives.
        sources: always the default; see ``sources.SOURCES``.
    """
    blocks = (expectation.shape[0] + LANES - 1) // LANES
    threads, counter = states.shape[0], np.zeros(1, np.int64)
    for thread in prange(threads):
        _run_thread(
            counter,
            blocks,
            threads,
            states[thread],
            turns,
            rotations,
            groups,
            support,
            terms,
            bounds,
            projectors,
            first_turn,
            parameters,
            features,
            axes,
            amplitudes,
            offset,
            samples,
            cotangents,
            expectation,
            jacobian,
        )
