"""Objectives: several losses of named tensors, as one value and one gradient of each tensor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from lossd_client._arrays import ArrayLike
from lossd_client._calls import Answer, Request, given, seconds_of
from lossd_client._wire import MEDIA_TYPE, decode, encode, pack_all
from lossd_client.result import Array, Result, Sent, Warned, nested, result_of

PATH = "/v1/objectives"
_OF_OBJECTIVE = ("weight", "weighted_value", "selected", "norms", "shares")


@dataclass(frozen=True, slots=True, init=False)
class Schedule:
    """A weight, or a parameter, that depends on the step: `Schedule("linear", start=0, end=1,
    steps=100)`.

    What follows values instead says of which term: `Schedule("loss_ratio", of="main", ratio=1.0)`.
    """

    name: str
    params: Mapping[str, Any]

    def __init__(self, name: str, /, **params: Any) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "params", params)


@dataclass(frozen=True, slots=True)
class Term:
    """One loss of an objective.

    - `inputs`: the name of a tensor for each input; a group's name, or a dict of names.
    - `name`: what it is answered by; its place among the terms, from "0", if not given.
    - `weight`: a number or a `Schedule`; so may numbers in `params` be.
    - `rows`: which rows count, such as "labels > 0 and not is_crowd == 1".
    """

    loss: str
    inputs: Mapping[str, Any]
    name: str | None = None
    weight: float | Schedule | None = None
    rows: str | None = None
    params: Mapping[str, Any] | None = None
    reduction: str | None = None
    mining: Mapping[str, Any] | None = None
    row_weights: str | None = None
    class_axis: int | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """Weights of the terms by a multi-task method: `Balance("pcgrad", shared=["features"])`.

    - `shared`: the tensors whose gradients are looked at.
    - `terms`: those that are balanced; by themselves all that have a gradient by a shared tensor.

    The state of a method goes in with that of the whole objective.
    """

    method: str
    shared: Sequence[str] | None = None
    terms: Sequence[str] | None = None
    params: Mapping[str, Any] | None = None
    seed: int | None = None
    permutation: ArrayLike | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TermResult:
    """What one term came to: `weighted_value` is what it adds to the objective's value.

    - `result`: of its loss alone; its gradients, which are without the weight, if they were asked
      for.
    - `norms`, `shares`: of its gradient by each tensor, if they were asked for.
    - `selected`: the places of the rows that count, if rows were asked for and chosen.
    """

    result: Result
    weight: float
    weighted_value: float
    norms: dict[str, float]
    shares: dict[str, float]
    selected: Array | None

    @property
    def value(self) -> float | None:
        """The loss's value; None where nothing counts."""
        return self.result.value


@dataclass(frozen=True, slots=True, eq=False)
class ObjectiveResult:
    """One objective.

    - `gradients`: the combined one by each tensor; a group is a dict.
    - `terms`: by their names.
    - `state`: goes back in at the next step.
    - `cosines`: between the terms' gradients by each tensor that several take, in the order of
      `cosine_terms`; `conflicts` names the pairs that pull apart. If they were asked for.
    - `balance`: the method's weights of the terms, by name, and its certificate, if there was one.
    """

    value: float
    gradients: dict[str, Any]
    terms: dict[str, TermResult]
    step: int | None
    state: dict[str, Any]
    warnings: tuple[Warned, ...] = ()
    cosines: dict[str, Any] = field(default_factory=dict)
    cosine_terms: dict[str, list[str]] = field(default_factory=dict)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    balance: dict[str, Any] | None = None
    request_id: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


def ask(
    terms: Sequence[Term],
    tensors: Mapping[str, ArrayLike],
    *,
    state: Mapping[str, Any] | None,
    balance: Balance | None,
    **options: Any,
) -> Request:
    """The request for an objective. Raises `TypeError` for a tensor that holds no numbers."""
    said = given(
        {
            "terms": [_said(each) for each in terms],
            "balance": None if balance is None else _said(balance),
            "state": None if not state else dict(state),
            **options,
        }
    )
    body = encode(pack_all(tensors), said)
    length = sum(len(part) for part in body)
    headers = {"content-type": MEDIA_TYPE, "accept": MEDIA_TYPE, "content-length": str(length)}
    return Request("POST", PATH, body, headers)


def _said(x: Any) -> Any:
    """A term, a balance or a schedule, and all that is in it, as JSON values."""
    if isinstance(x, Schedule):
        return {"schedule": x.name, **x.params}
    if isinstance(x, Term | Balance):
        return given({each.name: _said(getattr(x, each.name)) for each in fields(x)})
    if isinstance(x, Mapping):
        return {key: _said(each) for key, each in x.items()}
    if isinstance(x, Sequence) and not isinstance(x, str):
        return [_said(each) for each in x]
    return x


def read(answer: Answer) -> ObjectiveResult:
    """The objective in an answer. Raises `LossdError` if it holds none."""
    try:
        tensors, said = decode(answer.body)
        parts: dict[str, dict[str, Array]] = {name: {} for name in said["terms"]}
        whole: dict[str, Array] = {}
        for key, array in tensors.items():
            head, _, rest = key.partition(".")
            if head == "terms":
                name, _, own = rest.partition(".")
                parts[name][own] = array
            else:
                whole[key] = array
        seconds, tag = seconds_of(answer.headers), answer.request_id
        terms = {
            name: _term(parts[name], each, tag, seconds) for name, each in said["terms"].items()
        }
        return ObjectiveResult(
            value=float(whole["value"]),
            gradients=nested(whole, "gradients"),
            terms=terms,
            step=said["step"],
            state=said["state"],
            warnings=tuple(Warned(each["code"], each["detail"]) for each in said["warnings"]),
            cosines=nested(whole, "cosines"),
            cosine_terms=said.get("cosine_terms", {}),
            conflicts=said.get("conflicts", []),
            balance=said.get("balance"),
            request_id=tag,
            seconds=seconds,
        )
    except (KeyError, TypeError, ValueError) as err:
        raise answer.unreadable(err) from err


def _term(
    tensors: dict[str, Array], said: dict[str, Any], tag: str, seconds: dict[str, float]
) -> TermResult:
    own = {key: x for key, x in tensors.items() if key.partition(".")[0] not in _OF_OBJECTIVE}
    return TermResult(
        result=result_of(own, said, tag, seconds, Sent()),
        weight=float(tensors["weight"]),
        weighted_value=float(tensors["weighted_value"]),
        norms=_numbers(tensors, "norms"),
        shares=_numbers(tensors, "shares"),
        selected=tensors.get("selected"),
    )


def _numbers(tensors: dict[str, Array], prefix: str) -> dict[str, float]:
    start = f"{prefix}."
    return {
        key.removeprefix(start): float(x) for key, x in tensors.items() if key.startswith(start)
    }
