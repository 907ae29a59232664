"""Adjoint differentiation of a batch of rows, compiled by Numba.

One compiled interpreter serves every circuit: the circuit is data. Rows go in blocks of eight, one to a
lane of each vector, and never see each other: a row's bits do not depend on its company, nor on the
number of threads. What happens to the amplitudes is in ``amplitudes``; large states go ``wide``.

Rotations exp(-iθP/2) are unit quaternions (w, x, y, z) = (cos θ/2, sin θ/2 · axis), standing for
w - i(xX + yY + zZ); a run of them on one qubit is their product.

Differentiation (Jones and Gacon 2020, arXiv 2009.02823): with λ = Oψ, O = Σ_k c_k O_k, both undone
gate by gate, dE/dθ = Im<λ|P|ψ> right behind the gate. For a run that is the vector v = Im<λ|(X, Y, Z)|ψ>
behind it; before a rotation, v is what that rotation's inverse makes of it in three dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from orchestrator.backends.batched.amplitudes import grow, measure, observe, turn_pairs, undo_pairs
from orchestrator.backends.batched.lanes import LANES, compiled, store, take
from orchestrator.backends.batched.rotations import differentiate, prepare
from orchestrator.backends.batched.sources import SOURCES

_SHARE = 4
"""So many blocks of eight are taken at once, if there are enough; who is held up holds up nobody else."""


@compiled
def _observe(psi: Any, lam: Any, terms: Any, factors: Any, zero: Any, keep: bool, value: Any) -> None:
    store(value, 0, 0, observe(psi, lam, terms, factors, zero, keep, 0, psi.shape[0]))


@compiled
def _weigh(cotangents: Any, bounds: Any, projectors: Any, factors: Any, zero: Any) -> None:
    """The observable Σ_k c_k O_k: writes each lane's factors of its terms, and of |0…0><0…0|."""
    factors[:], zero[:] = 0.0, 0.0
    for lane in range(cotangents.shape[0]):
        for k in range(projectors.shape[0]):
            factors[bounds[k] : bounds[k + 1], 0, lane] = cotangents[lane, k]
            zero[0, 0, lane] += cotangents[lane, k] * projectors[k]


@compiled
def _start(
    psi: Any, turns: Any, support: Any, product: Any, features: Any, places: Any, amplitudes: bool
) -> int:
    """|0…0> and the turns that are easy on it, how many; or the state that the features are."""
    size, grown = 1, 0
    if len(support) < psi.shape[0]:
        psi[:] = 0.0
    psi[0, 0], psi[0, 1] = 1.0, 0.0
    while size < len(support):
        grow(psi, turns[grown], product, grown, support, size)
        size, grown = 2 * size, grown + 1
    for j in range(features.shape[1] if amplitudes else 0):
        for lane in range(LANES):
            psi[j, 0, lane] = features[places[lane], j]
    return grown


@compiled
def _forwards(states: Any, turns: Any, groups: Any, done: int, product: Any) -> int:
    """All turns but those done, on states[0]; where the result is.

    states[g] is that behind group g, if there are as many.
    """
    half = states.shape[1] // 2
    place = 0
    for g in range(len(groups) - 1):
        target = min(g, states.shape[0] - 2)
        for s in range(max(groups[g], done), groups[g + 1]):
            turn_pairs(states[place], states[target], turns[s], product, s, False, 0, half)
            place = target
    return place


@compiled
def _backwards(
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
    """Adds dE/dθ of all rotations to ``derivative``; λ is the last of the states.

    In a group, turns do not change what the others find: all look at the same two states.
    """
    lam = states[-1]
    for g in range(len(groups) - 2, -1, -1):
        for s in range(groups[g + 1] - 1, max(groups[g], first_turn) - 1, -1):
            measure(states[g], lam, turns[s], v)
            differentiate(v, turns[s], rotations, quaternions, axes, rows, derivative)
        if groups[g] <= first_turn:
            break
        for s in range(groups[g + 1] - 1, groups[g] - 1, -1):
            turn_pairs(lam, lam, turns[s], product, s, True, 0, lam.shape[0] // 2)


@compiled
def _backwards_in_place(
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
    """The same if no state but the last was kept: ψ is undone beside λ."""
    for s in range(turns.shape[0] - 1, first_turn - 1, -1):
        undo_pairs(states[0], states[1], turns[s], product, s, 0, states.shape[1] // 2, v, 0)
        differentiate(v, turns[s], rotations, quaternions, axes, rows, derivative)


@njit
def _blocks(
    taken: Any,
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
    """Blocks of eight, one after another, on the states of one thread: those that no other has taken."""
    lam, count = states[-1], expectation.shape[0]
    differentiated = jacobian.shape[0] > 0
    quaternions = np.zeros((rotations.shape[0] + 1, 5, LANES))
    product = np.empty((turns.shape[0], 4, LANES), states.dtype)
    derivative = np.empty((jacobian.shape[1], 1, LANES))
    ones = np.ones((terms.shape[0], 1, LANES), states.dtype)
    factors = np.empty((terms.shape[0], 1, LANES), states.dtype)
    value, zero = np.empty((1, 1, LANES)), np.empty((1, 1, LANES), states.dtype)
    weighted, v = cotangents.shape[0] > 0, np.empty((1, 3, LANES))
    rows, places = np.full(LANES, -1), np.empty(LANES, np.int64)
    share = max(1, min(_SHARE, blocks // (4 * threads)))
    block = take(taken, share)
    stop = block + share
    while block < blocks:
        begin = block * LANES
        end = min(begin + LANES, count)
        renew = False
        for lane in range(LANES):
            places[lane] = offset + min(begin + lane, count - 1)
            row = places[lane] // samples
            renew |= row != rows[lane]
            rows[lane] = row
        prepare(turns, rotations, parameters, features, axes, rows, places, renew, quaternions, product)
        done = _start(states[0], turns, support, product, features, places, amplitudes)
        psi = states[_forwards(states, turns, groups, done, product)]
        for k in range(projectors.shape[0]):
            zero[:] = projectors[k]
            _observe(psi, lam, terms[bounds[k] : bounds[k + 1]], ones, zero, differentiated, value)
            expectation[begin:end, k] = value[0, 0, : end - begin]
        if differentiated and weighted:
            _weigh(cotangents[begin:end], bounds, projectors, factors, zero)
            _observe(psi, lam, terms, factors, zero, True, value)
        if differentiated:
            derivative[:] = 0.0
            if states.shape[0] > 2:
                _backwards(
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
                _backwards_in_place(
                    states, turns, first_turn, rotations, quaternions, product, axes, rows, v, derivative
                )
            for lane in range(end - begin):
                for p in range(jacobian.shape[1]):
                    jacobian[begin + lane, p] = derivative[p, 0, lane]
        block += 1
        if block == stop:
            block = take(taken, share)
            stop = block + share


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
    """Expectation values of N consecutive samples of a call, and the derivatives of Σ_k c_k E_k.

    Args:
        states: float64 or float32 [threads, 1 + G, 2^n, 2, LANES] working memory for the states behind all
            groups of turns, or [threads, 2, …] to undo them instead; best aligned to 64 bytes.
        turns, rotations, groups, support, terms, bounds, projectors, first_turn: of a ``Schedule``.
        parameters: float64 [R, P].
        features: float64 [R·B, F]; F may be 0.
        axes: int8 [R, A].
        amplitudes: whether the features are the first amplitudes of the state at the start.
        offset: the first sample, counted over all R·B.
        samples: B.
        cotangents: float64 [N, K] c; [0, K] for 1, where K = 1.
        expectation: float64 [N, K], written.
        jacobian: float64 [N, P], Σ_k c_k dE_k/dθ is written; [0, P] if it is not wanted.
        sources: leave it out; see ``sources.SOURCES``.
    """
    blocks = (expectation.shape[0] + LANES - 1) // LANES
    threads, taken = states.shape[0], np.zeros(1, np.int64)
    for thread in prange(threads):
        _blocks(
            taken,
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
