"""Messages to tasks, and answers to messages: the flat names that every format uses."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossd.engine.reduce import gradient_overflow
from lossd.errors import TooLarge, UnexpectedInput, WrongDtype, WrongShape
from lossd.objectives.multitask._balance import Balanced
from lossd.objectives.multitask._catalog import Arrays
from lossd.objectives.multitask._tasks import MOST_TASKS, Array, Tasks
from lossd.schema.call import Warned
from lossd.wire import Message

_ALONE = ("losses", "gramian", "gradients", "norms")
_GROUPS = ("gradients", "gramian_groups")


def read_tasks(message: Message) -> Tasks:
    """The tasks of a request.

    Raises `UnexpectedInput`, `WrongDtype`, `WrongShape`, `TooLarge`; what the numbers are is
    checked where they are used.
    """
    arrays = {name: _array(name, x) for name, x in _known(message.tensors).items()}
    gradients = {name: x for name, x in arrays.items() if name.partition("/")[0] == "gradients"}
    groups = {name: x for name, x in arrays.items() if name.startswith("gramian_groups/")}
    if bool(gradients) + bool(groups) + ("gramian" in arrays) > 1:
        raise UnexpectedInput(
            "the gradients are given twice",
            at="inputs",
            expected="one of gramian, gramian_groups and gradients",
            got=", ".join(sorted(arrays))[:200],
        )
    losses, norms = arrays.get("losses"), arrays.get("norms")
    for name in ("losses", "norms"):
        if name in arrays and arrays[name].ndim != 1:
            raise WrongShape(
                "not one number per task",
                at=f"inputs.{name}",
                expected="[tasks]",
                got=str(list(arrays[name].shape)),
            )
    if not gradients:
        members = {name.partition("/")[2]: x for name, x in groups.items()}
        return Tasks(losses=losses, gramian=arrays.get("gramian"), groups=members, norms=norms)
    members = {name.partition("/")[2]: x for name, x in gradients.items()}
    made = Tasks.of_gradients(members, losses)
    if "gradients" in gradients:  # one tensor is no group of its own
        return Tasks(losses=losses, gradients=made.gradients, norms=norms)
    return Tasks(losses, None, made.gradients, made.groups, made.widths, norms)


def _known(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    for name in tensors:
        head, slash, member = name.partition("/")
        if head not in (_GROUPS if slash else _ALONE) or "/" in member:
            raise UnexpectedInput(
                "no input of that name is taken",
                at=f"inputs.{name.replace('/', '.', 1)}"[:200],
                expected="losses, gramian, norms, gradients, gramian_groups.<name>, "
                "gradients.<name>",
                got=name[:100],
            )
        if slash and head in tensors:
            raise UnexpectedInput("both a tensor and a group", at=f"inputs.{head}")
    return tensors


def _array(name: str, tensor: Tensor) -> Array:
    at = f"inputs.{name.replace('/', '.', 1)}"[:200]
    if tensor.dtype == torch.bool:
        raise WrongDtype("not numbers", at=at, expected="real numbers", got="bool")
    if tensor.ndim and tensor.shape[0] > MOST_TASKS:
        raise TooLarge(
            "too many tasks", at=at, expected=f"at most {MOST_TASKS}", got=str(tensor.shape[0])
        )
    if tensor.ndim == 0 or tensor.shape[0] == 0:
        raise WrongShape(
            "no tasks", at=at, expected="a first axis of tasks", got=str(list(tensor.shape))
        )
    made: Array = tensor.to(torch.float64).numpy()
    return made


def to_fields(answer: Balanced) -> dict[str, Any]:
    """An answer without its direction, as JSON holds it."""
    fields = _said(answer)
    fields["value"] = answer.value
    fields["weights"] = None if answer.weights is None else answer.weights.tolist()
    for holder, arrays in _held(answer).items():
        if arrays:
            fields[holder] = {name: x.tolist() for name, x in arrays.items()}
    return fields


def _held(answer: Balanced) -> dict[str, Arrays]:
    """The arrays that are answered below a name of their own."""
    return {"param_gradients": answer.param_gradients, "group_weights": answer.group_weights}


def _said(answer: Balanced) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "method": answer.method,
        "params": answer.params.model_dump(mode="json"),
        "certificate": answer.certificate.as_json(),
        "warnings": _warnings(answer.warnings),
    }
    if answer.state is not None:
        fields["state"] = answer.state
    return fields


def _warnings(warnings: Iterable[Warned]) -> list[dict[str, str]]:
    return [{"code": each.code, "detail": each.detail} for each in warnings]


def to_message(answer: Balanced, asked: Message) -> Message:
    """An answer laid out for the wire: the combined gradient has the shapes of what was posted."""
    fields = _said(answer)
    tensors: dict[str, Tensor] = {}
    if answer.weights is None:
        fields["weights"] = None
    else:
        tensors["weights"] = torch.from_numpy(np.ascontiguousarray(answer.weights))
    if answer.direction is not None:
        gradient = _gradient(answer.direction, asked)
        # The direction is finite in float64: what is infinite does not fit its dtype.
        infinite = {key: x.dtype for key, x in gradient.items() if x.isinf().any()}
        fields["warnings"] += _warnings(gradient_overflow(*each) for each in infinite.items())
        tensors |= gradient
    for holder, arrays in _held(answer).items():
        for name, x in arrays.items():
            tensors[f"{holder}.{name}"] = torch.from_numpy(np.ascontiguousarray(x))
    if answer.value is None:
        return Message(tensors, fields | {"value": None})
    return Message(tensors, fields, scalars={"value": answer.value})


def _gradient(direction: Array, asked: Message) -> dict[str, Tensor]:
    made, start = {}, 0
    for name, tensor in asked.tensors.items():
        head, _, member = name.partition("/")
        if head != "gradients":
            continue
        count = tensor[0].numel()
        part = torch.from_numpy(direction[start : start + count].copy()).reshape(tensor.shape[1:])
        start += count
        dtype = tensor.dtype if tensor.dtype.is_floating_point else torch.float64
        made[f"gradient.{member}" if member or "/" in name else "gradient"] = part.to(dtype)
    return made
