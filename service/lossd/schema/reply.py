"""Result to Message: the flat names that every format uses."""

from typing import Any

from torch import Tensor

from lossd.schema.call import Call, Result
from lossd.wire import Message


def _recipe(call: Call) -> dict[str, Any]:
    """What the targets of a recipe are made of, so that a caller need not know the loss."""
    recipe = call.spec.recipe
    assert recipe is not None
    return {
        "targets": "labels" if "labels" in call.inputs else "target_probabilities",
        "weights": recipe.weights if recipe.weights in call.inputs else None,
        "smoothing": getattr(call.params, recipe.smoothing) if recipe.smoothing else 0.0,
    }


def to_message(call: Call, result: Result) -> Message:
    """Lay a result out for the wire: scalars, `rows`, `gradients.<input>` each, extras."""
    fields: dict[str, Any] = {"loss": call.spec.name, "version": call.spec.version}
    scalars: dict[str, float | int] = {}
    if result.value is None:
        fields["value"] = None
    else:
        scalars["value"] = result.value
    scalars["sum"] = result.sum
    scalars["denominator"] = result.denominator
    scalars["count"] = result.count
    tensors: dict[str, Tensor] = {}
    if result.rows is not None:
        tensors["rows"] = result.rows
    for name, gradient in result.gradients.items():
        tensors[f"gradients.{name}"] = gradient
    tensors |= result.condensed
    tensors |= result.extras
    if call.by_recipe:
        fields["recipe"] = _recipe(call)
    plan = call.plan
    fields["params"] = plan.params_as_answered if plan else call.params.model_dump(mode="json")
    fields["warnings"] = [{"code": each.code, "detail": each.detail} for each in result.warnings]
    return Message(tensors, fields, scalars=scalars)
