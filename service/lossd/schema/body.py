"""The schema of each loss's request, from its signature: for OpenAPI and clients.

Requests are not read through these models: tensors do not pass through Python objects.
"""

from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from lossd.losses import InputSpec, LossSpec
from lossd.schema.options import Options
from lossd.wire import DTYPES

NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}


class Tensor(BaseModel):
    """A tensor whose dtype and shape are stated."""

    model_config = ConfigDict(extra="forbid")

    dtype: Annotated[str, WithJsonSchema({"enum": list(DTYPES)})]
    shape: list[int] = Field(max_length=8)
    data: list[Any] | str = Field(
        description="The numbers, flat or nested, or base64 of their little-endian bytes."
    )


class Warned(BaseModel):
    """Something that the caller should know about an answer."""

    code: str
    detail: str


class Recipe(BaseModel):
    """The targets u of a gradient f (p sum(u) - u), p being the softmax of the logits sent.

    u = w t; t is one-hot at the labels, or the target probabilities, with a share `smoothing` of
    it spread evenly over the classes whose logit is not -inf.
    """

    targets: str = Field(description="The input that holds t: labels or target_probabilities.")
    weights: str | None = Field(description="The input that holds w; null is 1 each.")
    smoothing: float


AnyTensor = list[Any] | Tensor
_COTANGENT = "A number per value: gradients become the vector-Jacobian product with it."
NestedNumber = Annotated[Any, WithJsonSchema(NUMBER)]
Nested = Annotated[
    Any,
    WithJsonSchema({"anyOf": [*NUMBER["anyOf"], {"type": "array", "items": {}}]}),
]


class Answer(BaseModel):
    """What comes back: value = sum / denominator under the reduction mean."""

    loss: str
    version: int
    value: NestedNumber | None
    sum: NestedNumber
    denominator: float
    count: int = Field(description="Number of values, ignored ones included.")
    rows: Nested | None = Field(None, description="Every value, in the loss's item shape.")
    gradients: dict[str, Nested] | None = Field(
        None, description="Of the value returned, one per differentiable input, in its shape."
    )
    gradient_row_norms: dict[str, Nested] | None = Field(
        None, description="In place of gradients: the Euclidean norm of each row's."
    )
    gradient_top_k_indices: dict[str, Nested] | None = Field(
        None, description="In place of gradients: where each flattened row's largest elements are."
    )
    gradient_top_k_values: dict[str, Nested] | None = Field(
        None, description="The elements at gradient_top_k_indices."
    )
    gradient_recipe_log_sum_exp: dict[str, Nested] | None = Field(
        None, description="In place of gradients: the log-sum-exp of each item's logits."
    )
    gradient_recipe_factor: dict[str, Nested] | None = Field(
        None, description="The factor f of each item: its gradient is f (p sum(u) - u)."
    )
    recipe: Recipe | None = Field(None, description="What u is made of, with the form recipe.")
    state: dict[str, Nested] | None = Field(
        None, description="The new state, by the names of the inputs that it goes back in by."
    )
    proximal: dict[str, Nested] | None = Field(
        None, description="The proximal operator at each differentiable input, in its shape."
    )
    kept_indices: Nested | None = Field(
        None, description="Where the values that mining kept are in the flattened rows, ascending."
    )
    params: dict[str, Any] = Field(description="Every parameter as used.")
    warnings: list[Warned]


class Problem(BaseModel):
    """RFC 9457. `code` is stable; `at` points into the request."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    at: str
    expected: str | None = None
    got: str | None = None
    indices: list[list[int]] | None = Field(None, description="At most ten offending elements.")


class BatchCall(Options):
    """One call of a batch: a call whose tensors are named, with the same options."""

    name: str | None = Field(
        None,
        pattern="^[A-Za-z0-9_-]{1,64}$",
        description="What it is answered by. Default: its place in the list, from 0.",
    )
    loss: str
    inputs: dict[str, str | dict[str, str]] = Field(
        description="The tensor of the batch that each input is; of a group, one per member."
    )
    params: dict[str, Any] = Field(default={}, description="Parameters of the loss.")
    sweep: list[dict[str, Any]] | None = Field(
        None,
        min_length=1,
        description="Parameters of each point, over params; point i is answered by name[i].",
    )
    row_weights: str | None = Field(None, description="The tensor of weights, a number per row.")
    cotangent: str | None = Field(None, description="The tensor of cotangents.")


class BatchRequest(BaseModel):
    """Several calls of tensors that are sent once."""

    model_config = ConfigDict(extra="forbid")

    tensors: dict[str, AnyTensor | dict[str, AnyTensor]]
    calls: list[BatchCall] = Field(min_length=1)


class BatchAnswer(BaseModel):
    """Every call is in one of them, by its name."""

    answers: dict[str, Answer]
    problems: dict[str, Problem]


def title_of(spec: LossSpec) -> str:
    """What the names of a loss's schemas begin with."""
    return "".join(word.capitalize() for word in spec.name.split("_"))


class _Beside(Options):
    row_weights: AnyTensor | None = Field(None, description="A weight per row, >= 0.")
    cotangent: AnyTensor | None = Field(None, description=_COTANGENT)


def body_schema(spec: LossSpec, ref_template: str = "#/$defs/{model}") -> dict[str, Any]:
    """The JSON Schema of a loss's request, with what it refers to in `$defs`.

    Written out from the signature: a pydantic model for each of some hundred losses takes seconds.
    """
    title = title_of(spec)
    beside = _beside(ref_template)
    params = spec.params.model_json_schema(ref_template=ref_template)
    more = params.pop("$defs", {})
    tensor = {"$ref": ref_template.format(model="Tensor")}
    inputs = {
        "additionalProperties": False,
        "properties": {name: _input(each, tensor) for name, each in spec.inputs.items()},
        "required": [name for name, each in spec.inputs.items() if not each.optional],
        "title": f"{title}Inputs",
        "type": "object",
    }
    if not inputs["required"]:
        del inputs["required"]
    defaults = spec.params().model_dump(mode="json")
    return {
        "$defs": {
            f"{title}Inputs": inputs,
            spec.params.__name__: params,
            **more,
            **beside["$defs"],
        },
        "additionalProperties": False,
        "properties": {
            "inputs": {"$ref": ref_template.format(model=f"{title}Inputs")},
            "params": {
                "$ref": ref_template.format(model=spec.params.__name__),
                "default": defaults,
                "description": "Parameters of the loss.",
            },
            **beside["properties"],
        },
        "required": ["inputs"],
        "title": f"{title}Request",
        "type": "object",
    }


@cache
def _beside(ref_template: str) -> dict[str, Any]:
    return _Beside.model_json_schema(ref_template=ref_template)


def _input(spec: InputSpec, tensor: dict[str, Any]) -> dict[str, Any]:
    text = f"{spec.arg.doc} {spec.kind} ({', '.join(spec.dims)})."
    low, high = spec.arg.low, spec.arg.high
    if low is not None or high is not None:
        text += (
            f" {'' if low is None else f'{low:g} <= '}x{'' if high is None else f' <= {high:g}'}."
        )
    if spec.arg.values:
        text += f" One of {', '.join(map(str, spec.arg.values))}."
    forms: list[dict[str, Any]] = [{"items": {}, "type": "array"}, tensor]
    if spec.group:
        forms.append({"additionalProperties": {"anyOf": forms[:2]}, "type": "object"})
    schema = {"anyOf": forms, "description": text, "title": spec.name.replace("_", " ").title()}
    return (
        schema | {"anyOf": [*forms, {"type": "null"}], "default": None} if spec.optional else schema
    )
