"""The fields of a request other than tensors and the loss's own parameters."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lossd.errors import BadOption, BadParams
from lossd.losses import LossParams, LossSpec
from lossd.schema.mining import METHODS, Mining

Output = Literal["value", "rows", "gradients", "state", "proximal", "kept_indices"]
Reduction = Literal["mean", "sum", "none"]
FloatDtype = Literal["float16", "bfloat16", "float32", "float64"]


class Options(BaseModel):
    """How a call is reduced and what comes back."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    reduction: Reduction | None = Field(
        None,
        description="mean = sum / denominator; sum; none: value null, gradients of the sum. "
        "Default: the loss's own, which is mean except for penalties.",
    )
    outputs: list[Output] = Field(
        default=["value", "gradients"],
        description="What to answer; value, sum, denominator and count always come back. state: "
        "of losses that have one, what to send with the next call; proximal: of penalties, the "
        "proximal operator at their inputs; kept_indices: of mining, where the kept values are in "
        "the flattened rows.",
    )
    wrt: list[str] | None = Field(
        None,
        description="The inputs whose gradients are wanted. "
        "Default: every differentiable input that is given.",
    )
    dtype: Literal["float32", "float64"] = Field(
        "float32",
        description="How to read real numbers whose dtype the format does not state.",
    )
    gradient_dtype: FloatDtype | None = Field(
        None, description="Of the gradients. Default: each input's own."
    )
    gradient_form: Literal["dense", "row_norms", "top_k", "recipe"] = Field(
        "dense",
        description="dense; row_norms: the Euclidean norm of each row's gradient, float32; top_k: "
        "of each row the gradient_top_k elements of largest size, as indices and values; recipe: "
        "of losses of a softmax, two numbers per item that the gradient can be rebuilt from.",
    )
    gradient_top_k: int = Field(
        8, ge=1, le=65536, description="How many elements of a row the form top_k keeps."
    )
    mining: Mining | None = Field(
        None,
        description="Count the hardest items only. Value, sum, denominator and gradients are of "
        "those, and the choice has no gradient; rows are of all.",
    )
    proximal_step: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="Step s of the output proximal: argmin of penalty(w) + |w - v|^2 / (2 s).",
    )
    nonfinite: Literal["refuse", "propagate"] = Field(
        "refuse", description="What to do with NaN and infinities that the loss does not allow."
    )
    class_axis: int = Field(1, ge=-8, le=7, description="The axis that holds classes.")


def parse_options(fields: dict[str, Any]) -> Options:
    """Check the options. Raises `BadOption`."""
    try:
        return Options.model_validate(fields)
    except ValidationError as err:
        message, at, expected, got = first_fault(err, Options)
        raise BadOption(message, at=at, expected=expected, got=got) from err


def parse_params(spec: LossSpec, params: Any) -> LossParams:
    """Check the parameters of a loss. Raises `BadParams`."""
    if not isinstance(params, dict):
        raise BadParams("not an object", at="params", expected="an object", got=repr(params)[:100])
    try:
        return spec.params.model_validate(params)
    except ValidationError as err:
        message, at, expected, got = first_fault(err, spec.params)
        raise BadParams(message, at=f"params.{at}", expected=expected, got=got) from err


def first_fault(err: ValidationError, model: type[BaseModel]) -> tuple[str, str, str, str]:
    """Message, path, expected and got of the first thing that pydantic found wrong."""
    first = err.errors(include_url=False)[0]
    place = list(first["loc"])
    if place[:1] == ["mining"] and len(place) > 1:
        model = METHODS[str(place.pop(1))]  # pydantic puts the method that was chosen there
    at = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)[1:]
    expected = first["msg"]
    if first["type"] == "extra_forbidden":
        expected = f"one of {', '.join(sorted(model.model_fields))}" if model.model_fields else ""
        expected = expected or "no field here"
        return f"unknown field {at[:100]!r}", at[:100], expected, repr(first["input"])[:100]
    return f"{at}: {first['msg']}", at, expected, repr(first["input"])[:100]
