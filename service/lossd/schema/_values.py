"""Checks of what tensors hold: finite, in range, real labels, distributions that sum to 1.

Everything here runs on the CPU before a device sees the tensors, because there a bad index kills
the process for every caller.
"""

import math
from collections.abc import Callable, Hashable
from functools import partial

import torch
from torch import Tensor

from lossd.errors import BadRequest, NotFinite, OutOfRange
from lossd.losses import InputSpec
from lossd.schema.call import Call

MOST_INDICES = 10
_SUM_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}  # half precision: 1e-2


def check_values(call: Call) -> None:
    """Check the numbers of a call. Raises `NotFinite` or `OutOfRange`, with up to ten indices.

    Where tensors are shared, what another call has checked of them is not checked again.
    """
    options = call.options
    ignore_index: int | None = getattr(call.params, "ignore_index", None)
    for key, x in call.inputs.items():
        want = call.spec.inputs[key.partition("/")[0]]
        at = f"inputs.{key.replace('/', '.', 1)}"
        if want.kind == "int":
            said: Hashable = (want.arg, ignore_index, _count_of(call, want))
            _once(call, said, (x,), partial(_check_labels, call, want, x, ignore_index, at))
        else:
            _check_reals(call, want, x, at)
    if options.nonfinite == "refuse":
        _check_some_class_is_possible(call, ignore_index)


def _once(
    call: Call, what: Hashable, tensors: tuple[Tensor, ...], check: Callable[[], None]
) -> None:
    if call.shared is None:
        check()
    else:
        call.shared.once(what, tensors, check)


def _check_reals(call: Call, want: InputSpec, x: Tensor, at: str) -> None:
    finite = call.options.nonfinite == "refuse"
    box_format = getattr(call.params, "box_format", "xyxy")
    summed = want.arg.sums_to_one and not getattr(call.params, "unnormalized_targets", False)

    def check() -> None:
        if finite:
            # Of its own, because other losses say the same of the same tensor in other words.
            said = ("finite", want.arg.minus_infinity)
            _once(call, said, (x,), lambda: _check_finite(want, x, at))
        _check_range(want, x, at)
        if summed:
            _check_sums(want, x, at)
        if want.arg.boxes:
            _check_boxes(x, box_format, at)

    _once(call, (want.arg, want.dims, finite, summed, box_format), (x,), check)


def _count_of(call: Call, want: InputSpec) -> int | None:
    """How many values an index may have."""
    dim = want.arg.index_of
    return None if dim is None else _size_of(call, dim) + want.arg.index_past


def _refuse(error: type[BadRequest], bad: Tensor, x: Tensor, at: str, expected: str) -> BadRequest:
    indices = torch.nonzero(bad)[:MOST_INDICES].tolist()
    values = x[bad][:MOST_INDICES].tolist() if bad.shape == x.shape else []
    count = int(bad.sum())
    return error(
        f"{count} value{'s are' if count > 1 else ' is'} not {expected}",
        at=at,
        expected=expected,
        got=", ".join(f"{value:g}" for value in values) or None,
        indices=indices,
    )


def _is_finite_for_sure(x: Tensor) -> bool:
    """True only if every number is finite: one that is not leaves no sum finite.

    A sum is one pass that writes nothing; where it overflows nothing is said.
    """
    return math.isfinite(x.sum(dtype=torch.promote_types(x.dtype, torch.float32)).item())


def _check_finite(want: InputSpec, x: Tensor, at: str) -> None:
    if _is_finite_for_sure(x) or bool(x.isfinite().all()):
        return
    bad = ~x.isfinite()
    if want.arg.minus_infinity:
        bad &= x != -torch.inf
    if bool(bad.any()):
        expected = "finite or -Infinity" if want.arg.minus_infinity else "finite"
        raise _refuse(NotFinite, bad, x, at, expected)


def _check_range(want: InputSpec, x: Tensor, at: str) -> None:
    low, high = want.arg.low, want.arg.high
    if (low is None and high is None) or not x.numel():
        return
    smallest, largest = x.aminmax()
    if (low is None or smallest >= low) and (high is None or largest <= high):
        return
    bad = torch.zeros_like(x, dtype=torch.bool)
    if low is not None:
        bad |= x < low
    if high is not None:
        bad |= x > high
    if bool(bad.any()):  # else it is a NaN that the caller lets through
        expected = f"in [{low:g}, {high:g}]" if low is not None and high is not None else ""
        expected = expected or (f">= {low:g}" if low is not None else f"<= {high:g}")
        raise _refuse(OutOfRange, bad, x, at, expected)


def _check_sums(want: InputSpec, x: Tensor, at: str) -> None:
    # The last of its name: the rows of a matrix of classes by classes are what sums to 1.
    axis = len(want.dims) - 1 - want.dims[::-1].index(want.arg.sums_to_one or "")
    sums = x.double().sum(axis)
    bad = (sums - 1).abs() > _SUM_TOLERANCE.get(x.dtype, 1e-2)
    if bool(bad.any()):
        raise _refuse(OutOfRange, bad, sums, at, f"a sum of 1 along {want.arg.sums_to_one}")


def _check_boxes(x: Tensor, box_format: str, at: str) -> None:
    """Refuse boxes with a negative side: corners in the wrong order, or a negative size."""
    corners = box_format == "xyxy"
    bad = x[..., 2:] < (x[..., :2] if corners else 0)
    if bool(bad.any()):
        expected = "x2 >= x1 and y2 >= y1" if corners else "w >= 0 and h >= 0"
        boxes = torch.nonzero(bad.any(-1))[:MOST_INDICES]
        raise OutOfRange(
            "a side of a box is negative",
            at=at,
            expected=f"{expected} (box_format {box_format})",
            got=", ".join(str(x[tuple(each)].tolist()) for each in boxes[:3]),
            indices=boxes.tolist(),
        )


def _check_labels(
    call: Call, want: InputSpec, x: Tensor, ignore_index: int | None, at: str
) -> None:
    if want.arg.values is not None:
        bad = torch.ones_like(x, dtype=torch.bool)
        for value in want.arg.values:
            bad &= x != value
        expected = f"one of {', '.join(map(str, want.arg.values))}"
    elif want.arg.index_of is not None:
        size = _size_of(call, want.arg.index_of) + want.arg.index_past
        if not x.numel() or (int(x.min()) >= 0 and int(x.max()) < size):
            return
        bad = (x < 0) | (x >= size)
        expected = f"in [0, {size})"
    else:
        return
    if ignore_index is not None:
        bad &= x != ignore_index
        expected += f", or ignore_index {ignore_index}"
    if bool(bad.any()):
        raise _refuse(OutOfRange, bad, x, at, expected)


def _size_of(call: Call, dim: str) -> int:
    if dim in call.spec.dims_of_params:
        return int(getattr(call.params, dim))
    for key, x in call.inputs.items():
        dims = call.spec.inputs[key.partition("/")[0]].dims
        if dim in dims:
            return int(x.shape[dims.index(dim)])
    raise AssertionError(f"{call.spec.name}: no input has the dimension {dim}")


def _check_some_class_is_possible(call: Call, ignore_index: int | None) -> None:
    """A distribution over no possible class has no probabilities: refuse it, unless ignored."""
    for key, x in call.inputs.items():
        want = call.spec.inputs[key.partition("/")[0]]
        if not (want.arg.minus_infinity and want.dims[:2] == ("rows", "classes")) or not x.numel():
            continue
        labels = None if ignore_index is None else call.inputs.get("labels")
        tensors = (x,) if labels is None else (x, labels)

        def check(key: str = key, x: Tensor = x, labels: Tensor | None = labels) -> None:
            if _is_finite_for_sure(x):
                return
            bad = x.amax(1) == -torch.inf
            if labels is not None and labels.shape == bad.shape:
                bad &= labels != ignore_index
            if bool(bad.any()):
                expected = "finite for at least one class"
                raise _refuse(NotFinite, bad, x, f"inputs.{key}", expected)

        _once(call, ("possible", ignore_index), tensors, check)
