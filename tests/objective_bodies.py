"""Objectives from JSON bodies, and what autograd says of the same expression, written out."""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lossd.losses import find
from lossd.objectives.compute import Computed, compute_objective
from lossd.objectives.objective import Objective
from lossd.objectives.parse import parse_objective
from lossd.wire import json as as_json
from lossd.wire.batches import decode_batch


def objective_of(body: Mapping[str, Any], most_elements: int = 10**6) -> Objective:
    message = decode_batch(as_json, json.dumps(body).encode(), most_elements)
    return parse_objective(message, most_terms=1000, most_elements=most_elements)


def computed(body: Mapping[str, Any]) -> Computed:
    return compute_objective(objective_of(body))


def by_autograd(
    body: Mapping[str, Any], weights: Mapping[str, float], rows: Mapping[str, list[int]]
) -> tuple[float, dict[str, Tensor]]:
    """Value and gradients of an objective of float64 tensors, by one expression of torch.

    The losses are the catalog's functions; weights and rows of the terms are given, and nothing of
    the objective's own code is used.
    """
    leaves = {
        name: _leaf(x)
        for key, each in body["tensors"].items()
        for name, x in (
            ((f"{key}/{member}", y) for member, y in each.items())
            if isinstance(each, dict)
            else ((key, each),)
        )
    }
    total = torch.zeros((), dtype=torch.float64)
    for term in body["terms"]:
        total = total + weights[term["name"]] * _value(term, leaves, rows.get(term["name"]))
    asked = [name for name, x in leaves.items() if x.requires_grad]
    found = torch.autograd.grad(
        total, [leaves[name] for name in asked], allow_unused=True, materialize_grads=True
    )
    return total.item(), dict(zip(asked, found, strict=True))


def _leaf(x: Any) -> Tensor:
    made = torch.tensor(x)
    is_real = made.is_floating_point()
    return torch.tensor(x, dtype=torch.float64).requires_grad_() if is_real else made


def _value(term: Mapping[str, Any], leaves: Mapping[str, Tensor], rows: list[int] | None) -> Tensor:
    spec = find(term["loss"])
    inputs: dict[str, Any] = {}
    for key, name in term["inputs"].items():
        x: Any = leaves.get(name)
        if x is None:
            x = tuple(y for each, y in leaves.items() if each.startswith(f"{name}/"))
        elif rows is not None and spec.inputs[key].scope == "row":
            x = x[rows]
        inputs[key] = x if spec.inputs[key].arg.gradient or x is None else _detached(x)
    params = spec.params.model_validate(term.get("params", {}))
    values = spec.fn(**inputs, params=params)
    given = {key: x for key, x in inputs.items() if key in spec.weights_inputs}
    if spec.weights is None:
        denominator: Any = values.numel()
    else:
        denominator = spec.weights(**given, params=params).sum()
    if "row_weights" in term:
        weights = leaves[term["row_weights"]].detach()
        weights = weights if rows is None else weights[rows]
        values = values * weights.view(-1, *([1] * (values.ndim - 1)))
        per_row = values[:1].numel()
        denominator = weights.sum() * per_row
    total = values.sum()
    return total if term.get("reduction", spec.reduction) == "sum" else total / denominator


def _detached(x: Any) -> Any:
    return tuple(each.detach() for each in x) if isinstance(x, tuple) else x.detach()
