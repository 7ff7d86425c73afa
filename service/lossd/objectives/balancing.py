"""Terms balanced by a multi-task method: its weights go over those of the terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from lossd.errors import BadOption, LossdError, MissingInput, TooLarge, UnknownRoute
from lossd.objectives.gramian import products_of
from lossd.objectives.multitask import Balanced, Tasks, balance, find
from lossd.schema.named import within
from lossd.schema.options import first_fault

MOST_BALANCED = 64  # terms: of more some methods hold a lane for a second
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
        description="The terms that are balanced, in the order of the method's own numbers; the "
        "others keep their weights. Default: those with a gradient by a shared tensor, or all "
        "where the method takes values only.",
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
    if found.terms == []:
        raise BadOption("no terms", at="terms", expected="names of terms", got="[]")
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
    places: Mapping[str, str],
    shared: Sequence[str],
    values: Mapping[str, float],
    weights: Mapping[str, float],
    own: Mapping[str, Mapping[str, Tensor]],
    shapes: Mapping[str, torch.Size],
) -> Balancing | None:
    """Balance terms, each times its weight; None where none of them counts.

    `places` are those of the terms that are balanced, in their order, by their names. `values` are
    the weighted ones of those that count, `own` their gradients without weights, with no entry
    where a term does not take a tensor. Raises what `balance` does, with the place in the
    request; `BadOption` where a method with a state has a term that does not count.
    """
    try:
        return _balanced(asked, list(places), shared, values, weights, own, shapes)
    except LossdError as err:
        raise _placed(err, list(values), places) from err


def _balanced(
    asked: Balance,
    all_names: Sequence[str],
    shared: Sequence[str],
    values: Mapping[str, float],
    weights: Mapping[str, float],
    own: Mapping[str, Mapping[str, Tensor]],
    shapes: Mapping[str, torch.Size],
) -> Balancing | None:
    names = [name for name in all_names if name in values]
    present = [i for i, name in enumerate(all_names) if name in values]
    if find(asked.method).state and len(names) < len(all_names):
        absent = next(name for name in all_names if name not in values)
        raise BadOption(
            f"{asked.method} keeps a state of every term, and {absent} has weight 0 or no value",
            at="terms",
            expected="terms that count at every step",
            got=absent,
        )
    if not names:
        return None
    losses = np.array([values[name] for name in names])
    spec = find(asked.method)
    if "gradients" in spec.needs:
        rows = {x: _rows(x, names, weights, own, shapes[x]) for x in shared}
        tasks = Tasks.of_gradients(rows, losses)
    elif asked.needs_gradients:
        scale = np.array([weights[name] for name in names])
        groups = {x: _gramian(x, names, own, scale) for x in shared}
        tasks = Tasks(losses=losses, groups=groups)
    else:
        tasks = Tasks(losses=losses)
    params = {key: _of_present(x, present, len(all_names)) for key, x in asked.params.items()}
    order = _order_of_present(asked.permutation, present, len(all_names))
    state = _state_of(asked, names)
    answer = balance(asked.method, tasks, params, state, asked.seed, order)
    if answer.state is not None:
        answer = replace(answer, state={**answer.state, "terms": names})
    if answer.weights is not None:
        found = dict(zip(names, answer.weights.tolist(), strict=True))
        return Balancing(answer, found)
    return Balancing(answer, None, _directions(answer, shared, names, weights, own, shapes))


def _placed(err: LossdError, names: Sequence[str], places: Mapping[str, str]) -> LossdError:
    """The error with its place in the request: what is wrong with a task is so with its term."""
    if not err.at.startswith("inputs"):
        return within("balance", err)
    err.at = "balance"
    if err.indices:
        name = names[err.indices[0][0]]
        err.message, err.at, err.indices = f"{name}: {err.message}", places[name], None
    return err


def _state_of(asked: Balance, names: Sequence[str]) -> dict[str, Any] | None:
    """The method's own part of a state. Raises `BadOption` where that is of other terms."""
    state = asked.state
    if state is None or state.get("method") != asked.method:
        return state  # and the method says that it is none
    if state.get("terms") != names:
        raise BadOption(
            "a state of other terms, or in another order",
            at="state.terms",
            expected=", ".join(names)[:200],
            got=repr(state.get("terms"))[:100],
        )
    return {key: x for key, x in state.items() if key != "terms"}


def _of_present(param: Any, present: Sequence[int], count: int) -> Any:
    """A parameter with a number per task, of the tasks that are there; any other as it is."""
    if isinstance(param, list) and len(param) == count:
        return [param[i] for i in present]
    return param


def _order_of_present(permutation: Any, present: Sequence[int], count: int) -> Any:
    """An order of all tasks, or one for each, as one of those that are there."""
    if not permutation or len(present) == count:
        return permutation
    nested = all(isinstance(row, list) for row in permutation)
    rows = permutation if nested else [permutation]
    if any({type(i) for i in row} != {int} or sorted(row) != [*range(count)] for row in rows):
        return permutation  # and the method says that it is none
    if len(rows) == count:
        rows = [rows[i] for i in present]
    made = [[present.index(i) for i in row if i in present] for row in rows]
    return made if nested else made[0]


def check_size(asked: Balance, tasks: Sequence[str], elements: int, most_elements: int) -> None:
    """Raises `TooLarge` where the terms, or their gradients of so many elements, are too many."""
    if len(tasks) > MOST_BALANCED:
        expected, got = f"at most {MOST_BALANCED}", str(len(tasks))
        raise TooLarge("too many terms to balance", at="terms", expected=expected, got=got)
    if "gradients" in find(asked.method).needs and len(tasks) * elements > most_elements:
        raise TooLarge(
            f"{asked.method} holds the gradients of all terms, and they are too many elements",
            at="method",
            expected=f"at most {most_elements} (LOSSD_MAX_BATCH_ELEMENTS)",
            got=str(len(tasks) * elements),
        )


def check_shared(shared: Sequence[str], asked: Balance) -> None:
    """Raises `MissingInput` where a method of gradients has none to compare."""
    if asked.needs_gradients and not shared:
        raise MissingInput(
            f"{asked.method} compares gradients, and no tensor has gradients of two terms",
            at="shared",
            expected="a differentiable tensor that several terms take, or, of one term, its name",
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
    tensor: str,
    names: Sequence[str],
    own: Mapping[str, Mapping[str, Tensor]],
    scale: np.ndarray[Any, Any],
) -> np.ndarray[Any, Any]:
    """The inner products of the gradients by one tensor, each times its scale."""
    taking = [i for i, name in enumerate(names) if tensor in own[name]]
    whole = np.zeros((len(names), len(names)))
    found = products_of([own[names[i]][tensor].reshape(-1) for i in taking])
    whole[np.ix_(taking, taking)] = found
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large is refused as such
        return whole * np.outer(scale, scale)


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
