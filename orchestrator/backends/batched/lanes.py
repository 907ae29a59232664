"""A Numba type for vectors of eight numbers, in float64 or float32.

Each lane is one sample, or one amplitude in ``wide``. The compiler alone would not vectorise over samples,
as it cannot know that two amplitudes do not overlap in memory. With this type, each operation is one SIMD
instruction (two or four on smaller registers). It acts on all lanes, including unused ones.
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
"""Number of index bits that select a lane."""

_REGISTER_BYTES = 64 if get_host_cpu_features().get("avx512f") else 32
_INTEGERS = ir.VectorType(ir.IntType(32), LANES)


class LanesType(types.Type):
    """Numba's type for a vector of ``count`` numbers, float64 or float32."""

    def __init__(self, element: Any, count: int) -> None:
        self.element, self.count = element, count
        self.vector = ir.VectorType(_ELEMENTS[element], count)
        super().__init__(name=f"Lanes({element}, {count})")


_ELEMENTS = {types.float64: ir.DoubleType(), types.float32: ir.FloatType()}
_WHOLE_TYPES = {element: LanesType(element, LANES) for element in _ELEMENTS}
_STRIP_TYPES = {
    element: LanesType(element, min(LANES, _REGISTER_BYTES * 8 // element.bitwidth)) for element in _ELEMENTS
}
"""Vectors that fit into one register; see ``strips``."""

lanes = _WHOLE_TYPES[types.float64]

compiled = njit(_nrt=False)
"""Decorator of all functions that kernels call.

It turns off Numba's reference counting of arrays, which would cost more than a small circuit's arithmetic.
The caller owns the arrays.
"""

inlined = njit(_nrt=False, forceinline=True)


@register_model(LanesType)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.vector)


_TYPES = {(kind.element, kind.count): kind for kind in (*_WHOLE_TYPES.values(), *_STRIP_TYPES.values())}


def _arithmetic(function: Any, instruction: str, arity: int) -> None:
    """Defines an operator on vectors as one LLVM instruction.

    The compiler must not fuse products and sums by itself; see ``fma``. It would decide separately for each
    copy of a loop, and a sample's bits would depend on its lane.
    """

    @infer_global(function)
    class _Template(ConcreteTemplate):
        cases = tuple(signature(kind, *[kind] * arity) for kind in _TYPES.values())

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return getattr(builder, instruction)(*arguments)

    for kind in _TYPES.values():
        lower_builtin(function, *[kind] * arity)(lower)


_arithmetic(operator.add, "fadd", 2)
_arithmetic(operator.sub, "fsub", 2)
_arithmetic(operator.mul, "fmul", 2)
_arithmetic(operator.neg, "fneg", 1)


def _address(context: Any, builder: Any, array: Any, position: Any, kind: LanesType) -> Any:
    """Returns a pointer to the vector at ``position`` = (array, i, j, strip)."""
    value, i, j, strip = position
    fields = context.make_array(array)(context, builder, value)
    lane = builder.mul(strip, context.get_constant(types.intp, kind.count))
    pointer = cgutils.get_item_pointer(context, builder, array, fields, [i, j, lane], wraparound=False)
    return builder.bitcast(pointer, ir.VectorType(_ELEMENTS[array.dtype], kind.count).as_pointer())


def _convert(builder: Any, value: Any, source: Any, target: Any) -> Any:
    """Converts a number or vector from one element type to another."""
    if source == target:
        return value
    element = _ELEMENTS[target]
    kind = ir.VectorType(element, value.type.count) if isinstance(value.type, ir.VectorType) else element
    return (builder.fptrunc if target == types.float32 else builder.fpext)(value, kind)


def _load(array: Any, kind: LanesType) -> Any:
    """Returns the signature and code that load a vector of array[i, j, :]."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, kinds.args[0], arguments, kind), align=4)

    return kind(array, types.intp, types.intp, types.intp), emit


@intrinsic
def load_strip(typing: Any, array: Any, i: Any, j: Any, strip: Any) -> Any:  # noqa: ARG001
    """Returns a strip of array[i, j, :]; see ``strips``."""
    return _load(array, _STRIP_TYPES[array.dtype])


@intrinsic
def load_sums(typing: Any, array: Any, i: Any, j: Any, strip: Any, state: Any) -> Any:  # noqa: ARG001
    """Returns array[i, j, :] of a float64 array, in the lanes of a strip of ``state``."""
    kind = _TYPES[types.float64, _STRIP_TYPES[state.dtype].count]

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, kinds.args[0], arguments[:4], kind), align=4)

    return kind(array, types.intp, types.intp, types.intp, state), emit


@intrinsic
def _load_whole(typing: Any, array: Any, i: Any, j: Any, strip: Any) -> Any:  # noqa: ARG001
    return _load(array, _WHOLE_TYPES[array.dtype])


@inlined
def load(array: Any, i: int, j: int) -> Any:
    """Returns array[i, j, :] of a C-contiguous array [.., .., LANES]."""
    return _load_whole(array, i, j, 0)


@intrinsic
def store_strip(typing: Any, array: Any, i: Any, j: Any, strip: Any, value: Any) -> Any:  # noqa: ARG001
    """Writes a strip of array[i, j, :] = value, rounded to the array's dtype."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        address = _address(context, builder, kinds.args[0], arguments[:4], value)
        builder.store(_convert(builder, arguments[4], value.element, kinds.args[0].dtype), address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp, value), emit


@inlined
def store(array: Any, i: int, j: int, value: Any) -> None:
    """Writes array[i, j, :] = value, rounded to the array's dtype."""
    store_strip(array, i, j, 0, value)


@intrinsic
def strips(typing: Any, array: Any) -> Any:  # noqa: ARG001
    """Returns the number of strips of a vector: the number of registers that hold eight lanes.

    A loop over strips keeps fewer values alive than one over whole vectors, which would exceed the registers.
    """

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        return context.get_constant(types.intp, LANES // _STRIP_TYPES[array.dtype].count)

    return types.intp(array), emit


def _splat(builder: Any, number: Any, kind: LanesType) -> Any:
    """Returns a vector with the number in every lane."""
    undefined = ir.Constant(kind.vector, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    order = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, undefined, order)


def _broadcast(array: Any, kind: LanesType) -> Any:
    """Returns the signature and code that broadcast a float64 number to a vector."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        return _splat(builder, _convert(builder, arguments[-1], types.float64, kind.element), kind)

    return kind(*array, types.float64), emit


@intrinsic
def broadcast(typing: Any, number: Any) -> Any:  # noqa: ARG001
    """Returns a float64 vector with the number in every lane."""
    return _broadcast((), lanes)


@intrinsic
def broadcast_like(typing: Any, array: Any, number: Any) -> Any:  # noqa: ARG001
    """Returns a vector with the number in every lane, in the array's dtype."""
    return _broadcast((array,), _WHOLE_TYPES[array.dtype])


@intrinsic
def broadcast_strip(typing: Any, array: Any, number: Any) -> Any:  # noqa: ARG001
    """Returns a strip with the number in every lane, in the array's dtype."""
    return _broadcast((array,), _STRIP_TYPES[array.dtype])


@intrinsic
def widen(typing: Any, vector: Any) -> Any:  # noqa: ARG001
    """Returns the vector in float64."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        return _convert(builder, arguments[0], kinds.args[0].element, types.float64)

    return (lanes if vector.count == LANES else vector)(vector), emit


def _call_intrinsic(builder: Any, name: str, kind: LanesType, arguments: Any) -> Any:
    """Calls LLVM's intrinsic function of that name."""
    function = ir.FunctionType(kind.vector, [kind.vector] * len(arguments))
    suffix = f"v{kind.count}f{kind.element.bitwidth}"
    declared = cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.{suffix}")
    return builder.call(declared, arguments)


@intrinsic
def fma(typing: Any, x: Any, y: Any, z: Any) -> Any:  # noqa: ARG001
    """Returns xy + z, rounded once."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        return _call_intrinsic(builder, "fma", x, arguments)

    return x(x, y, z), emit


@intrinsic
def nearest(typing: Any, vector: Any) -> Any:  # noqa: ARG001
    """Rounds each lane to the nearest whole number."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        return _call_intrinsic(builder, "rint", vector, arguments)

    return vector(vector), emit


@intrinsic
def add_quarter_turns(typing: Any, quarters: Any, sine: Any, cosine: Any) -> Any:  # noqa: ARG001
    """Returns sine and cosine of r + k π/2 from those of r, with k = ``quarters`` whole and below 2^31."""
    integers = ir.VectorType(ir.IntType(32), quarters.count)

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        def has(number: Any, bit: int) -> Any:
            masked = builder.and_(number, ir.Constant(integers, [bit] * quarters.count))
            return builder.icmp_signed("!=", masked, ir.Constant(integers, [0] * quarters.count))

        k = builder.fptosi(arguments[0], integers)
        successor = builder.add(k, ir.Constant(integers, [1] * quarters.count))
        s, c = (builder.select(has(k, 1), *pair) for pair in (arguments[:0:-1], arguments[1:]))
        s = builder.select(has(k, 2), builder.fneg(s), s)
        c = builder.select(has(successor, 2), builder.fneg(c), c)
        return context.make_tuple(builder, kinds.return_type, (s, c))

    return types.UniTuple(sine, 2)(quarters, sine, cosine), emit


@intrinsic
def shuffle_xor(typing: Any, vector: Any, mask: Any) -> Any:  # noqa: ARG001
    """Returns the vector whose lane l is lane l ^ mask of the argument, with mask 0 to 7."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        vector, mask = arguments
        entry, exit_block = builder.block, builder.append_basic_block("shuffled")
        branch = builder.switch(mask, exit_block)
        results = [(vector, entry)]
        for case in range(1, LANES):
            with builder.goto_block(builder.append_basic_block(f"shuffle_xor{case}")):
                order = ir.Constant(_INTEGERS, [lane ^ case for lane in range(LANES)])
                results.append((builder.shuffle_vector(vector, vector, order), builder.block))
                branch.add_case(ir.Constant(mask.type, case), builder.block)
                builder.branch(exit_block)
        builder.position_at_end(exit_block)
        result = builder.phi(vector.type)
        for value, block in results:
            result.add_incoming(value, block)
        return result

    return vector(vector, types.int64), emit


@intrinsic
def fetch_add(typing: Any, counter: Any, count: Any) -> Any:  # noqa: ARG001
    """Atomically adds to counter[0], an int64, and returns its previous value."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        fields = context.make_array(kinds.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", fields.data, arguments[1], "monotonic")

    return types.int64(counter, types.int64), emit


@intrinsic
def odd(typing: Any, bits: Any) -> Any:  # noqa: ARG001
    """Returns 1 if an int64 has an odd number of bits set, else 0."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.and_(builder.ctpop(arguments[0]), ir.Constant(ir.IntType(64), 1))

    return types.int64(types.int64), emit
