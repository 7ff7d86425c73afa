"""Terms balanced by a multi-task method: its weights go over those of the terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from lossd.errors import BadOption, MissingInput, UnknownRoute
from lossd.objectives.gramian import products_of
from lossd.objectives.multitask import Balanced, Tasks, balance, find
from lossd.schema.options import first_fault

_OF_GRADIENTS = frozenset({"gramian", "gradients", "groups", "norms"})


class Balance(BaseModel):
    """How the terms are balanced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    method: str = Field(description="A method of /v1/multitask.")
    shared: list[str] | None = Field(
        None,
        description="The tensors, or groups of them, whose gradients the method compares. Default: "
        "every one that gradients of several terms are wanted of.",
    )
    terms: list[str] | None = Field(
        None,
        description="The terms that are balanced; the others keep their weights. Default: those "
        "with a gradient by a shared tensor, or all where the method takes values only.",
    )
    params: dict[str, Any] = Field(default={}, description="Parameters of the method.")
    state: dict[str, Any] | None = Field(
        None, description="state.balance of the last answer, unless that state is the body's."
    )
    seed: int | None = Field(None, ge=0, description="Of methods that draw.")
    permutation: list[Any] | None = Field(None, description="In place of a seed, where it may.")

    @property
    def needs_gradients(self) -> bool:
        """Whether the method takes more than the terms' values."""
        return bool(_OF_GRADIENTS & {*find(self.method).takes})


def read_balance(said: Any, names: Sequence[str]) -> Balance | None:
    """Check how terms of these names are to be balanced.

    Raises `BadOption`; places are below `balance`.
    """
    if said is None:
        return None
    if not isinstance(said, dict):
        raise BadOption("not an object", expected="an object with method", got=repr(said)[:100])
    try:
        found = Balance.model_validate(said)
    except ValidationError as err:
        message, at, expected, got = first_fault(err, Balance)
        raise BadOption(message, at=at, expected=expected, got=got) from err
    try:
        find(found.method)
    except UnknownRoute as err:
        raise BadOption(
            err.message, at="method", expected=err.expected, got=found.method[:100]
        ) from err
    for i, name in enumerate(found.terms or ()):
        if name not in names or name in (found.terms or ())[:i]:
            raise BadOption(
                "no term of that name, or twice",
                at=f"terms[{i}]",
                expected=f"each once of {', '.join(names)}"[:200],
                got=name[:100],
            )
    return found


@dataclass(frozen=True, slots=True)
class Balancing:
    """What a method made of the terms.

    - `weights`: by the term's name, over the term's own; None where `directions` are in their
      place: the combined gradients of the shared tensors.
    """

    answer: Balanced
    weights: Mapping[str, float] | None
    directions: Mapping[str, Tensor] = field(default_factory=dict)


def balanced(
    asked: Balance,
    shared: Sequence[str],
    values: Mapping[str, float],
    weights: Mapping[str, float],
    own: Mapping[str, Mapping[str, Tensor]],
    shapes: Mapping[str, torch.Size],
) -> Balancing:
    """Balance terms, each times its weight.

    `values` are the weighted ones, by the names of the terms that are balanced; `own` their
    gradients without weights, with no entry where a term does not take a tensor. Raises what
    `balance` does.
    """
    names = list(values)
    losses = np.array([values[name] for name in names])
    spec = find(asked.method)
    if "gradients" in spec.needs:
        rows = {x: _rows(x, names, weights, own, shapes[x]) for x in shared}
        tasks = Tasks.of_gradients(rows, losses)
    elif asked.needs_gradients:
        scale = np.array([weights[name] for name in names])
        groups = {x: _gramian(x, names, own) * np.outer(scale, scale) for x in shared}
        tasks = Tasks(losses=losses, groups=groups)
    else:
        tasks = Tasks(losses=losses)
    answer = balance(asked.method, tasks, asked.params, asked.state, asked.seed, asked.permutation)
    if answer.weights is not None:
        found = dict(zip(names, answer.weights.tolist(), strict=True))
        return Balancing(answer, found)
    return Balancing(answer, None, _directions(answer, shared, names, weights, own, shapes))


def check_shared(shared: Sequence[str], asked: Balance) -> None:
    """Raises `MissingInput` where a method of gradients has none to compare."""
    if asked.needs_gradients and not shared:
        raise MissingInput(
            f"{asked.method} compares gradients, and no two terms share a tensor",
            at="shared",
            expected="a tensor that a differentiable input of several terms takes",
        )


def _rows(
    tensor: str,
    names: Sequence[str],
    weights: Mapping[str, float],
    own: Mapping[str, Mapping[str, Tensor]],
    shape: torch.Size,
) -> np.ndarray[Any, Any]:
    """The weighted gradients of all terms by one tensor: (terms, ...)."""
    rows = torch.zeros((len(names), shape.numel()), dtype=torch.float64)
    for i, name in enumerate(names):
        if tensor in own[name]:
            rows[i] = own[name][tensor].reshape(-1).double() * weights[name]
    return rows.numpy()


def _gramian(
    tensor: str, names: Sequence[str], own: Mapping[str, Mapping[str, Tensor]]
) -> np.ndarray[Any, Any]:
    taking = [i for i, name in enumerate(names) if tensor in own[name]]
    whole = np.zeros((len(names), len(names)))
    found = products_of([own[names[i]][tensor].reshape(-1) for i in taking])
    whole[np.ix_(taking, taking)] = found
    return whole


def _directions(
    answer: Balanced,
    shared: Sequence[str],
    names: Sequence[str],
    weights: Mapping[str, float],
    own: Mapping[str, Mapping[str, Tensor]],
    shapes: Mapping[str, torch.Size],
) -> dict[str, Tensor]:
    """The combined gradients of the shared tensors, where no weights of the terms make them."""
    if answer.direction is not None:
        parts = torch.split(torch.from_numpy(answer.direction), [shapes[x].numel() for x in shared])
        return {x: part.reshape(shapes[x]) for x, part in zip(shared, parts, strict=True)}
    found: dict[str, Tensor] = {}
    for tensor in shared:
        total = torch.zeros(shapes[tensor], dtype=torch.float64)
        for name, weight in zip(names, answer.group_weights[tensor], strict=True):
            if tensor in own[name]:
                total += own[name][tensor].double() * (float(weight) * weights[name])
        found[tensor] = total
    return found
