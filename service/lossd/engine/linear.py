"""Calls whose logits are hidden @ classifier.T + classifier_bias: never all of them at once.

A few rows of logits are made, go through the loss as a call of their own, and leave their gradient
in those of hidden, classifier and bias. What is held beside inputs and gradients depends on
`CHUNK_BYTES`, not on rows times classes.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from lossd.engine.forms import condense
from lossd.engine.kernels._arrays import as_tensor, dtype_of_array
from lossd.engine.memory import Buffers
from lossd.engine.plain import denominator_of
from lossd.engine.reduce import gradient_overflows, reduce_sums
from lossd.errors import NotFinite
from lossd.losses import CLASSIFIER, CLASSIFIER_BIAS, HIDDEN, LOGITS
from lossd.schema import Call, Result

CHUNK_BYTES = 32 << 20  # of logits; fewer leave matrix products too thin to be fast
_MOST_INDICES = 10
_LINEAR = (HIDDEN, CLASSIFIER, CLASSIFIER_BIAS)
Part = Callable[[Call], Result]


def compute_linear(call: Call, device: torch.device, buffers: Buffers, part: Part) -> Result:
    """The result of a call whose values have been checked; `part` computes calls of logits.

    Raises `NotFinite` where the product overflows and the call does not let that through.
    """
    rows = call.item_shape[0]
    denominator = denominator_of(call)
    is_mean = call.reduction == "mean" and call.cotangent is None
    scale = 1.0 / denominator if is_mean and denominator else 1.0
    linear = _linear_of(call, device)
    room = _room(linear, rows, buffers)
    total, values = 0.0, []
    for cut in _cuts(rows, len(room)):
        logits = linear.logits(cut, room[: cut.stop - cut.start])
        if call.options.nonfinite == "refuse":
            _check_product(logits, cut.start)
        found = part(_part_of(call, cut, logits, scale))
        if call.wrt:
            linear.add_gradients(cut, found.gradients[LOGITS])
        if found.rows is not None:
            values.append(found.rows)
        total += found.sum
    value, _, warnings = reduce_sums(call.reduction, total, denominator)
    gradients = linear.gradients(is_null=value is None and is_mean)
    dense, condensed = condense(call, gradients)
    return Result(
        value=value,
        sum=total,
        denominator=denominator,
        count=rows,
        rows=_joined(call, values) if "rows" in call.options.outputs else None,
        gradients=dense,
        condensed=condensed,
        warnings=(*warnings, *gradient_overflows(gradients)),
    )


@dataclass(frozen=True, slots=True)
class _Linear:
    """The map from hidden states to logits, and the gradients of what it is made of.

    Gradients of the classifier and bias are added up in the compute dtype; those of hidden states
    are rounded to their own dtype as they come.
    """

    hidden: Tensor
    classifier: Tensor
    bias: Tensor | None
    found: Mapping[str, Tensor]
    dtypes: Mapping[str, torch.dtype]

    def logits(self, cut: slice, out: Tensor) -> Tensor:
        """Logits of some rows, written into `out`."""
        hidden = self.hidden[cut].to(out.dtype)
        torch.mm(hidden, self.classifier.T, out=out)
        return out if self.bias is None else out.add_(self.bias)

    def add_gradients(self, cut: slice, of_logits: Tensor) -> None:
        """Carry the gradient of some rows' logits on to what they were made of."""
        of_logits = of_logits.to(self.hidden.device)
        if HIDDEN in self.found:
            self.found[HIDDEN][cut] = of_logits @ self.classifier
        if CLASSIFIER in self.found:
            self.found[CLASSIFIER].addmm_(of_logits.T, self.hidden[cut].to(of_logits.dtype))
        if CLASSIFIER_BIAS in self.found:
            self.found[CLASSIFIER_BIAS].add_(of_logits.sum(0))

    def gradients(self, is_null: bool) -> dict[str, Tensor]:
        """In the dtypes that they are answered in; all 0 where nothing counts."""
        named = {name: x.to("cpu", self.dtypes[name]) for name, x in self.found.items()}
        return {name: torch.zeros_like(x) for name, x in named.items()} if is_null else named


def _linear_of(call: Call, device: torch.device) -> _Linear:
    given = {name: call.inputs[name].to(device) for name in _LINEAR if name in call.inputs}
    asked, dtype = call.options.gradient_dtype, call.compute_dtype
    wanted = None if asked is None else getattr(torch, asked)
    dtypes = {name: wanted or given[name].dtype for name in call.wrt}
    held = {name: dtypes[name] if name == HIDDEN else dtype for name in call.wrt}
    return _Linear(
        hidden=given[HIDDEN],
        classifier=given[CLASSIFIER].to(dtype),
        bias=given[CLASSIFIER_BIAS].to(dtype) if CLASSIFIER_BIAS in given else None,
        found={name: torch.zeros_like(given[name], dtype=held[name]) for name in call.wrt},
        dtypes=dtypes,
    )


def _room(linear: _Linear, rows: int, buffers: Buffers) -> Tensor:
    """Where the logits of a chunk of rows go, again and again."""
    classes, x = linear.classifier.shape[0], linear.classifier
    most = max(1, min(rows, CHUNK_BYTES // (classes * x.itemsize)))
    if x.device.type != "cpu" or x.dtype != torch.float32:
        return x.new_empty(most, classes)
    return as_tensor(buffers.take((most, classes), dtype_of_array(x.dtype)))


def _cuts(rows: int, most: int) -> list[slice]:
    """Slices of at most so many rows, as even as can be."""
    count = -(-rows // most)
    edges = [rows * i // count for i in range(count + 1)] if count else [0]
    return [slice(a, b) for a, b in pairwise(edges)]


def _part_of(call: Call, cut: slice, logits: Tensor, scale: float) -> Call:
    """The rows of a call as one of their own, whose gradient is that of the whole call's value."""
    inputs = {LOGITS: logits}
    for name, x in call.inputs.items():
        if name not in _LINEAR:
            inputs[name] = x[cut] if call.spec.inputs[name].scope == "row" else x
    rows = cut.stop - cut.start
    cotangent = call.cotangent
    if cotangent is not None:
        cotangent = cotangent[cut]
    elif scale != 1.0:
        cotangent = torch.full((rows,), scale, dtype=torch.float64)
    changes = {
        "reduction": "sum",
        "class_axis": 1,
        "gradient_dtype": None,
        "gradient_form": "dense",
    }
    return replace(
        call,
        inputs=inputs,
        options=call.options.model_copy(update=changes),
        item_shape=(rows,),
        places={},
        row_weights=None if call.row_weights is None else call.row_weights[cut],
        cotangent=cotangent,
        wrt=(LOGITS,) if call.wrt else (),
    )


def _check_product(logits: Tensor, first_row: int) -> None:
    """Refuse NaN and +inf. As everywhere, -inf is a class that cannot be."""
    if math.isfinite(logits.sum().item()):
        return
    bad = torch.nonzero((logits.isnan() | (logits == torch.inf)).any(1))[:, 0]
    if len(bad):
        raise NotFinite(
            f"{HIDDEN} @ {CLASSIFIER} overflows {str(logits.dtype).removeprefix('torch.')}",
            at=f"inputs.{HIDDEN}",
            expected="finite logits",
            indices=[[first_row + i] for i in bad[:_MOST_INDICES].tolist()],
        )


def _joined(call: Call, parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if parts else torch.empty(0, dtype=call.compute_dtype)
