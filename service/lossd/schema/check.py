"""Message to Call: the one place where a request becomes something the engine trusts."""

import numpy as np
import torch
from torch import Tensor

from lossd.errors import BadOption, OutOfRange
from lossd.floats import narrow
from lossd.schema.call import Call
from lossd.schema.options import Options
from lossd.schema.plan import InputPlan, Plan, plan_call
from lossd.wire import Message

_FLOAT8 = frozenset({torch.float8_e4m3fn, torch.float8_e5m2})


def parse_call(name: str, message: Message) -> Call:
    """Check a message against the loss's own signature; `check_values` checks its numbers.

    Raises `UnknownLoss` and every kind of `BadRequest`.
    """
    plan = plan_call(name, message)
    tensors = message.tensors
    return Call(
        spec=plan.spec,
        inputs={each.key: _as_planned(each, tensors[each.key], plan) for each in plan.inputs},
        params=plan.params,
        options=plan.options,
        item_shape=plan.item_shape,
        row_weights=_row_weights(tensors["row_weights"]) if "row_weights" in tensors else None,
        cotangent=_cotangent(tensors["cotangent"], plan) if "cotangent" in tensors else None,
        wrt=plan.wrt,
        extras=plan.extras,
        plan=plan,
    )


def _as_planned(planned: InputPlan, x: Tensor, plan: Plan) -> Tensor:
    if planned.dtype is not None:
        is_index = planned.dtype == torch.int64
        x = x.long() if is_index else _as_real(x, planned.dtype, planned.at)
    if planned.moves_classes:
        return x.movedim(plan.options.class_axis, 1).contiguous()
    return x if planned.shape is None else x.reshape(planned.shape)


def _as_real(x: Tensor, dtype: torch.dtype, at: str) -> Tensor:
    """Numbers without a dtype to compute a gradient in take the one that the request names."""
    if dtype is not torch.float32 or x.dtype is not torch.float64:
        if x.dtype in _FLOAT8:
            x = x.float()  # it stores numbers; torch does not compute with them
        return x.to(dtype)
    # Only float64 holds numbers that float32 does not. By numpy, whose calls cost less.
    wide = x.numpy()
    cast = np.empty(wide.shape, np.float32)
    if not narrow(wide, cast):
        lost = np.isfinite(wide) & ~np.isfinite(cast)
        raise OutOfRange(
            "too large for float32",
            at=at,
            expected="|x| < 3.4e38, or the option dtype float64",
            indices=np.argwhere(lost)[:10].tolist(),
        )
    return torch.from_numpy(cast)


def _row_weights(x: Tensor) -> Tensor:
    x = x.double()
    if not bool(((x >= 0) & x.isfinite()).all()):
        bad = torch.nonzero(~((x >= 0) & x.isfinite()))[:10].tolist()
        raise BadOption(
            "a row weight is negative or not finite",
            at="row_weights",
            expected=">= 0 and finite",
            indices=bad,
        )
    return x


def _cotangent(x: Tensor, plan: Plan) -> Tensor:
    options: Options = plan.options
    if plan.cotangent_dtype is not None:
        x = _as_real(x, plan.cotangent_dtype, "cotangent")
    if options.nonfinite == "refuse" and not bool(x.isfinite().all()):
        bad = torch.nonzero(~x.isfinite())[:10].tolist()
        raise BadOption("cotangent is not finite", at="cotangent", expected="finite", indices=bad)
    return x
