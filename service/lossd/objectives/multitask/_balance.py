"""One call of a method: what it is given, checked; what it answers, with a certificate."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from lossd.errors import BadOption, BadParams, LossdError, MissingInput, OutOfRange, TooLarge
from lossd.objectives.multitask._catalog import (
    METHODS,
    Arrays,
    Draw,
    Method,
    MethodParams,
    Solved,
    find,
)
from lossd.objectives.multitask._certificate import Certificate, Landscape, certify, landscape
from lossd.objectives.multitask._state import read_state, write_state
from lossd.objectives.multitask._tasks import Array, Tasks, checked
from lossd.schema.call import Warned
from lossd.schema.options import first_fault

LARGEST_SEED = 2**53
LARGEST_RESIDUAL = 1e-8  # of an equation that counts as solved
MOST_COMPARED = 64  # tasks: of more all methods together take many seconds


@dataclass(frozen=True, slots=True, eq=False)
class Balanced:
    """What a method makes of the tasks.

    - `weights`: (K,), what each task's loss is multiplied by before one backward pass; None where
      the direction is no such combination.
    - `value`: what the weights are the derivatives of; None without losses.
    - `direction`: (P,), the combined gradient; None without gradients.
    - `state`: what to send with the next call, as JSON holds it; None of methods without.
    - `param_gradients`: the derivatives of the value with respect to the method's own parameters.
    - `group_weights`: where each group of parameters has weights of its own.
    """

    method: str
    params: MethodParams
    weights: Array | None
    value: float | None
    direction: Array | None
    state: dict[str, Any] | None
    certificate: Certificate
    param_gradients: Arrays
    group_weights: Arrays
    warnings: tuple[Warned, ...]


def balance(
    name: str,
    tasks: Tasks,
    params: Mapping[str, Any] | None = None,
    state: Mapping[str, Any] | None = None,
    seed: int | None = None,
    permutation: Any = None,
) -> Balanced:
    """Weights of the tasks by a method. The same arguments always have the same answer.

    Raises `UnknownRoute` for a method that does not exist, `BadParams`; `BadOption` for a seed,
    permutation or state that is none, or another method's; `MissingInput` where the method needs
    more; and what `checked` raises.
    """
    spec = find(name)
    known, warned = checked(tasks)
    common = None if known.gramian is None else landscape(known.gramian)
    return _solve(spec, known, common, warned, params, state, seed, permutation)


def compare(
    tasks: Tasks,
    params: Mapping[str, Any] | None = None,
    state: Mapping[str, Any] | None = None,
    seed: int | None = None,
    permutation: Any = None,
) -> dict[str, Balanced | LossdError]:
    """Every method's answer, or why it has none; `params` and `state` are by the methods' names.

    Raises `TooLarge` of more than 64 tasks, `BadOption`, and what `checked` raises.
    """
    params, state = _by_name("params", params), _by_name("state", state)
    known, warned = checked(tasks)
    if known.count > MOST_COMPARED:
        expected = f"at most {MOST_COMPARED}"
        raise TooLarge(
            "too many tasks to compare", at="inputs", expected=expected, got=str(known.count)
        )
    common = None if known.gramian is None else landscape(known.gramian)
    answers: dict[str, Balanced | LossdError] = {}
    for name, spec in METHODS.items():
        try:
            answers[name] = _solve(
                spec, known, common, warned, params.get(name), state.get(name), seed, permutation
            )
        except LossdError as err:
            answers[name] = err
    return answers


def _by_name(at: str, given: Any) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise BadOption("not by method", at=at, expected="an object", got=repr(given)[:100])
    for name in given:
        if name not in METHODS:
            raise BadOption("no such method", at=f"{at}.{name}"[:200], expected=", ".join(METHODS))
    return given


def _solve(
    spec: Method,
    tasks: Tasks,
    common: Landscape | None,
    warned: tuple[Warned, ...],
    params: Any,
    state: Any,
    seed: Any,
    permutation: Any,
) -> Balanced:
    at = read_params(spec, {} if params is None else params)
    before = read_state(spec, state, tasks.count)
    given = _given(spec, tasks) | {"params": at} | _chance(spec, tasks, seed, permutation)
    if "state" in spec.takes:
        given["state"] = None if before is None else before.arrays
    with np.errstate(all="ignore"):  # what comes of it is looked at
        solved = spec.fn(**given)
        _check_answer(spec, solved)
        weights, value, residual = solved.weights, solved.value, solved.residual
        direction = _direction(tasks, solved)
        if weights is not None:
            if residual is None:
                residual = residual_of(spec, tasks, weights, at)
            if value is None and tasks.losses is not None:
                value = float(weights @ tasks.losses)
        residual = None if residual is None else float(residual) + 0.0  # no negative zero
        certificate = certify(spec.equation, residual, tasks, weights, direction, common)
    _check_finite(spec, value, residual, direction, *certificate.numbers)
    return Balanced(
        method=spec.name,
        params=at,
        weights=weights,
        value=value,
        direction=direction,
        state=write_state(spec, solved.state, before),
        certificate=certificate,
        param_gradients=solved.gradients,
        group_weights=solved.group_weights,
        warnings=(*warned, *solved.warnings, *_inexact(residual, solved.warnings)),
    )


def _inexact(residual: float | None, known: tuple[Warned, ...]) -> tuple[Warned, ...]:
    """A warning where the equation is not solved, unless the method itself says why."""
    if residual is None or residual <= LARGEST_RESIDUAL or known:
        return ()
    detail = f"the method's equation is solved to {residual:.1e} only: the gradients depend on each"
    return (Warned("inexact", f"{detail} other, or their norms are far apart"),)


def _chance(spec: Method, tasks: Tasks, seed: Any, permutation: Any) -> dict[str, Any]:
    draw = _draw(seed, permutation)
    if "draw" in spec.takes:
        return {"draw": draw}
    return {"orders": draw.orders(tasks.count)} if "orders" in spec.takes else {}


def residual_of(spec: Method, tasks: Tasks, weights: Array, params: MethodParams) -> float | None:
    """The residual of a method's equation at some weights; None if it has none."""
    if spec.residual is None:
        return None
    names = inspect.signature(spec.residual).parameters
    all_of = {"weights": weights, "params": params} | _inputs(tasks)
    return float(spec.residual(**{name: all_of[name] for name in names}))


def read_params(spec: Method, params: Any) -> MethodParams:
    """Check the parameters of a method. Raises `BadParams`."""
    if not isinstance(params, Mapping):
        raise BadParams("not an object", at="params", expected="an object", got=repr(params)[:100])
    try:
        return spec.params.model_validate(dict(params))
    except ValidationError as err:
        message, place, expected, got = first_fault(err, spec.params)
        where = f"params.{place}".rstrip(".")
        raise BadParams(message, at=where, expected=expected, got=got) from err


def _draw(seed: Any, permutation: Any) -> Draw:
    if seed is not None and (type(seed) is not int or not 0 <= seed <= LARGEST_SEED):
        raise BadOption("not a seed", at="seed", expected="an integer from 0 to 2^53")
    if permutation is None:
        return Draw(seed)
    expected = "a list of the tasks' numbers, or one such list per task"
    if not isinstance(permutation, list | tuple) or not permutation:
        raise BadOption("not a permutation", at="permutation", expected=expected)
    nested = all(isinstance(row, list | tuple) for row in permutation)
    rows = permutation if nested else [permutation]
    if any(type(each) is not int for row in rows for each in row):
        raise BadOption("not a permutation", at="permutation", expected=expected)
    return Draw(seed, tuple(tuple(row) for row in rows))


def _inputs(tasks: Tasks) -> dict[str, Any]:
    norms = tasks.norms
    if norms is None and tasks.gramian is not None:
        norms = np.sqrt(np.diag(tasks.gramian))
    return {
        "count": tasks.count,
        "losses": tasks.losses,
        "gramian": tasks.gramian,
        "gradients": tasks.gradients,
        "groups": tasks.groups,
        "norms": norms,
    }


_IN_WORDS = {
    "losses": "losses",
    "gramian": "gramian, or gradients",
    "gradients": "gradients",
    "groups": "gradients of several tensors",
    "norms": "norms, or a gramian, or gradients",
}


def _given(spec: Method, tasks: Tasks) -> dict[str, Any]:
    inputs = _inputs(tasks)
    for name in spec.needs:
        if inputs[name] is None:
            raise MissingInput(
                f"{spec.name} needs {_IN_WORDS[name]}",
                at=f"inputs.{name}",
                expected=_IN_WORDS[name],
                got="none",
            )
    return {name: x for name, x in inputs.items() if name in spec.takes}


def _direction(tasks: Tasks, solved: Solved) -> Array | None:
    if solved.direction is not None or tasks.gradients is None:
        return solved.direction
    if solved.weights is not None:
        made: Array = solved.weights @ tasks.gradients
        return made
    parts, start = [], 0
    for weights, width in zip(solved.group_weights.values(), tasks.widths, strict=True):
        parts.append(weights @ tasks.gradients[:, start : start + width])
        start += width
    return np.concatenate(parts)


def _check_answer(spec: Method, solved: Solved) -> None:
    _check_finite(
        spec,
        solved.weights,
        solved.direction,
        *solved.gradients.values(),
        *(solved.state or {}).values(),
        *solved.group_weights.values(),
    )


def _check_finite(spec: Method, *numbers: Array | float | None) -> None:
    """Raises `OutOfRange` where an answer is beyond float64: the inputs are at fault."""
    if not all(np.isfinite(x).all() for x in numbers if x is not None):
        raise OutOfRange(
            f"the answer of {spec.name} is beyond float64",
            at="inputs",
            expected="losses and gradients of a size nearer to 1",
        )
