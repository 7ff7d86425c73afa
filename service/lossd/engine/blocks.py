"""Large calls in blocks of rows that fit a memory budget; out of memory halves the block."""

from collections.abc import Callable
from dataclasses import replace

import torch

from lossd.schema import Call

BLOCK_BYTES = 256 * 1024 * 1024  # what one block may need, unless settings say otherwise


def is_out_of_memory(err: BaseException) -> bool:
    """Whether an error says that there is no memory, on whatever device."""
    if isinstance(err, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(err, RuntimeError) and "allocate memory" in str(err)


def has_rows(call: Call, key: str) -> bool:
    """Whether axis 0 of an input, by its key in the call, is rows."""
    return call.spec.inputs[key.partition("/")[0]].scope == "row"


def is_cuttable(call: Call) -> bool:
    """Whether rows may be computed apart: independent ones, whose gradients are their own."""
    return (
        call.spec.coupling == "independent"
        and call.spec.items[:1] == ("rows",)
        and all(has_rows(call, key) for key in call.wrt)
    )


def rows_of(call: Call, start: int, stop: int) -> Call:
    """The call for some of its rows."""
    if (start, stop) == (0, call.item_shape[0]):
        return call
    return replace(
        call,
        inputs={key: x[start:stop] if has_rows(call, key) else x for key, x in call.inputs.items()},
        item_shape=(stop - start, *call.item_shape[1:]),
        row_weights=None if call.row_weights is None else call.row_weights[start:stop],
        cotangent=None if call.cotangent is None else call.cotangent[start:stop],
    )


def run_in_blocks(
    rows: int,
    block_rows: int,
    work: Callable[[int, int], None],
    recover: Callable[[], None] = lambda: None,
) -> None:
    """Call `work(start, stop)` until all rows are done; at least once.

    Where it runs out of memory, `recover` lets go of what it can, and the same rows are done again
    in blocks half as large. Raises what the last attempt at one row raised.
    """
    start = 0
    while True:
        stop = min(rows, start + max(1, block_rows))
        try:
            work(start, stop)
        except (RuntimeError, MemoryError) as err:
            if stop - start <= 1 or not is_out_of_memory(err):
                raise
            block_rows = (stop - start) // 2
        else:
            if stop == rows:
                return
            start = stop
            continue
        recover()  # here, where the error no longer holds the memory of what failed
