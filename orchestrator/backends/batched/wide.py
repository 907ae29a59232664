"""Adjoint differentiation of large states, one row at a time across all threads.

As in ``kernel``, but the eight lanes of a vector are amplitudes: the lowest three bits of their index. A
state is cut into a fixed number of chunks, and what they find is added in a fixed order, so a row's bits
depend neither on the number of threads nor on its company. Consecutive turns that mix no amplitudes of
different chunks are done chunk by chunk, in cache. Two states are all the memory that grows with 2^n.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from orchestrator.backends.batched.amplitudes import (
    observe,
    parity_sign,
    transition,
    turn_pairs,
    turned_pair,
    undo_pairs,
)
from orchestrator.backends.batched.lanes import (
    LANE_BITS,
    LANES,
    compiled,
    exchange,
    inlined,
    load,
    odd,
    spread,
    spread_as,
    store,
    widen,
)
from orchestrator.backends.batched.rotations import differentiate, prepare
from orchestrator.backends.batched.sources import SOURCES

CHUNKS = 16
"""As many threads can share a state; with more chunks, more turns would reach from one to another."""


@inlined
def _pair(k: int, turn: Any) -> Any:
    """The k-th pair of vectors that a turn mixes, and the signs s and r of the first's lane 0."""
    i = k
    if turn.pivot >= LANE_BITS:
        low = (1 << (turn.pivot - LANE_BITS)) - 1
        i = ((k & ~low) << 1) | (k & low)
    s = 1.0 - 2.0 * (odd((i << LANE_BITS) & turn.signs) ^ turn.negative)
    return i, i ^ (turn.flip >> LANE_BITS), s, parity_sign((i << LANE_BITS) & turn.parity)


@inlined
def _rotate(state: Any, i: int, j: int, lanes: int, w: Any, x: Any, y: Any, z: Any) -> None:
    """(a, b) to ((w - iz)a - (y + ix)b, (y - ix)a + (w + iz)b); inside of a vector, i = j."""
    a_re, a_im = load(state, i, 0), load(state, i, 1)
    b_re, b_im = exchange(load(state, j, 0), lanes), exchange(load(state, j, 1), lanes)
    pair = turned_pair((a_re, a_im, b_re, b_im), w, x, y, z)
    store(state, i, 0, pair[0])
    store(state, i, 1, pair[1])
    store(state, j, 0, exchange(pair[2], lanes))
    store(state, j, 1, exchange(pair[3], lanes))


@inlined
def _apply(psi: Any, turn: Any, product: Any, s: int, start: int, stop: int) -> None:
    """Turn s on some of its pairs, about product[s] (w, s x, r s y, r z, signs as in the pair's lanes)."""
    lanes = turn.flip & (LANES - 1)
    if lanes == 0:
        turn_pairs(psi, psi, turn, product, s, False, start, stop)
        return
    w, x, y, z = load(product, s, 0), load(product, s, 1), load(product, s, 2), load(product, s, 3)
    for k in range(start, stop):
        i, j, sign, role = _pair(k, turn)
        s_x, s_y = spread_as(product, sign) * x, spread_as(product, sign * role) * y
        _rotate(psi, i, j, lanes, w, s_x, s_y, spread_as(product, role) * z)


@inlined
def _undo(
    psi: Any, lam: Any, turn: Any, product: Any, s: int, start: int, stop: int, v: Any, place: int
) -> None:
    """As ``undo_pairs``, for any turn; each pair as if its lanes' signs were those of lane 0."""
    lanes = turn.flip & (LANES - 1)
    if lanes == 0:
        undo_pairs(psi, lam, turn, product, s, start, stop, v, place)
        return
    w, x, y, z = load(product, s, 0), -load(product, s, 1), -load(product, s, 2), -load(product, s, 3)
    v_x, v_y, v_z = spread(0.0), spread(0.0), spread(0.0)
    for k in range(start, stop):
        i, j, sign, role = _pair(k, turn)
        s_x, s_y, s_z = spread_as(product, sign), spread_as(product, sign * role), spread_as(product, role)
        a_re, a_im = load(psi, i, 0), load(psi, i, 1)
        b_re, b_im = exchange(load(psi, j, 0), lanes), exchange(load(psi, j, 1), lanes)
        c_re, c_im = load(lam, i, 0), load(lam, i, 1)
        d_re, d_im = exchange(load(lam, j, 0), lanes), exchange(load(lam, j, 1), lanes)
        u_x, u_y, u_z = transition((a_re, a_im, b_re, b_im), (c_re, c_im, d_re, d_im))
        v_x, v_y, v_z = v_x + widen(s_x * u_x), v_y + widen(s_y * u_y), v_z + widen(s_z * u_z)
        _rotate(psi, i, j, lanes, w, s_x * x, s_y * y, s_z * z)
        _rotate(lam, i, j, lanes, w, s_x * x, s_y * y, s_z * z)
    store(v, place, 0, v_x)
    store(v, place, 1, v_y)
    store(v, place, 2, v_z)


@compiled
def _pairs(state: Any, turn: Any) -> int:
    """How many pairs of vectors a turn mixes."""
    return state.shape[0] if turn.pivot < LANE_BITS else state.shape[0] // 2


@compiled
def _by_lane(product: Any, s: int, turn: Any) -> None:
    """Gives each lane its signs; the product is the same in all of them."""
    for lane in range(1, LANES):
        sign, role = parity_sign(lane & turn.signs), parity_sign(lane & turn.parity)
        product[s, 1, lane] = product[s, 1, 0] * sign
        product[s, 2, lane] = product[s, 2, 0] * (sign * role)
        product[s, 3, lane] = product[s, 3, 0] * role


@njit
def _total(sums: Any, turn: Any, total: Any) -> None:
    """Writes v [1, 3, LANES], all lanes equal, from what the chunks found.

    Pairs inside of a vector were met twice.
    """
    v = np.zeros(3)
    for chunk in range(sums.shape[0]):
        for lane in range(LANES):
            sign, role = parity_sign(lane & turn.signs), parity_sign(lane & turn.parity)
            v[0] += sums[chunk, 0, lane] * sign
            v[1] += sums[chunk, 1, lane] * (sign * role)
            v[2] += sums[chunk, 2, lane] * role
    if turn.pivot < LANE_BITS:
        v *= 0.5
    for axis in range(3):
        total[0, axis] = v[axis]


@compiled
def _added(values: Any) -> float:
    """The sum of all numbers, in order."""
    total = 0.0
    for chunk in range(values.shape[0]):
        for lane in range(LANES):
            total += values[chunk, 0, lane]
    return total


@njit
def _term_signs(terms: Any) -> Any:
    """The signs by lane that ``observe`` asks for."""
    signs = np.empty((terms.shape[0], 1, LANES))
    for t in range(terms.shape[0]):
        for lane in range(LANES):
            signs[t, 0, lane] = parity_sign((lane ^ terms[t].flip) & terms[t].signs & (LANES - 1))
    return signs


@njit
def _weigh(cotangents: Any, bounds: Any, projectors: Any, signs: Any, factors: Any) -> float:
    """The observable Σ_k c_k O_k: writes the factors of its terms, returns that of |0…0><0…0|."""
    projector = 0.0
    for k in range(projectors.shape[0]):
        factors[bounds[k] : bounds[k + 1]] = cotangents[k] * signs[bounds[k] : bounds[k + 1]]
        projector += cotangents[k] * projectors[k]
    return projector


@compiled
def _cut(count: int, chunk: int) -> Any:
    """Where a chunk of ``count`` items starts and stops."""
    return chunk * count // CHUNKS, (chunk + 1) * count // CHUNKS


@njit
def _stages(turns: Any, vectors: int) -> Any:
    """Where stages of turns begin, and S: inside a stage, no chunk needs another's amplitudes."""
    starts = [0]
    for s in range(1, turns.shape[0]):
        reach = max(turns[s - 1].pivot, turns[s].pivot)
        if reach >= LANE_BITS and (2 << reach) * CHUNKS > vectors * LANES:
            starts.append(s)
    starts.append(turns.shape[0])
    return np.array(starts)


@compiled
def _apply_chunk(psi: Any, turns: Any, product: Any, begin: int, end: int, chunk: int) -> None:
    """Turns begin, …, end - 1 on one chunk."""
    for s in range(begin, end):
        start, stop = _cut(_pairs(psi, turns[s]), chunk)
        _apply(psi, turns[s], product, s, start, stop)


@compiled
def _undo_chunk(
    psi: Any, lam: Any, turns: Any, product: Any, begin: int, end: int, chunk: int, sums: Any
) -> None:
    """Undoes turns end - 1, …, begin on one chunk; what they add to v goes to sums [S, CHUNKS, 3, 8]."""
    for s in range(end - 1, begin - 1, -1):
        start, stop = _cut(_pairs(psi, turns[s]), chunk)
        _undo(psi, lam, turns[s], product, s, start, stop, sums[s], chunk)


@compiled
def _observe_chunk(
    psi: Any, lam: Any, terms: Any, signs: Any, zero: Any, keep: bool, chunk: int, sums: Any
) -> None:
    start, stop = _cut(psi.shape[0], chunk)
    store(sums, chunk, 0, observe(psi, lam, terms, signs, zero, keep, start, stop))


@njit(parallel=True, cache=True)
def evaluate(
    states: Any,
    turns: Any,
    rotations: Any,
    groups: Any,  # noqa: ARG001 - as ``kernel.evaluate``
    support: Any,  # noqa: ARG001
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
    """As ``kernel.evaluate``, on ``states`` [2, V, 2, LANES] of V = 2^(n-3) vectors (1 if n < 3)."""
    psi, lam = states[0], states[1]
    differentiated = jacobian.shape[0] > 0
    quaternions = np.zeros((rotations.shape[0] + 1, 5, LANES))
    product = np.empty((turns.shape[0], 4, LANES), states.dtype)
    derivative, v = np.empty((jacobian.shape[1], 1, LANES)), np.empty((1, 3, LANES))
    sums, values = np.empty((turns.shape[0], CHUNKS, 3, LANES)), np.empty((CHUNKS, 1, LANES))
    stages = _stages(turns, psi.shape[0])
    signs, zero = _term_signs(terms).astype(states.dtype), np.zeros((1, 1, LANES), states.dtype)
    factors, weighted = np.empty_like(signs), cotangents.shape[0] > 0
    rows, places = np.full(LANES, -1), np.empty(LANES, np.int64)
    for sample in range(expectation.shape[0]):
        row = (offset + sample) // samples
        rows[:], places[:] = row, offset + sample
        prepare(turns, rotations, parameters, features, axes, rows, places, True, quaternions, product)
        for s in range(turns.shape[0]):
            _by_lane(product, s, turns[s])
        psi[:] = 0.0
        psi[0, 0, 0] = 1.0
        for j in range(features.shape[1] if amplitudes else 0):
            psi[j // LANES, 0, j % LANES] = features[offset + sample, j]
        for stage in range(len(stages) - 1):
            for chunk in prange(CHUNKS):
                _apply_chunk(psi, turns, product, stages[stage], stages[stage + 1], chunk)
        for k in range(projectors.shape[0]):
            zero[0, 0, 0], t, u = projectors[k], bounds[k], bounds[k + 1]
            for chunk in prange(CHUNKS):
                _observe_chunk(psi, lam, terms[t:u], signs[t:u], zero, differentiated, chunk, values)
            expectation[sample, k] = _added(values)
        if differentiated and weighted:
            zero[0, 0, 0] = _weigh(cotangents[sample], bounds, projectors, signs, factors)
            for chunk in prange(CHUNKS):
                _observe_chunk(psi, lam, terms, factors, zero, True, chunk, values)
        if differentiated:
            derivative[:] = 0.0
            for stage in range(len(stages) - 2, -1, -1):
                begin, end = max(stages[stage], first_turn), stages[stage + 1]
                for chunk in prange(CHUNKS):
                    _undo_chunk(psi, lam, turns, product, begin, end, chunk, sums)
                for s in range(end - 1, begin - 1, -1):
                    _total(sums[s], turns[s], v)
                    differentiate(v, turns[s], rotations, quaternions, axes, rows, derivative)
            jacobian[sample] = derivative[:, 0, 0]
