"""The state of a method: JSON that goes from call to call, so that the service keeps nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossd.errors import BadOption
from lossd.objectives.multitask._catalog import Arrays, Method, StateArray

_LAST_STEP = 2**53


@dataclass(frozen=True, slots=True)
class State:
    """A state as a method reads it. `step` is how many calls made it."""

    step: int
    arrays: Arrays


def read_state(spec: Method, given: Any, count: int) -> State | None:
    """Check a state. None is the first call. Raises `BadOption`."""
    if given is None:
        return None
    if not spec.state:
        raise BadOption(f"{spec.name} has no state", at="state", expected="none")
    if not isinstance(given, Mapping):
        raise BadOption("not a state", at="state", expected="what an earlier call answered")
    for key, want in (("method", spec.name), ("version", spec.version)):
        if type(given.get(key)) is not type(want) or given[key] != want:
            raise BadOption(
                f"a state of another {key}",
                at=f"state.{key}",
                expected=str(want),
                got=repr(given.get(key))[:100],
            )
    step = given.get("step")
    if type(step) is not int or not 0 <= step < _LAST_STEP:
        raise BadOption("not a step", at="state.step", expected="an integer from 0 to 2^53")
    for key in given:
        if key not in {"method", "version", "step", *spec.state}:
            raise BadOption(
                "unknown field", at=f"state.{key}"[:200], expected=f"one of {', '.join(spec.state)}"
            )
    arrays = {
        key: _array(f"state.{key}", given[key], want, count)
        for key, want in spec.state.items()
        if not (want.optional and given.get(key) is None) and _is_there(key, given)
    }
    return State(step, arrays)


def _is_there(key: str, given: Mapping[str, Any]) -> bool:
    if key in given:
        return True
    raise BadOption("the state is not whole", at=f"state.{key}", expected="an array", got="none")


def _array(at: str, given: Any, want: StateArray, count: int) -> Any:
    shape = (count,) * len(want.dims)
    try:
        array = np.array(given)
    except (ValueError, OverflowError):  # ragged
        array = np.array(None)
    if array.dtype.kind not in "if" or array.shape != shape or not np.isfinite(array).all():
        raise BadOption(
            "not an array of that state, or one of another number of tasks",
            at=at,
            expected=f"finite numbers of shape {list(shape)}",
            got=f"shape {list(array.shape)}" if array.dtype.kind in "if" else repr(given)[:100],
        )
    return array.astype(np.float64)


def write_state(spec: Method, arrays: Arrays | None, before: State | None) -> dict[str, Any] | None:
    """The state as JSON holds it, one step further; None of methods without."""
    if arrays is None:
        return None
    missing = {key: None for key in spec.state if key not in arrays}
    step = 1 if before is None else before.step + 1
    lists = {key: np.asarray(x).tolist() for key, x in arrays.items()}
    return {"method": spec.name, "version": spec.version, "step": step, **lists, **missing}
