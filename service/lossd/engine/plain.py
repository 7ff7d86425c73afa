"""One call by the loss's own function and autograd: the truth that kernels are held to."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lossd.engine.blocks import BLOCK_BYTES, has_rows, is_cuttable, rows_of, run_in_blocks
from lossd.engine.forms import condense, recipe_of
from lossd.engine.reduce import gradient_overflows, reduce_sums
from lossd.schema import Call, Result, Warned

_TENSORS = 16  # of the size of the inputs, that a plain function and its gradient may hold at once


def compute_plainly(call: Call, device: torch.device, block_bytes: int = BLOCK_BYTES) -> Result:
    """A call whose values are checked. Large ones are cut where their rows stand alone."""
    denominator = denominator_of(call)
    # Without a denominator the gradients depend on the sum of all rows.
    if not is_cuttable(call) or (call.reduction == "mean" and not denominator):
        return _compute(call, device, denominator)
    rows = call.item_shape[0]
    whole = _Whole(rows)
    run_in_blocks(
        rows,
        rows_in(block_bytes, call),
        lambda start, stop: whole.add(
            start, _compute(rows_of(call, start, stop), device, denominator)
        ),
        torch.cuda.empty_cache if device.type == "cuda" else lambda: None,
    )
    return whole.result(call, denominator)


def weights_of(call: Call) -> Tensor | None:
    """Each item's share of the denominator, without row weights; None is 1 each."""
    weigh = call.spec.weights
    if weigh is None:
        return None
    wanted = {key: x for key, x in call.inputs.items() if key in call.spec.weights_inputs}
    with torch.no_grad():
        return weigh(**call.arguments(wanted), params=call.params)


def denominator_of(call: Call) -> float:
    """What the sum is divided by in a mean: known before the values are."""
    weights, row_weights = weights_of(call), call.row_weights
    if weights is None:
        if row_weights is None:
            return float(math.prod(call.item_shape))
        return _total(row_weights) * math.prod(call.item_shape[1:])
    if row_weights is not None:
        weights = weights * row_weights.view(-1, *([1] * (weights.ndim - 1)))
    return _total(weights)


def _total(x: Tensor) -> float:
    return x.sum(dtype=torch.float64).item()


def rows_in(block_bytes: int, call: Call) -> int:
    """How many rows fit: a guess, for where it is too high the block is halved."""
    elements = sum(x[:1].numel() for key, x in call.inputs.items() if has_rows(call, key))
    elements += call.paired_elements  # of one row: only rows that stand alone are cut
    bytes_per_row = elements * call.compute_dtype.itemsize * _TENSORS
    return max(1, block_bytes // max(1, bytes_per_row))


class _Whole:
    """Puts the results of blocks of rows together."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._first: Result | None = None
        self._tensors: dict[str, Tensor] = {}
        self._total = 0.0
        self._warnings: dict[Warned, None] = {}  # in order, each once

    def add(self, start: int, part: Result) -> None:
        """The result of the rows from `start` on."""
        self._first = self._first or part
        self._total += part.sum
        self._warnings |= dict.fromkeys(
            each for each in part.warnings if each.code != "nonfinite_value"
        )
        for key, x in _tensors_of(part).items():
            if len(x) == self._rows:
                self._tensors[key] = x
                continue
            if key not in self._tensors:
                self._tensors[key] = x.new_empty(self._rows, *x.shape[1:])
            self._tensors[key][start : start + len(x)] = x

    def result(self, call: Call, denominator: float) -> Result:
        """The result of all rows."""
        assert self._first is not None
        value, _, warnings = reduce_sums(call.reduction, self._total, denominator)
        found = self._tensors
        return replace(
            self._first,
            value=value,
            sum=self._total,
            denominator=denominator,
            count=math.prod(call.item_shape),
            rows=found.get("rows"),
            gradients={key: found[f"dense.{key}"] for key in self._first.gradients},
            condensed={key: found[f"condensed.{key}"] for key in self._first.condensed},
            warnings=(*warnings, *self._warnings),
        )


def _tensors_of(part: Result) -> dict[str, Tensor]:
    named = {f"dense.{key}": x for key, x in part.gradients.items()}
    named |= {f"condensed.{key}": x for key, x in part.condensed.items()}
    return named if part.rows is None else named | {"rows": part.rows}


def _compute(call: Call, device: torch.device, denominator: float) -> Result:
    """All rows of a call, or some: `denominator` is that of the whole."""
    by_autograd = [key for key in call.wrt if not (call.by_recipe and key == "logits")]
    leaves = {key: _leaf(call, x, device, key in by_autograd) for key, x in call.inputs.items()}
    with torch.set_grad_enabled(bool(by_autograd)):
        values = call.spec.fn(**call.arguments(leaves), params=call.params)
    settled, outer = settle(call, values, denominator)
    gradients, more = _gradients(call, {key: leaves[key] for key in by_autograd}, values, outer)
    dense, condensed = condense(call, gradients)
    if call.by_recipe:
        condensed |= recipe_of(call, leaves, torch.zeros_like(values) if outer is None else outer)
    return replace(
        settled,
        gradients={key: each.cpu() for key, each in dense.items()},
        condensed={key: each.cpu() for key, each in condensed.items()},
        warnings=(*settled.warnings, *more),
    )


def settle(call: Call, values: Tensor, denominator: float) -> tuple[Result, Tensor | None]:
    """What is answered of a call's values but for gradients, and the gradient of it by each value.

    That is the cotangent where there is one; None is 0 everywhere. A row without weight is 0 even
    where its value is infinite.
    """
    row_weights = per_item(call.row_weights, values)
    rows = values.detach()
    if row_weights is not None:
        rows = torch.where(row_weights == 0, 0.0, rows * row_weights)
    total = _total(rows)
    value, scale, warnings = reduce_sums(call.reduction, total, denominator)
    result = Result(
        value=value,
        sum=total,
        denominator=denominator,
        count=values.numel(),
        rows=rows.cpu() if "rows" in call.options.outputs else None,
        gradients={},
        warnings=warnings,
    )
    return result, _outer(call, values, row_weights, scale)


def _leaf(call: Call, x: Tensor, device: torch.device, differentiable: bool) -> Tensor:
    """In the compute dtype where it gets a gradient, which is then rounded once, at the end."""
    dtype = call.compute_dtype if differentiable else x.dtype
    if call.shared is None or device.type != "cpu":
        return x.to(device, dtype).detach().requires_grad_(differentiable)
    leaf = call.shared.cast(x, dtype).detach().requires_grad_(differentiable)
    call.shared.lend(leaf)
    return leaf


def per_item(row_weights: Tensor | None, values: Tensor) -> Tensor | None:
    """The weight of each item's row, in the shape of the values."""
    if row_weights is None:
        return None
    shape = (-1, *([1] * (values.ndim - 1)))
    return row_weights.to(values.device, values.dtype).view(shape).expand_as(values)


def _outer(
    call: Call, values: Tensor, row_weights: Tensor | None, scale: float | None
) -> Tensor | None:
    """The gradient of what is answered by each item's value, or the cotangent; None is all 0."""
    if call.cotangent is not None:
        outer = call.cotangent.to(values.device, values.dtype)
    elif scale is None:
        return None
    else:
        outer = torch.full_like(values, scale)
    return outer if row_weights is None else outer * row_weights


def _gradients(
    call: Call, wanted: Mapping[str, Tensor], values: Tensor, outer: Tensor | None
) -> tuple[dict[str, Tensor], tuple[Warned, ...]]:
    """The gradients of the value, or the vector-Jacobian product with the call's cotangent."""
    if not wanted:
        return {}, ()
    leaves = list(wanted.values())
    if values.requires_grad and outer is not None:
        found = torch.autograd.grad(values, leaves, outer, materialize_grads=True)
    else:
        found = tuple(torch.zeros_like(leaf) for leaf in leaves)
    named = {key: as_asked(call, key, each) for key, each in zip(wanted, found, strict=True)}
    warnings = gradient_overflows(named)
    return {key: call.as_sent(key, each) for key, each in named.items()}, warnings


def as_asked(call: Call, key: str, gradient: Tensor) -> Tensor:
    """A gradient in the dtype that it is answered in."""
    wanted = call.options.gradient_dtype
    return gradient.to(getattr(torch, wanted) if wanted else call.inputs[key].dtype)
