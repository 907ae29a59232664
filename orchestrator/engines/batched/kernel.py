"""Statevector simulation and adjoint differentiation of a batch of rows, compiled by Numba.

One compiled interpreter serves every circuit: the circuit is data. Rows go in blocks of eight, the
innermost dimension of a state [2^n, 2 (real, imaginary), 8], and never see each other: a row's bits
do not depend on its company, nor on the number of threads.

Rotations exp(-iθP/2) are unit quaternions (w, x, y, z) = (cos θ/2, sin θ/2 · axis), standing for
w - i(xX + yY + zZ); a run of them on one qubit is their product.

Differentiation (Jones and Gacon 2020, arXiv 2009.02823): with λ = Oψ, both undone gate by gate,
dE/dθ = Im<λ|P|ψ> right behind the gate. For a run that is the vector v = Im<λ|(X, Y, Z)|ψ> behind it;
before a rotation, v is what that rotation's inverse makes of it in three dimensions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from orchestrator.engines.batched.lanes import LANES, load, odd, spread, store
from orchestrator.models.gates import NONE, Axis

_DRAWN = int(Axis.DRAWN)


@njit
def _pair(k: int, turn: Any) -> Any:
    """The k-th pair of amplitudes that a turn mixes (|0> and |1> to its qubit), and the sign between them."""
    low = (1 << turn.pivot) - 1
    i = ((k & ~low) << 1) | (k & low)
    j = i ^ turn.flip
    sign = spread(1.0 - 2.0 * (odd(i & turn.signs) ^ turn.negative))
    if odd(i & turn.parity):
        return j, i, sign
    return i, j, sign


@njit
def _rotate_pair(state: Any, i: int, j: int, w: Any, x: Any, y: Any, z: Any) -> None:
    """(a, b) to ((w - iz)a - (y + ix)b, (y - ix)a + (w + iz)b)."""
    a_re, a_im, b_re, b_im = load(state, i, 0), load(state, i, 1), load(state, j, 0), load(state, j, 1)
    store(state, i, 0, w * a_re + z * a_im - y * b_re + x * b_im)
    store(state, i, 1, w * a_im - z * a_re - y * b_im - x * b_re)
    store(state, j, 0, y * a_re + x * a_im + w * b_re - z * b_im)
    store(state, j, 1, y * a_im - x * a_re + w * b_im + z * b_re)


@njit
def _apply(state: Any, turn: Any, product: Any, s: int) -> None:
    w, x, y, z = load(product, s, 0), load(product, s, 1), load(product, s, 2), load(product, s, 3)
    for k in range(state.shape[0] // 2):
        i, j, sign = _pair(k, turn)
        _rotate_pair(state, i, j, w, sign * x, sign * y, z)


@njit
def _undo(psi: Any, lam: Any, turn: Any, product: Any, s: int) -> Any:
    """Undoes a turn on both states; returns v = Im<λ|(X, Y, Z)|ψ> as it was behind it."""
    w, x, y, z = load(product, s, 0), -load(product, s, 1), -load(product, s, 2), -load(product, s, 3)
    v_x, v_y, v_z = spread(0.0), spread(0.0), spread(0.0)
    for k in range(psi.shape[0] // 2):
        i, j, sign = _pair(k, turn)
        a_re, a_im, b_re, b_im = load(psi, i, 0), load(psi, i, 1), load(psi, j, 0), load(psi, j, 1)
        c_re, c_im, d_re, d_im = load(lam, i, 0), load(lam, i, 1), load(lam, j, 0), load(lam, j, 1)
        v_x = v_x + sign * (c_re * b_im - c_im * b_re + d_re * a_im - d_im * a_re)
        v_y = v_y + sign * (d_re * a_re + d_im * a_im - c_re * b_re - c_im * b_im)
        v_z = v_z + (c_re * a_im - c_im * a_re - d_re * b_im + d_im * b_re)
        _rotate_pair(psi, i, j, w, sign * x, sign * y, z)
        _rotate_pair(lam, i, j, w, sign * x, sign * y, z)
    return v_x, v_y, v_z


@njit
def _observe(psi: Any, lam: Any, terms: Any, projector: float, keep: bool, value: Any) -> None:
    """Writes E = <ψ|O|ψ> to value[0, 0, :] and, if ``keep``, λ = Oψ."""
    total = spread(0.0)
    for j in range(psi.shape[0]):
        l_re, l_im = spread(0.0), spread(0.0)
        for t in range(terms.shape[0]):
            i = j ^ terms[t].flip
            sign = 1.0 - 2.0 * odd(i & terms[t].signs)
            re, im = spread(sign * terms[t].real), spread(sign * terms[t].imag)
            l_re = l_re + (re * load(psi, i, 0) - im * load(psi, i, 1))
            l_im = l_im + (re * load(psi, i, 1) + im * load(psi, i, 0))
        if j == 0:
            l_re = l_re + spread(projector) * load(psi, 0, 0)
            l_im = l_im + spread(projector) * load(psi, 0, 1)
        total = total + (load(psi, j, 0) * l_re + load(psi, j, 1) * l_im)
        if keep:
            store(lam, j, 0, l_re)
            store(lam, j, 1, l_im)
    store(value, 0, 0, total)


@njit
def _multiply(quaternions: Any, start: int, stop: int, product: Any, s: int) -> None:
    """Writes the product of a run of rotations, the first applied first."""
    w, x = load(quaternions, start, 0), load(quaternions, start, 1)
    y, z = load(quaternions, start, 2), load(quaternions, start, 3)
    for k in range(start + 1, stop):
        a, b = load(quaternions, k, 0), load(quaternions, k, 1)
        c, d = load(quaternions, k, 2), load(quaternions, k, 3)
        w, x, y, z = (
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y + c * w + d * x - b * z,
            a * z + d * w + b * y - c * x,
        )
    store(product, s, 0, w)
    store(product, s, 1, x)
    store(product, s, 2, y)
    store(product, s, 3, z)


@njit
def _before(v_x: Any, v_y: Any, v_z: Any, quaternions: Any, k: int) -> Any:
    """v before rotation k, from v behind it: v - 2w(u×v) + 2u×(u×v)."""
    w, x = load(quaternions, k, 0), load(quaternions, k, 1)
    y, z = load(quaternions, k, 2), load(quaternions, k, 3)
    c_x, c_y, c_z = y * v_z - z * v_y, z * v_x - x * v_z, x * v_y - y * v_x
    d_x, d_y, d_z = y * c_z - z * c_y - w * c_x, z * c_x - x * c_z - w * c_y, x * c_y - y * c_x - w * c_z
    return v_x + (d_x + d_x), v_y + (d_y + d_y), v_z + (d_z + d_z)


@njit
def _axis(rotation: Any, axes: Any, row: int) -> int:
    return rotation.axis if rotation.axis < _DRAWN else int(axes[row, rotation.axis - _DRAWN])


@njit
def _half_angles(halves: Any, rotations: Any, parameters: Any) -> None:
    """cos θ/2 and sin θ/2 of all rotations that do not depend on an input, for one row's parameters."""
    for k in range(rotations.shape[0]):
        angle = rotations[k].offset
        if rotations[k].parameter != NONE:
            angle += rotations[k].scale * parameters[rotations[k].parameter]
        halves[k, 0], halves[k, 1] = math.cos(0.5 * angle), math.sin(0.5 * angle)


@njit
def _fill(
    quaternions: Any, lane: int, rotations: Any, halves: Any, features: Any, axes: Any, row: int, new: bool
) -> None:
    """Writes one lane's quaternions; those that depend on no input only if the lane has a new row."""
    for k in range(rotations.shape[0]):
        cosine, sine = halves[k, 0], halves[k, 1]
        if rotations[k].input != NONE:
            angle = rotations[k].scale * features[rotations[k].input] + rotations[k].offset
            cosine, sine = math.cos(0.5 * angle), math.sin(0.5 * angle)
        elif not new:
            continue
        quaternions[k, 0, lane] = cosine
        quaternions[k, 1:, lane] = 0.0
        quaternions[k, 1 + _axis(rotations[k], axes, row), lane] = sine


@njit
def _scatter(
    v: Any, turn: Any, rotations: Any, quaternions: Any, axes: Any, rows: Any, jacobian: Any
) -> None:
    """Adds dE/dθ of a turn's rotations to the rows of the Jacobian; a lane without a row is left out."""
    v_x, v_y, v_z = v
    components = np.empty((1, 3, LANES))
    for k in range(turn.stop - 1, turn.start - 1, -1):
        rotation = rotations[k]
        if rotation.parameter != NONE:
            store(components, 0, 0, v_x)
            store(components, 0, 1, v_y)
            store(components, 0, 2, v_z)
            for lane in range(min(LANES, jacobian.shape[0])):
                axis = _axis(rotation, axes, rows[lane])
                jacobian[lane, rotation.parameter] += rotation.scale * components[0, axis, lane]
        v_x, v_y, v_z = _before(v_x, v_y, v_z, quaternions, k)


@njit
def _blocks(
    start: int,
    stop: int,
    states: Any,
    turns: Any,
    rotations: Any,
    terms: Any,
    projector: float,
    first_turn: int,
    parameters: Any,
    features: Any,
    axes: Any,
    offset: int,
    samples: int,
    expectation: Any,
    jacobian: Any,
) -> None:
    """Some blocks of eight, one after another, on the two states of one thread."""
    psi, lam, count = states[0], states[1], expectation.shape[0]
    differentiate = jacobian.shape[0] > 0
    quaternions = np.empty((rotations.shape[0], 4, LANES))
    product = np.empty((turns.shape[0], 4, LANES))
    halves = np.empty((rotations.shape[0], 2))
    value = np.empty((1, 1, LANES))
    rows = np.full(LANES, -1)
    current = -1
    for block in range(start, stop):
        begin = block * LANES
        end = min(begin + LANES, count)
        for lane in range(LANES):
            flat = offset + min(begin + lane, count - 1)
            row = flat // samples
            if row != current:
                _half_angles(halves, rotations, parameters[row])
                current = row
            _fill(quaternions, lane, rotations, halves, features[flat], axes, row, row != rows[lane])
            rows[lane] = row
        psi[:] = 0.0
        psi[0, 0] = 1.0
        for s in range(turns.shape[0]):
            _multiply(quaternions, turns[s].start, turns[s].stop, product, s)
            _apply(psi, turns[s], product, s)
        _observe(psi, lam, terms, projector, differentiate, value)
        expectation[begin:end] = value[0, 0, : end - begin]
        if differentiate:
            for s in range(turns.shape[0] - 1, first_turn - 1, -1):
                v = _undo(psi, lam, turns[s], product, s)
                _scatter(v, turns[s], rotations, quaternions, axes, rows, jacobian[begin:end])


@njit(parallel=True, cache=True)
def evaluate(
    states: Any,
    turns: Any,
    rotations: Any,
    terms: Any,
    projector: float,
    first_turn: int,
    parameters: Any,
    features: Any,
    axes: Any,
    offset: int,
    samples: int,
    expectation: Any,
    jacobian: Any,
) -> None:
    """Expectation values of N consecutive samples of a call, and their derivatives.

    Args:
        states: float64 [threads, 2, 2^n, 2, LANES] working memory, best aligned to 64 bytes.
        turns, rotations, terms, projector, first_turn: of a ``Schedule``.
        parameters: float64 [R, P].
        features: float64 [R·B, F]; F may be 0.
        axes: int8 [R, A].
        offset: the first sample, counted over all R·B.
        samples: B.
        expectation: float64 [N], written.
        jacobian: float64 [N, P] of zeros, dE/dθ is added; [0, P] if it is not wanted.
    """
    blocks = (expectation.shape[0] + LANES - 1) // LANES
    threads = states.shape[0]
    for thread in prange(threads):
        _blocks(
            thread * blocks // threads,
            (thread + 1) * blocks // threads,
            states[thread],
            turns,
            rotations,
            terms,
            projector,
            first_turn,
            parameters,
            features,
            axes,
            offset,
            samples,
            expectation,
            jacobian,
        )


@njit(cache=True)
def contract(
    offset: int, samples: int, weights: Any, slope: Any, jacobian: Any, gradient: Any, square: Any
) -> None:
    """Adds p_i dl_i and p_i (dl_i)², sample after sample, with dl_i = l'(E_i) dE_i.

    Args:
        offset: the first sample, counted over all R·B.
        samples: B.
        weights: [N] p_i
        slope: [N] l'(E_i)
        jacobian: [N, P] dE_i
        gradient: [R, P], added to.
        square: [R, P], added to.
    """
    for i in range(jacobian.shape[0]):
        row = (offset + i) // samples
        for k in range(jacobian.shape[1]):
            derivative = slope[i] * jacobian[i, k]
            gradient[row, k] += weights[i] * derivative
            square[row, k] += weights[i] * (derivative * derivative)
