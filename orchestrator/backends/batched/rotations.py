"""Rotations of eight samples at a time: their quaternions, products over turns, and derivatives.

A rotation exp(-iθP/2) is the unit quaternion (w, x, y, z) = (cos θ/2, sin θ/2 · axis), which stands for
w - i(xX + yY + zZ). A turn is the product of its rotations. All arithmetic is in float64.
"""

from __future__ import annotations

import math
from typing import Any

from orchestrator.backends.batched.lanes import (
    LANES,
    add_quarter_turns,
    broadcast,
    broadcast_strip,
    compiled,
    fma,
    inlined,
    load,
    load_strip,
    nearest,
    store,
    store_strip,
    strips,
)
from orchestrator.models.circuits.gates import NONE, RotationAxis

_DRAWN = int(RotationAxis.DRAWN)

LARGEST_HALF_ANGLE = float(1 << 19)
"""Sine and cosine of half angles above this, in radians, come from the C library."""

_HALF_PI = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624879595063154e-21)
"""Terms that add up to π/2. The first two have 33 bits, so k times them is exact for k up to 2^20.

Source: fdlibm's e_rem_pio2.c.
"""

_SINE = (
    -1.66666666666666324348e-01,
    8.33333333332248946124e-03,
    -1.98412698298579493134e-04,
    2.75573137070700676789e-06,
    -2.50507602534068634195e-08,
    1.58969099521155010221e-10,
)
_COSINE = (
    4.16666666666666019037e-02,
    -1.38888888888741095749e-03,
    2.48015872894767294178e-05,
    -2.75573143513906633035e-07,
    2.08757232129817482790e-09,
    -1.13596475577881948265e-11,
)
"""Coefficients of r³, r⁵, … and r⁴, r⁶, … on [-π/4, π/4], to 2^-58 (fdlibm's k_sin.c and k_cos.c)."""


@inlined
def _sine_cosine(angle: Any, array: Any) -> Any:
    """Returns sin and cos of a strip of angles, with errors below 4e-16.

    Angles must be at most ``LARGEST_HALF_ANGLE``. The strips are those of ``array``.
    """
    sine, cosine = broadcast_strip(array, _SINE[5]), broadcast_strip(array, _COSINE[5])
    quarters = nearest(angle * broadcast_strip(array, 2.0 / math.pi))
    r = angle
    for part in _HALF_PI:
        r = fma(-quarters, broadcast_strip(array, part), r)
    z = r * r
    for power in range(4, -1, -1):
        sine = fma(sine, z, broadcast_strip(array, _SINE[power]))
        cosine = fma(cosine, z, broadcast_strip(array, _COSINE[power]))
    half_off = fma(z, broadcast_strip(array, -0.5), broadcast_strip(array, 1.0))
    return add_quarter_turns(quarters, fma(r, z * sine, r), fma(z * z, cosine, half_off))


@inlined
def _gather(
    values: Any, k: int, rotation: Any, parameters: Any, features: Any, rows: Any, samples: Any
) -> None:
    """Writes each lane's parameter or input of rotation k into values[k, 4]."""
    if rotation.parameter != NONE:
        for lane in range(LANES):
            values[k, 4, lane] = parameters[rows[lane], rotation.parameter]
    elif rotation.input != NONE:
        for lane in range(LANES):
            values[k, 4, lane] = features[samples[lane], rotation.input]
    else:
        values[k, 4] = 0.0


@inlined
def _rotate(quaternions: Any, k: int, rotation: Any, axes: Any, rows: Any) -> None:
    """Writes the quaternions of rotation k, from the values of ``_gather``."""
    component, large = 1 if rotation.axis >= _DRAWN else 1 + rotation.axis, False
    scale = broadcast_strip(quaternions, 0.5 * rotation.scale)
    offset = broadcast_strip(quaternions, 0.5 * rotation.offset)
    for strip in range(strips(quaternions)):
        half = fma(scale, load_strip(quaternions, k, 4, strip), offset)
        sine, cosine = _sine_cosine(half, quaternions)
        store_strip(quaternions, k, 0, strip, cosine)
        store_strip(quaternions, k, component, strip, sine)
        store_strip(quaternions, k, 4, strip, half)
    for lane in range(LANES):
        large |= not abs(quaternions[k, 4, lane]) <= LARGEST_HALF_ANGLE
    if large:
        for lane in range(LANES):
            half_angle = quaternions[k, 4, lane]
            if not abs(half_angle) <= LARGEST_HALF_ANGLE:
                quaternions[k, 0, lane], quaternions[k, component, lane] = (
                    math.cos(half_angle),
                    math.sin(half_angle),
                )
    if rotation.axis >= _DRAWN:
        for lane in range(LANES):
            sine_of_lane = quaternions[k, 1, lane]
            quaternions[k, 1:4, lane] = 0.0
            quaternions[k, 1 + axes[rows[lane], rotation.axis - _DRAWN], lane] = sine_of_lane


@compiled
def _rotate_alike(quaternions: Any, rotations: Any, parameters: Any, axes: Any, row: int) -> None:
    """Writes the quaternions of all rotations that depend on no input, equal in all lanes.

    Here each lane is a rotation, so eight rotations are computed at a time, with the bits of ``_rotate``.
    """
    count = rotations.shape[0]
    for begin in range(0, count, LANES):
        for lane in range(LANES):
            rotation = rotations[min(begin + lane, count - 1)]
            trainable = rotation.parameter != NONE
            quaternions[count, 2, lane] = 0.5 * rotation.scale
            quaternions[count, 3, lane] = 0.5 * rotation.offset
            quaternions[count, 4, lane] = parameters[row, rotation.parameter] if trainable else 0.0
        for strip in range(strips(quaternions)):
            scale, offset = load_strip(quaternions, count, 2, strip), load_strip(quaternions, count, 3, strip)
            half = fma(scale, load_strip(quaternions, count, 4, strip), offset)
            sine, cosine = _sine_cosine(half, quaternions)
            store_strip(quaternions, count, 0, strip, cosine)
            store_strip(quaternions, count, 1, strip, sine)
            store_strip(quaternions, count, 4, strip, half)
        for lane in range(min(LANES, count - begin)):
            rotation, half_angle = rotations[begin + lane], quaternions[count, 4, lane]
            c, s = quaternions[count, 0, lane], quaternions[count, 1, lane]
            if not abs(half_angle) <= LARGEST_HALF_ANGLE:
                c, s = math.cos(half_angle), math.sin(half_angle)
            if rotation.input == NONE:
                drawn = rotation.axis >= _DRAWN
                if drawn:
                    quaternions[begin + lane, 1:4] = 0.0
                axis = axes[row, rotation.axis - _DRAWN] if drawn else rotation.axis
                store(quaternions, begin + lane, 0, broadcast(c))
                store(quaternions, begin + lane, 1 + axis, broadcast(s))


@inlined
def _multiply(quaternions: Any, start: int, stop: int, product: Any, s: int) -> None:
    """Writes the product of a run of rotations, which applies the first one first."""
    w, x = load(quaternions, start, 0), load(quaternions, start, 1)
    y, z = load(quaternions, start, 2), load(quaternions, start, 3)
    for k in range(start + 1, stop):
        a, b = load(quaternions, k, 0), load(quaternions, k, 1)
        c, d = load(quaternions, k, 2), load(quaternions, k, 3)
        w, x, y, z = (
            fma(-d, z, fma(-c, y, fma(-b, x, a * w))),
            fma(-d, y, fma(c, z, fma(b, w, a * x))),
            fma(-b, z, fma(d, x, fma(c, w, a * y))),
            fma(-c, x, fma(b, y, fma(d, w, a * z))),
        )
    store(product, s, 0, w)
    store(product, s, 1, x)
    store(product, s, 2, y)
    store(product, s, 3, z)


@compiled
def prepare(
    turns: Any,
    rotations: Any,
    parameters: Any,
    features: Any,
    axes: Any,
    rows: Any,
    samples: Any,
    renew: bool,
    quaternions: Any,
    product: Any,
) -> None:
    """Writes the quaternions of all rotations and their products over turns.

    Args:
        turns, rotations: of a ``Schedule``.
        parameters, features, axes: as for ``kernel.evaluate``.
        rows, samples: int64 [LANES] each lane's index into parameters, and into features.
        renew: whether to compute rotations that depend on no input; False keeps those of the last call.
        quaternions: float64 [K + 1, 5, LANES] for K rotations, zeros before the first call. The last of the
            five numbers is the half angle. The last of the K + 1 is scratch memory.
        product: [S, 4, LANES], written.
    """
    alike = renew and rows[0] == rows[LANES - 1]
    if alike:
        _rotate_alike(quaternions, rotations, parameters, axes, rows[0])
    each = renew and not alike
    for k in range(rotations.shape[0]):  # a loop of its own: a vector load right after scalar stores is slow
        if each or rotations[k].input != NONE:
            _gather(quaternions, k, rotations[k], parameters, features, rows, samples)
    for k in range(rotations.shape[0]):
        if each or rotations[k].input != NONE:
            _rotate(quaternions, k, rotations[k], axes, rows)
    for s in range(turns.shape[0]):
        if renew or turns[s].varies:
            _multiply(quaternions, turns[s].start, turns[s].stop, product, s)


@inlined
def _before(v_x: Any, v_y: Any, v_z: Any, quaternions: Any, k: int) -> Any:
    """Returns v before rotation k, from v after it: v - 2w(u×v) + 2u×(u×v)."""
    w, x = load(quaternions, k, 0), load(quaternions, k, 1)
    y, z = load(quaternions, k, 2), load(quaternions, k, 3)
    c_x, c_y, c_z = fma(y, v_z, -z * v_y), fma(z, v_x, -x * v_z), fma(x, v_y, -y * v_x)
    d_x = fma(-w, c_x, fma(y, c_z, -z * c_y))
    d_y = fma(-w, c_y, fma(z, c_x, -x * c_z))
    d_z = fma(-w, c_z, fma(x, c_y, -y * c_x))
    return v_x + (d_x + d_x), v_y + (d_y + d_y), v_z + (d_z + d_z)


@inlined
def differentiate(
    v: Any, turn: Any, rotations: Any, quaternions: Any, axes: Any, rows: Any, derivative: Any
) -> None:
    """Adds dE/dθ of a turn's rotations to ``derivative`` [P, 1, LANES], from v [1, 3, LANES] after it."""
    v_x, v_y, v_z = load(v, 0, 0), load(v, 0, 1), load(v, 0, 2)
    for k in range(turn.stop - 1, turn.start - 1, -1):
        p = rotations[k].parameter
        if p != NONE:
            axis = rotations[k].axis
            if axis >= _DRAWN:
                store(v, 0, 0, v_x)
                store(v, 0, 1, v_y)
                store(v, 0, 2, v_z)
                for lane in range(LANES):
                    drawn = axes[rows[lane], axis - _DRAWN]
                    derivative[p, 0, lane] += rotations[k].scale * v[0, drawn, lane]
            else:
                component = v_x if axis == 0 else v_y if axis == 1 else v_z
                store(derivative, p, 0, fma(broadcast(rotations[k].scale), component, load(derivative, p, 0)))
        if k > turn.start and turn.axis == _DRAWN:  # rotations about one axis do not change its component
            v_x, v_y, v_z = _before(v_x, v_y, v_z, quaternions, k)
