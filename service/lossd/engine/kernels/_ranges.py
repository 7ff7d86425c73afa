"""Range checks by the bits of float32: two instructions for sixteen, and one look at the end."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lossd.engine.kernels._lanes import BITS, LANES, VECTOR, WIDTH, declared, widened

# A float32 is finite if its bits without the sign are at most LARGEST. It is from 0 to 1 if all its
# bits, as an unsigned number, are at most ONE: a sign is a bit of its own, above all others.
LARGEST, ONE = 0x7F7FFFFF, 0x3F800000
SIZE, ALL = 0x7FFFFFFF, -1  # masks: without the sign, and with it


@intrinsic
def more_of_bits(typing: Any, so_far: Any, lanes: Any, mask: Any) -> Any:
    """The larger, as unsigned numbers, of what there was in each lane and of masked bits."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        so_far, lanes, mask = arguments
        bits = builder.and_(builder.bitcast(lanes, BITS), widened(builder, mask, BITS))
        larger = declared(builder, f"llvm.umax.v{WIDTH}i32", BITS, [BITS] * 2)
        found = builder.call(larger, [builder.bitcast(so_far, BITS), bits])
        return builder.bitcast(found, VECTOR)

    return LANES(LANES, LANES, types.uint32), build


@intrinsic
def exceed(typing: Any, so_far: Any, most: Any) -> Any:
    """Whether any lane's bits are more than a number."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        so_far, most = arguments
        over = builder.icmp_unsigned(
            ">", builder.bitcast(so_far, BITS), widened(builder, most, BITS)
        )
        bits = builder.bitcast(over, ir.IntType(WIDTH))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(LANES, types.uint32), build
