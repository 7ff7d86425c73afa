"""The operation of `POST /v1/objectives` in the OpenAPI document."""

from typing import Any

from lossd.objectives.ready import TEMPLATES
from lossd.wire import CODECS


def objective_operation(ref: str, problems: dict[str, Any]) -> dict[str, Any]:
    """The operation. `ref` is the pattern of references to schemas."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    others = {name: binary for name in CODECS if name != "application/json"}
    request = {
        "schema": {"$ref": ref.format(model="ObjectiveRequest")},
        "examples": {
            name: {"summary": each.summary, "value": each.body} for name, each in TEMPLATES.items()
        },
    }
    answer = {"schema": {"$ref": ref.format(model="ObjectiveAnswer")}}
    return {
        "tags": ["objectives"],
        "summary": "Compute several losses as one",
        "description": "The value is the sum of the terms' values times their weights, and "
        "`gradients` are its own: one by each posted tensor that a differentiable input of a term "
        "takes. In binary formats a term's tensors are named `terms.<term>.value`, and all else "
        "is fields.",
        "operationId": "objective",
        "requestBody": {"required": True, "content": {"application/json": request} | others},
        "responses": {
            "200": {
                "description": "The value, the gradients and the terms.",
                "content": {"application/json": answer} | others,
            },
            **problems,
        },
    }
