"""Lanes from memory and back: by an array, or by an address.

Where slices of an array would count references, addresses, which are numbers, cost nothing.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lossd.engine.kernels._lanes import (
    BITS,
    LANES,
    VECTOR,
    WIDTH,
    constant,
    declared,
    numbers,
    widened,
)

_F32, _I32 = ir.FloatType(), ir.IntType(32)
_FLOATS, _BOOLS = ir.PointerType(_F32), ir.VectorType(ir.IntType(1), WIDTH)


def element(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """A pointer to an element of an array."""
    data = context.make_array(kind)(context, builder, value=array).data
    return builder.gep(data, [index])


def _read(builder: Any, at: Any, left: Any, filling: Any) -> Any:
    """Sixteen of `left` float32 from an address on."""
    at = builder.bitcast(at, ir.PointerType(VECTOR))
    with builder.if_else(_are_sixteen(builder, left), likely=True) as (whole, partly):
        with whole:
            all_of_it = builder.load(at, align=4)
            end_of_whole = builder.block
        with partly:
            name = f"llvm.masked.load.v{WIDTH}f32.p0"
            kinds = [ir.PointerType(VECTOR), _I32, _BOOLS, VECTOR]
            some = builder.call(
                declared(builder, name, VECTOR, kinds),
                [
                    at,
                    ir.Constant(_I32, 4),
                    _first(builder, left),
                    widened(builder, filling, VECTOR),
                ],
            )
            end_of_partly = builder.block
    found = builder.phi(VECTOR)
    found.add_incoming(all_of_it, end_of_whole)
    found.add_incoming(some, end_of_partly)
    return found


def _write(builder: Any, at: Any, left: Any, lanes: Any) -> None:
    """Write as many of sixteen as are left from an address on."""
    at = builder.bitcast(at, ir.PointerType(VECTOR))
    with builder.if_else(_are_sixteen(builder, left), likely=True) as (whole, partly):
        with whole:
            builder.store(lanes, at, align=4)
        with partly:
            name = f"llvm.masked.store.v{WIDTH}f32.p0"
            kinds = [VECTOR, ir.PointerType(VECTOR), _I32, _BOOLS]
            builder.call(
                declared(builder, name, ir.VoidType(), kinds),
                [lanes, at, ir.Constant(_I32, 4), _first(builder, left)],
            )


def _are_sixteen(builder: Any, left: Any) -> Any:
    return builder.icmp_signed(">=", left, ir.Constant(left.type, WIDTH))


def _first(builder: Any, count: Any) -> Any:
    """A mask of so many."""
    wide = widened(builder, builder.trunc(count, _I32), BITS)
    return builder.icmp_signed("<", numbers(), wide)


def _left(context: Any, builder: Any, kind: Any, array: Any, j: Any) -> Any:
    made = context.make_array(kind)(context, builder, value=array)
    return builder.sub(builder.extract_value(made.shape, 0), j)


@intrinsic
def load(typing: Any, x: Any, j: Any, beyond: Any) -> Any:
    """x[j : j + 16] of a float32[::1]; `beyond` in the place of what is beyond its end."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        kind, (array, index, filling) = sig.args[0], arguments
        at = element(context, builder, kind, array, index)
        return _read(builder, at, _left(context, builder, kind, array, index), filling)

    return LANES(x, types.intp, types.float32), build


@intrinsic
def store(typing: Any, x: Any, j: Any, lanes: Any) -> Any:
    """Write x[j : j + 16], as far as x goes."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        kind, (array, index, value) = sig.args[0], arguments
        at = element(context, builder, kind, array, index)
        _write(builder, at, _left(context, builder, kind, array, index), value)
        return context.get_dummy_value()

    return types.void(x, types.intp, LANES), build


@intrinsic
def prefetch(typing: Any, x: Any, j: Any) -> Any:
    """Have x[j] and its neighbours brought into the cache; j may be beyond the end."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        byte = ir.PointerType(ir.IntType(8))
        at = builder.bitcast(element(context, builder, sig.args[0], *arguments), byte)
        fetch = declared(builder, "llvm.prefetch.p0", ir.VoidType(), [byte, _I32, _I32, _I32])
        read, keep, data = (ir.Constant(_I32, each) for each in (0, 3, 1))
        builder.call(fetch, [at, read, keep, data])
        return context.get_dummy_value()

    return types.void(x, types.intp), build


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
        return _read(builder, builder.inttoptr(address, _FLOATS), left, filling)

    return LANES(types.intp, types.intp, types.float32), build


@intrinsic
def store_at(typing: Any, address: Any, left: Any, lanes: Any) -> Any:
    """Write sixteen from an address on, or as many as are `left`."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        address, left, lanes = arguments
        _write(builder, builder.inttoptr(address, _FLOATS), left, lanes)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, LANES), build


@intrinsic
def within(typing: Any, count: Any, lanes: Any) -> Any:
    """The first `count` lanes, all if there are not so many; 0 in the others."""

    def build(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        count, lanes = arguments
        whole = builder.block
        with builder.if_then(builder.not_(_are_sixteen(builder, count)), likely=False):
            some = builder.select(_first(builder, count), lanes, constant(0.0))
            partly = builder.block
        found = builder.phi(VECTOR)
        found.add_incoming(lanes, whole)
        found.add_incoming(some, partly)
        return found

    return LANES(types.intp, LANES), build
