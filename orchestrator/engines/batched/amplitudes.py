"""What turns and observables do to the amplitudes of a state, vector by vector.

A state is [V, 2 (real, imaginary), 8], float64 or float32. Place 8v + l in it, lane l of vector v, is what masks of
a ``Schedule`` speak of. Where the lanes are rows, the lowest three bits of all masks are 0 and a state of
n qubits has 2^n vectors; where they are amplitudes, it has 2^(n-3).

A turn mixes places i and j = i ^ flip. With r = ±1 by the parity of i & parity (1: i is |0> to the turned
qubit) and s = ±1 by that of i & signs, from (a, b) it makes

    a' = (w - i r z) a - (r s y + i s x) b        b' = (w + i r z) b + (r s y - i s x) a

which is the same with i and j exchanged: r changes its sign, s does not. A flip inside of a vector
makes it its own partner; then each pair is met twice, with one result.

Everything is inlined into its caller, so that turns without exchanges are compiled without them. Sums over
amplitudes are in float64, whatever the state is in.
"""

from __future__ import annotations

from typing import Any

from orchestrator.engines.batched.lanes import (
    LANE_BITS,
    LANES,
    compiled,
    exchange,
    inlined,
    load,
    load_strip,
    odd,
    spread,
    spread_as,
    spread_strip,
    store,
    store_strip,
    strips,
    widen,
)


@compiled
def parity_sign(bits: int) -> float:
    """-1 if an odd number of bits is set, else 1."""
    return 1.0 - 2.0 * odd(bits)


@inlined
def _pair(k: int, turn: Any) -> Any:
    """The k-th pair of places i (|0>) and j (|1>) and their sign s, for a flip that is not inside of a vector."""
    low = (1 << (turn.pivot - LANE_BITS)) - 1
    i = ((k & ~low) << 1) | (k & low)
    j = i ^ (turn.flip >> LANE_BITS)
    s = 1.0 - 2.0 * (odd((i << LANE_BITS) & turn.signs) ^ turn.negative)
    return (j, i, s) if odd((i << LANE_BITS) & turn.parity) else (i, j, s)


@inlined
def _rotate_strip(
    source: Any, target: Any, i: int, j: int, strip: int, w: Any, x: Any, y: Any, z: Any
) -> None:
    """(a, b) to ((w - iz)a - (y + ix)b, (y - ix)a + (w + iz)b)."""
    a_re, a_im = load_strip(source, i, 0, strip), load_strip(source, i, 1, strip)
    b_re, b_im = load_strip(source, j, 0, strip), load_strip(source, j, 1, strip)
    store_strip(target, i, 0, strip, w * a_re + z * a_im - y * b_re + x * b_im)
    store_strip(target, i, 1, strip, w * a_im - z * a_re - y * b_im - x * b_re)
    store_strip(target, j, 0, strip, y * a_re + x * a_im + w * b_re - z * b_im)
    store_strip(target, j, 1, strip, y * a_im - x * a_re + w * b_im + z * b_re)


@inlined
def turn_pairs(
    source: Any, target: Any, turn: Any, product: Any, s: int, back: bool, start: int, stop: int
) -> None:
    """Turn s, whose flip is not inside of a vector, or its inverse, on some pairs; perhaps into another state."""
    direction = spread_strip(product, -1.0 if back else 1.0)
    for strip in range(strips(product)):
        w, x = load_strip(product, s, 0, strip), direction * load_strip(product, s, 1, strip)
        y, z = direction * load_strip(product, s, 2, strip), direction * load_strip(product, s, 3, strip)
        for k in range(start, stop):
            i, j, sign = _pair(k, turn)
            signs = spread_strip(product, sign)
            _rotate_strip(source, target, i, j, strip, w, signs * x, signs * y, z)


@inlined
def _transition(psi: Any, lam: Any, i: int, j: int, strip: int) -> Any:
    """Im<λ|(X, Y, Z)|ψ> of one pair."""
    a_re, a_im = load_strip(psi, i, 0, strip), load_strip(psi, i, 1, strip)
    b_re, b_im = load_strip(psi, j, 0, strip), load_strip(psi, j, 1, strip)
    c_re, c_im = load_strip(lam, i, 0, strip), load_strip(lam, i, 1, strip)
    d_re, d_im = load_strip(lam, j, 0, strip), load_strip(lam, j, 1, strip)
    return (
        c_re * b_im - c_im * b_re + d_re * a_im - d_im * a_re,
        d_re * a_re + d_im * a_im - c_re * b_re - c_im * b_im,
        c_re * a_im - c_im * a_re - d_re * b_im + d_im * b_re,
    )


@inlined
def measure(psi: Any, lam: Any, turn: Any, v: Any) -> None:
    """Writes v[0] = Im<λ|(X, Y, Z)|ψ> of a turn whose flip is not inside of a vector."""
    for strip in range(strips(psi)):
        none = widen(spread_strip(psi, 0.0))
        v_x, v_y, v_z = none, none, none
        for k in range(psi.shape[0] // 2):
            i, j, sign = _pair(k, turn)
            signs = spread_strip(psi, sign)
            u_x, u_y, u_z = _transition(psi, lam, i, j, strip)
            v_x, v_y, v_z = v_x + widen(signs * u_x), v_y + widen(signs * u_y), v_z + widen(u_z)
        store_strip(v, 0, 0, strip, v_x)
        store_strip(v, 0, 1, strip, v_y)
        store_strip(v, 0, 2, strip, v_z)


@inlined
def grow(state: Any, turn: Any, product: Any, s: int, support: Any, size: int) -> None:
    """Turn s on a state with amplitudes in the first ``size`` places of ``support``; then in twice as many."""
    w, x, y, z = load(product, s, 0), load(product, s, 1), load(product, s, 2), load(product, s, 3)
    for k in range(size):
        i, j = support[k], support[size + k]
        sign = spread_as(product, 1.0 - 2.0 * (odd((i << LANE_BITS) & turn.signs) ^ turn.negative))
        role = spread_as(product, parity_sign((i << LANE_BITS) & turn.parity))
        s_x, s_y, r_z = sign * x, sign * role * y, role * z
        re, im = load(state, i, 0), load(state, i, 1)
        store(state, i, 0, w * re + r_z * im)
        store(state, i, 1, w * im - r_z * re)
        store(state, j, 0, s_y * re + s_x * im)
        store(state, j, 1, s_y * im - s_x * re)


@inlined
def undo_pairs(psi: Any, lam: Any, turn: Any, product: Any, s: int, start: int, stop: int, v: Any, place: int) -> None:
    """Undoes turn s, whose flip is not inside of a vector, on some pairs of both states.

    Writes v[place] = Im<λ|(X, Y, Z)|ψ> of these pairs as it was behind the turn.
    """
    for strip in range(strips(psi)):
        w, x = load_strip(product, s, 0, strip), -load_strip(product, s, 1, strip)
        y, z = -load_strip(product, s, 2, strip), -load_strip(product, s, 3, strip)
        none = widen(spread_strip(psi, 0.0))
        v_x, v_y, v_z = none, none, none
        for k in range(start, stop):
            i, j, sign = _pair(k, turn)
            signs = spread_strip(psi, sign)
            u_x, u_y, u_z = _transition(psi, lam, i, j, strip)
            v_x, v_y, v_z = v_x + widen(signs * u_x), v_y + widen(signs * u_y), v_z + widen(u_z)
            _rotate_strip(psi, psi, i, j, strip, w, signs * x, signs * y, z)
            _rotate_strip(lam, lam, i, j, strip, w, signs * x, signs * y, z)
        store_strip(v, place, 0, strip, v_x)
        store_strip(v, place, 1, strip, v_y)
        store_strip(v, place, 2, strip, v_z)


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
            l_re = l_re + (re * p_re - im * p_im)
            l_im = l_im + (re * p_im + im * p_re)
        if j == 0:
            l_re = l_re + load(zero, 0, 0) * load(psi, 0, 0)
            l_im = l_im + load(zero, 0, 0) * load(psi, 0, 1)
        total = total + widen(load(psi, j, 0) * l_re + load(psi, j, 1) * l_im)
        if keep:
            store(lam, j, 0, l_re)
            store(lam, j, 1, l_im)
    return total
