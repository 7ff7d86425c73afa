"""Weights for the losses of several tasks, by a method of balancing them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np

from lossd_client._arrays import ArrayLike
from lossd_client._calls import Answer, Request, given, seconds_of
from lossd_client._wire import MEDIA_TYPE, decode, encode, pack_all
from lossd_client.errors import LossdError, from_problem
from lossd_client.result import Array, Warned, nested

PATH = "/v1/multitask"
_INPUTS = frozenset({"losses", "gramian", "gramian_groups", "gradients", "norms"})


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """What can be checked of an answer. All but the residual is None without gradients.

    - `residual`: of the method's own `equation`, relative; None where there is none to solve.
    - `cosines`: of the combined direction with each task's gradient.
    - `smallest_inner_product`: below 0 a small step makes some task's loss larger.
    - `stationarity`: the least squared norm of a convex combination of the gradients.
    - `conflicts`: the cosines of the tasks' gradients with each other.
    """

    equation: str
    residual: float | None
    cosines: list[float] | None
    smallest_inner_product: float | None
    stationarity: float | None
    conflicts: list[list[float]] | None


@dataclass(frozen=True, slots=True, eq=False)
class Balanced:
    """What a method makes of the tasks.

    - `weights`: what each task's loss is multiplied by before one backward pass; None of methods
      whose direction is no such combination.
    - `gradient`: the combined one, if gradients were sent: in their shape; of a group a dict.
    - `state`: goes into the next call; None of methods without.
    - `param_gradients`: of the value with respect to parameters that are learned.
    - `group_weights`: where each group of parameters has weights of its own.
    """

    method: str
    weights: Array | None
    value: float | None
    gradient: Any
    state: dict[str, Any] | None
    certificate: Certificate
    params: dict[str, Any]
    warnings: tuple[Warned, ...] = ()
    param_gradients: dict[str, Array] = field(default_factory=dict)
    group_weights: dict[str, Array] = field(default_factory=dict)
    request_id: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Every method that applies, by its name; `problems` says why others do not."""

    methods: dict[str, Balanced]
    problems: dict[str, LossdError]


class TaskOptions(TypedDict, total=False):
    """What is known of K tasks, and how to balance them.

    - `losses`: (K,), the values of their losses.
    - `gramian`: (K, K), the inner products of their gradients by the shared parameters;
      `gramian_groups`: one for each group of parameters.
    - `gradients`: (K, ...), or a dict of such by group, in place of the Gramian.
    - `norms`: (K,), of the gradients, for methods that need no more of them.
    - `params`: the method's own. `state`: that of the last answer. Of a comparison both are by the
      methods' names.
    - `seed`, `permutation`: all that is random follows them; the permutation is one order of the
      tasks, or one for each task.
    """

    losses: ArrayLike
    gramian: ArrayLike
    gramian_groups: Mapping[str, ArrayLike]
    gradients: ArrayLike | Mapping[str, ArrayLike]
    norms: ArrayLike
    params: Mapping[str, Any] | None
    state: Mapping[str, Any] | None
    seed: int | None
    permutation: ArrayLike | None


def ask(method: str, options: TaskOptions) -> Request:
    """The request for a method, or for `compare`. Raises `TypeError` for what is no array."""
    inputs = {key: x for key, x in options.items() if key in _INPUTS}
    said = {key: x for key, x in options.items() if key not in _INPUTS}
    body = encode(pack_all(given(inputs)), given(said))
    length = sum(len(part) for part in body)
    headers = {"content-type": MEDIA_TYPE, "accept": MEDIA_TYPE, "content-length": str(length)}
    return Request("POST", f"{PATH}/{method}", body, headers)


def read(answer: Answer) -> Balanced:
    """What a method answered. Raises `LossdError` if the answer holds none of it."""
    try:
        tensors, said = decode(answer.body)
        value, whole = tensors.get("value"), tensors.get("gradient")
        return Balanced(
            method=said["method"],
            weights=tensors.get("weights"),
            value=None if value is None else float(value),
            gradient=whole if whole is not None else nested(tensors, "gradient") or None,
            state=said.get("state"),
            certificate=Certificate(**said["certificate"]),
            params=said["params"],
            warnings=_warnings(said),
            param_gradients=nested(tensors, "param_gradients"),
            group_weights=nested(tensors, "group_weights"),
            request_id=answer.request_id,
            seconds=seconds_of(answer.headers),
        )
    except (KeyError, TypeError, ValueError) as err:
        raise answer.unreadable(err) from err


def read_comparison(answer: Answer) -> Comparison:
    """All methods' answers. Raises `LossdError` if the answer holds none."""
    try:
        _, said = decode(answer.body)
        methods: dict[str, Balanced] = {}
        problems: dict[str, LossdError] = {}
        for name, each in said["methods"].items():
            if "problem" in each:
                problem, tag = each["problem"], answer.request_id
                problems[name] = from_problem(
                    problem, status=problem["status"], request_id=tag, retry_after_s=None
                )
            else:
                methods[name] = _from_json(each, answer.request_id)
        return Comparison(methods, problems)
    except (KeyError, TypeError, ValueError) as err:
        raise answer.unreadable(err) from err


def _from_json(said: Mapping[str, Any], tag: str) -> Balanced:
    weights = said["weights"]
    return Balanced(
        method=said["method"],
        weights=None if weights is None else np.array(weights),
        value=said["value"],
        gradient=None,
        state=said.get("state"),
        certificate=Certificate(**said["certificate"]),
        params=said["params"],
        warnings=_warnings(said),
        param_gradients={k: np.array(x) for k, x in said.get("param_gradients", {}).items()},
        group_weights={k: np.array(x) for k, x in said.get("group_weights", {}).items()},
        request_id=tag,
    )


def _warnings(said: Mapping[str, Any]) -> tuple[Warned, ...]:
    return tuple(Warned(each["code"], each["detail"]) for each in said["warnings"])
