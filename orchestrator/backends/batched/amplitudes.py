"""Turns and observables, applied to the amplitudes of a state vector by vector.

A state is [V, 2 (real, imaginary), 8], float64 or float32. Masks of a ``Schedule`` act on the index 8v + l of
lane l of vector v. If lanes are samples, the lowest three bits of all masks are 0, and a state of n qubits
has 2^n vectors. If lanes are amplitudes, it has 2^(n-3).

A turn mixes the amplitudes a of index i and b of index j = i ^ flip. Let r be the ``parity_sign`` of
i & parity (1 if the rotated qubit is |0> at i), and s that of i & signs, negated for ``negative``. Then

    a' = (w - i r z) a - (r s y + i s x) b        b' = (w + i r z) b + (r s y - i s x) a

Exchanging i and j gives the same, since r changes its sign and s does not. Here the lowest three bits of flip
are 0. Other turns mix lanes, and are in ``wide``. Sums over amplitudes are in float64 for either type.
"""

from __future__ import annotations

from typing import Any

from orchestrator.backends.batched.lanes import (
    LANE_BITS,
    LANES,
    broadcast,
    broadcast_like,
    broadcast_strip,
    compiled,
    fma,
    inlined,
    load,
    load_strip,
    load_sums,
    odd,
    shuffle_xor,
    store,
    store_strip,
    strips,
    widen,
)

_TILE = 32
"""Number of pairs of vectors whose strips are processed one after another, while they stay in L1 cache."""


@compiled
def parity_sign(bits: int) -> float:
    """Returns -1 if an odd number of bits is set, else 1."""
    return 1.0 - 2.0 * odd(bits)


@inlined
def _masks(turn: Any) -> Any:
    """Returns the masks of a turn that ``_pair`` takes, without the lanes' bits."""
    low = (1 << (turn.pivot - LANE_BITS)) - 1
    return low, turn.flip >> LANE_BITS, turn.signs >> LANE_BITS, turn.negative, turn.parity >> LANE_BITS


@inlined
def _pair(k: int, masks: Any) -> Any:
    """Returns the k-th pair of vectors, i (|0>) and j (|1>), and its sign s."""
    low, flip, signs, negative, parity = masks
    i = ((k & ~low) << 1) | (k & low)
    j = i ^ flip
    s = 1.0 - 2.0 * (odd(i & signs) ^ negative)
    return (j, i, s) if odd(i & parity) else (i, j, s)


@inlined
def _load_pair(state: Any, i: int, j: int, strip: int) -> Any:
    return (
        load_strip(state, i, 0, strip),
        load_strip(state, i, 1, strip),
        load_strip(state, j, 0, strip),
        load_strip(state, j, 1, strip),
    )


@inlined
def _store_pair(state: Any, i: int, j: int, strip: int, pair: Any) -> None:
    store_strip(state, i, 0, strip, pair[0])
    store_strip(state, i, 1, strip, pair[1])
    store_strip(state, j, 0, strip, pair[2])
    store_strip(state, j, 1, strip, pair[3])


@inlined
def rotated_pair(pair: Any, w: Any, x: Any, y: Any, z: Any) -> Any:
    """Maps (a, b) to ((w - iz)a - (y + ix)b, (y - ix)a + (w + iz)b), as real and imaginary parts."""
    a_re, a_im, b_re, b_im = pair
    return (
        fma(x, b_im, fma(-y, b_re, fma(z, a_im, w * a_re))),
        fma(-x, b_re, fma(-y, b_im, fma(-z, a_re, w * a_im))),
        fma(x, a_im, fma(y, a_re, fma(-z, b_im, w * b_re))),
        fma(-x, a_re, fma(y, a_im, fma(z, b_re, w * b_im))),
    )


@inlined
def _rotated_pair_about(pair: Any, axis: int, w: Any, u: Any) -> Any:
    """Returns ``rotated_pair`` for a rotation about one axis: u is its component, the other two are 0."""
    a_re, a_im, b_re, b_im = pair
    if axis == 0:
        return (
            fma(u, b_im, w * a_re),
            fma(-u, b_re, w * a_im),
            fma(u, a_im, w * b_re),
            fma(-u, a_re, w * b_im),
        )
    if axis == 1:
        return (
            fma(-u, b_re, w * a_re),
            fma(-u, b_im, w * a_im),
            fma(u, a_re, w * b_re),
            fma(u, a_im, w * b_im),
        )
    return fma(u, a_im, w * a_re), fma(-u, a_re, w * a_im), fma(-u, b_im, w * b_re), fma(u, b_re, w * b_im)


@inlined
def apply_turn(
    source: Any, target: Any, turn: Any, product: Any, s: int, inverse: bool, start: int, stop: int
) -> None:
    """Applies turn s, or its inverse if ``inverse``, to pairs ``start`` to ``stop`` of vectors.

    Source and target may be the same state. The quaternion is product[s] = (w, s x, r s y, r z), with the
    lanes' signs in vector 0.
    """
    if turn.axis == 0:
        _apply_about_axis(source, target, turn, product, s, 0, inverse, start, stop)
    elif turn.axis == 1:
        _apply_about_axis(source, target, turn, product, s, 1, inverse, start, stop)
    elif turn.axis == 2:
        _apply_about_axis(source, target, turn, product, s, 2, inverse, start, stop)
    else:
        _apply_mixed(source, target, turn, product, s, inverse, start, stop)


@inlined
def _apply_mixed(
    source: Any, target: Any, turn: Any, product: Any, s: int, inverse: bool, start: int, stop: int
) -> None:
    direction, masks = -1.0 if inverse else 1.0, _masks(turn)
    for k in range(start, stop):
        i, j, sign = _pair(k, masks)
        signs, directions = broadcast_strip(product, sign * direction), broadcast_strip(product, direction)
        for strip in range(strips(product)):
            w, x = load_strip(product, s, 0, strip), load_strip(product, s, 1, strip)
            y, z = load_strip(product, s, 2, strip), load_strip(product, s, 3, strip)
            pair = rotated_pair(_load_pair(source, i, j, strip), w, signs * x, signs * y, directions * z)
            _store_pair(target, i, j, strip, pair)


@inlined
def _apply_about_axis(
    source: Any, target: Any, turn: Any, product: Any, s: int, axis: int, inverse: bool, start: int, stop: int
) -> None:
    direction, masks = -1.0 if inverse else 1.0, _masks(turn)
    for k in range(start, stop):
        i, j, sign = _pair(k, masks)
        signs = broadcast_strip(product, direction if axis == 2 else sign * direction)
        for strip in range(strips(product)):
            w, u = load_strip(product, s, 0, strip), load_strip(product, s, 1 + axis, strip)
            pair = _rotated_pair_about(_load_pair(source, i, j, strip), axis, w, signs * u)
            _store_pair(target, i, j, strip, pair)


@inlined
def transition(psi: Any, lam: Any) -> Any:
    """Returns the contribution of one pair of amplitudes to Im<λ|(X, Y, Z)|ψ>."""
    a_re, a_im, b_re, b_im = psi
    c_re, c_im, d_re, d_im = lam
    return (
        fma(-d_im, a_re, fma(d_re, a_im, fma(-c_im, b_re, c_re * b_im))),
        fma(-c_im, b_im, fma(-c_re, b_re, fma(d_im, a_im, d_re * a_re))),
        fma(d_im, b_re, fma(-d_re, b_im, fma(-c_im, a_re, c_re * a_im))),
    )


@inlined
def sum_transitions(psi: Any, lam: Any, turn: Any, v: Any) -> None:
    """Writes v[0] = Im<λ|(X, Y, Z)|ψ> after a turn; for a turn about one axis, only that component."""
    v[0] = 0.0
    count = psi.shape[0] // 2
    for start in range(0, count, _TILE):
        stop = min(start + _TILE, count)
        if turn.axis == 0:
            _sum_about_axis(psi, lam, turn, 0, start, stop, v)
        elif turn.axis == 1:
            _sum_about_axis(psi, lam, turn, 1, start, stop, v)
        elif turn.axis == 2:
            _sum_about_axis(psi, lam, turn, 2, start, stop, v)
        else:
            _sum_mixed(psi, lam, turn, start, stop, v)


@inlined
def _sum_mixed(psi: Any, lam: Any, turn: Any, start: int, stop: int, v: Any) -> None:
    masks = _masks(turn)
    for strip in range(strips(psi)):
        v_x, v_y, v_z = _load_sums(v, 0, strip, psi)
        for k in range(start, stop):
            i, j, sign = _pair(k, masks)
            signs = broadcast_strip(psi, sign)
            u_x, u_y, u_z = transition(_load_pair(psi, i, j, strip), _load_pair(lam, i, j, strip))
            v_x, v_y, v_z = v_x + widen(signs * u_x), v_y + widen(signs * u_y), v_z + widen(u_z)
        _store_sums(v, 0, strip, v_x, v_y, v_z)


@inlined
def _sum_about_axis(psi: Any, lam: Any, turn: Any, axis: int, start: int, stop: int, v: Any) -> None:
    masks = _masks(turn)
    for strip in range(strips(psi)):
        total = load_sums(v, 0, axis, strip, psi)
        for k in range(start, stop):
            i, j, sign = _pair(k, masks)
            u = transition(_load_pair(psi, i, j, strip), _load_pair(lam, i, j, strip))
            if axis == 2:
                total = total + widen(u[2])
            else:
                total = total + widen(broadcast_strip(psi, sign) * (u[0] if axis == 0 else u[1]))
        store_strip(v, 0, axis, strip, total)


@inlined
def _load_sums(v: Any, index: int, strip: int, state: Any) -> Any:
    return (
        load_sums(v, index, 0, strip, state),
        load_sums(v, index, 1, strip, state),
        load_sums(v, index, 2, strip, state),
    )


@inlined
def _store_sums(v: Any, index: int, strip: int, v_x: Any, v_y: Any, v_z: Any) -> None:
    store_strip(v, index, 0, strip, v_x)
    store_strip(v, index, 1, strip, v_y)
    store_strip(v, index, 2, strip, v_z)


@inlined
def grow(state: Any, turn: Any, product: Any, s: int, support: Any, size: int) -> None:
    """Applies turn s to a state that is nonzero only in the first ``size`` vectors of ``support``.

    Afterwards the state is nonzero in the first 2 · ``size``.
    """
    w, x, y, z = load(product, s, 0), load(product, s, 1), load(product, s, 2), load(product, s, 3)
    for k in range(size):
        i, j = support[k], support[size + k]
        sign_s = 1.0 - 2.0 * (odd((i << LANE_BITS) & turn.signs) ^ turn.negative)
        sign_r = parity_sign((i << LANE_BITS) & turn.parity)
        s_x, s_y = broadcast_like(product, sign_s) * x, broadcast_like(product, sign_s * sign_r) * y
        r_z, re, im = broadcast_like(product, sign_r) * z, load(state, i, 0), load(state, i, 1)
        store(state, i, 0, fma(r_z, im, w * re))
        store(state, i, 1, fma(-r_z, re, w * im))
        store(state, j, 0, fma(s_x, im, s_y * re))
        store(state, j, 1, fma(-s_x, re, s_y * im))


@inlined
def undo_turn(
    psi: Any, lam: Any, turn: Any, product: Any, s: int, start: int, stop: int, v: Any, index: int
) -> None:
    """Undoes turn s on pairs ``start`` to ``stop`` of both states.

    Writes the contribution of these pairs to Im<λ|(X, Y, Z)|ψ> after the turn into v[index].
    """
    v[index] = 0.0
    for tile in range(start, stop, _TILE):
        _undo_tile(psi, lam, turn, product, s, tile, min(tile + _TILE, stop), v, index)


@inlined
def _undo_tile(
    psi: Any, lam: Any, turn: Any, product: Any, s: int, start: int, stop: int, v: Any, index: int
) -> None:
    masks = _masks(turn)
    for strip in range(strips(psi)):
        w, x = load_strip(product, s, 0, strip), -load_strip(product, s, 1, strip)
        y, z = -load_strip(product, s, 2, strip), -load_strip(product, s, 3, strip)
        v_x, v_y, v_z = _load_sums(v, index, strip, psi)
        for k in range(start, stop):
            i, j, sign = _pair(k, masks)
            signs = broadcast_strip(psi, sign)
            psi_pair, lam_pair = _load_pair(psi, i, j, strip), _load_pair(lam, i, j, strip)
            u_x, u_y, u_z = transition(psi_pair, lam_pair)
            v_x, v_y, v_z = v_x + widen(signs * u_x), v_y + widen(signs * u_y), v_z + widen(u_z)
            _store_pair(psi, i, j, strip, rotated_pair(psi_pair, w, signs * x, signs * y, z))
            _store_pair(lam, i, j, strip, rotated_pair(lam_pair, w, signs * x, signs * y, z))
        _store_sums(v, index, strip, v_x, v_y, v_z)


@inlined
def observe(
    psi: Any, lam: Any, terms: Any, factors: Any, zero: Any, keep: bool, start: int, stop: int
) -> Any:
    """Returns the contribution of vectors ``start`` to ``stop`` to E = <ψ|O|ψ>, by lane.

    Args:
        psi: ψ.
        lam: if ``keep``, λ = Oψ is written here.
        terms: [T] of ``TERM``.
        factors: [T, 1, 8] factor of each term by lane: its weight, times the lane's sign relative to lane 0.
        zero: [1, 1, 8] coefficient of |0…0><0…0|, in the lanes of vector 0 that hold the amplitude of |0…0>.
        keep: whether to write λ.
        start, stop: the vectors.
    """
    total = broadcast(0.0)
    for j in range(start, stop):
        l_re, l_im = broadcast_like(psi, 0.0), broadcast_like(psi, 0.0)
        for t in range(terms.shape[0]):
            i, lanes = j ^ (terms[t].flip >> LANE_BITS), terms[t].flip & (LANES - 1)
            sign = parity_sign((i << LANE_BITS) & terms[t].signs)
            re = broadcast_like(psi, sign * terms[t].real) * load(factors, t, 0)
            im = broadcast_like(psi, sign * terms[t].imag) * load(factors, t, 0)
            p_re, p_im = shuffle_xor(load(psi, i, 0), lanes), shuffle_xor(load(psi, i, 1), lanes)
            l_re, l_im = fma(re, p_re, fma(-im, p_im, l_re)), fma(re, p_im, fma(im, p_re, l_im))
        if j == 0:
            projector = load(zero, 0, 0)
            l_re, l_im = fma(projector, load(psi, 0, 0), l_re), fma(projector, load(psi, 0, 1), l_im)
        total = total + widen(fma(load(psi, j, 1), l_im, load(psi, j, 0) * l_re))
        if keep:
            store(lam, j, 0, l_re)
            store(lam, j, 1, l_im)
    return total
