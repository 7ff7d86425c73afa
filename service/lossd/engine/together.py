"""Small calls that differ in nothing but their rows, computed as one by the loss's plain function.

Each call is padded with its own last row to a multiple of `PAD_ROWS`, alone as well as in company:
then no vector of torch's ends within a call, and a call's bits do not depend on who came with it.
That holds on one machine and build, for operations that keep to their rows; a product of matrices
does not, since its library picks its algorithm by the number of rows.
"""

import time
from collections.abc import Hashable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lossd.engine.compute import pick_kernel
from lossd.engine.forms import condense
from lossd.engine.lanes import Outcome
from lossd.engine.plain import as_asked, denominator_of, per_item
from lossd.engine.reduce import gradient_overflows, reduce_sums
from lossd.errors import LossdError
from lossd.losses import CATALOG
from lossd.schema import Call, Result, check_values
from lossd.schema.describe import example_call

PAD_ROWS = 32
MOST_ELEMENTS = 32 * 1024  # of all calls, padded: above that torch cuts work over its threads
# Products of matrices and the like, and what looks at all rows to decide how to go on.
_MIXES_ROWS = frozenset(
    {"mm", "bmm", "addmm", "addbmm", "baddbmm", "mv", "addmv", "dot", "vdot", "convolution"}
    | {"_cdist_forward", "_cdist_backward", "_fft_r2c", "_fft_c2c", "_fft_c2r"}
    | {"_local_scalar_dense", "nonzero", "prod", "cumprod"}  # the last two in their gradients
)


def company_of(call: Call, device: torch.device) -> Hashable | None:
    """What calls have in common that may be computed together; None if this one goes alone.

    Of a call without a plan it is its own, so that its bits are those of a call with one. What
    calls share of their tensors is worth less than their bits, where they are small.
    """
    spec, options, plan = call.spec, call.options, call.plan
    alone = (
        device.type != "cpu"
        or spec.coupling != "independent"
        or spec.items[:1] != ("rows",)
        or bool(spec.matrices)
        or call.is_linear
        or bool(call.extras)
        or options.mining is not None
        or options.gradient_form == "recipe"
        or call.cotangent is not None
        or not call.item_shape[0]
        or padded_elements(call) > MOST_ELEMENTS
        or not _keeps_to_rows(spec.name)
        or pick_kernel(call, device) is not None
    )
    if alone:
        return None
    return object() if plan is None else plan.company


def padded_elements(call: Call) -> int:
    """The elements of the largest input, with the rows that it is padded with."""
    rows = call.item_shape[0]
    return call.elements // max(1, rows) * (rows + -rows % PAD_ROWS)


def compute_together(calls: Sequence[Call]) -> list[Outcome]:
    """A result, or what `check_values` raises, for each of some calls of one company.

    If anything else goes wrong, each is tried by itself.
    """
    started_s = time.perf_counter()
    outcomes: dict[int, Outcome] = {}
    for i, call in enumerate(calls):
        try:
            check_values(call)
        except LossdError as err:
            outcomes[i] = err
    fine = [i for i in range(len(calls)) if i not in outcomes]
    try:
        outcomes |= zip(fine, _compute([calls[i] for i in fine]), strict=True)
    except (RuntimeError, MemoryError) as err:
        if len(fine) > 1:
            return [compute_together([call])[0] for call in calls]
        outcomes[fine[0]] = err
    for each in outcomes.values():
        if isinstance(each, Result):
            each.seconds["compute"] = time.perf_counter() - started_s
    return [outcomes[i] for i in range(len(calls))]


def _compute(calls: Sequence[Call]) -> list[Result]:
    if not calls:
        return []
    first, places = calls[0], _places(calls)
    leaves = {key: _joined(calls, key) for key in first.inputs}
    with torch.set_grad_enabled(bool(first.wrt)):
        values = first.spec.fn(**first.arguments(leaves), params=first.params)
    outer = torch.zeros_like(values)
    results = []
    for call, place in zip(calls, places, strict=True):
        result, of_items = _reduced(call, values.detach()[place])
        results.append(result)
        if of_items is not None:
            outer[place] = of_items
    slopes: tuple[Tensor, ...] = ()
    wanted = [leaves[key] for key in first.wrt]
    if wanted and values.requires_grad:
        slopes = torch.autograd.grad(values, wanted, outer, materialize_grads=True)
    elif wanted:
        slopes = tuple(map(torch.zeros_like, wanted))
    return [
        _with_gradients(call, result, [x[place] for x in slopes])
        for call, result, place in zip(calls, results, places, strict=True)
    ]


def _places(calls: Sequence[Call]) -> list[slice]:
    places, at = [], 0
    for call in calls:
        rows = call.item_shape[0]
        places.append(slice(at, at + rows))
        at += rows + -rows % PAD_ROWS
    return places


def _joined(calls: Sequence[Call], key: str) -> Tensor:
    parts: list[Tensor] = []
    for call in calls:
        x = call.inputs[key]
        more = -len(x) % PAD_ROWS
        parts += [x, x[-1:].expand(more, *x.shape[1:])] if more else [x]
    joined = torch.cat(parts)
    if key not in calls[0].wrt:
        return joined
    return joined.to(calls[0].compute_dtype).detach().requires_grad_()


def _reduced(call: Call, values: Tensor) -> tuple[Result, Tensor | float | None]:
    """A call's result without gradients, and what its items count in it; None is nothing."""
    weights, rows = per_item(call.row_weights, values), values
    if weights is not None:
        rows = torch.where(weights == 0, 0.0, rows * weights)
    total = rows.sum(dtype=torch.float64).item()
    denominator = denominator_of(call)
    value, scale, warnings = reduce_sums(call.reduction, total, denominator)
    result = Result(
        value=value,
        sum=total,
        denominator=denominator,
        count=values.numel(),
        rows=rows.clone() if "rows" in call.options.outputs else None,
        gradients={},
        warnings=warnings,
    )
    if scale is None or weights is None:
        return result, scale
    return result, scale * weights


def _with_gradients(call: Call, result: Result, slopes: Sequence[Tensor]) -> Result:
    if not slopes:
        return result
    if result.value is None and call.reduction == "mean":  # nothing counts: not even 0 * infinity
        slopes = [torch.zeros_like(x) for x in slopes]
    named = {key: as_asked(call, key, x) for key, x in zip(call.wrt, slopes, strict=True)}
    dense, condensed = condense(call, {key: call.as_sent(key, x) for key, x in named.items()})
    return Result(
        value=result.value,
        sum=result.sum,
        denominator=result.denominator,
        count=result.count,
        rows=result.rows,
        gradients=dense,
        condensed=condensed,
        warnings=(*result.warnings, *gradient_overflows(named)),
    )


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch leaves it untyped
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch leaves it untyped
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@cache
def _keeps_to_rows(loss: str) -> bool:
    """Whether every input has rows, and no operation on the way mixes them."""
    spec, call = CATALOG[loss], example_call(CATALOG[loss])
    if "seed" in spec.params.model_fields:  # what is drawn for a row depends on its place
        return False
    if any(each.scope != "row" or each.group for each in spec.inputs.values()):
        return False
    leaves = {key: x.detach().requires_grad_(key in call.wrt) for key, x in call.inputs.items()}
    with _Operations() as seen:
        values = spec.fn(**call.arguments(leaves), params=call.params)
        if call.wrt:
            torch.autograd.grad(values.sum(), [leaves[key] for key in call.wrt], allow_unused=True)
    return not any(
        name in _MIXES_ROWS or ("linalg_" in name and name != "linalg_vector_norm")
        for name in seen.names
    )
