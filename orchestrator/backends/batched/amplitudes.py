"""What turns and observables do to the amplitudes of a state, vector by vector.

A state is [V, 2 (real, imaginary), 8], float64 or float32. Place 8v + l in it, lane l of vector v, is what
masks of a ``Schedule`` speak of. Where the lanes are rows, the lowest three bits of all masks are 0 and a
state of n qubits has 2^n vectors; where they are amplitudes, it has 2^(n-3).

A turn mixes places i and j = i ^ flip. With r = ±1 by the parity of i & parity (1: i is |0> to the turned
qubit) and s = ±1 by that of i & signs, from (a, b) it makes

    a' = (w - i r z) a - (r s y + i s x) b        b' = (w + i r z) b + (r s y - i s x) a

which is the same with i and j exchanged: r changes its sign, s does not. Here the lowest three bits of flip
are 0; other turns, which exchange lanes, are in ``wide``. Sums over amplitudes are in float64, whatever the
state is in.
"""

from __future__ import annotations

from typing import Any

from orchestrator.backends.batched.lanes import (
    LANE_BITS,
    LANES,
    compiled,
    exchange,
    fma,
    inlined,
    load,
    load_strip,
    load_sums,
    odd,
    spread,
    spread_as,
    spread_strip,
    store,
    store_strip,
    strips,
    widen,
)

_TILE = 32
"""Pairs of vectors that are done strip by strip; they stay in the nearest cache from one to the next."""


@compiled
def parity_sign(bits: int) -> float:
    """-1 if an odd number of bits is set, else 1."""
    return 1.0 - 2.0 * odd(bits)


@inlined
def _masks(turn: Any) -> Any:
    """What ``_pair`` needs of a turn, without the lanes' bits."""
    low = (1 << (turn.pivot - LANE_BITS)) - 1
    return low, turn.flip >> LANE_BITS, turn.signs >> LANE_BITS, turn.negative, turn.parity >> LANE_BITS


@inlined
def _pair(k: int, masks: Any) -> Any:
    """The k-th pair of vectors, i (|0>) and j (|1>) and their sign s."""
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
def turned_pair(pair: Any, w: Any, x: Any, y: Any, z: Any) -> Any:
    """(a, b) to ((w - iz)a - (y + ix)b, (y - ix)a + (w + iz)b), each real and imaginary part."""
    a_re, a_im, b_re, b_im = pair
    return (
        fma(x, b_im, fma(-y, b_re, fma(z, a_im, w * a_re))),
        fma(-x, b_re, fma(-y, b_im, fma(-z, a_re, w * a_im))),
        fma(x, a_im, fma(y, a_re, fma(-z, b_im, w * b_re))),
        fma(-x, a_re, fma(y, a_im, fma(z, b_re, w * b_im))),
    )


@inlined
def _turned_about(pair: Any, axis: int, w: Any, u: Any) -> Any:
    """The same where all of x, y and z but that of one axis, u, are 0."""
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
def turn_pairs(
    source: Any, target: Any, turn: Any, product: Any, s: int, back: bool, start: int, stop: int
) -> None:
    """Turn s, or its inverse, on some of its pairs of vectors, from one state into another or inside of one.

    It is about product[s] (w, s x, r s y, r z, signs as in the lanes of vector 0).
    """
    if turn.axis == 0:
        _turn_about(source, target, turn, product, s, 0, back, start, stop)
    elif turn.axis == 1:
        _turn_about(source, target, turn, product, s, 1, back, start, stop)
    elif turn.axis == 2:
        _turn_about(source, target, turn, product, s, 2, back, start, stop)
    else:
        _turn(source, target, turn, product, s, back, start, stop)


@inlined
def _turn(
    source: Any, target: Any, turn: Any, product: Any, s: int, back: bool, start: int, stop: int
) -> None:
    direction, masks = -1.0 if back else 1.0, _masks(turn)
    for k in range(start, stop):
        i, j, sign = _pair(k, masks)
        signs, side = spread_strip(product, sign * direction), spread_strip(product, direction)
        for strip in range(strips(product)):
            w, x = load_strip(product, s, 0, strip), load_strip(product, s, 1, strip)
            y, z = load_strip(product, s, 2, strip), load_strip(product, s, 3, strip)
            pair = turned_pair(_load_pair(source, i, j, strip), w, signs * x, signs * y, side * z)
            _store_pair(target, i, j, strip, pair)


@inlined
def _turn_about(
    source: Any, target: Any, turn: Any, product: Any, s: int, axis: int, back: bool, start: int, stop: int
) -> None:
    direction, masks = -1.0 if back else 1.0, _masks(turn)
    for k in range(start, stop):
        i, j, sign = _pair(k, masks)
        side = spread_strip(product, direction if axis == 2 else sign * direction)
        for strip in range(strips(product)):
            w, u = load_strip(product, s, 0, strip), load_strip(product, s, 1 + axis, strip)
            pair = _turned_about(_load_pair(source, i, j, strip), axis, w, side * u)
            _store_pair(target, i, j, strip, pair)


@inlined
def transition(psi: Any, lam: Any) -> Any:
    """Im<λ|(X, Y, Z)|ψ> of one pair of either state."""
    a_re, a_im, b_re, b_im = psi
    c_re, c_im, d_re, d_im = lam
    return (
        fma(-d_im, a_re, fma(d_re, a_im, fma(-c_im, b_re, c_re * b_im))),
        fma(-c_im, b_im, fma(-c_re, b_re, fma(d_im, a_im, d_re * a_re))),
        fma(d_im, b_re, fma(-d_re, b_im, fma(-c_im, a_re, c_re * a_im))),
    )


@inlined
def measure(psi: Any, lam: Any, turn: Any, v: Any) -> None:
    """Writes v[0] = Im<λ|(X, Y, Z)|ψ> behind a turn; if it is about one axis, that component alone."""
    v[0] = 0.0
    count = psi.shape[0] // 2
    for start in range(0, count, _TILE):
        stop = min(start + _TILE, count)
        if turn.axis == 0:
            _measure_about(psi, lam, turn, 0, start, stop, v)
        elif turn.axis == 1:
            _measure_about(psi, lam, turn, 1, start, stop, v)
        elif turn.axis == 2:
            _measure_about(psi, lam, turn, 2, start, stop, v)
        else:
            _measure(psi, lam, turn, start, stop, v)


@inlined
def _measure(psi: Any, lam: Any, turn: Any, start: int, stop: int, v: Any) -> None:
    masks = _masks(turn)
    for strip in range(strips(psi)):
        v_x, v_y, v_z = _load_sums(v, 0, strip, psi)
        for k in range(start, stop):
            i, j, sign = _pair(k, masks)
            signs = spread_strip(psi, sign)
            u_x, u_y, u_z = transition(_load_pair(psi, i, j, strip), _load_pair(lam, i, j, strip))
            v_x, v_y, v_z = v_x + widen(signs * u_x), v_y + widen(signs * u_y), v_z + widen(u_z)
        _store_sums(v, 0, strip, v_x, v_y, v_z)


@inlined
def _measure_about(psi: Any, lam: Any, turn: Any, axis: int, start: int, stop: int, v: Any) -> None:
    masks = _masks(turn)
    for strip in range(strips(psi)):
        total = load_sums(v, 0, axis, strip, psi)
        for k in range(start, stop):
            i, j, sign = _pair(k, masks)
            u = transition(_load_pair(psi, i, j, strip), _load_pair(lam, i, j, strip))
            if axis == 2:
                total = total + widen(u[2])
            else:
                total = total + widen(spread_strip(psi, sign) * (u[0] if axis == 0 else u[1]))
        store_strip(v, 0, axis, strip, total)


@inlined
def _load_sums(v: Any, place: int, strip: int, state: Any) -> Any:
    return (
        load_sums(v, place, 0, strip, state),
        load_sums(v, place, 1, strip, state),
        load_sums(v, place, 2, strip, state),
    )


@inlined
def _store_sums(v: Any, place: int, strip: int, v_x: Any, v_y: Any, v_z: Any) -> None:
    store_strip(v, place, 0, strip, v_x)
    store_strip(v, place, 1, strip, v_y)
    store_strip(v, place, 2, strip, v_z)


@inlined
def grow(state: Any, turn: Any, product: Any, s: int, support: Any, size: int) -> None:
    """Turn s on a state that is 0 but in the first ``size`` vectors of ``support``; then in twice as many."""
    w, x, y, z = load(product, s, 0), load(product, s, 1), load(product, s, 2), load(product, s, 3)
    for k in range(size):
        i, j = support[k], support[size + k]
        sign = 1.0 - 2.0 * (odd((i << LANE_BITS) & turn.signs) ^ turn.negative)
        role = parity_sign((i << LANE_BITS) & turn.parity)
        s_x, s_y = spread_as(product, sign) * x, spread_as(product, sign * role) * y
        r_z, re, im = spread_as(product, role) * z, load(state, i, 0), load(state, i, 1)
        store(state, i, 0, fma(r_z, im, w * re))
        store(state, i, 1, fma(-r_z, re, w * im))
        store(state, j, 0, fma(s_x, im, s_y * re))
        store(state, j, 1, fma(-s_x, re, s_y * im))


@inlined
def undo_pairs(
    psi: Any, lam: Any, turn: Any, product: Any, s: int, start: int, stop: int, v: Any, place: int
) -> None:
    """Undoes turn s on some pairs of both states.

    Writes v[place] = Im<λ|(X, Y, Z)|ψ> of these pairs as it was behind the turn.
    """
    v[place] = 0.0
    for tile in range(start, stop, _TILE):
        _undo_tile(psi, lam, turn, product, s, tile, min(tile + _TILE, stop), v, place)


@inlined
def _undo_tile(
    psi: Any, lam: Any, turn: Any, product: Any, s: int, start: int, stop: int, v: Any, place: int
) -> None:
    masks = _masks(turn)
    for strip in range(strips(psi)):
        w, x = load_strip(product, s, 0, strip), -load_strip(product, s, 1, strip)
        y, z = -load_strip(product, s, 2, strip), -load_strip(product, s, 3, strip)
        v_x, v_y, v_z = _load_sums(v, place, strip, psi)
        for k in range(start, stop):
            i, j, sign = _pair(k, masks)
            signs = spread_strip(psi, sign)
            front, back = _load_pair(psi, i, j, strip), _load_pair(lam, i, j, strip)
            u_x, u_y, u_z = transition(front, back)
            v_x, v_y, v_z = v_x + widen(signs * u_x), v_y + widen(signs * u_y), v_z + widen(u_z)
            _store_pair(psi, i, j, strip, turned_pair(front, w, signs * x, signs * y, z))
            _store_pair(lam, i, j, strip, turned_pair(back, w, signs * x, signs * y, z))
        _store_sums(v, place, strip, v_x, v_y, v_z)


@inlined
def observe(psi: Any, lam: Any, terms: Any, signs: Any, zero: Any, keep: bool, start: int, stop: int) -> Any:
    """What some vectors add to E = <ψ|O|ψ>, by lane; if ``keep``, writes λ = Oψ.

    signs [T, 1, 8] are the lanes' own in the places that a term reads, in place of lane 0's. zero [1, 1, 8]
    holds the coefficient of |0…0><0…0| in the lanes of vector 0 that are the amplitude of |0…0>.
    """
    total = spread(0.0)
    for j in range(start, stop):
        l_re, l_im = spread_as(psi, 0.0), spread_as(psi, 0.0)
        for t in range(terms.shape[0]):
            i, lanes = j ^ (terms[t].flip >> LANE_BITS), terms[t].flip & (LANES - 1)
            sign = parity_sign((i << LANE_BITS) & terms[t].signs)
            re = spread_as(psi, sign * terms[t].real) * load(signs, t, 0)
            im = spread_as(psi, sign * terms[t].imag) * load(signs, t, 0)
            p_re, p_im = exchange(load(psi, i, 0), lanes), exchange(load(psi, i, 1), lanes)
            l_re, l_im = fma(re, p_re, fma(-im, p_im, l_re)), fma(re, p_im, fma(im, p_re, l_im))
        if j == 0:
            projector = load(zero, 0, 0)
            l_re, l_im = fma(projector, load(psi, 0, 0), l_re), fma(projector, load(psi, 0, 1), l_im)
        total = total + widen(fma(load(psi, j, 1), l_im, load(psi, j, 0) * l_re))
        if keep:
            store(lam, j, 0, l_re)
            store(lam, j, 1, l_im)
    return total
