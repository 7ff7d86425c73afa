"""What a call answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd_client._arrays import ArrayLike
from lossd_client._recipe import Exponentials, rebuild

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """What of a call its answer may refer to.

    `exponentials` are there where a recipe is expected, to be made while the service computes.
    """

    inputs: Mapping[str, ArrayLike] = field(default_factory=dict)
    class_axis: int | None = None
    gradient_dtype: str | None = None
    exponentials: Exponentials | None = None


@dataclass(frozen=True, slots=True)
class Warned:
    """Something to know about an answer. `code` is stable."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One loss. Results of one loss over parts of a data set merge: add `sum` and `denominator`.

    - `value`: sum / denominator for a mean; None where nothing counts, or for reduction none.
    - `count`: number of values, ignored ones included.
    - `rows`: every value, if it was asked for.
    - `gradients`: of `value`, one per differentiable input, in its shape; a group is a dict.
    - `row_norms`, `top_k_indices`, `top_k_values`: in place of `gradients`, if the form was asked
      for: each row's Euclidean norm; or its largest elements, as indices into the flattened row.
      Of the form recipe the gradients are rebuilt here, from the logits that were sent.
    - `state`: the new state, if it was asked for: inputs of the next call, by their names.
    - `proximal`: of a penalty's inputs, if it was asked for, in their shapes; a group is a dict.
    - `kept_indices`: of mining, if it was asked for: where what counts is in the flattened rows.
    - `params`: every parameter as used.
    - `seconds`: how long each phase took on the service.
    """

    loss: str
    version: int
    value: float | None
    sum: float
    denominator: float
    count: int
    rows: Array | None
    gradients: dict[str, Any]
    params: dict[str, Any]
    warnings: tuple[Warned, ...] = ()
    request_id: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    row_norms: dict[str, Any] = field(default_factory=dict)
    top_k_indices: dict[str, Any] = field(default_factory=dict)
    top_k_values: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Array] = field(default_factory=dict)
    proximal: dict[str, Any] = field(default_factory=dict)
    kept_indices: Array | None = None


def result_of(
    tensors: dict[str, Array],
    fields: dict[str, Any],
    request_id: str,
    seconds: dict[str, float],
    sent: Sent,
) -> Result:
    """Build a result from an answer's tensors and fields, and what was sent."""
    value = tensors.get("value")
    return Result(
        loss=fields["loss"],
        version=fields["version"],
        value=None if value is None else float(value),
        sum=float(tensors["sum"]),
        denominator=float(tensors["denominator"]),
        count=int(np.asarray(tensors["count"])),
        rows=tensors.get("rows"),
        gradients=nested(tensors, "gradients") | _rebuilt(tensors, fields, sent),
        row_norms=nested(tensors, "gradient_row_norms"),
        top_k_indices=nested(tensors, "gradient_top_k_indices"),
        top_k_values=nested(tensors, "gradient_top_k_values"),
        state=nested(tensors, "state"),
        proximal=nested(tensors, "proximal"),
        kept_indices=tensors.get("kept_indices"),
        params=fields["params"],
        warnings=tuple(Warned(each["code"], each["detail"]) for each in fields["warnings"]),
        request_id=request_id,
        seconds=seconds,
    )


def _rebuilt(tensors: dict[str, Array], fields: dict[str, Any], sent: Sent) -> dict[str, Array]:
    if "recipe" not in fields:
        return {}
    log_sum_exp = tensors["gradient_recipe_log_sum_exp.logits"]
    factor = tensors["gradient_recipe_factor.logits"]
    exponentials = sent.exponentials or Exponentials(sent.inputs, sent.class_axis)
    gradient = rebuild(exponentials, fields["recipe"], log_sum_exp, factor)
    if sent.gradient_dtype in ("float16", "float64"):
        gradient = gradient.astype(sent.gradient_dtype)
    return {"logits": gradient}


def nested(tensors: dict[str, Array], prefix: str) -> dict[str, Any]:
    """The tensors named `prefix.<input>`, a group's as a dict.

    Raises `ValueError` where one name is both a tensor's and a group's.
    """
    found: dict[str, Any] = {}
    for name, array in tensors.items():
        head, _, rest = name.partition(".")
        if head != prefix:
            continue
        group, slash, member = rest.partition("/")
        if group in found and isinstance(found[group], dict) != bool(slash):
            raise ValueError(f"{prefix}.{group[:50]} is both a tensor and a group")
        if slash:
            found.setdefault(group, {})[member] = array
        else:
            found[group] = array
    return found
