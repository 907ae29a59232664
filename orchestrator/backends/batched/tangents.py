"""Tangent vectors: a state and its derivatives by all parameters, computed together in one forward pass.

A circuit is data for one compiled interpreter. Column 0 of an array [2^n, 1 + P] is the state ψ, and every
other column is a ∂_kψ. So a gate is one operation on rows, vectorised over columns. After a rotation
exp(-iθP/2) whose angle depends on parameter k, -i/2 · ∂θ/∂θ_k · Pψ is added to the column of ∂_kψ. Columns
are in the order in which the gates use their parameters, and a gate acts only on columns that are nonzero.

A sample's bits depend neither on other samples nor on the number of threads. Each sample has the whole array,
and every sum over amplitudes, or over the samples of a row, is taken in order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from orchestrator.models.circuits.gates import NONE, Opcode, RotationAxis

_DRAWN, _X, _Y = int(RotationAxis.DRAWN), int(RotationAxis.X), int(RotationAxis.Y)
_ROTATION, _CX = int(Opcode.ROTATION), int(Opcode.CX)

_NULL = 1e-24
"""Largest squared relative length, (1e-12)², at which a projected ∂_kψ counts as rounding.

Then ∂_kψ is parallel to ψ, and the parameter does not change the state.
"""


@njit
def _pair(k: int, bit: int) -> Any:
    """Returns the k-th pair of amplitudes whose indices differ only in this bit."""
    i = ((k & ~(bit - 1)) << 1) | (k & (bit - 1))
    return i, i | bit


@njit
def _rotate(re: Any, im: Any, bit: int, axis: int, half: float, columns: int) -> None:
    """Applies exp(-iθP/2) to the first columns, with ``half`` = θ/2."""
    c, s = math.cos(half), math.sin(half)
    for k in range(re.shape[0] // 2):
        i, j = _pair(k, bit)
        if axis == _X:
            for m in range(columns):
                a_re, a_im, b_re, b_im = re[i, m], im[i, m], re[j, m], im[j, m]
                re[i, m], im[i, m] = c * a_re + s * b_im, c * a_im - s * b_re
                re[j, m], im[j, m] = c * b_re + s * a_im, c * b_im - s * a_re
        elif axis == _Y:
            for m in range(columns):
                a_re, a_im, b_re, b_im = re[i, m], im[i, m], re[j, m], im[j, m]
                re[i, m], im[i, m] = c * a_re - s * b_re, c * a_im - s * b_im
                re[j, m], im[j, m] = c * b_re + s * a_re, c * b_im + s * a_im
        else:
            for m in range(columns):
                a_re, a_im, b_re, b_im = re[i, m], im[i, m], re[j, m], im[j, m]
                re[i, m], im[i, m] = c * a_re + s * a_im, c * a_im - s * a_re
                re[j, m], im[j, m] = c * b_re - s * b_im, c * b_im + s * b_re


@njit
def _add_derivative(re: Any, im: Any, bit: int, axis: int, half: float, column: int) -> None:
    """Adds -i · half · Pψ to a column."""
    for k in range(re.shape[0] // 2):
        i, j = _pair(k, bit)
        a_re, a_im, b_re, b_im = re[i, 0], im[i, 0], re[j, 0], im[j, 0]
        if axis == _X:
            a_re, a_im, b_re, b_im = b_re, b_im, a_re, a_im
        elif axis == _Y:
            a_re, a_im, b_re, b_im = b_im, -b_re, -a_im, a_re
        else:
            b_re, b_im = -b_re, -b_im
        re[i, column] += half * a_im
        im[i, column] -= half * a_re
        re[j, column] += half * b_im
        im[j, column] -= half * b_re


@njit
def _entangle(state: Any, gate: Any, columns: int) -> None:
    """Applies a CX or CZ to the first columns."""
    control, target = 1 << gate.qubit, 1 << gate.other
    for part in range(2):
        for k in range(state.shape[1] // 2):
            i, j = _pair(k, target)
            if i & control:
                for m in range(columns):
                    a, b = state[part, i, m], state[part, j, m]
                    if gate.opcode == _CX:
                        state[part, i, m], state[part, j, m] = b, a
                    else:
                        state[part, j, m] = -b


@njit
def _run(
    state: Any,
    gates: Any,
    first: Any,
    column: Any,
    slope: Any,
    parameters: Any,
    features: Any,
    axes: Any,
    amplitudes: bool,
    slopes: Any,
) -> None:
    """Computes ψ and all ∂_kψ after the circuit, for one sample."""
    re, im, columns = state[0], state[1], 1
    state[:] = 0.0
    re[0, 0] = 1.0
    for j in range(features.shape[0] if amplitudes else 0):
        re[j, 0] = features[j]
    for g in range(gates.shape[0]):
        gate = gates[g]
        if gate.opcode != _ROTATION:
            _entangle(state, gate, columns)
            continue
        axis = gate.axis if gate.axis < _DRAWN else int(axes[gate.axis - _DRAWN])
        angle = gate.offset
        if gate.parameter != NONE:
            angle += gate.scale * parameters[gate.parameter]
        if gate.input != NONE:
            angle += gate.scale * features[gate.input]
        bit = 1 << gate.qubit
        _rotate(re, im, bit, axis, 0.5 * angle, columns)
        for m in range(first[g], first[g + 1]):
            factor = gate.scale if slope[m] == NONE else gate.scale * slopes[slope[m]]
            _add_derivative(re, im, bit, axis, 0.5 * factor, column[m])
            columns = max(columns, column[m] + 1)


@njit
def _project(re: Any, im: Any) -> Any:
    """Subtracts ψ<ψ|∂_kψ> from every column. Returns [C], true for columns whose remainder is rounding."""
    count = re.shape[1]
    v_re, v_im = np.zeros(count), np.zeros(count)
    before, after = np.zeros(count), np.zeros(count)
    for i in range(re.shape[0]):
        p_re, p_im = re[i, 0], im[i, 0]
        for m in range(1, count):
            v_re[m] += p_re * re[i, m] + p_im * im[i, m]
            v_im[m] += p_re * im[i, m] - p_im * re[i, m]
            before[m] += re[i, m] * re[i, m] + im[i, m] * im[i, m]
    for i in range(re.shape[0]):
        p_re, p_im = re[i, 0], im[i, 0]
        for m in range(1, count):
            re[i, m] -= p_re * v_re[m] - p_im * v_im[m]
            im[i, m] -= p_re * v_im[m] + p_im * v_re[m]
            after[m] += re[i, m] * re[i, m] + im[i, m] * im[i, m]
    return after <= _NULL * before


@njit
def _products(re: Any, im: Any, null: Any, chosen: Any, metric: Any) -> None:
    """Writes Re<∂_k|∂_l> [S, S] of the ``chosen`` [S] columns, after ``_project``."""
    size = chosen.shape[0]
    a_re, a_im = np.empty(size), np.empty(size)
    metric[:] = 0.0
    for i in range(re.shape[0]):
        for k in range(size):
            a_re[k], a_im[k] = re[i, chosen[k]], im[i, chosen[k]]
        for k in range(size):
            for m in range(k + 1):
                metric[k, m] += a_re[k] * a_re[m] + a_im[k] * a_im[m]
    for k in range(size):
        for m in range(k + 1):
            if null[chosen[k]] or null[chosen[m]]:
                metric[k, m] = 0.0
            metric[m, k] = metric[k, m]


@njit
def _samples(
    start: int,
    stop: int,
    state: Any,
    gates: Any,
    first: Any,
    column: Any,
    slope: Any,
    column_of: Any,
    blocks: Any,
    parameters: Any,
    features: Any,
    axes: Any,
    amplitudes: bool,
    slopes: Any,
    offset: int,
    samples: int,
    metric: Any,
) -> None:
    """Computes the metrics of samples start, …, stop - 1 in order, in the memory of one thread."""
    for i in range(start, stop):
        row, flat = (offset + i) // samples, offset + i
        _run(
            state,
            gates,
            first,
            column,
            slope,
            parameters[row],
            features[flat],
            axes[row],
            amplitudes,
            slopes[i],
        )
        null = _project(state[0], state[1])
        begin = 0
        for b in range(blocks.shape[0]):
            size = blocks[b, 1] - blocks[b, 0]
            block = metric[i, begin : begin + size * size].reshape(size, size)
            _products(state[0], state[1], null, column_of[blocks[b, 0] : blocks[b, 1]], block)
            begin += size * size


@njit(parallel=True, cache=True)
def metrics(
    states: Any,
    gates: Any,
    first: Any,
    column: Any,
    slope: Any,
    column_of: Any,
    blocks: Any,
    parameters: Any,
    features: Any,
    axes: Any,
    amplitudes: bool,
    slopes: Any,
    offset: int,
    samples: int,
    metric: Any,
) -> None:
    """Computes the metric's blocks Re<∂_k|∂_l> for N consecutive samples of a call.

    A gate adds one derivative to a column for each parameter that its angle depends on, M in all.

    Args:
        states: float64 [threads, 2, 2^n, 1 + P] working memory.
        gates: [G] of ``GATE``.
        first: int64 [G + 1] index of each gate's first derivative, and M.
        column: int64 [M] the column that a derivative is added to.
        slope: int64 [M] index of a derivative's factor in ``slopes``, or ``NONE``.
        column_of: int64 [P] the column of each parameter.
        blocks: int64 [K, 2] start and stop of each block, in parameters.
        parameters: float64 [R, P + angles].
        features: float64 [R·B, F].
        axes: int8 [R, A].
        amplitudes: whether the features are the first amplitudes of the initial state.
        slopes: float64 [N, S] derivatives of computed angles.
        offset: index of the first sample among all R·B.
        samples: B.
        metric: float64 [N, W], written; the blocks one after another.
    """
    count, threads = metric.shape[0], states.shape[0]
    for thread in prange(threads):
        _samples(
            thread * count // threads,
            (thread + 1) * count // threads,
            states[thread],
            gates,
            first,
            column,
            slope,
            column_of,
            blocks,
            parameters,
            features,
            axes,
            amplitudes,
            slopes,
            offset,
            samples,
            metric,
        )
