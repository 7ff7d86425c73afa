"""Hard example mining: items are chosen by their values, and only those that are chosen count.

Two passes: one for the values, and if gradients are wanted one whose cotangent is the choice, so
the choice is constant in the gradient, and every way of computing a call can be taken.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossd.engine.plain import weights_of
from lossd.engine.reduce import reduce_sums
from lossd.schema import Call, Result
from lossd.schema.mining import Cvar, NegativeRatio, Ohem, labels_of

Floats = NDArray[np.float64]
Part = Callable[[Call], Result]
_CRUMB = 1e-9  # of an item: less is what rounding leaves of a share


def compute_mined(call: Call, part: Part) -> Result:
    """The result of a call with the option `mining`; `part` computes calls without."""
    rows = part(_without_mining(call, ["rows"], wrt=())).rows
    assert rows is not None
    result, pull = settle_mined(call, rows)
    if not call.wrt:
        return result
    found = part(replace(_without_mining(call, ["gradients"], call.wrt), cotangent=pull))
    overflows = tuple(each for each in found.warnings if each.code == "gradient_overflow")
    return replace(
        result,
        gradients=found.gradients,
        condensed=found.condensed,
        warnings=result.warnings + overflows,
    )


def settle_mined(call: Call, rows: Tensor) -> tuple[Result, Tensor]:
    """What is answered of a call with `mining` but for gradients, and the cotangent for those.

    `rows` are its values without row weights, and these are no part of the cotangent.
    """
    # What is weighed is float64, and rows of weight 0 are 0 even where their value is infinite.
    values = rows.double()
    shares = weights_of(call)
    shares = torch.ones_like(values) if shares is None else shares.double()
    if call.row_weights is not None:
        of_items = call.row_weights.view(-1, *([1] * (values.ndim - 1))).expand_as(values)
        weighted, shares = _times(of_items, values), shares * of_items
    else:
        of_items, weighted = None, values
    kept = _choose(call, values, (weighted != 0) | (shares != 0), of_items)
    total, denominator = float(_times(kept, weighted).sum()), float((kept * shares).sum())
    value, scale, warnings = reduce_sums(call.reduction, total, denominator)
    extras = {}
    if "kept_indices" in call.options.outputs:
        extras["kept_indices"] = torch.nonzero(kept.flatten())[:, 0]
    result = Result(
        value=value,
        sum=total,
        denominator=denominator,
        count=values.numel(),
        rows=weighted.to(rows.dtype) if "rows" in call.options.outputs else None,
        gradients={},
        extras=extras,
        warnings=warnings,
    )
    return result, kept * (scale or 0.0)


def _without_mining(call: Call, outputs: list[str], wrt: tuple[str, ...]) -> Call:
    """The call, of the reduction sum; values come as the loss gives them, without row weights."""
    changes = {"mining": None, "outputs": outputs, "reduction": "sum"}
    return replace(
        call,
        options=call.options.model_copy(update=changes),
        wrt=wrt,
        extras=(),
        row_weights=call.row_weights if wrt else None,
        places=call.places if wrt else {},
        plan=None,
    )


def _times(weights: Tensor, values: Tensor) -> Tensor:
    """The product, which is 0 where the weight is, even where the value is infinite."""
    return torch.where(weights == 0, 0.0, weights * values)


def _choose(call: Call, values: Tensor, counts: Tensor, weights: Tensor | None) -> Tensor:
    """How much of each item is kept, 0 to 1. `counts` is false for items that nobody counts."""
    flat = values.numpy().ravel()
    flat = np.where(np.isnan(flat), np.inf, flat)  # what is not a number is what to look at first
    places = np.flatnonzero(counts.numpy().ravel())
    kept = np.zeros(flat.shape)
    match call.options.mining:
        case Ohem() as ohem:
            kept[places[hardest(flat[places], _how_many(ohem, flat[places]))]] = 1.0
        case NegativeRatio() as how:
            name = labels_of(call.spec, call.inputs)
            assert name is not None
            positive = call.inputs[name].numpy(force=True).ravel()[places] != how.background
            most = math.floor(round(how.ratio * int(positive.sum()), 6))
            negatives = places[~positive]
            chosen = hardest(flat[negatives], max(most, how.min_negatives))
            kept[places[positive]], kept[negatives[chosen]] = 1.0, 1.0
        case Cvar(alpha=alpha):
            kept[places] = (
                worst_of_equals(flat[places], alpha)
                if weights is None
                else worst_share(flat[places], weights.numpy().ravel()[places], alpha)
            )
    return torch.from_numpy(kept).view(values.shape)


def _how_many(ohem: Ohem, values: Floats) -> int:
    if ohem.keep_count is not None:
        wanted = ohem.keep_count
    elif ohem.keep_fraction is not None:
        wanted = math.ceil(round(ohem.keep_fraction * len(values), 6))
    else:
        assert ohem.threshold is not None
        wanted = int((values > ohem.threshold).sum())
    return max(wanted, ohem.min_kept)


def hardest(values: Floats, count: int) -> NDArray[Any]:
    """Where the largest values are, in order of place; of equal ones the first are taken."""
    spare = len(values) - count
    if spare <= 0:
        return np.arange(len(values))
    if count == 0:
        return np.empty(0, np.intp)
    edge = np.partition(values, spare)[spare]
    above = np.flatnonzero(values > edge)
    return np.sort(np.concatenate((above, np.flatnonzero(values == edge)[: count - len(above)])))


def worst_of_equals(values: Floats, alpha: float) -> Floats:
    """`worst_share` where every value has the same mass, without a sort."""
    goal = alpha * len(values)
    whole = math.floor(goal + _CRUMB)
    kept = np.zeros(values.shape)
    if goal - whole > _CRUMB:
        kept[hardest(values, whole + 1)] = goal - whole
    kept[hardest(values, whole)] = 1.0
    return kept


def worst_share(values: Floats, mass: Floats, alpha: float) -> Floats:
    """How much of each value is in the worst `alpha` of the mass; of equal ones the first first."""
    order = np.argsort(-values, kind="stable")
    ordered = mass[order]
    before = np.cumsum(ordered) - ordered
    parts: Floats = np.clip((alpha * ordered.sum() - before) / ordered, 0.0, 1.0)
    parts[parts < _CRUMB], parts[parts > 1.0 - _CRUMB] = 0.0, 1.0
    kept = np.empty_like(parts)
    kept[order] = parts
    return kept
