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

import math
from typing import Any

import numpy as np
from numba import njit, prange

from orchestrator.engines.batched.amplitudes import apply, observe, pairs, undo
from orchestrator.engines.batched.lanes import LANES, load, store
from orchestrator.models.gates import NONE, Axis

_DRAWN = int(Axis.DRAWN)


@njit
def multiply(quaternions: Any, start: int, stop: int, product: Any, s: int) -> None:
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
def half_angles(halves: Any, rotations: Any, parameters: Any) -> None:
    """cos θ/2 and sin θ/2 of all rotations that do not depend on an input, for one row's parameters."""
    for k in range(rotations.shape[0]):
        angle = rotations[k].offset
        if rotations[k].parameter != NONE:
            angle += rotations[k].scale * parameters[rotations[k].parameter]
        halves[k, 0], halves[k, 1] = math.cos(0.5 * angle), math.sin(0.5 * angle)


@njit
def fill(
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
def scatter(v: Any, turn: Any, rotations: Any, quaternions: Any, axes: Any, rows: Any, jacobian: Any) -> None:
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
def _observe(psi: Any, lam: Any, terms: Any, factors: Any, zero: Any, keep: bool, value: Any) -> None:
    store(value, 0, 0, observe(psi, lam, terms, factors, zero, keep, 0, psi.shape[0]))


@njit
def _weigh(cotangents: Any, bounds: Any, projectors: Any, factors: Any, zero: Any) -> None:
    """The observable Σ_k c_k O_k: writes each lane's factors of its terms, and of |0…0><0…0|."""
    factors[:], zero[:] = 0.0, 0.0
    for lane in range(cotangents.shape[0]):
        for k in range(projectors.shape[0]):
            factors[bounds[k] : bounds[k + 1], 0, lane] = cotangents[lane, k]
            zero[0, 0, lane] += cotangents[lane, k] * projectors[k]


@njit
def _blocks(
    start: int,
    stop: int,
    states: Any,
    turns: Any,
    rotations: Any,
    terms: Any,
    bounds: Any,
    projectors: Any,
    first_turn: int,
    parameters: Any,
    features: Any,
    axes: Any,
    offset: int,
    samples: int,
    cotangents: Any,
    expectation: Any,
    jacobian: Any,
) -> None:
    """Some blocks of eight, one after another, on the two states of one thread."""
    psi, lam, count = states[0], states[1], expectation.shape[0]
    differentiate = jacobian.shape[0] > 0
    quaternions = np.empty((rotations.shape[0], 4, LANES))
    product = np.empty((turns.shape[0], 4, LANES))
    halves = np.empty((rotations.shape[0], 2))
    ones, factors = np.ones((terms.shape[0], 1, LANES)), np.empty((terms.shape[0], 1, LANES))
    value, zero = np.empty((1, 1, LANES)), np.empty((1, 1, LANES))
    weighted = cotangents.shape[0] > 0
    rows = np.full(LANES, -1)
    current = -1
    for block in range(start, stop):
        begin = block * LANES
        end = min(begin + LANES, count)
        for lane in range(LANES):
            flat = offset + min(begin + lane, count - 1)
            row = flat // samples
            if row != current:
                half_angles(halves, rotations, parameters[row])
                current = row
            fill(quaternions, lane, rotations, halves, features[flat], axes, row, row != rows[lane])
            rows[lane] = row
        psi[:] = 0.0
        psi[0, 0] = 1.0
        for s in range(turns.shape[0]):
            multiply(quaternions, turns[s].start, turns[s].stop, product, s)
            apply(psi, turns[s], product, s, 0, pairs(psi, turns[s]))
        for k in range(projectors.shape[0]):
            zero[:] = projectors[k]
            _observe(psi, lam, terms[bounds[k] : bounds[k + 1]], ones, zero, differentiate, value)
            expectation[begin:end, k] = value[0, 0, : end - begin]
        if differentiate and weighted:
            _weigh(cotangents[begin:end], bounds, projectors, factors, zero)
            _observe(psi, lam, terms, factors, zero, True, value)
        if differentiate:
            for s in range(turns.shape[0] - 1, first_turn - 1, -1):
                v = undo(psi, lam, turns[s], product, s, 0, pairs(psi, turns[s]))
                scatter(v, turns[s], rotations, quaternions, axes, rows, jacobian[begin:end])


@njit(parallel=True, cache=True)
def evaluate(
    states: Any,
    turns: Any,
    rotations: Any,
    terms: Any,
    bounds: Any,
    projectors: Any,
    first_turn: int,
    parameters: Any,
    features: Any,
    axes: Any,
    offset: int,
    samples: int,
    cotangents: Any,
    expectation: Any,
    jacobian: Any,
) -> None:
    """Expectation values of N consecutive samples of a call, and the derivatives of Σ_k c_k E_k.

    Args:
        states: float64 [threads, 2, 2^n, 2, LANES] working memory, best aligned to 64 bytes.
        turns, rotations, terms, bounds, projectors, first_turn: of a ``Schedule``.
        parameters: float64 [R, P].
        features: float64 [R·B, F]; F may be 0.
        axes: int8 [R, A].
        offset: the first sample, counted over all R·B.
        samples: B.
        cotangents: float64 [N, K] c; [0, K] for 1, where K = 1.
        expectation: float64 [N, K], written.
        jacobian: float64 [N, P] of zeros, Σ_k c_k dE_k/dθ is added; [0, P] if it is not wanted.
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
            bounds,
            projectors,
            first_turn,
            parameters,
            features,
            axes,
            offset,
            samples,
            cotangents,
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
