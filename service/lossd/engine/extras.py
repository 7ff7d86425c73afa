"""What a loss answers beside values and gradients: its new state, its proximal operator."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lossd.losses import inputs_of
from lossd.schema import Call


def extras_of(call: Call, device: torch.device) -> dict[str, Tensor]:
    """All that a call asks for, by the names that it is answered by.

    The values of the call have been checked. All of its rows are taken at once: a state is of the
    whole call, whatever blocks its values were computed in.
    """
    with torch.no_grad():
        found = _state(call, device) if "state" in call.extras else {}
        return found | (_proximal(call, device) if "proximal" in call.extras else {})


def _state(call: Call, device: torch.device) -> dict[str, Tensor]:
    """In the dtype that the old state was sent in, if there was one."""
    assert call.spec.state is not None
    found = call.spec.state(**_arguments(call, call.spec.state, device), params=call.params)
    answered = {}
    for name, x in found.items():
        old = call.inputs.get(name)
        dtype = x.dtype if old is None else old.dtype
        answered[f"state.{name}"] = call.as_sent(name, x).to("cpu", dtype)
    return answered


def _proximal(call: Call, device: torch.device) -> dict[str, Tensor]:
    """In the dtype of each input; of a group each member by its own name."""
    assert call.spec.proximal is not None
    found = call.spec.proximal(
        **_arguments(call, call.spec.proximal, device),
        step=call.options.proximal_step,
        params=call.params,
    )
    answered = {}
    for name, x in found.items():
        members = x if isinstance(x, tuple) else (x,)
        keys = [key for key in call.inputs if key.partition("/")[0] == name]
        for key, each in zip(keys, members, strict=True):
            answered[f"proximal.{key}"] = call.as_sent(key, each).to("cpu", call.inputs[key].dtype)
    return answered


def _arguments(call: Call, fn: Callable[..., Any], device: torch.device) -> dict[str, Any]:
    """Those inputs of the call that a function takes by name."""
    named = inputs_of(fn)
    wanted = {key: x for key, x in call.inputs.items() if key.partition("/")[0] in named}
    return call.arguments({key: x.detach().to(device) for key, x in wanted.items()})
