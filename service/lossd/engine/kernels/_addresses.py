"""Addresses of float32: where slices of an array would count references, numbers cost nothing."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lossd.engine.kernels._lanes import LANES, element, read_lanes, write_lanes

_FLOATS = ir.PointerType(ir.FloatType())


@intrinsic
def address_of(typing: Any, x: Any, i: Any) -> Any:
    """Of x[i] of an array that whoever called the kernel holds."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        at = element(context, builder, sig.args[0], *arguments)
        return builder.ptrtoint(at, ir.IntType(64))

    return types.intp(x, types.intp), build


@intrinsic
def load_at(typing: Any, address: Any, left: Any, beyond: Any) -> Any:
    """Sixteen from an address on; `beyond` for those that there are not, if fewer are `left`."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        address, left, filling = arguments
        return read_lanes(builder, builder.inttoptr(address, _FLOATS), left, filling)

    return LANES(types.intp, types.intp, types.float32), build


@intrinsic
def store_at(typing: Any, address: Any, left: Any, lanes: Any) -> Any:
    """Write sixteen from an address on, or as many as are `left`."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        address, left, lanes = arguments
        write_lanes(builder, builder.inttoptr(address, _FLOATS), left, lanes)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, LANES), build
