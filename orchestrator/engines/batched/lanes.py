"""A vector of eight numbers, as a type of its own in Numba.

Each lane is one row of the batch. Left to itself the compiler does not vectorise over rows, as it cannot
know that two amplitudes do not overlap; with this type every operation is one SIMD instruction (or two
or four, by CPU), the same for all lanes, whether or not all of them are in use.

Numba's cache on disk follows ``kernel.py`` and ``wide.py`` alone: after a change here, change those too.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 8

LANE_BITS = LANES.bit_length() - 1
"""Bits of an index that say which lane."""

FLAGS = ("contract", "nsz")
"""What the compiler may do: fuse a product and a sum, ignore the sign of zero. Never reorder a sum."""

_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_SPREAD = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)


class LanesType(types.Type):
    """Numba's type of such a vector."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


lanes = LanesType()


@register_model(LanesType)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _arithmetic(function: Any, instruction: str, arity: int) -> None:
    """Defines an operator on vectors as one LLVM instruction."""

    @infer_global(function)
    class _Template(ConcreteTemplate):
        cases = (signature(lanes, *[lanes] * arity),)

    @lower_builtin(function, *[lanes] * arity)
    def _lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return getattr(builder, instruction)(*arguments, flags=FLAGS)


_arithmetic(operator.add, "fadd", 2)
_arithmetic(operator.sub, "fsub", 2)
_arithmetic(operator.mul, "fmul", 2)
_arithmetic(operator.neg, "fneg", 1)


def _address(context: Any, builder: Any, kind: Any, array: Any, i: Any, j: Any) -> Any:
    """Where array[i, j, 0] lies."""
    fields = context.make_array(kind)(context, builder, array)
    index = [i, j, context.get_constant(types.intp, 0)]
    place = cgutils.get_item_pointer(context, builder, kind, fields, index, wraparound=False)
    return builder.bitcast(place, _VECTOR.as_pointer())


@intrinsic
def load(typing: Any, array: Any, i: Any, j: Any) -> Any:  # noqa: ARG001
    """array[i, j, :] of a C-contiguous float64 array [.., .., LANES]."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        place = _address(context, builder, kinds.args[0], *arguments)
        return builder.load(place, align=8)

    return lanes(array, types.intp, types.intp), emit


@intrinsic
def store(typing: Any, array: Any, i: Any, j: Any, value: Any) -> Any:  # noqa: ARG001
    """array[i, j, :] = value."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
        place = _address(context, builder, kinds.args[0], *arguments[:3])
        builder.store(arguments[3], place, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, lanes), emit


@intrinsic
def spread(typing: Any, number: Any) -> Any:  # noqa: ARG001
    """The same number in all lanes."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(nothing, arguments[0], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(first, nothing, _SPREAD)

    return lanes(types.float64), emit


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
                order = ir.Constant(_SPREAD.type, [lane ^ case for lane in range(LANES)])
                results.append((builder.shuffle_vector(vector, vector, order), builder.block))
                branch.add_case(ir.Constant(mask.type, case), builder.block)
                builder.branch(behind)
        builder.position_at_end(behind)
        result = builder.phi(_VECTOR)
        for value, block in results:
            result.add_incoming(value, block)
        return result

    return lanes(lanes, types.int64), emit


@intrinsic
def odd(typing: Any, bits: Any) -> Any:  # noqa: ARG001
    """1 if an int64 has an odd number of bits set, else 0."""

    def emit(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.and_(builder.ctpop(arguments[0]), ir.Constant(ir.IntType(64), 1))

    return types.int64(types.int64), emit
