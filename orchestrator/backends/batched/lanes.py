"""A vector of eight numbers, as a type of its own in Numba, in float64 and in float32.

Each lane is one row of the batch. Left to itself the compiler does not vectorise over rows, as it cannot
know that two amplitudes do not overlap; with this type every operation is one SIMD instruction (or two
or four, by CPU), the same for all lanes, whether or not all of them are in use.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from llvmlite.binding import get_host_cpu_features  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 8

LANE_BITS = LANES.bit_length() - 1
"""Bits of an index that say which lane."""

_REGISTER_BYTES = 64 if get_host_cpu_features().get("avx512f") else 32
_INTEGERS = ir.VectorType(ir.IntType(32), LANES)


class LanesType(types.Type):
    """Numba's type of ``count`` numbers, float64 or float32."""

    def __init__(self, element: Any, count: int) -> None:
        self.element, self.count = element, count
        self.vector = ir.VectorType(_ELEMENTS[element], count)
        super().__init__(name=f"Lanes({element}, {count})")


_ELEMENTS = {types.float64: ir.DoubleType(), types.float32: ir.FloatType()}
_WHOLE = {element: LanesType(element, LANES) for element in _ELEMENTS}
_STRIP = {
    element: LanesType(element, min(LANES, _REGISTER_BYTES * 8 // element.bitwidth)) for element in _ELEMENTS
}
"""What fits into one register; see ``strips``."""

lanes = _WHOLE[types.float64]

compiled = njit(_nrt=False)
"""For all that the kernels call: arrays are borrowed from the caller. Counting references to them, which is
what Numba does otherwise, would cost more than the arithmetic of a small circuit."""

inlined = njit(_nrt=False, forceinline=True)


@register_model(LanesType)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.vector)


_KINDS = {(kind.element, kind.count): kind for kind in (*_WHOLE.values(), *_STRIP.values())}


def _arithmetic(function: Any, instruction: str, arity: int) -> None:
    """Defines an operator on vectors as one LLVM instruction.

    The compiler is not allowed to fuse a product and a sum by itself: it would choose anew in each copy that
    it makes of a loop, and a row's bits would depend on its lane. See ``fma``.
    """

    @infer_global(function)
    class _Template(ConcreteTemplate):
        cases = tuple(signature(kind, *[kind] * arity) for kind in _KINDS.values())

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return getattr(builder, instruction)(*arguments)

    for kind in _KINDS.values():
        lower_builtin(function, *[kind] * arity)(lower)


_arithmetic(operator.add, "fadd", 2)
_arithmetic(operator.sub, "fsub", 2)
_arithmetic(operator.mul, "fmul", 2)
_arithmetic(operator.neg, "fneg", 1)


def _address(context: Any, builder: Any, array: Any, place: Any, kind: LanesType) -> Any:
    """Where a vector lies in an array of ``place`` = (array, i, j, strip)."""
    value, i, j, strip = place
    fields = context.make_array(array)(context, builder, value)
    lane = builder.mul(strip, context.get_constant(types.intp, kind.count))
    pointer = cgutils.get_item_pointer(context, builder, array, fields, [i, j, lane], wraparound=False)
    return builder.bitcast(pointer, ir.VectorType(_ELEMENTS[array.dtype], kind.count).as_pointer())


def _converted(builder: Any, value: Any, kind: Any, wanted: Any) -> Any:
    """A number or vector with elements of one kind, in another."""
    if kind == wanted:
        return value
    element = _ELEMENTS[wanted]
    target = ir.VectorType(element, value.type.count) if isinstance(value.type, ir.VectorType) else element
    return (builder.fptrunc if wanted == types.float32 else builder.fpext)(value, target)


def _load(array: Any, kind: LanesType) -> Any:
    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, kinds.args[0], arguments, kind), align=4)

    return kind(array, types.intp, types.intp, types.intp), emit


@intrinsic
def load_strip(typing: Any, array: Any, i: Any, j: Any, strip: Any) -> Any:  # noqa: ARG001
    """A strip of array[i, j, :]; see ``strips``."""
    return _load(array, _STRIP[array.dtype])


@intrinsic
def load_sums(typing: Any, array: Any, i: Any, j: Any, strip: Any, state: Any) -> Any:  # noqa: ARG001
    """The lanes of a float64 array that go with a strip of a state."""
    kind = _KINDS[types.float64, _STRIP[state.dtype].count]

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, kinds.args[0], arguments[:4], kind), align=4)

    return kind(array, types.intp, types.intp, types.intp, state), emit


@intrinsic
def _load_whole(typing: Any, array: Any, i: Any, j: Any, strip: Any) -> Any:  # noqa: ARG001
    return _load(array, _WHOLE[array.dtype])


@inlined
def load(array: Any, i: int, j: int) -> Any:
    """array[i, j, :] of a C-contiguous array [.., .., LANES]."""
    return _load_whole(array, i, j, 0)


@intrinsic
def store_strip(typing: Any, array: Any, i: Any, j: Any, strip: Any, value: Any) -> Any:  # noqa: ARG001
    """A strip of array[i, j, :] = value, rounded to the array's kind of elements."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        place = _address(context, builder, kinds.args[0], arguments[:4], value)
        builder.store(_converted(builder, arguments[4], value.element, kinds.args[0].dtype), place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp, value), emit


@inlined
def store(array: Any, i: int, j: int, value: Any) -> None:
    """array[i, j, :] = value, rounded to the array's kind of elements."""
    store_strip(array, i, j, 0, value)


@intrinsic
def strips(typing: Any, array: Any) -> Any:  # noqa: ARG001
    """In how many strips eight lanes are best worked on: as many as registers are needed to hold them.

    A loop over whole vectors would keep more alive than there are registers.
    """

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        return context.get_constant(types.intp, LANES // _STRIP[array.dtype].count)

    return types.intp(array), emit


def _in_all_lanes(builder: Any, number: Any, kind: LanesType) -> Any:
    nothing = ir.Constant(kind.vector, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    order = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, nothing, order)


def _spread(array: Any, kind: LanesType) -> Any:
    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        return _in_all_lanes(builder, _converted(builder, arguments[-1], types.float64, kind.element), kind)

    return kind(*array, types.float64), emit


@intrinsic
def spread(typing: Any, number: Any) -> Any:  # noqa: ARG001
    """The same number in all lanes, float64."""
    return _spread((), lanes)


@intrinsic
def spread_as(typing: Any, array: Any, number: Any) -> Any:  # noqa: ARG001
    """The same number in all lanes, in an array's kind of elements."""
    return _spread((array,), _WHOLE[array.dtype])


@intrinsic
def spread_strip(typing: Any, array: Any, number: Any) -> Any:  # noqa: ARG001
    """The same number in a strip of an array."""
    return _spread((array,), _STRIP[array.dtype])


@intrinsic
def widen(typing: Any, vector: Any) -> Any:  # noqa: ARG001
    """The same numbers in float64."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        return _converted(builder, arguments[0], kinds.args[0].element, types.float64)

    return (lanes if vector.count == LANES else vector)(vector), emit


def _called(builder: Any, name: str, kind: LanesType, arguments: Any) -> Any:
    """LLVM's intrinsic function of that name."""
    function = ir.FunctionType(kind.vector, [kind.vector] * len(arguments))
    suffix = f"v{kind.count}f{kind.element.bitwidth}"
    declared = cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.{suffix}")
    return builder.call(declared, arguments)


@intrinsic
def fma(typing: Any, x: Any, y: Any, z: Any) -> Any:  # noqa: ARG001
    """xy + z, rounded once."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        return _called(builder, "fma", x, arguments)

    return x(x, y, z), emit


@intrinsic
def nearest(typing: Any, vector: Any) -> Any:  # noqa: ARG001
    """Each lane's nearest whole number, float64."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        return _called(builder, "rint", vector, arguments)

    return vector(vector), emit


@intrinsic
def turned(typing: Any, quarters: Any, sine: Any, cosine: Any) -> Any:  # noqa: ARG001
    """Sine and cosine of r + k π/2 from those of r; k whole, below 2^31."""
    integers = ir.VectorType(ir.IntType(32), quarters.count)

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        def has(number: Any, bit: int) -> Any:
            masked = builder.and_(number, ir.Constant(integers, [bit] * quarters.count))
            return builder.icmp_signed("!=", masked, ir.Constant(integers, [0] * quarters.count))

        k = builder.fptosi(arguments[0], integers)
        behind = builder.add(k, ir.Constant(integers, [1] * quarters.count))
        s, c = (builder.select(has(k, 1), *pair) for pair in (arguments[:0:-1], arguments[1:]))
        s = builder.select(has(k, 2), builder.fneg(s), s)
        c = builder.select(has(behind, 2), builder.fneg(c), c)
        return context.make_tuple(builder, kinds.return_type, (s, c))

    return types.UniTuple(sine, 2)(quarters, sine, cosine), emit


@intrinsic
def exchange(typing: Any, vector: Any, mask: Any) -> Any:  # noqa: ARG001
    """Lane l of the result is lane l ^ mask, mask one of 0 to 7."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        vector, mask = arguments
        before, behind = builder.block, builder.append_basic_block("exchanged")
        branch = builder.switch(mask, behind)
        results = [(vector, before)]
        for case in range(1, LANES):
            with builder.goto_block(builder.append_basic_block(f"exchange{case}")):
                order = ir.Constant(_INTEGERS, [lane ^ case for lane in range(LANES)])
                results.append((builder.shuffle_vector(vector, vector, order), builder.block))
                branch.add_case(ir.Constant(mask.type, case), builder.block)
                builder.branch(behind)
        builder.position_at_end(behind)
        result = builder.phi(vector.type)
        for value, block in results:
            result.add_incoming(value, block)
        return result

    return vector(vector, types.int64), emit


@intrinsic
def take(typing: Any, counter: Any, count: Any) -> Any:  # noqa: ARG001
    """Adds to counter[0], an int64, and returns what was there; no two threads get the same."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        fields = context.make_array(kinds.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", fields.data, arguments[1], "monotonic")

    return types.int64(counter, types.int64), emit


@intrinsic
def odd(typing: Any, bits: Any) -> Any:  # noqa: ARG001
    """1 if an int64 has an odd number of bits set, else 0."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.and_(builder.ctpop(arguments[0]), ir.Constant(ir.IntType(64), 1))

    return types.int64(types.int64), emit
