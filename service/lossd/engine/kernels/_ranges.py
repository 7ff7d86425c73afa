"""Range checks of float32 by their bits: two instructions per vector, and one look at the end."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# A float32 is finite if its bits without the sign are at most LARGEST. It is from 0 to 1 if all its
# bits, as an unsigned number, are at most ONE: a sign is a bit of its own, above all others.
LARGEST, ONE = 0x7F7FFFFF, 0x3F800000
SIZE, ALL = 0x7FFFFFFF, -1  # masks: without the sign, and with it


@intrinsic
def more_of_bits(typing: Any, so_far: Any, x: Any, mask: Any) -> Any:
    """The larger, as unsigned numbers, of what there was and the masked bits of x."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        so_far, x, mask = arguments
        bits = builder.and_(builder.bitcast(x, ir.IntType(32)), mask)
        kind = ir.FunctionType(bits.type, [bits.type, bits.type])
        larger = builder.module.declare_intrinsic("llvm.umax", [bits.type], kind)
        return builder.call(larger, [so_far, bits])

    return types.uint32(types.uint32, types.float32, types.uint32), build
