"""Adjoint differentiation of large states, one sample at a time on all threads.

The method is that of ``kernel``, but the eight lanes of a vector are amplitudes: a lane is the lowest three
bits of their index. A state is split into a fixed number of chunks, and sums over chunks are added in a fixed
order. So a sample's bits depend neither on the number of threads nor on the other samples. Consecutive turns
that mix no amplitudes of different chunks run chunk by chunk, in cache. Only two states have a size that
grows with 2^n.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from orchestrator.backends.batched.amplitudes import (
    apply_turn,
    observe,
    parity_sign,
    rotated_pair,
    transition,
    undo_turn,
)
from orchestrator.backends.batched.lanes import (
    LANE_BITS,
    LANES,
    broadcast,
    broadcast_like,
    compiled,
    inlined,
    load,
    odd,
    shuffle_xor,
    store,
    widen,
)
from orchestrator.backends.batched.rotations import differentiate, prepare
from orchestrator.backends.batched.sources import SOURCES

CHUNKS = 16
"""Number of chunks of a state: most threads that can share it. With more, more turns would cross chunks."""


@inlined
def _pair(k: int, turn: Any) -> Any:
    """Returns the k-th pair of vectors that a turn mixes, and the signs s and r of the first one's lane 0."""
    i = k
    if turn.pivot >= LANE_BITS:
        low = (1 << (turn.pivot - LANE_BITS)) - 1
        i = ((k & ~low) << 1) | (k & low)
    s = 1.0 - 2.0 * (odd((i << LANE_BITS) & turn.signs) ^ turn.negative)
    return i, i ^ (turn.flip >> LANE_BITS), s, parity_sign((i << LANE_BITS) & turn.parity)


@inlined
def _rotate(state: Any, i: int, j: int, lanes: int, w: Any, x: Any, y: Any, z: Any) -> None:
    """Maps (a, b) to ((w - iz)a - (y + ix)b, (y - ix)a + (w + iz)b). i = j mixes lanes of one vector."""
    a_re, a_im = load(state, i, 0), load(state, i, 1)
    b_re, b_im = shuffle_xor(load(state, j, 0), lanes), shuffle_xor(load(state, j, 1), lanes)
    pair = rotated_pair((a_re, a_im, b_re, b_im), w, x, y, z)
    store(state, i, 0, pair[0])
    store(state, i, 1, pair[1])
    store(state, j, 0, shuffle_xor(pair[2], lanes))
    store(state, j, 1, shuffle_xor(pair[3], lanes))


@inlined
def _apply(psi: Any, turn: Any, product: Any, s: int, start: int, stop: int) -> None:
    """Applies turn s to pairs ``start`` to ``stop``.

    The quaternion is product[s] = (w, s x, r s y, r z), with the signs of the pair's lanes.
    """
    lanes = turn.flip & (LANES - 1)
    if lanes == 0:
        apply_turn(psi, psi, turn, product, s, False, start, stop)
        return
    w, x, y, z = load(product, s, 0), load(product, s, 1), load(product, s, 2), load(product, s, 3)
    for k in range(start, stop):
        i, j, sign_s, sign_r = _pair(k, turn)
        s_x, s_y = broadcast_like(product, sign_s) * x, broadcast_like(product, sign_s * sign_r) * y
        _rotate(psi, i, j, lanes, w, s_x, s_y, broadcast_like(product, sign_r) * z)


@inlined
def _undo(
    psi: Any, lam: Any, turn: Any, product: Any, s: int, start: int, stop: int, v: Any, index: int
) -> None:
    """Undoes any turn, as ``undo_turn`` does. v[index] lacks the lanes' own signs; see ``_add_chunks``."""
    lanes = turn.flip & (LANES - 1)
    if lanes == 0:
        undo_turn(psi, lam, turn, product, s, start, stop, v, index)
        return
    w, x, y, z = load(product, s, 0), -load(product, s, 1), -load(product, s, 2), -load(product, s, 3)
    v_x, v_y, v_z = broadcast(0.0), broadcast(0.0), broadcast(0.0)
    for k in range(start, stop):
        i, j, sign_s, sign_r = _pair(k, turn)
        s_x, s_y, s_z = (
            broadcast_like(product, sign_s),
            broadcast_like(product, sign_s * sign_r),
            broadcast_like(product, sign_r),
        )
        a_re, a_im = load(psi, i, 0), load(psi, i, 1)
        b_re, b_im = shuffle_xor(load(psi, j, 0), lanes), shuffle_xor(load(psi, j, 1), lanes)
        c_re, c_im = load(lam, i, 0), load(lam, i, 1)
        d_re, d_im = shuffle_xor(load(lam, j, 0), lanes), shuffle_xor(load(lam, j, 1), lanes)
        u_x, u_y, u_z = transition((a_re, a_im, b_re, b_im), (c_re, c_im, d_re, d_im))
        v_x, v_y, v_z = v_x + widen(s_x * u_x), v_y + widen(s_y * u_y), v_z + widen(s_z * u_z)
        _rotate(psi, i, j, lanes, w, s_x * x, s_y * y, s_z * z)
        _rotate(lam, i, j, lanes, w, s_x * x, s_y * y, s_z * z)
    store(v, index, 0, v_x)
    store(v, index, 1, v_y)
    store(v, index, 2, v_z)


@compiled
def _pair_count(state: Any, turn: Any) -> int:
    """Returns the number of pairs of vectors that a turn mixes."""
    return state.shape[0] if turn.pivot < LANE_BITS else state.shape[0] // 2


@compiled
def _set_signs(product: Any, s: int, turn: Any) -> None:
    """Multiplies each lane of product[s], equal in all lanes, by its signs s and r relative to lane 0."""
    for lane in range(1, LANES):
        sign_s, sign_r = parity_sign(lane & turn.signs), parity_sign(lane & turn.parity)
        product[s, 1, lane] = product[s, 1, 0] * sign_s
        product[s, 2, lane] = product[s, 2, 0] * (sign_s * sign_r)
        product[s, 3, lane] = product[s, 3, 0] * sign_r


@njit
def _add_chunks(sums: Any, turn: Any, total: Any) -> None:
    """Writes v, the signed sum over chunks and lanes, to ``total`` [1, 3, LANES], equal in all lanes.

    Pairs of lanes of one vector are counted twice, so their sum is halved.
    """
    v = np.zeros(3)
    for chunk in range(sums.shape[0]):
        for lane in range(LANES):
            sign_s, sign_r = parity_sign(lane & turn.signs), parity_sign(lane & turn.parity)
            v[0] += sums[chunk, 0, lane] * sign_s
            v[1] += sums[chunk, 1, lane] * (sign_s * sign_r)
            v[2] += sums[chunk, 2, lane] * sign_r
    if turn.pivot < LANE_BITS:
        v *= 0.5
    for axis in range(3):
        total[0, axis] = v[axis]


@compiled
def _sum(values: Any) -> float:
    """Returns the sum over chunks and lanes, in order."""
    total = 0.0
    for chunk in range(values.shape[0]):
        for lane in range(LANES):
            total += values[chunk, 0, lane]
    return total


@njit
def _term_signs(terms: Any) -> Any:
    """Returns each term's sign by lane, relative to lane 0, for the ``factors`` of ``observe``."""
    signs = np.empty((terms.shape[0], 1, LANES))
    for t in range(terms.shape[0]):
        for lane in range(LANES):
            signs[t, 0, lane] = parity_sign((lane ^ terms[t].flip) & terms[t].signs & (LANES - 1))
    return signs


@njit
def _weigh(cotangents: Any, bounds: Any, projectors: Any, signs: Any, factors: Any) -> float:
    """Writes the factors of the terms of Σ_k c_k O_k, and returns its coefficient of |0…0><0…0|."""
    projector = 0.0
    for k in range(projectors.shape[0]):
        factors[bounds[k] : bounds[k + 1]] = cotangents[k] * signs[bounds[k] : bounds[k + 1]]
        projector += cotangents[k] * projectors[k]
    return projector


@compiled
def _chunk_bounds(count: int, chunk: int) -> Any:
    """Returns the start and stop of a chunk of ``count`` items."""
    return chunk * count // CHUNKS, (chunk + 1) * count // CHUNKS


@njit
def _stages(turns: Any, vectors: int) -> Any:
    """Returns the index of each stage's first turn, and S.

    Within a stage, no chunk needs amplitudes of another.
    """
    starts = [0]
    for s in range(1, turns.shape[0]):
        reach = max(turns[s - 1].pivot, turns[s].pivot)
        if reach >= LANE_BITS and (2 << reach) * CHUNKS > vectors * LANES:
            starts.append(s)
    starts.append(turns.shape[0])
    return np.array(starts)


@compiled
def _apply_chunk(psi: Any, turns: Any, product: Any, begin: int, end: int, chunk: int) -> None:
    """Applies turns begin, …, end - 1 to one chunk."""
    for s in range(begin, end):
        start, stop = _chunk_bounds(_pair_count(psi, turns[s]), chunk)
        _apply(psi, turns[s], product, s, start, stop)


@compiled
def _undo_chunk(
    psi: Any, lam: Any, turns: Any, product: Any, begin: int, end: int, chunk: int, sums: Any
) -> None:
    """Undoes turns end - 1, …, begin on one chunk, and writes its share of v to sums [S, CHUNKS, 3, 8]."""
    for s in range(end - 1, begin - 1, -1):
        start, stop = _chunk_bounds(_pair_count(psi, turns[s]), chunk)
        _undo(psi, lam, turns[s], product, s, start, stop, sums[s], chunk)


@compiled
def _observe_chunk(
    psi: Any, lam: Any, terms: Any, signs: Any, zero: Any, keep: bool, chunk: int, sums: Any
) -> None:
    start, stop = _chunk_bounds(psi.shape[0], chunk)
    store(sums, chunk, 0, observe(psi, lam, terms, signs, zero, keep, start, stop))


@njit(parallel=True, cache=True)
def evaluate(
    states: Any,
    turns: Any,
    rotations: Any,
    groups: Any,  # noqa: ARG001 - ``kernel.evaluate`` has the same arguments
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
    """Computes what ``kernel.evaluate`` computes, from the same arguments.

    Only the shape of ``states`` differs: [2, V, 2, LANES] with V = 2^(n-3) vectors (1 if n < 3).
    """
    psi, lam = states[0], states[1]
    differentiated = jacobian.shape[0] > 0
    quaternions = np.zeros((rotations.shape[0] + 1, 5, LANES))
    product = np.empty((turns.shape[0], 4, LANES), states.dtype)
    derivative, v = np.empty((jacobian.shape[1], 1, LANES)), np.empty((1, 3, LANES))
    sums, values = np.empty((turns.shape[0], CHUNKS, 3, LANES)), np.empty((CHUNKS, 1, LANES))
    stages = _stages(turns, psi.shape[0])
    signs, zero = _term_signs(terms).astype(states.dtype), np.zeros((1, 1, LANES), states.dtype)
    factors, weighted = np.empty_like(signs), cotangents.shape[0] > 0
    rows, indices = np.full(LANES, -1), np.empty(LANES, np.int64)
    for sample in range(expectation.shape[0]):
        row = (offset + sample) // samples
        rows[:], indices[:] = row, offset + sample
        prepare(turns, rotations, parameters, features, axes, rows, indices, True, quaternions, product)
        for s in range(turns.shape[0]):
            _set_signs(product, s, turns[s])
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
            expectation[sample, k] = _sum(values)
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
                    _add_chunks(sums[s], turns[s], v)
                    differentiate(v, turns[s], rotations, quaternions, axes, rows, derivative)
            jacobian[sample] = derivative[:, 0, 0]
