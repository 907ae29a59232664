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

from numba import njit

from orchestrator.engines.batched.lanes import (
    LANE_BITS,
    LANES,
    exchange,
    load,
    odd,
    spread,
    spread_as,
    store,
    widen,
)


@njit
def pairs(state: Any, turn: Any) -> int:
    """How many pairs of vectors a turn mixes."""
    return state.shape[0] if turn.pivot < LANE_BITS else state.shape[0] // 2


@njit
def parity_sign(bits: int) -> float:
    """-1 if an odd number of bits is set, else 1."""
    return 1.0 - 2.0 * odd(bits)


@njit(forceinline=True)
def _pair(k: int, turn: Any, lanes: int) -> Any:
    """The k-th pair of vectors, and the signs s and r of the first's lane 0."""
    i = k
    if lanes == 0 or turn.pivot >= LANE_BITS:
        low = (1 << (turn.pivot - LANE_BITS)) - 1
        i = ((k & ~low) << 1) | (k & low)
    j = i ^ (turn.flip >> LANE_BITS)
    s = 1.0 - 2.0 * (odd((i << LANE_BITS) & turn.signs) ^ turn.negative)
    first = odd((i << LANE_BITS) & turn.parity)
    if lanes == 0:  # then exchanging i and j spares the sign
        return (j, i, s, 1.0) if first else (i, j, s, 1.0)
    return i, j, s, 1.0 - 2.0 * first


@njit(forceinline=True)
def _rotate_pair(source: Any, target: Any, i: int, j: int, lanes: int, w: Any, x: Any, y: Any, z: Any) -> None:
    """(a, b) to ((w - iz)a - (y + ix)b, (y - ix)a + (w + iz)b)."""
    a_re, a_im = load(source, i, 0), load(source, i, 1)
    b_re, b_im = exchange(load(source, j, 0), lanes), exchange(load(source, j, 1), lanes)
    store(target, i, 0, w * a_re + z * a_im - y * b_re + x * b_im)
    store(target, i, 1, w * a_im - z * a_re - y * b_im - x * b_re)
    store(target, j, 0, exchange(y * a_re + x * a_im + w * b_re - z * b_im, lanes))
    store(target, j, 1, exchange(y * a_im - x * a_re + w * b_im + z * b_re, lanes))


@njit(forceinline=True)
def apply(source: Any, target: Any, turn: Any, product: Any, s: int, start: int, stop: int) -> None:
    """Turn s on some of its pairs, about product[s] (w, s x, r s y, r z, signs as in the pair's lanes).

    From one state into another, or inside of one.
    """
    lanes = turn.flip & (LANES - 1)
    if lanes:
        _apply(source, target, turn, lanes, product, s, start, stop)
    else:  # compiled without exchanges
        _apply(source, target, turn, 0, product, s, start, stop)


@njit(forceinline=True)
def _apply(
    source: Any, target: Any, turn: Any, lanes: int, product: Any, s: int, start: int, stop: int
) -> None:
    w, x, y, z = load(product, s, 0), load(product, s, 1), load(product, s, 2), load(product, s, 3)
    for k in range(start, stop):
        i, j, sign, role = _pair(k, turn, lanes)
        s_x, s_y = spread_as(product, sign) * x, spread_as(product, sign * role) * y
        _rotate_pair(source, target, i, j, lanes, w, s_x, s_y, spread_as(product, role) * z)


@njit(forceinline=True)
def unapply(state: Any, turn: Any, product: Any, s: int) -> None:
    """Undoes turn s, whose flip is not inside of a vector."""
    w, x, y, z = load(product, s, 0), -load(product, s, 1), -load(product, s, 2), -load(product, s, 3)
    for k in range(state.shape[0] // 2):
        i, j, sign, _ = _pair(k, turn, 0)
        s_x, s_y = spread_as(product, sign) * x, spread_as(product, sign) * y
        _rotate_pair(state, state, i, j, 0, w, s_x, s_y, z)


@njit(forceinline=True)
def measure(psi: Any, lam: Any, turn: Any) -> Any:
    """v = Im<λ|(X, Y, Z)|ψ> of a turn whose flip is not inside of a vector, by lane."""
    v_x, v_y, v_z = spread(0.0), spread(0.0), spread(0.0)
    for k in range(psi.shape[0] // 2):
        i, j, sign, _ = _pair(k, turn, 0)
        s = spread(sign)
        a_re, a_im, b_re, b_im = load(psi, i, 0), load(psi, i, 1), load(psi, j, 0), load(psi, j, 1)
        c_re, c_im, d_re, d_im = load(lam, i, 0), load(lam, i, 1), load(lam, j, 0), load(lam, j, 1)
        v_x = v_x + s * widen(c_re * b_im - c_im * b_re + d_re * a_im - d_im * a_re)
        v_y = v_y + s * widen(d_re * a_re + d_im * a_im - c_re * b_re - c_im * b_im)
        v_z = v_z + widen(c_re * a_im - c_im * a_re - d_re * b_im + d_im * b_re)
    return v_x, v_y, v_z


@njit(forceinline=True)
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


@njit(forceinline=True)
def undo(psi: Any, lam: Any, turn: Any, product: Any, s: int, start: int, stop: int) -> Any:
    """Undoes turn s on some pairs of both states.

    Returns what they add to v = Im<λ|(X, Y, Z)|ψ> as it was behind the turn, by lane, each pair as if its
    lanes' signs were those of lane 0.
    """
    lanes = turn.flip & (LANES - 1)
    if lanes:
        return _undo(psi, lam, turn, lanes, product, s, start, stop)
    return _undo(psi, lam, turn, 0, product, s, start, stop)


@njit(forceinline=True)
def _undo(psi: Any, lam: Any, turn: Any, lanes: int, product: Any, s: int, start: int, stop: int) -> Any:
    w, x, y, z = load(product, s, 0), -load(product, s, 1), -load(product, s, 2), -load(product, s, 3)
    v_x, v_y, v_z = spread(0.0), spread(0.0), spread(0.0)
    for k in range(start, stop):
        i, j, sign, role = _pair(k, turn, lanes)
        s_x, s_y, s_z = spread_as(product, sign), spread_as(product, sign * role), spread_as(product, role)
        a_re, a_im = load(psi, i, 0), load(psi, i, 1)
        b_re, b_im = exchange(load(psi, j, 0), lanes), exchange(load(psi, j, 1), lanes)
        c_re, c_im = load(lam, i, 0), load(lam, i, 1)
        d_re, d_im = exchange(load(lam, j, 0), lanes), exchange(load(lam, j, 1), lanes)
        v_x = v_x + widen(s_x * (c_re * b_im - c_im * b_re + d_re * a_im - d_im * a_re))
        v_y = v_y + widen(s_y * (d_re * a_re + d_im * a_im - c_re * b_re - c_im * b_im))
        v_z = v_z + widen(s_z * (c_re * a_im - c_im * a_re - d_re * b_im + d_im * b_re))
        _rotate_pair(psi, psi, i, j, lanes, w, s_x * x, s_y * y, s_z * z)
        _rotate_pair(lam, lam, i, j, lanes, w, s_x * x, s_y * y, s_z * z)
    return v_x, v_y, v_z


@njit(forceinline=True)
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
