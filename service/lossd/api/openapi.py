"""The OpenAPI document: every loss is its own operation, while one dispatch serves all.

200 live routes would be matched one after another; the document is built once, from the catalog.
"""

from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from lossd import __version__
from lossd.api.openapi_objectives import objective_operation
from lossd.losses import CATALOG, LossSpec
from lossd.objectives.body import ObjectiveAnswer, ObjectiveRequest
from lossd.schema.body import Answer, BatchAnswer, BatchRequest, Problem, body_schema, title_of
from lossd.schema.describe import example_request
from lossd.wire import ARROW, CODECS

BATCH_EXAMPLE: dict[str, Any] = {
    "tensors": {"z": [[2.0, 0.5], [0.1, 1.2]], "y": [0, 1]},
    "calls": [
        {"name": "ce", "loss": "cross_entropy", "inputs": {"logits": "z", "labels": "y"}},
        {
            "name": "focal",
            "loss": "focal",
            "inputs": {"logits": "z", "labels": "y"},
            "outputs": ["value"],
            "sweep": [{"gamma": 1.0}, {"gamma": 2.0}],
        },
    ],
}
_REF = "#/components/schemas/{model}"
_STATUSES = {
    "400": "The body is not what its Content-Type says.",
    "413": "The body or its number of elements is over the limit.",
    "415": "No such format is read here.",
    "422": "Readable, but the loss cannot take it.",
    "503": "Full, or out of memory; see Retry-After.",
    "504": "The call could not start in time.",
}


def build_openapi(app: FastAPI) -> dict[str, Any]:
    """The document of the app's routes, with an operation per loss."""
    document = get_openapi(
        title="lossd",
        version=__version__,
        summary="Losses, every row's loss and their gradients.",
        routes=app.routes,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= _schemas()
    for name, spec in sorted(CATALOG.items()):
        document["paths"][f"/v1/losses/{name}"] = {"post": _operation(spec)}
    document["paths"]["/v1/losses:batch"] = {"post": _batch_operation()}
    objectives = document["paths"].setdefault("/v1/objectives", {})
    objectives["post"] = objective_operation(_REF, {c: _problem(t) for c, t in _STATUSES.items()})
    document["paths"]["/v2/models/{model}/infer"] = {"post": _infer_operation()}
    document["paths"]["/v1/streams/{loss}"] = {"post": _stream_operation()}
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"] = {
                code: answer for code, answer in operation["responses"].items() if code != "422"
            } | {"default": _problem("An error, in the one shape.")}
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    return document


@cache
def _schemas() -> dict[str, Any]:
    """Those of requests, answers and errors, which are the same in every app of a process."""
    listed = (Answer, Problem, BatchRequest, BatchAnswer, ObjectiveRequest, ObjectiveAnswer)
    models = [(model, "validation") for model in listed]
    _, definitions = models_json_schema(models, ref_template=_REF)  # type: ignore[arg-type] # list is invariant; the literals are right
    schemas: dict[str, Any] = definitions["$defs"]
    for _, spec in sorted(CATALOG.items()):
        body = body_schema(spec, _REF)
        schemas |= body.pop("$defs")
        schemas[body["title"]] = body
    return schemas


def _operation(spec: LossSpec) -> dict[str, Any]:
    ref = {"$ref": _REF.format(model=f"{title_of(spec)}Request")}
    binary = {"schema": {"type": "string", "format": "binary"}}
    others = {name: binary for name in CODECS if name != "application/json"}
    request = {"schema": ref, "example": example_request(spec)}
    answer = {"schema": {"$ref": _REF.format(model="Answer")}}
    return {
        "tags": [spec.family],
        "summary": spec.summary,
        "description": f"$$ {spec.formula} $$\n\n{spec.card.use}\n\nSource: {spec.source}",
        "operationId": spec.name,
        "requestBody": {"required": True, "content": {"application/json": request} | others},
        "responses": {
            "200": {
                "description": f"The loss, in {spec.units}.",
                "content": {"application/json": answer} | others,
            },
            **{code: _problem(text) for code, text in _STATUSES.items()},
        },
    }


def _batch_operation() -> dict[str, Any]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    others = {name: binary for name in CODECS if name != "application/json"}
    request = {"schema": {"$ref": _REF.format(model="BatchRequest")}, "example": BATCH_EXAMPLE}
    answer = {"schema": {"$ref": _REF.format(model="BatchAnswer")}}
    return {
        "tags": ["losses"],
        "summary": "Compute several losses of the same tensors",
        "description": "The tensors are sent once. Each call is answered, or has its problem, on "
        "its own. A sweep is a list of parameters; its points are named like `focal[0]`. In binary "
        "formats tensors are named `<call>.gradients.<input>`, and `answers` and `problems` are "
        "fields.",
        "operationId": "batch",
        "requestBody": {"required": True, "content": {"application/json": request} | others},
        "responses": {
            "200": {
                "description": "An answer or a problem for every call.",
                "content": {"application/json": answer} | others,
            },
            **{code: _problem(text) for code, text in _STATUSES.items()},
        },
    }


def _infer_operation() -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {
        "tags": ["Open Inference Protocol"],
        "operationId": "infer",
        "summary": "Compute a loss and its gradients",
        "parameters": [
            {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
        ],
        "requestBody": {"required": True, "content": content},
        "responses": {"200": {"description": "The outputs.", "content": content}},
    }


def _stream_operation() -> dict[str, Any]:
    streamed = [name for name, spec in sorted(CATALOG.items()) if spec.coupling == "independent"]
    binary = {ARROW: {"schema": {"type": "string", "format": "binary"}}}
    return {
        "tags": ["streams"],
        "summary": "Compute a loss of a stream of batches",
        "description": "An Arrow IPC stream of any length, chunked or not. Columns named as inputs "
        "are read, all others pass through. Every record batch is answered at once, before more "
        "is read, by one with the columns that pass through, `rows`, and `gradients.<input>` of "
        "the sum if `outputs` asks for them. The last batch has no rows; its metadata holds "
        "`value`, `sum`, `denominator`, `count`, `batches`, `params`, `warnings`, each as JSON "
        "text; or, after an error, `error`, and then the last chunk of the body is missing. "
        "Needs the extra `arrow`.",
        "operationId": "stream",
        "parameters": [
            {
                "name": "loss",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "enum": streamed},
            }
        ],
        "requestBody": {"required": True, "content": binary},
        "responses": {
            "200": {"description": "The batches and their losses.", "content": binary},
            **{code: _problem(text) for code, text in _STATUSES.items()},
        },
    }


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model="Problem")}
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": schema}},
    }
